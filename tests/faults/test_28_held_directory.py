"""FAULTS 28: the directory that is held is the one that is written, and its loss is told."""

import itertools
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from commands import hpsearch, start, stored_results
from outcomes import assert_same, contents

from hpsearch import optimize
from hpsearch.errors import LockedError, RefusedError
from hpsearch.store.directory import DirectoryLock, ResultsDirectory
from hpsearch.store.store import keep_store_at

_SPACE = {"a": list(range(8))}


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def searched(harm=lambda: None, at=4):
    """Search `out`; the function does the harm when it is called for the `at`th time."""
    calls = itertools.count(1)

    def objective(config):
        if next(calls) == at:
            harm()
        return config["a"]

    objective.__qualname__ = "objective"
    return optimize(objective, _SPACE, method="grid", out="out")


def lost_by(harm, at=4):
    with pytest.raises(RefusedError) as caught:
        searched(harm, at)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def rows(directory):
    """The rows that the store holds, log included."""
    with closing(sqlite3.connect(directory / "sweep.db")) as db:
        assert db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        return db.execute("SELECT count(*) FROM results").fetchone()[0]


@pytest.mark.parametrize("at", [4, 8], ids=["amid", "at the last trial"])
def test_a_directory_that_was_moved_keeps_its_results(place, at):
    said = lost_by(lambda: (place / "out").rename(place / "away"), at)
    assert said.startswith("out: was moved or removed during the run, or its lock")
    assert not (place / "out").exists()
    assert rows(place / "away") == at - 1
    (place / "away").rename(place / "out")
    assert len(searched().table) == 8


def test_nothing_is_written_into_a_directory_that_took_its_place(place):
    def swap():
        (place / "out").rename(place / "away")
        (place / "out").mkdir()
        (place / "out" / "sweep.db").write_text("another's")

    assert "was moved or removed during the run" in lost_by(swap)
    assert contents(place / "out") == {"sweep.db": b"another's"}
    assert rows(place / "away") == 3


def test_a_directory_that_was_removed_is_not_made_again(place):
    said = lost_by(lambda: shutil.rmtree(place / "out"))
    assert "safe unless they were removed" in said
    assert not list(place.iterdir())


def test_without_its_lock_a_run_leaves_the_directory_to_another(place):
    assert "another run may begin here" in lost_by((place / "out" / ".lock").unlink)
    assert rows(place / "out") == 3
    assert len(searched().table) == 8


def test_a_store_that_was_removed_is_written_anew(place):
    said = lost_by((place / "out" / "sweep.db").unlink)
    assert "sweep.db: was removed during the run" in said
    assert rows(place / "out") == 3
    table = searched().table
    assert table["trial"].tolist() == [*range(1, 9)]
    hpsearch("doctor", "out", cwd=place)


def test_a_store_that_was_replaced_is_saved_beside_it(place):
    out = place / "out"

    def replace():
        (out / "sweep.db").unlink()
        (out / "sweep.db").write_text("another's")

    said = lost_by(replace)
    assert "was replaced during the run" in said
    assert (out / "sweep.db").read_text() == "another's"
    (saved,) = (path for path in out.glob("sweep.db.*") if path.name in said)
    saved.rename(out / "sweep.db")
    assert rows(out) == 3


def test_a_program_may_change_its_working_directory(place):
    (place / "out").mkdir()
    lock = DirectoryLock(Path("out"))
    os.chdir("/")
    lock.check()
    lock.release()


def test_a_copy_made_in_mid_run_changes_nothing(place):
    searched()
    (place / "out").rename(place / "undisturbed")
    searched(lambda: shutil.copytree(place / "out", place / "copy"))
    assert_same(place / "out", place / "undisturbed", 8)
    hpsearch("doctor", "copy", cwd=place)
    assert rows(place / "copy") == 3
    shutil.rmtree(place / "out")
    (place / "copy").rename(place / "out")
    searched()
    assert_same(place / "out", place / "undisturbed", 8)


_SWEEP = """\
data: {dataset: digits, validation: 0.2, seed: 42}
parameters: {units: {min: 4, max: 103, step: 1}, epochs: 5}
method: grid
execution: {workers: 2}
"""


@pytest.fixture
def driver(place):
    """A run with workers that has stored some of its results."""
    (place / "sweep.yaml").write_text(_SWEEP)
    driver = start("sweep.yaml", cwd=place, out="out")
    driver.wait_for_results(5)
    return driver


def end_of(driver, code):
    _, said = driver.process.communicate(timeout=120)
    assert driver.process.returncode == code, said
    assert "Traceback" not in said
    return said


@pytest.mark.slow
def test_two_runs_after_a_move_share_nothing(place, driver):
    """The second starts where the first was; each writes its own store, and the first says so."""
    (place / "out").rename(place / "away")
    second = start("sweep.yaml", cwd=place, out="out")
    assert "was moved or removed" in end_of(driver, 3)
    kept = stored_results(place / "away")
    assert kept >= 5
    end_of(second, 0)
    assert stored_results(place / "away") == kept
    for directory in ("out", "away"):
        hpsearch("doctor", directory, cwd=place)
    hpsearch("run", "sweep.yaml", "--out", "away", cwd=place)
    assert stored_results(place / "away") == stored_results(place / "out") == 100


def with_store_at(path, store):
    where = ResultsDirectory(path)
    where.prepare(fresh=False)
    keep_store_at(where, store)
    return where


def test_a_store_that_two_directories_name_has_one_lock(place):
    where, other = with_store_at(place / "one", place / "two" / "sweep.db"), place / "two"
    with where.hold(), pytest.raises(LockedError):
        ResultsDirectory(other).hold()
    with ResultsDirectory(other).hold(), pytest.raises(LockedError):
        where.hold()


def test_a_run_ends_if_its_directory_names_another_store(place):
    where = with_store_at(place / "out", place / "a.db")
    named = where.pointer.read_text()
    with where.hold() as held:
        where.pointer.unlink()
        with pytest.raises(RefusedError, match=r"\.store names another store than .*a\.db now"):
            held.check()
        where.pointer.write_text(named)


def test_no_store_is_moved_away_from_a_run(place):
    where = ResultsDirectory(place / "out")
    where.prepare(fresh=False)
    with where.hold(), pytest.raises(LockedError):
        keep_store_at(where, place / "a.db")
