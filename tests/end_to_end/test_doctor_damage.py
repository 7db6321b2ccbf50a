"""`hpsearch doctor` before whatever may lie in a directory: words, no traceback, and no lie."""

from __future__ import annotations

import csv
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from commands import hpsearch
from outcomes import contents, table
from small_sweeps import run_on_table

from hpsearch.cli.app import main
from hpsearch.errors import StoreError
from hpsearch.runs.best_file import examine_best_file
from hpsearch.store.store import Store

_SWEEP = """\
data: {csv: table.csv, target: y, validation: 0.25}
parameters: {units: [4, [6, 3]], epochs: [2, 4]}
keep: all
"""
_TRIALS = 4
Damage = Callable[[Path], object]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    home = run_on_table(tmp_path_factory.mktemp("finished"), _SWEEP)
    assert len(table(home / "out")) == _TRIALS
    return home


@pytest.fixture
def home(finished, tmp_path, monkeypatch):
    shutil.copytree(finished / "out", tmp_path / "out")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def doctor(capsys, *options: str) -> tuple[object, str]:
    """Exit code and words; the command itself, in this process, since there are many."""
    with pytest.raises(SystemExit) as ended:
        main(["doctor", "out", *options])
    said = capsys.readouterr()
    return ended.value.code, said.out + said.err


def sql(*statements: str | tuple[str, tuple[object, ...]]) -> Damage:
    def damage(out: Path) -> None:
        with closing(sqlite3.connect(out / "sweep.db")) as db, db:
            for each in statements:
                db.execute(*((each,) if isinstance(each, str) else each))

    return damage


def foreign(*statements: str) -> Damage:
    def damage(out: Path) -> None:
        (out / "sweep.db").unlink()
        sql(*statements)(out)

    return damage


def store(change: Callable[[bytes], bytes]) -> Damage:
    return lambda out: (out / "sweep.db").write_bytes(change((out / "sweep.db").read_bytes()))


def file(name: str, content: bytes) -> Damage:
    return lambda out: (out / name).write_bytes(content)


def directory(name: str) -> Damage:
    def damage(out: Path) -> None:
        (out / name).unlink(missing_ok=True)
        (out / name).mkdir()

    return damage


def link(name: str, target: str) -> Damage:
    def damage(out: Path) -> None:
        (out / name).unlink(missing_ok=True)
        (out / name).symlink_to(target)

    return damage


def cell(name: str, column: str, text: str) -> Damage:
    """Another text in the first row."""

    def damage(out: Path) -> None:
        with (out / name).open(newline="") as stream:
            rows = list(csv.reader(stream))
        rows[1][rows[0].index(column)] = text
        with (out / name).open("w", newline="") as stream:
            csv.writer(stream).writerows(rows)

    return damage


def twice(out: Path) -> None:
    lines = (out / "results.csv").read_text().splitlines(keepends=True)
    (out / "results.csv").write_text("".join([*lines, lines[1]]))


_ODD_STORES: dict[str, tuple[Damage, str]] = {
    "zeros": (store(lambda data: bytes(len(data))), "is not a database"),
    "a foreign one": (foreign("CREATE TABLE t(x)"), "not a store of hpsearch"),
    "of another version": (sql("PRAGMA user_version=7"), "the store has format 7"),
    "a changed row": (sql("UPDATE results SET record = '{}'"), "does not match its checksum"),
    "a column less": (sql("ALTER TABLE results DROP COLUMN status"), "is not declared as a run"),
    "no weights": (sql("DROP TABLE weights"), "the table weights is missing"),
    "a directory": (directory("sweep.db"), "cannot be read: Is a directory"),
    "a link to nothing": (link("sweep.db", "/nowhere/sweep.db"), "there is none"),
    "a pointer to a directory": (file(".store", b"/tmp\n"), "cannot be read: Is a directory"),
    "a log that is none": (
        file("sweep.db-wal", bytes(range(256)) * 9), "what only the log held is lost",
    ),
    "a log that is a directory": (directory("sweep.db-wal"), "cannot be read: Is a directory"),
}  # fmt: skip


@pytest.mark.parametrize("name", _ODD_STORES)
def test_whatever_the_store_is_it_is_said(home, capsys, name):
    damage, words = _ODD_STORES[name]
    damage(home / "out")
    before = contents(home / "out")
    code, said = doctor(capsys)
    assert code == 3
    assert words in said
    assert contents(home / "out") == before


def test_a_stored_sweep_that_cannot_be_read_is_damage(home, capsys):
    with Store(home / "out" / "sweep.db") as opened:
        opened.set_facts(sweep="nonsense: 1\n")
    code, said = doctor(capsys)
    assert code == 3
    assert "data         WRONG: out/sweep.db: the sweep in it cannot be read: " in said
    with pytest.raises(StoreError, match="the sweep in it cannot be read"):
        list(examine_best_file(home / "out"))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (cell("results.csv", "score", "many"), "trial 1: score is 'many', in the store 0."),
        (cell("results.csv", "trial", "x"), "trial x is not in the store"),
        (cell("curves.csv", "loss", "bad"), "trial 1, epoch 1: loss is 'bad', in the store"),
        (cell("curves.csv", "epoch", "1.5"), "trial 1, epoch 1.5 is not in the store"),
        (twice, "results.csv  WRONG: 1 row repeated"),
        (file("results.csv", bytes(range(256))), "cannot be read"),
        (file("results.csv", b"trial,seed,fold\n\0,\0,\0\n"), "is not in the store"),
        (directory("results.csv"), "results.csv  WRONG: cannot be read"),
        (directory("best.keras"), "best.keras   WRONG: is damaged"),
    ],
)
def test_whatever_a_table_is_it_is_said(home, capsys, damage, words):
    damage(home / "out")
    code, said = doctor(capsys)
    assert code == 3
    assert words in said


@pytest.mark.parametrize("place", [b"\n", b"a\0b\n", b"\xff\n"])
def test_a_pointer_that_names_no_file_is_none(home, capsys, place):
    (home / "out" / ".store").write_bytes(place)
    code, said = doctor(capsys)
    assert code == 0
    assert "all is sound" in said


@pytest.mark.slow
def test_directories_of_every_kind(home, capsys):
    (home / "linked").symlink_to("out")
    (home / "empty").mkdir()
    assert "all is sound" in hpsearch("doctor", "linked", cwd=home).stdout
    assert "there is none" in hpsearch("doctor", "empty", cwd=home, code=3).stdout
    assert "no such directory" in hpsearch("doctor", "out/results.csv", cwd=home, code=2).stderr
