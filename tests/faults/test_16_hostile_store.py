"""FAULTS 16: tables and cells that no run writes are refused; nothing runs."""

import shutil
import sqlite3
from contextlib import closing

import pytest
from commands import hpsearch
from small_sweeps import run_on_table

from hpsearch.cli.app import main

_SWEEP = """\
data: {csv: table.csv, target: y, validation: 0.25, test: 0.25}
parameters: {units: [4, 6], epochs: [2]}
keep: all
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    home = run_on_table(tmp_path_factory.mktemp("finished"), _SWEEP)
    hpsearch("evaluate", "out", "--split", "validation", cwd=home)
    return home


@pytest.fixture
def home(finished, tmp_path, monkeypatch):
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def declared(table, change):
    """A table that is declared otherwise, with the rows that it had."""

    def damage(db):
        query = "SELECT sql FROM sqlite_schema WHERE name = ?"
        changed = change(db.execute(query, (table,)).fetchone()[0])
        db.execute("PRAGMA writable_schema=ON")
        db.execute("UPDATE sqlite_schema SET sql = ? WHERE name = ?", (changed, table))
        db.execute("PRAGMA writable_schema=RESET")

    return damage


def of_any_type(table, update):
    """A cell of a type that its column has not: written while the table was not strict."""

    def damage(db):
        declared(table, lambda sql: sql.removesuffix(" STRICT"))(db)
        db.execute(update)
        declared(table, lambda sql: f"{sql} STRICT")(db)

    return damage


def sql(*statements):
    return lambda db: [db.execute(each) for each in statements]


_LOG = "INSERT INTO meta VALUES ('ran', 'ran', 'ran')"
_DAMAGES = {
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
    "log": ("log", "out", "--to", "tensorboard:logs"),
    "export": ("export", "out", "--trial", "1", "--out", "m.keras"),
    "evaluate": ("evaluate", "out", "--trial", "1", "--split", "test"),
    "reproduce": ("reproduce", "out", "--trial", "1"),
    "run": ("run", "sweep.yaml", "--out", "out"),
}


def is_refusal(name, code, said):
    if name == "doctor":
        return code == 3 and "sweep.db     WRONG: " in said
    if name == "compare":
        # It reads no store.
        return code == 0
    if name in ("show", "report"):
        # These show the table, which is whole, without the evaluations.
        return code == 0 and "evaluations are not shown: out/sweep.db: " in said
    lines = said.strip().splitlines()
    return code == 3 and len(lines) == 1 and lines[0].startswith("out/sweep.db: ")


@pytest.fixture
def require_refused(home, capsys):
    """Damage the store and give commands, in this process, since there are many."""
    store = home / "out" / "sweep.db"

    def require(how, *names):
        with closing(sqlite3.connect(store)) as db:
            with db:
                _DAMAGES[how](db)
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        before = store.read_bytes()
        for name in names:
            with pytest.raises(SystemExit) as ended:
                main([*_COMMANDS[name]])
            said = capsys.readouterr()
            assert "Traceback" not in said.out + said.err, name
            told = said.out if name == "doctor" else said.err
            assert is_refusal(name, int(ended.value.code or 0), told), (name, told)
        assert store.read_bytes() == before

    return require


@pytest.mark.parametrize("how", _DAMAGES)
def test_what_no_run_writes_is_refused_and_never_runs(require_refused, how):
    require_refused(how, "doctor", "export", "evaluate", "reproduce")


def test_commands_that_need_no_store_go_without_it(require_refused):
    require_refused("a trigger on results", "compare", "show", "report")


@pytest.mark.slow
@pytest.mark.parametrize("how", ["an index", "text for weights"])
def test_a_run_and_a_log_refuse_it_too(require_refused, how):
    require_refused(how, "log", "run")
