"""FAULTS 41: Answers come from the best trial: never from the model of another one."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from commands import environment
from commands import hpsearch as command
from small_sweeps import run_on_table

import hpsearch

_SWEEP = """\
data: {csv: table.csv, target: y}
parameters: {units: [32], epochs: [200]}
"""
#: Extends the sweep, and gets a signal just before it writes the new best model.
_EXTEND = """\
import os, signal
import hpsearch
from hpsearch.engine.best_model import BestModel
def interrupt(self, *_, **__):
    os.kill(os.getpid(), signal.NAME)
    self.retrainer.check()
BestModel.save = interrupt
hpsearch.run("sweep.yaml", out="out")
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_on_table(tmp_path_factory.mktemp("table"), _SWEEP)


def extended(home: Path, place: Path, signal: str) -> hpsearch.Results:
    shutil.copytree(home, place, dirs_exist_ok=True)
    (place / "sweep.yaml").write_text(_SWEEP.replace("[200]", "[200, 1]"))
    program = [sys.executable, "-c", _EXTEND.replace("NAME", signal)]
    ended = subprocess.run(program, cwd=place, env=environment(), check=False)
    assert ended.returncode
    results = hpsearch.load(place / "out")
    assert results.best["trial"] == 2
    return results


@pytest.mark.slow
@pytest.mark.parametrize("signal", ["SIGKILL", "SIGINT"])
def test_answers_come_from_the_best_trial(home, tmp_path, signal):
    """Of an extension that was interrupted, and where another trial's model took its place."""
    results = extended(home, tmp_path / "extended", signal)
    rows = pd.read_csv(home / "table.csv").drop(columns="y")
    results.export(tmp_path / "second.keras", trial=2)
    expected, first = (
        hpsearch.load(each).predict_proba(rows) for each in (results.directory, home / "out")
    )
    assert (expected != first).all()
    replaced = shutil.copytree(home, tmp_path / "replaced")
    for directory, own in ((results.directory, expected), (replaced / "out", first)):
        shutil.copy(tmp_path / "second.keras", directory / "best.keras")
        np.testing.assert_array_equal(hpsearch.load(directory).predict_proba(rows), own)
    said = command("predict", "out", "table.csv", cwd=replaced)
    assert "best.keras: is not the model of the best trial" in said.stderr
