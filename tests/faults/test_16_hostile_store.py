"""FAULTS 16: rows and tables that no run writes, with right checksums: refused; nothing runs."""

from __future__ import annotations

import io
import json
import shutil
import sqlite3
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import hpsearch
from small_sweeps import run_on_table

from hpsearch.cli.app import main
from hpsearch.store.records import checksum_of

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


def cell(table: str, column: str, change: Callable[[Any], Any], key: int | str = 1) -> Damage:
    """Another value in a row, with the checksum of a row that has it."""

    def damage(db: sqlite3.Connection) -> None:
        first = db.execute(f"SELECT name FROM pragma_table_info('{table}')").fetchone()[0]
        found = db.execute(f"SELECT * FROM {table} WHERE {first} = ?", (key,))
        names = [each[0] for each in found.description]
        row = dict(zip(names, found.fetchone(), strict=True))
        row[column] = change(row[column])
        row["checksum"] = checksum_of(*list(row.values())[:-1])
        db.execute(f"DELETE FROM {table} WHERE {first} = ?", (key,))
        db.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})", [*row.values()])

    return damage


def record(**changes: Any) -> Damage:
    return cell("results", "record", lambda text: json.dumps(json.loads(text) | changes))


def values(**changes: Any) -> Damage:
    def change(text: str) -> str:
        return json.dumps(json.loads(text) | changes)

    return cell("executions", "hyperparameters", change)


def fact(key: str, value: str) -> Damage:
    row = (key, value, checksum_of(key, value))
    return lambda db: db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?, ?)", row)


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


def npz(arrays: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, data in arrays.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def claimed(shape: str, dtype: str = "<f4", data: bytes = b"") -> bytes:
    """An array's bytes whose header claims a shape."""
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}"
    header = header.ljust(118 - 1) + "\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + data


def weights(blob: bytes) -> Damage:
    return lambda db: [
        cell("weights", "arrays", lambda _: blob, number)(db)
        for (number,) in db.execute("SELECT execution FROM weights").fetchall()
    ]


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
    "a score of text": record(score="0.9"),
    "a score of a list": record(score=[0.9]),
    "an endless score": record(score=10**400),
    "a score that is no number": record(score=float("nan")),
    "a curve of text": record(curve={"loss": ["a"], "accuracy": [1.0]}),
    "a curve of lists": record(curve=[[1.0]]),
    "a curve of endless numbers": record(curve={"loss": [10**400]}),
    "an epoch that is not there": record(scored_epoch=9),
    "a flag for an epoch": record(scored_epoch=True),
    "an error of a number": record(error=5),
    "late values of a list": record(late=["units"]),
    "versions of a list": record(versions=["0.1"]),
    "versions of numbers": record(versions={"keras": 3}),
    "versions of other columns": record(versions={"metric": "x"}),
    "a training that is not there": record(shared_with=77),
    "a result of another execution": record(execution=2),
    "a result of another status": record(status="failed"),
    "seconds of text": record(seconds="long"),
    "units of text": values(units="many"),
    "units of nothing": values(units=0),
    "a million layers": values(hidden_layers=10**9),
    "layers of text": values(hidden_layers="two"),
    "epochs of a mapping": values(epochs={"min": 1}),
    "an optimizer of a list": values(optimizer=[1]),
    "an optimizer without a name": values(optimizer={"rate": 1}),
    "a negative seed": cell("executions", "seed", lambda _: -1),
    "a trial 0": cell("executions", "trial", lambda _: 0),
    "an event of a list": sql(
        f"INSERT INTO events VALUES (1, 't', '[]', '{checksum_of(1, 't', '[]')}')"
    ),
}
_FACTS: dict[str, Damage] = {
    "bytes for a fact": of_any_type("meta", "UPDATE meta SET value = x'ff00'"),
    "an identity of a list": fact("identity", "[1]"),
    "an identity of numbers": fact(
        "identity", '{"data": 1, "split": {}, "metric": "a:b:c", "recipe": {}}'
    ),
    "a metric of another shape": fact(
        "identity", '{"data": "d", "split": {}, "metric": "loss", "recipe": {}}'
    ),
    "a task that is none": fact("task", "ranking"),
    "a kind that is none": fact("kind", "tree"),
    "evaluations of a number": fact("looks", "5"),
    "evaluations of text": cell("meta", "value", lambda text: text.replace("0.", '"a', 1), "looks"),
    "an evaluation without its metric": cell(
        "meta", "value", lambda text: text.replace('"metric": "', '"metric": "x'), "looks"
    ),
}
_COMMANDS = {
    "compare": ("compare", "out", "out"),
    "show": ("show", "out"),
    "report": ("report", "out", "--out", "r.html"),
    "doctor": ("doctor", "out"),
    "log": ("log", "out", "--to", "tensorboard:logs"),
    "export": ("export", "out", "--trial", "1", "--out", "m.keras"),
    "evaluate": ("evaluate", "out", "--trial", "1", "--split", "test"),
    "reproduce": ("reproduce", "out", "--trial", "1"),
    "run": ("run", "sweep.yaml", "--out", "out"),
}
#: A run starts processes, and a log needs another library.
_SLOW = ("log", "run")
_QUICK = tuple(name for name in _COMMANDS if name not in _SLOW)
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
    for name, code, said in answers(capsys, *_QUICK):
        # A comparison reads no store.
        assert is_refusal(name, code, said) or (name, code) == ("compare", 0), (name, said)
    assert (home / "out" / "sweep.db").read_bytes() == before


@pytest.mark.parametrize("how", _ROWS)
def test_a_row_of_another_type_or_shape_is_refused(
    home: Path, capsys: pytest.CaptureFixture[str], how: str
) -> None:
    # An event is read where a search goes on.
    readers = ("doctor",) if "event" in how else _READERS_OF_ROWS
    require_refused(home, capsys, _ROWS[how], *readers)


@pytest.mark.parametrize("how", _FACTS)
def test_a_fact_of_another_type_or_shape_is_refused(
    home: Path, capsys: pytest.CaptureFixture[str], how: str
) -> None:
    require_refused(home, capsys, _FACTS[how], "show", "report", *_READERS_OF_ROWS)


_ALL = _TABLES | _ROWS | _FACTS


@pytest.mark.slow
@pytest.mark.parametrize("how", [*list(_ALL)[::8], *(how for how in _ROWS if "event" in how)])
def test_a_run_and_a_log_refuse_it_too(
    home: Path, capsys: pytest.CaptureFixture[str], how: str
) -> None:
    require_refused(home, capsys, _ALL[how], *(("run",) if "event" in how else _SLOW))


_BLOBS = {
    "a thousand billion numbers": npz({"arr_0.npy": claimed("(1000000000000,)")}),
    "more than there are": npz({"arr_0.npy": claimed("(4, 5)", data=bytes(76))}),
    "fewer than there are": npz({"arr_0.npy": claimed("(4, 5)", data=bytes(84))}),
    "negative ones": npz({"arr_0.npy": claimed("(-4, -5)", data=bytes(80))}),
    "nothing, endlessly": npz({"arr_0.npy": claimed("(1000000000000,)", "|V0")}),
    "objects": npz({"arr_0.npy": claimed("(1,)", "|O", data=bytes(8))}),
    "a bomb": npz(
        {"arr_0.npy": claimed("(100000000,)", "|u1") + bytes(10**8)}, zipfile.ZIP_DEFLATED
    ),
    "other names": npz({"weights.npy": claimed("(0,)")}),
    "a header that is none": npz({"arr_0.npy": b"\x93NUMPY\x01\x00\xff\xff" + b"(" * 65535}),
}


@pytest.mark.parametrize("blob", _BLOBS)
def test_arrays_are_not_believed(home: Path, capsys: pytest.CaptureFixture[str], blob: str) -> None:
    before = damage(home / "out" / "sweep.db", weights(_BLOBS[blob]))
    for name, code, said in answers(capsys, "doctor", "export", "evaluate"):
        assert is_refusal(name, code, said), (name, said)
        assert "the weights of execution 1 cannot be read" in said
    assert (home / "out" / "sweep.db").read_bytes() == before


def test_weights_of_another_model_are_said(home: Path) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, np.zeros((3, 3), np.float32))
    damage(home / "out" / "sweep.db", weights(buffer.getvalue()))
    for name in ("export", "evaluate"):
        said = hpsearch(*_COMMANDS[name], cwd=home, code=None)
        assert said.returncode in (1, 2), said
        assert "weights" in said.stderr


def test_a_sweep_that_is_none_is_the_stores(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    damage(home / "out" / "sweep.db", fact("sweep", "parameters: [1\n\x07: {"))
    for name, code, said in answers(capsys, *_READERS_OF_ROWS):
        assert is_refusal(name, code, said) or (name == "doctor" and code == 3), (name, said)
        assert "the sweep in " in said
