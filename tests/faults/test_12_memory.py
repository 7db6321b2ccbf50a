"""FAULTS 12: running out of memory is a trial's own failure; the machine and the rest go on."""

import re
import shutil

import pandas as pd
import pytest
from commands import ODD_LAYERS, sweep

from hpsearch.machine import share_bytes

_SWEEP = """\
data: {dataset: digits, validation: 0.2, seed: 42}
configs:
  - {units: 16, epochs: 2}
  - {units: 24, epochs: 2}
"""


def rows_of(place, *layers, workers=2, env=None):
    """The rows of trials with those layers; those beside them must complete."""
    shutil.copy(ODD_LAYERS, place)
    text = "".join(f'  - {{layer_type: "odd_layers:{n}", units: 16, epochs: 1}}\n' for n in layers)
    said = sweep(place, _SWEEP + text, "--workers", workers, env=env)
    rows = pd.read_csv(place / "out" / "results.csv")
    assert rows["status"].tolist()[:2] == ["completed"] * 2
    return rows[2:].to_dict("records"), said.stderr


def test_memory_that_is_denied_or_a_worker_that_is_killed_is_a_row(tmp_path):
    """The system kills the largest process when memory runs out."""
    (denied, killed), told = rows_of(tmp_path, "cramped", "suicidal")
    assert denied["status"] == "failed"
    assert re.match("MemoryError|_ArrayMemoryError|ResourceExhausted", denied["error"]), denied
    assert (killed["status"], killed["error"]) == ("killed", "the worker ended (SIGKILL)")
    assert "trying once more" in told


@pytest.mark.slow
def test_a_trial_beyond_its_part_of_the_memory_is_ended(tmp_path):
    """With many workers, that is little; test_09_orphans.py asks for a limit."""
    gibibyte, workers = 2**30, 64
    share = share_bytes(workers)
    assert gibibyte <= share < 8 * gibibyte, "a machine of more than 640 GB needs more workers"
    more = {"GREEDY_BYTES": str(share + 2 * gibibyte)}
    (row,), told = rows_of(tmp_path, "greedy", workers=workers, env=more)
    assert row["status"] == "killed"
    used, allowed = map(int, re.findall(r"(\d+) MB", row["error"]))
    assert row["error"].startswith("memory: the worker used ")
    assert allowed == round(share / 2**20)
    # It was stopped on its way, not when it had all that it wanted.
    assert allowed < used < allowed + 1024
    assert "trying once more" not in told
