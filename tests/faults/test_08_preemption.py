"""FAULTS 8: SIGTERM ends a run within 10 s, leaves nothing running, and the rerun goes on."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from commands import Running, environment, start, sweep
from outcomes import assert_same, table

ROOT = Path(__file__).parents[2]
_SWEEP = """\
data: {dataset: digits, validation: 0.2, seed: 42}
method: hyperband
parameters:
  hidden_layers: [1, 2]
  units: {min: 16, max: 64, scale: log}
  epochs: [40, 120]
budget: {trials: 12}
execution: {workers: 1}
"""


@pytest.mark.slow
def test_terminated_and_run_again_it_is_the_run_that_was_left_alone(tmp_path):
    """Twice, each time after one result more; the rerun goes on from there."""
    sweep(tmp_path, _SWEEP, out="undisturbed")
    for _ in range(2):
        driver = start("sweep.yaml", cwd=tmp_path, out="out")
        driver.wait_for_results(driver.results() + 1)
        err = driver.ended_by(signal.SIGTERM, 10)
        assert "terminated; results so far are in out, the same command continues" in err
        assert len(table(tmp_path / "out")) == driver.results() < 12
    sweep(tmp_path)
    assert_same(tmp_path / "out", tmp_path / "undisturbed", 12)


_SCRIPT = """\
import atexit, signal
import hpsearch, objectives

def mine(*_):
    raise SystemExit(7)

{}
atexit.register(print, "left")
try:
    hpsearch.optimize(objectives.sleeping, {{"seconds": [0.0, 99.0]}}, "grid", workers=2, out="out")
{}
print("goes on", signal.getsignal(signal.SIGTERM) is mine)
"""
_HANDLER = "signal.signal(signal.SIGTERM, mine)"
_CATCHES = "except Exception as error: print(type(error).__name__, len(error.results.table))"


@pytest.mark.parametrize(
    ("parts", "code", "said"),
    [
        (("", "finally: pass"), 143, "left\n"),
        ((_HANDLER, _CATCHES), 0, "Terminated 1\ngoes on True\nleft\n"),
    ],
)
def test_a_script_ends_as_terminated_unless_it_catches_that(tmp_path, parts, code, said):
    with subprocess.Popen(
        [sys.executable, "-c", _SCRIPT.format(*parts)],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=environment() | {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests/support'}"},
    ) as script:  # fmt: skip
        running = Running(script, tmp_path / "out")
        running.wait_for_results(1)
        script.send_signal(signal.SIGTERM)
        out, err = script.communicate(timeout=60)
    assert (script.returncode, out) == (code, said)
    assert "Traceback" not in err
    assert running.results() == 1
