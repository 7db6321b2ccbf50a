"""`hpsearch doctor`: what it says of damage of every kind, and what it saves."""

from __future__ import annotations

import shutil
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from commands import hpsearch, start
from outcomes import assert_same, table
from small_sweeps import run_on_table

_SWEEP = """\
data: {csv: table.csv, target: y, validation: 0.25}
parameters:
  hidden_layers: [1, 2]
  units: [4, [6, 3]]
  optimizer: [adam, {name: sgd, learning_rate: 0.1}]
  epochs: [2, 4]
keep: all
"""
_TRIALS = 12


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    home = run_on_table(tmp_path_factory.mktemp("finished"), _SWEEP)
    assert len(table(home / "out")) == _TRIALS
    return home


@pytest.fixture
def home(finished, tmp_path):
    """The same, at the same place for the sweep: its data lies where it lay."""
    shutil.copytree(finished / "out", tmp_path / "out")
    return tmp_path


#: Where each table keeps what is told.
_CELLS = {"results": "record", "trials": "hyperparameters", "weights": "arrays", "meta": "value"}


def flip(path: Path, text: bytes) -> None:
    """Change one bit at the end of the first cell of the store that reads so.

    Within the file the same bytes may lie in pages and gaps that no row holds any more.
    """
    with closing(sqlite3.connect(path)) as store, store:
        for table_, column in _CELLS.items():
            for row, cell in store.execute(f"SELECT rowid, {column} FROM {table_} ORDER BY 1"):
                data = bytearray(cell.encode() if isinstance(cell, str) else cell)
                if text not in data:
                    continue
                data[data.index(text) + len(text) - 1] ^= 1
                changed = data.decode() if isinstance(cell, str) else bytes(data)
                store.execute(f"UPDATE {table_} SET {column} = ? WHERE rowid = ?", (changed, row))
                return
    raise AssertionError(f"no cell reads {text!r}")


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_a_sound_directory(home):
    before = contents(home / "out")
    said = hpsearch("doctor", "out", cwd=home)
    lines = [line.split(": ")[0].split() for line in said.stdout.strip().splitlines()[:-1]]
    parts = ("sweep.db", "results.csv", "curves.csv", "sweep.yaml", "data", "best.keras")
    assert lines == [[part, "sound"] for part in parts]
    assert said.stdout.endswith("all is sound\n")
    assert contents(home / "out") == before


def edit(name, old, new):
    def damage(out):
        text = (out / name).read_text()
        assert old in text
        (out / name).write_text(text.replace(old, new, 1))

    return damage


def cut(name, lines):
    def damage(out):
        kept = (out / name).read_text().splitlines(keepends=True)[:-lines]
        (out / name).write_text("".join(kept))

    return damage


def cells(out):
    """The first score in the table."""
    return str(table(out)["score"][0])


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda out: flip(out / "sweep.db", b'"score": 0.'), "does not match its checksum"),
        (lambda out: flip(out / "sweep.db", b"arr_0.npy"), "does not match its checksum"),
        (lambda out: (out / "sweep.db").write_bytes(b""), "the store is empty"),
        (lambda out: (out / "sweep.db").unlink(), "--salvage makes one of the tables"),
        (lambda out: edit("results.csv", cells(out), "0.99")(out), "score is 0.99, in the store"),
        (edit("results.csv", "completed", "failed"), "status is 'failed', in the store"),
        (edit("curves.csv", "\n1,1,0", "\n1,1,7"), "trial 1, epoch 1: loss is 7"),
        (edit("results.csv", "trial,", "number,"), "cannot be read"),
        (lambda out: (out / "best.keras").write_bytes(b"PK"), "best.keras   WRONG: is damaged"),
    ],
)
def test_damage_is_said_and_changes_nothing(home, damage, words):
    damage(home / "out")
    before = contents(home / "out")
    said = hpsearch("doctor", "out", cwd=home, code=3)
    assert words in said.stdout
    assert said.stdout.endswith("something is wrong\n")
    assert contents(home / "out") == before


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (cut("results.csv", 3), "results.csv  note: lacks 3 trials that the store has"),
        (cut("curves.csv", 2), "curves.csv   note: lacks 2 epochs that the store has"),
        (lambda out: (out / "curves.csv").unlink(), "curves.csv   note: there is none"),
        (edit("sweep.yaml", "units", "unitz"), "sweep.yaml   note: is missing, or another"),
        (lambda out: (out / "best.keras").unlink(), "best.keras   note: there is none"),
        (lambda out: (out / ".results.csv.x.tmp").touch(), "left by a run that was killed"),
    ],
)
def test_what_a_killed_run_leaves_is_no_damage(home, damage, words):
    damage(home / "out")
    assert words in hpsearch("doctor", "out", cwd=home).stdout


def test_other_data_is_said(finished, home):
    data = (finished / "table.csv").read_text()
    try:
        (finished / "table.csv").write_text(data.replace("1.000", "1.001", 1))
        said = hpsearch("doctor", "out", cwd=home, code=3)
        assert "data         WRONG: its fingerprint is d" in said.stdout
        (finished / "table.csv").unlink()
        said = hpsearch("doctor", "out", cwd=home)
        assert "data         note: cannot be compared: " in said.stdout
    finally:
        (finished / "table.csv").write_text(data)


def tear(out):
    """Zeros over a page in the middle of the results."""
    with closing(sqlite3.connect(out / "sweep.db")) as db:
        query = "SELECT pageno FROM dbstat WHERE name = 'results' AND pagetype = 'leaf'"
        try:
            pages = [page for (page,) in db.execute(query)]
        except sqlite3.OperationalError:
            root = "SELECT rootpage FROM sqlite_schema WHERE name = 'results'"
            pages = [db.execute(root).fetchone()[0]]
    with (out / "sweep.db").open("r+b") as file:
        file.seek((pages[len(pages) // 2] - 1) * 4096)
        file.write(bytes(4096))


def zeros(out):
    size = (out / "sweep.db").stat().st_size
    (out / "sweep.db").write_bytes(bytes(size))


@pytest.mark.parametrize(
    "damage",
    [
        lambda out: flip(out / "sweep.db", b'"score": 0.'),
        lambda out: flip(out / "sweep.db", b'"units": 4'),
        lambda out: flip(out / "sweep.db", b'"metric": "val'),
        tear,
        zeros,
        lambda out: (out / "sweep.db").unlink(),
    ],
    ids=["a score", "a config", "the identity", "a page", "zeros", "no store"],
)
def test_what_the_store_lost_comes_from_the_tables(finished, home, damage):
    damage(home / "out")
    before = contents(home / "out")
    said = hpsearch("doctor", "out", "--salvage", "saved", cwd=home)
    assert f"saved {_TRIALS} results in saved" in said.stdout
    assert contents(home / "out") == before
    assert_same(home / "saved", finished / "out", _TRIALS)


@pytest.mark.parametrize("damage", [tear, zeros])
def test_what_was_saved_is_a_results_directory_like_any_other(finished, home, damage):
    """Nothing is left to train, and no number changes."""
    damage(home / "out")
    hpsearch("doctor", "out", "--salvage", "saved", cwd=home)
    assert "all is sound" in hpsearch("doctor", "saved", cwd=home).stdout
    again = hpsearch("run", "saved/sweep.yaml", "--out", "saved", cwd=home)
    assert f"{_TRIALS} trials, {_TRIALS} completed, 0 trained now" in again.stdout
    assert_same(home / "saved", finished / "out", _TRIALS)


def test_what_is_nowhere_is_trained_again(finished, home):
    flip(home / "out" / "sweep.db", b'"score": 0.')
    for name in ("results.csv", "curves.csv"):
        (home / "out" / name).unlink()
    said = hpsearch("doctor", "out", "--salvage", "saved", cwd=home)
    assert f"saved {_TRIALS - 1} results in saved" in said.stdout
    assert "to be trained again: 1 trials: " in said.stdout
    again = hpsearch("run", "saved/sweep.yaml", "--out", "saved", cwd=home)
    assert f"{_TRIALS} trials, {_TRIALS} completed, 1 trained now" in again.stdout
    both = [table(each).drop(columns="shared_with") for each in (home / "saved", finished / "out")]
    assert both[0].equals(both[1])


def test_what_cannot_be_saved_is_said(home):
    zeros(home / "out")
    (home / "out" / "results.csv").write_text("nothing\n")
    said = hpsearch("doctor", "out", "--salvage", "saved", cwd=home, code=2)
    assert "neither the store nor the tables hold a result that can be read" in said.stderr
    assert "results.csv has not the columns of a results table" in said.stderr
    assert not (home / "saved").exists()
    for new in ("out", "out/new"):
        said = hpsearch("doctor", "out", "--salvage", new, cwd=home, code=2)
        assert "is to stay as it is" in said.stderr
    (home / "full").mkdir()
    (home / "full" / "mine").touch()
    said = hpsearch("doctor", "out", "--salvage", "full", cwd=home, code=2)
    assert "is there already" in said.stderr
    assert "no such directory" in hpsearch("doctor", "none", cwd=home, code=2).stderr


def test_a_directory_at_which_a_run_works_is_left_alone(tmp_path):
    (tmp_path / "sweep.yaml").write_text(
        "data: {dataset: digits}\nparameters: {units: [8, 16], epochs: [2, 100000]}\n"
    )
    driver = start("sweep.yaml", cwd=tmp_path, out="out")
    driver.wait_for_results(1)
    said = hpsearch("doctor", "out", cwd=tmp_path, code=3)
    assert f"a run is at work here (process {driver.pid})" in said.stderr
    driver.send(signal.SIGKILL)
    assert "note: " in hpsearch("doctor", "out", cwd=tmp_path).stdout
