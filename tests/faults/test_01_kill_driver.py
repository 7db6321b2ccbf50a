"""FAULTS 1: `kill -9` of the driver at random instants loses nothing that was acknowledged."""

from __future__ import annotations

import random
import sqlite3
import time
from contextlib import closing

import pandas as pd
import pytest
from commands import end_all, hpsearch, in_sessions, start, stored_results, wait_for
from pandas.testing import assert_frame_equal

from hpsearch.store import Store

_KILLS = 20
_TRIALS = 24
#: A kill comes so many results after the driver began to train (0: after the first worker
#: appeared), and then within so many seconds: about as long as a training takes, so kills fall
#: before, between and within trainings, and before, within and after commits and rewrites of
#: the tables.
_RESULTS_BEFORE = (0, 1, 1, 2)
_LONGEST_DELAY_SECONDS = 0.6
_SWEEP = """\
data: {dataset: digits, validation: 0.2, seed: 42}
parameters:
  hidden_layers: [1, 2]
  units: [32, 48]
  activation: [relu, sigmoid]
  epochs: [20, 40, 80]
execution: {workers: 2}
"""


def table(directory, name="results.csv"):
    return pd.read_csv(directory / name).drop(columns="seconds", errors="ignore")


def acknowledged(directory):
    """What the store holds, as any SQLite reader finds it after the kill."""
    with closing(sqlite3.connect(directory / "sweep.db")) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return dict(db.execute("SELECT trial, record FROM results").fetchall())


def kill_in_mid_training(home, out, new_results, delay_seconds):
    """Start a run and kill it in its work; whether it still ran."""
    before = stored_results(home / out)
    driver = start("sweep.yaml", cwd=home, out=out)

    def is_over():
        return driver.process.poll() is not None

    wait_for(lambda: driver.workers() or is_over(), every=0.1, what="a training to begin")
    servers = [] if is_over() else driver.servers()
    wait_for(lambda: driver.results() >= before + new_results or is_over(), what="results")
    time.sleep(delay_seconds)
    hit = not is_over()
    driver.process.kill()
    driver.process.communicate()
    wait_for(lambda: not in_sessions(servers), seconds=5, what="orphans to end")
    return hit


def check(home, out, undisturbed):
    """Every trial once, and every number as in the run that was left alone."""
    rows = table(home / out)
    assert list(rows["trial"]) == list(range(1, _TRIALS + 1))
    assert not rows.duplicated(["config", "seed"]).any()
    assert set(rows["status"]) == {"completed"}
    for name in ("results.csv", "curves.csv"):
        assert_frame_equal(table(home / out, name), table(undisturbed, name))
    with Store(home / out / "sweep.db", read_only=True) as store:
        assert sorted(store.results()) == [trial.number for trial in store.trials()]


@pytest.fixture(autouse=True)
def no_driver_is_left():
    yield
    end_all()


@pytest.mark.slow
def test_killed_twenty_times_nothing_is_lost(tmp_path):
    (tmp_path / "sweep.yaml").write_text(_SWEEP)
    hpsearch("run", "sweep.yaml", "--out", "undisturbed", cwd=tmp_path)
    # One seed for the instants; what they hit differs from machine to machine.
    rng = random.Random(20)
    hits, round_number, known, gains = 0, 1, {}, []
    while hits < _KILLS:
        out = f"round-{round_number}"
        hit = kill_in_mid_training(
            tmp_path, out, rng.choice(_RESULTS_BEFORE), rng.uniform(0, _LONGEST_DELAY_SECONDS)
        )
        hits += hit
        found = acknowledged(tmp_path / out)
        assert found.items() >= known.items(), "an acknowledged result was lost or changed"
        gains += [len(found) - len(known)] if hit else []
        known = found
        if not hit:
            # It was done before its time; the kills go on in a new directory.
            check(tmp_path, out, tmp_path / "undisturbed")
            round_number, known = round_number + 1, {}
    hpsearch("run", "sweep.yaml", "--out", out, cwd=tmp_path)
    check(tmp_path, f"round-{round_number}", tmp_path / "undisturbed")
    print(f"{hits} kills hit a running driver; results that each had gained: {gains}")  # noqa: T201 - pytest shows it where the test fails
    # Spread over the work: some came before a new result, most after one or more.
    assert sum(gain > 0 for gain in gains) >= _KILLS // 2
