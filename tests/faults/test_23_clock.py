"""FAULTS 23: the wall clock may jump by an hour: no false timeout, no negative duration."""

import re
import subprocess
import sys

import pandas as pd
import pytest
from commands import environment, hpsearch, preload, sweep
from outcomes import assert_same

_SWEEP = """\
data: {dataset: digits, validation: 0.2, seed: 42}
parameters:
  hidden_layers: [1, 2]
  units: [16, 32]
  epochs: [40, 80]
budget: {time: 10m}
execution: {workers: 2, timeout: 60}
"""
_LOOK = """\
import time
seen = [time.time() for _ in range(100) if not time.sleep(0.01)]
print(max(seen) - min(seen))
"""


@pytest.mark.slow
def test_a_clock_that_jumps_disturbs_nothing(tmp_path):
    jumping = preload("jumping_clock", tmp_path)
    look = [sys.executable, "-c", _LOOK]
    jump = subprocess.run(look, env=environment() | jumping, capture_output=True, check=True)
    assert float(jump.stdout) > 7_000
    sweep(tmp_path, _SWEEP, out="undisturbed")
    said = hpsearch("run", "sweep.yaml", "--out", "out", cwd=tmp_path, env=jumping)
    assert "8 trials, 8 completed" in said.stdout
    assert_same(tmp_path / "out", tmp_path / "undisturbed", 8)
    seconds = pd.read_csv(tmp_path / "out" / "results.csv")["seconds"]
    assert seconds.between(0, 60, inclusive="neither").all()
    assert "left" in said.stderr
    assert not re.search(r"-\d+(:\d+| s) left", said.stderr)
