"""FAULTS 12: running out of memory is a trial's own failure; the machine and the rest go on."""

from __future__ import annotations

import re
import shutil

import pandas as pd
import pytest
from commands import ODD_LAYERS, sweep

from hpsearch.machine import share_bytes

_SWEEP = """\
data: {dataset: digits, validation: 0.2, seed: 42}
configs:
  - {layer_type: "odd_layers:LAYER", units: 16, epochs: 1}
  - {units: 16, epochs: 2}
  - {units: 24, epochs: 2}
"""


def row_of(place, layer, *, workers=2, env=None):
    """The row of a trial with that layer; those beside it must complete."""
    shutil.copy(ODD_LAYERS, place)
    said = sweep(place, _SWEEP.replace("LAYER", layer), "--workers", workers, env=env)
    assert "3 trials, 2 completed" in said.stdout
    rows = pd.read_csv(place / "out" / "results.csv")
    assert rows["status"].tolist()[1:] == ["completed"] * 2
    return rows.iloc[0], said.stderr


def test_memory_that_the_system_denies_is_a_failed_trial(tmp_path):
    row, _ = row_of(tmp_path, "cramped")
    assert row["status"] == "failed"
    assert re.match("MemoryError|_ArrayMemoryError|ResourceExhausted", row["error"]), row["error"]


def test_a_worker_that_the_system_kills_is_a_killed_trial(tmp_path):
    """As the system does with the largest process when memory runs out."""
    row, told = row_of(tmp_path, "suicidal")
    assert row["status"] == "killed"
    assert row["error"] == "the worker ended (SIGKILL)"
    assert "trying once more" in told


@pytest.mark.slow
def test_a_trial_beyond_its_part_of_the_memory_is_ended(tmp_path):
    """With many workers, that is little; test_09_orphans.py asks for a limit."""
    gibibyte, workers = 2**30, 64
    share = share_bytes(workers)
    assert gibibyte <= share < 8 * gibibyte, "a machine of more than 640 GB needs more workers"
    more = {"GREEDY_BYTES": str(share + 2 * gibibyte)}
    row, told = row_of(tmp_path, "greedy", workers=workers, env=more)
    assert row["status"] == "killed"
    used, allowed = map(int, re.findall(r"(\d+) MB", row["error"]))
    assert row["error"].startswith("memory: the worker used ")
    assert allowed == round(share / 2**20)
    # It was stopped on its way, not when it had all that it wanted.
    assert allowed < used < allowed + 1024
    assert "trying once more" not in told
