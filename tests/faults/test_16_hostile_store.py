"""FAULTS 16: tables and cells that no run writes are refused; nothing runs."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from commands import hpsearch
from small_sweeps import run_on_table

from hpsearch.cli.app import main

_SWEEP = """\
data: {csv: table.csv, target: y, validation: 0.25, test: 0.25}
parameters: {units: [4, 6], epochs: [2]}
keep: all
"""
Damage = Callable[[sqlite3.Connection], object]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = run_on_table(tmp_path_factory.mktemp("finished"), _SWEEP)
    hpsearch("evaluate", "out", "--split", "validation", cwd=home)
    return home


@pytest.fixture
def home(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(finished / "out", tmp_path / "out")
    # The sweep names the table by its place.
    shutil.copy(finished / "sweep.yaml", tmp_path / "sweep.yaml")
    shutil.copy(finished / "table.csv", tmp_path / "table.csv")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def declared(table: str, change: Callable[[str], str], before: str = "") -> Damage:
    """A table that is declared otherwise, with the rows that it had."""

    def damage(db: sqlite3.Connection) -> None:
        if before:
            db.execute(before)
        query = "SELECT sql FROM sqlite_schema WHERE name = ?"
        changed = change(db.execute(query, (table,)).fetchone()[0])
        db.execute("PRAGMA writable_schema=ON")
        db.execute("UPDATE sqlite_schema SET sql = ? WHERE name = ?", (changed, table))

    return damage


def of_any_type(table: str, update: str) -> Damage:
    """A cell of a type that its column has not: written while the table was not strict."""

    def damage(db: sqlite3.Connection) -> None:
        query = "SELECT sql FROM sqlite_schema WHERE name = ?"
        strict = db.execute(query, (table,)).fetchone()[0]
        declared(table, lambda sql: sql.removesuffix(" STRICT"))(db)
        db.commit()
        path = db.execute("PRAGMA database_list").fetchone()[2]
        with closing(sqlite3.connect(path)) as loose, loose:
            loose.execute(update)
            loose.execute("PRAGMA writable_schema=ON")
            statement = "UPDATE sqlite_schema SET sql = ? WHERE name = ?"
            loose.execute(statement, (strict, table))

    return damage


def sql(*statements: str) -> Damage:
    return lambda db: [db.execute(each) for each in statements]


_LOG = "INSERT INTO meta VALUES ('ran', 'ran', 'ran')"
_TABLES: dict[str, Damage] = {
    "a trigger on results": sql(f"CREATE TRIGGER t AFTER INSERT ON results BEGIN {_LOG}; END"),
    "a trigger on facts": sql(
        "CREATE TRIGGER t BEFORE INSERT ON meta BEGIN DELETE FROM results; END"
    ),
    "a view": sql("CREATE VIEW v AS SELECT * FROM meta"),
    "a view in place of a table": sql(
        "ALTER TABLE results RENAME TO hidden",
        "CREATE VIEW results AS SELECT execution, status, record, checksum FROM hidden",
    ),
    "an endless view in place of a table": sql(
        "DROP TABLE weights",
        "CREATE VIEW weights AS WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) "
        "SELECT n AS execution, x'00' AS arrays, '' AS checksum FROM r",
    ),
    "a foreign table": sql("CREATE TABLE notes(x)"),
    "a table that hides a function": sql("CREATE TABLE pragma_table_info(name)"),
    "an index": sql("CREATE INDEX i ON results(status)"),
    "an index of an expression": sql("CREATE INDEX i ON results(abs(execution))"),
    "a generated column": sql("ALTER TABLE results ADD COLUMN more TEXT AS (upper(record))"),
    "a check": declared(
        "results", lambda text: text.replace("record TEXT NOT NULL", "record TEXT CHECK (abs(1))")
    ),
    "a default": declared(
        "meta", lambda text: text.replace("value TEXT NOT NULL", "value TEXT DEFAULT (random())")
    ),
    "no strict table": declared("results", lambda text: text.removesuffix(" STRICT")),
    "a virtual table": sql("CREATE VIRTUAL TABLE f USING fts5(x)"),
}
_ROWS: dict[str, Damage] = {
    "bytes for a record": of_any_type("results", "UPDATE results SET record = x'ff00'"),
    "a number for a record": of_any_type("results", "UPDATE results SET record = 7.5"),
    "text for weights": of_any_type("weights", "UPDATE weights SET arrays = 'text'"),
    "text for a seed": of_any_type("executions", "UPDATE executions SET seed = 'one'"),
    "text that is none": sql("UPDATE results SET record = CAST(x'ff00ff' AS TEXT)"),
    "bytes for a fact": of_any_type("meta", "UPDATE meta SET value = x'ff00'"),
}
_COMMANDS = {
    "compare": ("compare", "out", "out"),
    "show": ("show", "out"),
    "report": ("report", "out", "--out", "r.html"),
    "doctor": ("doctor", "out"),
    "export": ("export", "out", "--trial", "1", "--out", "m.keras"),
    "evaluate": ("evaluate", "out", "--trial", "1", "--split", "test"),
    "reproduce": ("reproduce", "out", "--trial", "1"),
}
#: The others need not read any.
_READERS_OF_ROWS = ("doctor", "export", "evaluate", "reproduce")


def damage(path: Path, how: Damage) -> bytes:
    with closing(sqlite3.connect(path)) as db:
        with db:
            how(db)
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path.read_bytes()


def answers(capsys: pytest.CaptureFixture[str], *names: str) -> Iterator[tuple[str, int, str]]:
    """Each command's exit code and words; in this process, since there are many."""
    for name in names:
        with pytest.raises(SystemExit) as ended:
            main([*_COMMANDS[name]])
        said = capsys.readouterr()
        assert "Traceback" not in said.out + said.err, name
        told = said.out if name in ("doctor", "show") else said.err
        yield name, int(ended.value.code or 0), told


def is_refusal(name: str, code: int, said: str) -> bool:
    if name == "doctor":
        return code == 3 and "sweep.db     WRONG: " in said
    if name in ("show", "report"):
        # These show the table, which is whole, without the evaluations.
        return code == 0 and "evaluations are not shown: out/sweep.db: " in said
    lines = said.strip().splitlines()
    return code == 3 and len(lines) == 1 and lines[0].startswith("out/sweep.db: ")


def require_refused(
    home: Path, capsys: pytest.CaptureFixture[str], how: Damage, *names: str
) -> None:
    before = damage(home / "out" / "sweep.db", how)
    for name, code, said in answers(capsys, *names):
        assert is_refusal(name, code, said), (name, code, said)
    assert (home / "out" / "sweep.db").read_bytes() == before


@pytest.mark.parametrize("how", _TABLES)
def test_what_no_run_declares_is_refused_and_never_runs(
    home: Path, capsys: pytest.CaptureFixture[str], how: str
) -> None:
    before = damage(home / "out" / "sweep.db", _TABLES[how])
    for name, code, said in answers(capsys, *_COMMANDS):
        # A comparison reads no store.
        assert is_refusal(name, code, said) or (name, code) == ("compare", 0), (name, said)
    assert (home / "out" / "sweep.db").read_bytes() == before


@pytest.mark.parametrize("how", _ROWS)
def test_a_row_of_another_type_or_shape_is_refused(
    home: Path, capsys: pytest.CaptureFixture[str], how: str
) -> None:
    require_refused(home, capsys, _ROWS[how], *_READERS_OF_ROWS)
