"""The schema of a store, and its comparison with that of a file."""

from __future__ import annotations

import sqlite3

from hpsearch.wording import printable

SCHEMA_VERSION = 4
#: `fold` of an execution is 0 without folds. The events are those of a user's oracle, in order.
SCHEMA = """
CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL, checksum TEXT NOT NULL) STRICT;
CREATE TABLE executions(
    number INTEGER PRIMARY KEY, trial INTEGER NOT NULL, config TEXT NOT NULL,
    seed INTEGER NOT NULL, fold INTEGER NOT NULL, method TEXT NOT NULL,
    hyperparameters TEXT NOT NULL,
    checksum TEXT NOT NULL, UNIQUE(config, seed, fold)) STRICT;
CREATE TABLE events(
    position INTEGER PRIMARY KEY, trial_id TEXT NOT NULL, record TEXT NOT NULL,
    checksum TEXT NOT NULL) STRICT;
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
_MOST_SHOWN = 60


def _statements(script: str) -> dict[str, str]:
    statements = filter(None, (" ".join(each.split()) for each in script.split(";")))
    return {each.partition("(")[0].removeprefix("CREATE TABLE "): each for each in statements}


def schema_fault(db: sqlite3.Connection) -> str:
    """Return a difference between a file's declarations and a store's; empty if they agree.

    A foreign view, trigger, index or expression would run when rows are read or written.

    Raises:
        sqlite3.Error: The file cannot be read.
    """
    declared = _statements(SCHEMA)
    found: dict[str, object] = {}
    for kind, name, table, statement in db.execute(
        "SELECT type, name, tbl_name, sql FROM sqlite_schema"
    ):
        if kind == "table" and name in declared:
            found[name] = statement
        elif not (kind == "index" and name == f"sqlite_autoindex_{table}_1" and statement is None):
            what = printable(f"{kind} {name}")[:_MOST_SHOWN]
            return f"it has the {what}, which no run makes"
    for name, statement in declared.items():
        if name not in found:
            return f"the table {name} is missing"
        if " ".join(str(found[name]).split()) != statement:
            return f"the table {name} is not declared as a run declares it"
    return ""
