"""FAULTS 3: a worker's death costs the training it ran, which is tried again, and nothing else."""

import os
import signal

import pandas as pd
import pytest
from commands import start, sweep, wait_for
from outcomes import assert_same

#: The first one takes seconds, the others go on meanwhile.
_SWEEP = """\
data: {dataset: digits, validation: 0.2, seed: 42}
configs:
  - {hidden_layers: 2, units: 200, epochs: 120}
  - {units: 16, epochs: 60}
  - {units: 24, epochs: 60}
  - {units: 32, epochs: 60}
  - {units: 40, epochs: 60}
  - {units: 48, epochs: 60}
execution: {workers: 2, retries: 1}
"""
_TRIALS = 6


def kill_the_worker_of_trial_1(driver, times):
    """As often as asked, each time another process."""
    victims = []
    for _ in range(times):
        victim = wait_for(
            lambda: (pid := driver.worker_of(1)) not in victims and pid, what="a worker on trial 1"
        )
        os.kill(victim, signal.SIGKILL)
        victims.append(victim)
    out, err = driver.process.communicate(timeout=120)
    assert driver.process.returncode == 0, err
    assert "Traceback" not in err
    return out, err


@pytest.mark.slow
def test_killed_once_a_worker_s_trial_is_tried_again_killed_twice_it_is_a_row(tmp_path):
    sweep(tmp_path, _SWEEP, out="undisturbed")
    driver = start("sweep.yaml", cwd=tmp_path, out="out")
    out, err = kill_the_worker_of_trial_1(driver, 2)
    assert err.count("trial 1: the worker ended (SIGKILL); trying once more") == 1
    assert f"{_TRIALS} trials, {_TRIALS - 1} completed" in out
    rows = pd.read_csv(tmp_path / "out" / "results.csv").set_index("trial")
    assert rows["status"].tolist() == ["killed"] + ["completed"] * (_TRIALS - 1)
    assert rows.loc[1, "error"] == "the worker ended (SIGKILL)"
    assert pd.isna(rows.loc[1, "score"])
    # Asked for again, and killed once: it is trained from its beginning, to the same numbers.
    driver = start("sweep.yaml", "--retry", cwd=tmp_path, out="out")
    out, err = kill_the_worker_of_trial_1(driver, 1)
    assert "trying once more" in err
    assert f"{_TRIALS} trials, {_TRIALS} completed, 1 trained now" in out
    assert_same(tmp_path / "out", tmp_path / "undisturbed", _TRIALS)
