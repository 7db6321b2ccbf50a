"""FAULTS 29: a run overwrites, and moves, only what a run made."""

import os
import shutil

import pytest
from commands import hpsearch
from outcomes import contents
from small_sweeps import run_on_table

from hpsearch.errors import RefusedError
from hpsearch.store.directory import ResultsDirectory
from hpsearch.store.store import Store, keep_store_at

_SWEEP = "data: {dataset: digits}\nparameters: {units: [4, 8], epochs: 1}\n"


@pytest.fixture
def place(tmp_path):
    """A directory of somebody's work, with a sweep file in it."""
    home = tmp_path / "work"
    (home / "package").mkdir(parents=True)
    (home / "package" / "code.py").write_text("mine")
    (home / "study.yaml").write_text(_SWEEP)
    return home


@pytest.mark.parametrize("options", [[], ["--fresh"]], ids=["plain", "fresh"])
def test_ones_own_file_is_not_overwritten(place, options):
    (place / "sweep.yaml").write_text(_SWEEP)
    before = contents(place)
    done = hpsearch("run", "study.yaml", "--out", ".", *options, cwd=place, code=3)
    assert "sweep.yaml would be overwritten" in done.stderr
    kept = contents(place)
    assert {path: kept[path] for path in before} == before
    assert {*kept.keys() - before.keys()} <= {".lock"}


def test_beside_other_files_it_runs_and_fresh_leaves_them(place):
    before = contents(place)
    for options in ([], ["--fresh"]):
        hpsearch("run", "study.yaml", "--out", ".", *options, cwd=place)
        kept = contents(place)
        assert {path: kept[path] for path in before} == before
    (aside,) = (path for path in place.parent.iterdir() if path != place)
    assert aside.name.startswith("work.")
    moved = {path.name for path in aside.iterdir()}
    assert {"sweep.db", "results.csv", "curves.csv", "sweep.yaml", "run.log"} <= moved
    assert not moved & {"package", "study.yaml"}
    for directory in (place, aside):
        assert "2 trials: 2 completed" in hpsearch("show", directory, cwd=place).stdout
        hpsearch("doctor", directory, cwd=place)


@pytest.mark.parametrize("content", ["a list of things\n", "", "SQLite format 3\0"])
def test_a_store_goes_over_no_other_file(place, content):
    (place / "things.txt").write_text(content)
    done = hpsearch("run", "study.yaml", "--out", "out", "--store", "things.txt", cwd=place, code=3)
    assert "things.txt" in done.stderr
    assert (place / "things.txt").read_text() == content


def test_an_empty_store_of_another_directory_is_not_taken(place):
    for name in ("one", "two"):
        (place / name).mkdir()
    first, second = (ResultsDirectory(place / name) for name in ("one", "two"))
    keep_store_at(first, place / "a.db")
    with pytest.raises(RefusedError, match=r"a\.db: is there already"):
        keep_store_at(second, place / "a.db")
    (place / "one" / ".store").unlink()
    keep_store_at(first, place / "a.db")


def prepared(directory):
    where = ResultsDirectory(directory)
    where.prepare(fresh=False)
    return where


@pytest.mark.parametrize("name", ["run.log", "sweep.db-wal", ".lock"])
def test_files_that_only_look_like_a_run_s_are_left_alone(place, name):
    (place / name).write_text("mine, since 2020\n")
    with pytest.raises(RefusedError, match=name.replace(".", r"\.")):
        prepared(place).hold()
    assert (place / name).read_text() == "mine, since 2020\n"


def test_a_pointer_of_somebody_s_is_not_overwritten(place):
    (place / ".store").write_text("the settings of my shop")
    with pytest.raises(RefusedError, match=r"\.store: would be overwritten"):
        keep_store_at(ResultsDirectory(place), place / "a.db")
    assert (place / ".store").read_text() == "the settings of my shop"


def test_a_run_that_was_killed_early_left_nothing_foreign(place):
    (place / "run.log").write_text("I0000 00:00 a library's words\n")
    (place / ".lock").write_text("4711\n")
    with prepared(place).hold():
        pass


def test_fresh_moves_no_file_that_a_pointer_names(place):
    thesis = place / "package" / "thesis.tex"
    thesis.write_text("years of work")
    where = prepared(place / "out")
    where.results.write_text("trial,config\n")
    where.pointer.write_text(f"{thesis}\n")
    with pytest.raises(RefusedError, match=r"thesis\.tex, where there is no store of hpsearch"):
        where.prepare(fresh=False)
    where.prepare(fresh=True)
    assert not where.results.exists()
    assert sorted(path.name for path in thesis.parent.iterdir()) == ["code.py", "thesis.tex"]


def test_nor_the_store_of_another_directory(place):
    other, where = prepared(place / "other"), prepared(place / "out")
    with Store(other.store):
        other.results.write_text("trial,config\n")
    where.pointer.write_text(f"{other.store}\n")
    where.prepare(fresh=True)
    assert other.store.exists()
    assert not where.pointer.exists()


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The directory of a run, a table, and its results in `out`."""
    return run_on_table(
        tmp_path_factory.mktemp("finished"),
        "data: {csv: table.csv, target: y}\nparameters: {units: 4}\n",
    )


@pytest.mark.parametrize(
    "words",
    [
        "report out --out out/sweep.db",
        "report out --out out/results.csv",
        "export out --out out/best.keras",
        "predict out table.csv --out table.csv",
        "predict out table.csv --out out/curves.csv",
        "run sweep.yaml --out new --store new/run.log",
        "log out --to mlflow:sqlite:///out/sweep.db",
    ],
)
def test_a_command_replaces_no_file_of_a_run_and_no_input(finished, tmp_path, words):
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    before = contents(tmp_path)
    error = hpsearch(*words.split(), cwd=tmp_path, code=2).stderr
    assert words.split()[-1].removeprefix("mlflow:sqlite:///") in error
    assert "name another" in error
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    ("name", "put"),
    [
        ("hpsearch.schema.json", lambda path: path.write_text("mine")),
        ("hpsearch.schema.json", os.mkfifo),
        ("hpsearch.schema.json", lambda path: path.symlink_to("target")),
        ("sweep.yaml", lambda path: path.symlink_to("target")),
    ],
    ids=["own", "fifo", "link", "linked sweep"],
)
def test_init_replaces_nothing_and_follows_no_link(tmp_path, name, put):
    put(tmp_path / name)
    before = contents(tmp_path)
    assert name in hpsearch("init", cwd=tmp_path, code=2).stderr
    assert contents(tmp_path) == before
    (tmp_path / name).unlink()
    for file in ("a.yaml", "b.yaml"):
        hpsearch("init", file, cwd=tmp_path)
