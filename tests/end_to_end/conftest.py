"""Small sweeps of real data, run once and shared."""

from __future__ import annotations

import shutil

import pandas as pd
import pytest
from commands import end_all, hpsearch
from small_sweeps import DIGITS

TRIALS = 20


@pytest.fixture(scope="session")
def digits():
    """The text of a sweep: 20 trials in 10 trainings."""
    return DIGITS


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A directory with sweep.yaml, and its results by one worker and by two in `one`, `two`."""
    home = tmp_path_factory.mktemp("finished")
    (home / "sweep.yaml").write_text(DIGITS)
    for out, workers in (("one", 1), ("two", 2)):
        said = hpsearch("run", "sweep.yaml", "--out", out, "--workers", workers, cwd=home)
        assert f"{TRIALS} trials, {TRIALS} completed, {TRIALS} trained now" in said.stdout
    return home


@pytest.fixture(autouse=True)
def no_driver_is_left():
    yield
    end_all()


@pytest.fixture
def home(finished, tmp_path):
    """A fresh directory with sweep.yaml and its results in `out`."""
    shutil.copy(finished / "sweep.yaml", tmp_path)
    shutil.copytree(finished / "two", tmp_path / "out")
    return tmp_path


@pytest.fixture(scope="session")
def table():
    """Reads results.csv or curves.csv with pandas alone, but for the times."""

    def read(directory, name="results.csv"):
        return pd.read_csv(directory / name).drop(columns="seconds", errors="ignore")

    return read
