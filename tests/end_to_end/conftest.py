"""Small sweeps of real data, run once and shared."""

import shutil

import pytest
from commands import hpsearch
from small_sweeps import DIGITS

TRIALS = 20


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A directory with sweep.yaml, and its results by one worker and by two in `one`, `two`."""
    home = tmp_path_factory.mktemp("finished")
    (home / "sweep.yaml").write_text(DIGITS)
    for out, workers in (("one", 1), ("two", 2)):
        said = hpsearch("run", "sweep.yaml", "--out", out, "--workers", workers, cwd=home)
        assert f"{TRIALS} trials, {TRIALS} completed, {TRIALS} trained now" in said.stdout
    return home


@pytest.fixture
def home(finished, tmp_path):
    """A fresh directory with sweep.yaml and its results in `out`."""
    shutil.copy(finished / "sweep.yaml", tmp_path)
    shutil.copytree(finished / "two", tmp_path / "out")
    return tmp_path
