"""FAULTS 8: SIGTERM ends a run within 10 s, leaves nothing running, and the rerun goes on."""

from __future__ import annotations

import signal

import pytest
from commands import hpsearch, in_sessions, start, wait_for
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
        servers = driver.servers()
        seconds, err = driver.send(signal.SIGTERM)
        assert driver.process.returncode == 143, err
        assert seconds < 10
        assert "terminated; results so far are in out, the same command continues" in err
        assert "Traceback" not in err
        wait_for(lambda s=servers: not in_sessions(s), seconds=2, what="children to end")
        assert len(table(home / "out")) == driver.results() < 12
    hpsearch("run", "sweep.yaml", "--out", "out", cwd=home)


@pytest.mark.slow
def test_terminated_and_run_again_it_is_the_run_that_was_left_alone(tmp_path):
    ranged = "{min: 16, max: 64, scale: log}"
    for method, units, workers in (("grid", "[16, 32, 48]", 2), ("hyperband", ranged, 1)):
        home = tmp_path / method
        home.mkdir()
        (home / "sweep.yaml").write_text(_SWEEP.format(method=method, units=units, workers=workers))
        hpsearch("run", "sweep.yaml", "--out", "undisturbed", cwd=home)
        terminated_again_and_again(home, 2)
        assert_same(home / "out", home / "undisturbed", 12)
