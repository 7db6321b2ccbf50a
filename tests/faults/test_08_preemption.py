"""FAULTS 8: SIGTERM ends a run within 10 s, leaves nothing running, and the rerun goes on."""

from __future__ import annotations

import signal

import pytest
from commands import hpsearch, start, sweep, wait_for
from outcomes import assert_same, table

_SWEEP = """\
data: {{dataset: digits, validation: 0.2, seed: 42}}
method: {method}
parameters:
  hidden_layers: [1, 2]
  units: {units}
  epochs: [40, 120]
budget: {{trials: 12}}
execution: {{workers: {workers}}}
"""


def terminated_again_and_again(home, times):
    """Each time after one result more; the rerun goes on from there."""
    for _ in range(times):
        driver = start("sweep.yaml", cwd=home, out="out")
        wait_for((home / "out" / "sweep.db").exists, what="the store")
        driver.wait_for_results(driver.results() + 1)
        err = driver.ended_by(signal.SIGTERM, 10)
        assert "terminated; results so far are in out, the same command continues" in err
        assert len(table(home / "out")) == driver.results() < 12
    hpsearch("run", "sweep.yaml", "--out", "out", cwd=home)


@pytest.mark.slow
def test_terminated_and_run_again_it_is_the_run_that_was_left_alone(tmp_path):
    ranged = "{min: 16, max: 64, scale: log}"
    for method, units, workers in (("grid", "[16, 32, 48]", 2), ("hyperband", ranged, 1)):
        home = tmp_path / method
        home.mkdir()
        sweep(home, _SWEEP.format(method=method, units=units, workers=workers), out="undisturbed")
        terminated_again_and_again(home, 2)
        assert_same(home / "out", home / "undisturbed", 12)
