"""FAULTS 8: SIGTERM ends a run within 10 s, leaves nothing running, and the rerun goes on."""

from __future__ import annotations

import signal

import pytest
from commands import start, sweep
from outcomes import assert_same, table

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
