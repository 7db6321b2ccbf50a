"""The tables that a store declares, in each format, and what is wrong with those of a file."""

from __future__ import annotations

import sqlite3

from hpsearch.store.records import COLUMNS
from hpsearch.wording import printable

SCHEMA_VERSION = 4
#: Without folds, `fold` is 0.
EXECUTIONS = """
CREATE TABLE executions(
    number INTEGER PRIMARY KEY, trial INTEGER NOT NULL, config TEXT NOT NULL,
    seed INTEGER NOT NULL, fold INTEGER NOT NULL, method TEXT NOT NULL,
    hyperparameters TEXT NOT NULL,
    checksum TEXT NOT NULL, UNIQUE(config, seed, fold)) STRICT;
"""
#: What an oracle of the user did, in order.
EVENTS = """
CREATE TABLE events(
    position INTEGER PRIMARY KEY, trial_id TEXT NOT NULL, record TEXT NOT NULL,
    checksum TEXT NOT NULL) STRICT;
"""
SCHEMA = f"""
CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL, checksum TEXT NOT NULL) STRICT;
{EXECUTIONS}
{EVENTS}
CREATE TABLE results(
    execution INTEGER PRIMARY KEY REFERENCES executions(number), status TEXT NOT NULL,
    record TEXT NOT NULL, checksum TEXT NOT NULL) STRICT;
CREATE TABLE weights(
    execution INTEGER PRIMARY KEY REFERENCES executions(number), arrays BLOB NOT NULL,
    checksum TEXT NOT NULL) STRICT;
CREATE TABLE snapshots(
    execution INTEGER PRIMARY KEY REFERENCES executions(number), epoch INTEGER NOT NULL,
    best INTEGER NOT NULL, arrays BLOB NOT NULL, checksum TEXT NOT NULL) STRICT;
"""
#: In place of `executions` and `events`. Format 2 had no column `fold`.
_TRIALS = """
CREATE TABLE trials(
    number INTEGER PRIMARY KEY, config TEXT NOT NULL, seed INTEGER NOT NULL,{fold}
    hyperparameters TEXT NOT NULL, checksum TEXT NOT NULL, UNIQUE(config, seed{unique})) STRICT;
"""
_TRIALS_OF = {
    2: _TRIALS.format(fold="", unique=""),
    3: _TRIALS.format(fold=" fold INTEGER NOT NULL,", unique=", fold"),
}
_KEY = "execution INTEGER PRIMARY KEY REFERENCES executions(number)"
_MOST_SHOWN = 60


def _declared(version: int) -> dict[str, frozenset[str]]:
    """Each table of a format, and the statements that may declare it."""
    tables = _statements(SCHEMA)
    if version == SCHEMA_VERSION:
        # An upgraded store still refers to its table of trials.
        upgraded = _KEY.replace("executions", "trials")
        return {name: frozenset({s, s.replace(_KEY, upgraded)}) for name, s in tables.items()}
    del tables["executions"], tables["events"]
    old = _KEY.replace("execution", "trial")
    tables = {name: s.replace(_KEY, old) for name, s in tables.items()}
    tables |= _statements(_TRIALS_OF[version])
    return {name: frozenset({s}) for name, s in tables.items()}


def _statements(script: str) -> dict[str, str]:
    statements = filter(None, (" ".join(each.split()) for each in script.split(";")))
    return {each.partition("(")[0].removeprefix("CREATE TABLE "): each for each in statements}


def schema_fault(db: sqlite3.Connection, version: int) -> str:
    """Return what a file declares otherwise than a store of this format; empty if nothing.

    A view, trigger, index or expression of another origin would run when rows are read or written.

    Raises:
        sqlite3.Error: The file cannot be read.
    """
    declared = _declared(version)
    found: dict[str, object] = {}
    for kind, name, table, statement in db.execute(
        "SELECT type, name, tbl_name, sql FROM sqlite_schema"
    ):
        if kind == "table" and name in declared:
            found[name] = statement
        elif not (kind == "index" and name == f"sqlite_autoindex_{table}_1" and statement is None):
            what = printable(f"{kind} {name}")[:_MOST_SHOWN]
            return f"it has the {what}, which no run makes"
    for name, statements in declared.items():
        if name not in found:
            return f"the table {name} is missing"
        if " ".join(str(found[name]).split()) not in statements:
            return _difference(db, name)
    return ""


def _difference(db: sqlite3.Connection, table: str) -> str:
    columns = {name for (name,) in db.execute("SELECT name FROM pragma_table_info(?)", (table,))}
    odd = printable(", ".join(sorted(columns ^ set(COLUMNS.get(table, columns)))))[:_MOST_SHOWN]
    if odd:
        return f"the table {table} has not the columns that it should: {odd}"
    return f"the table {table} is not declared as a run declares it"
