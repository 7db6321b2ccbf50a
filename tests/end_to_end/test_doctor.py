"""`hpsearch doctor`: what it says of damage of every kind."""

from __future__ import annotations

import csv
import shutil
import sqlite3
import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from commands import hpsearch
from outcomes import contents, table
from small_sweeps import run_on_table

import hpsearch as package
from hpsearch.cli.app import main
from hpsearch.errors import StoreError
from hpsearch.files import file_digest
from hpsearch.runs.trial import examine_best_file
from hpsearch.store.store import Store

_SWEEP = """\
data: {csv: table.csv, target: y, validation: 0.25}
parameters: {units: [4, [6, 3]], optimizer: [adam, {name: sgd, learning_rate: 0.1}], epochs: [2, 4]}
keep: all
"""
_ROWS = """\
import numpy as np

def read():
    x = np.random.default_rng(0).normal(size=(60, 3))
    return x, (x[:, 0] > 0).astype(int)
"""
Damage = Callable[[Path], object]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    home = run_on_table(tmp_path_factory.mktemp("finished"), _SWEEP)
    assert len(table(home / "out")) == 8
    return home


@pytest.fixture
def home(finished, tmp_path, monkeypatch):
    """The same, at the same place for the sweep: its data lies where it lay."""
    shutil.copytree(finished / "out", tmp_path / "out")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def doctor(capsys):
    """Exit code and words of the command, in this process, since there are many."""

    def run(directory: str = "out") -> tuple[object, str]:
        with pytest.raises(SystemExit) as ended:
            main(["doctor", directory])
        said = capsys.readouterr()
        return ended.value.code, said.out + said.err

    return run


def test_a_sound_directory(home):
    before = contents(home / "out")
    said = hpsearch("doctor", "out", cwd=home)
    lines = [line.split(": ")[0].split() for line in said.stdout.strip().splitlines()[:-1]]
    parts = ("sweep.db", "results.csv", "curves.csv", "data", "best.keras")
    assert lines == [[part, "sound"] for part in parts]
    assert said.stdout.endswith("all is sound\n")
    assert "best.keras   sound: scores what the row of trial" in said.stdout
    assert contents(home / "out") == before


def record_digest(out: Path) -> None:
    """Have the store take best.keras for the file that the run wrote."""
    with Store(out / "sweep.db") as store:
        store.set_facts(best_digest=file_digest(out / "best.keras"))


def test_a_swapped_model_is_seen_and_never_loaded(home, doctor):
    worst = int(table(home / "out").set_index("trial")["val_loss"].idxmax())
    hpsearch("export", "out", "--trial", worst, "--out", "other.keras", cwd=home)
    shutil.copy(home / "other.keras", home / "out" / "best.keras")
    code, said = doctor()
    (line,) = (each for each in said.splitlines() if "WRONG" in each)
    assert code == 3
    assert line.startswith("best.keras   WRONG: is damaged, or not the file that the run wrote")
    # Unless the store takes it for that file.
    shutil.copytree(home / "out", home / "taken")
    record_digest(home / "taken")
    said = hpsearch("doctor", "taken", cwd=home, code=3)
    (line,) = (each for each in said.stdout.splitlines() if "WRONG" in each)
    assert line.startswith("best.keras   WRONG: is not the model of trial")
    assert ", the row says " in line


def test_a_swapped_model_is_seen_where_its_score_would_take_a_users_code(home, tmp_path):
    """Neither is run."""
    (tmp_path / "rows.py").write_text(_ROWS)
    (tmp_path / "own.yaml").write_text(
        'data: {python: "rows:read"}\nparameters: {units: [4], epochs: 1}\n'
    )
    hpsearch("run", "own.yaml", "--out", "own", cwd=tmp_path)
    (tmp_path / "rows.py").write_text("open('RAN', 'w')\n")
    said = hpsearch("doctor", "own", cwd=tmp_path).stdout
    assert "best.keras   note: its score is not checked" in said
    shutil.copy(home / "out" / "best.keras", tmp_path / "own" / "best.keras")
    said = hpsearch("doctor", "own", cwd=tmp_path, code=3).stdout
    assert "best.keras   WRONG: is damaged, or not the file that the run wrote" in said
    assert not (tmp_path / "RAN").exists()


def test_a_file_that_is_no_model(home):
    with closing(sqlite3.connect(home / "out" / "sweep.db")) as store, store:
        store.execute("DELETE FROM weights")
    with zipfile.ZipFile(home / "out" / "best.keras", "w") as archive:
        archive.writestr("config.json", "{}")
    record_digest(home / "out")
    said = hpsearch("doctor", "out", cwd=home, code=3)
    assert "best.keras   WRONG: Keras cannot load it" in said.stdout


def cut(name: str, lines: int) -> Damage:
    def damage(out: Path) -> None:
        kept = (out / name).read_text().splitlines(keepends=True)[:-lines]
        (out / name).write_text("".join(kept))

    return damage


def sql(*statements: str) -> Damage:
    def damage(out: Path) -> None:
        with closing(sqlite3.connect(out / "sweep.db")) as db, db:
            for each in statements:
                db.execute(each)

    return damage


def removed(name: str) -> Damage:
    return lambda out: (out / name).unlink()


def file(name: str, content: bytes) -> Damage:
    return lambda out: (out / name).write_bytes(content)


def replaced(name: str, make: Callable[[Path], object] = Path.mkdir) -> Damage:
    """A directory, or what else is made, in a file's place."""

    def damage(out: Path) -> None:
        (out / name).unlink(missing_ok=True)
        make(out / name)

    return damage


def cell(name: str, column: str, text: str, row: int = 1) -> Damage:
    """Another text in a row, by default the first."""

    def damage(out: Path) -> None:
        with (out / name).open(newline="") as stream:
            rows = list(csv.reader(stream))
        rows[row][rows[0].index(column)] = text
        with (out / name).open("w", newline="") as stream:
            csv.writer(stream).writerows(rows)

    return damage


def twice(out: Path) -> None:
    lines = (out / "results.csv").read_text().splitlines(keepends=True)
    (out / "results.csv").write_text("".join([*lines, lines[1]]))


_STORES = [
    (file("sweep.db", b""), "the store is empty"),
    (removed("sweep.db"), "results.csv can still be read"),
    (sql("UPDATE results SET record = '{}'"), "does not match its checksum"),
    (sql("ALTER TABLE results DROP COLUMN status"), "is not declared as a run"),
    (sql("DROP TABLE weights"), "table weights is not declared as a run"),
    (replaced("sweep.db"), "cannot be read: Is a directory"),
    (replaced("sweep.db", lambda path: path.symlink_to("/nowhere/sweep.db")), "there is none"),
    (file(".store", b"/tmp\n"), "cannot be read: Is a directory"),
    (file("sweep.db-wal", bytes(range(256)) * 9), "what only it held is lost"),
    (replaced("sweep.db-wal"), "cannot be read: Is a directory"),
]
_TABLES = [
    (cell("results.csv", "score", "0.99"), "1 row not as in the store, as trial 1: score 0.99"),
    (cell("results.csv", "trial", "number", 0), "8 rows not as in the store, as trial -: accuracy"),
    (twice, "results.csv  WRONG: 1 row not as in the store"),
    (file("results.csv", bytes(range(256))), "cannot be read"),
    (file("results.csv", b"trial,seed,fold\n\0,\0,\0\n"), "results.csv  WRONG: "),
    (replaced("results.csv"), "results.csv  WRONG: cannot be read"),
    (cell("curves.csv", "loss", "7"), "1 row not as in the store, as trial 1: loss 7"),
    (file("best.keras", b"PK"), "best.keras   WRONG: is damaged, or not"),
    (replaced("best.keras"), "best.keras   WRONG: is damaged, or not"),
]


@pytest.mark.parametrize(("damage", "words"), [*_STORES, *_TABLES])
def test_damage_is_said_and_changes_nothing(home, doctor, damage, words):
    damage(home / "out")
    before = contents(home / "out")
    code, said = doctor()
    assert code == 3
    assert words in said
    assert said.endswith("something is wrong\n")
    assert contents(home / "out") == before


@pytest.mark.parametrize(
    "damages",
    [
        {
            cut("results.csv", 3): "results.csv  note: lacks 3 rows that the store has",
            cut("curves.csv", 2): "curves.csv   note: lacks 2 rows that the store has",
            removed("best.keras"): "best.keras   note: there is none",
        },
        {
            removed("curves.csv"): "curves.csv   note: there is none",
            removed("best.keras"): "best.keras   note: there is none",
        },
    ],
)
def test_what_a_killed_run_leaves_is_no_damage(home, doctor, damages):
    for damage in damages:
        damage(home / "out")
    code, said = doctor()
    assert code == 0
    assert [words for words in damages.values() if words not in said] == []


@pytest.mark.parametrize("place", [b"\n", b"a\0b\n", b"\xff\n"])
def test_a_pointer_that_names_no_file_is_none(home, doctor, place):
    (home / "out" / ".store").write_bytes(place)
    (home / "out" / "best.keras").unlink()
    code, said = doctor()
    assert code == 0
    assert "all is sound" in said


def test_weights_of_rows_are_no_damage(tmp_path, monkeypatch, doctor):
    rows = "".join(f"{i / 7},{i % 5},{1 + i % 3}\n" for i in range(60))
    (tmp_path / "table.csv").write_text("a,y,w\n" + rows)
    monkeypatch.chdir(tmp_path)
    data = {"csv": "table.csv", "target": "y", "weights": "w", "task": "regression"}
    sweep = {"data": data, "metric": "val_loss", "parameters": {"units": 4}}
    results = package.run(sweep, out="out")
    assert doctor()[0] == 0
    loss = results.evaluate("validation").metrics["loss"].value
    assert loss == pytest.approx(results.best["score"], rel=1e-4)


def test_directories_of_every_kind(home, doctor):
    (home / "out" / "best.keras").unlink()
    (home / "linked").symlink_to("out")
    (home / "empty").mkdir()
    for place, code, words in (
        ("linked", 0, "all is sound"),
        ("empty", 3, "there is none"),
        ("out/results.csv", 2, "no such directory"),
    ):
        found, said = doctor(place)
        assert found == code
        assert words in said


def test_other_data_is_said(finished, home, doctor):
    (home / "out" / "best.keras").unlink()
    data = (finished / "table.csv").read_text()
    try:
        (finished / "table.csv").write_text(data.replace("1.000", "1.001", 1))
        code, said = doctor()
        assert code == 3
        assert "data         WRONG: its fingerprint is d" in said
        (finished / "table.csv").unlink()
        code, said = doctor()
        assert code == 0
        assert "data         note: cannot be compared: " in said
    finally:
        (finished / "table.csv").write_text(data)


def test_a_stored_sweep_that_cannot_be_read_is_damage(home, doctor):
    with Store(home / "out" / "sweep.db") as opened:
        opened.set_facts(sweep="nonsense: 1\n")
    code, said = doctor()
    assert code == 3
    assert "data         WRONG: out/sweep.db: the sweep in it cannot be read: " in said
    with pytest.raises(StoreError, match="the sweep in it cannot be read"):
        list(examine_best_file(home / "out"))
