"""The schema of a store, and its rows: JSON records, NPZ arrays, checksums."""

from __future__ import annotations

import hashlib
import io
import json
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hpsearch.space.execution import Curve, ExecutionResult, Snapshot, Status
from hpsearch.wording import printable

#: The columns that name versions -> the packages.
PACKAGES = {"version": "hpsearch", "tensorflow": "tensorflow", "keras": "keras"}
#: Further columns, of programs only, that name the code that made a row.
OF_PROGRAMS = ("data", "program_commit")

SCHEMA_VERSION = 4
#: The last column of a table is the checksum of those before it. `fold` of an execution is 0
#: without folds. The events are those of a user's oracle, in order.
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

#: The errors of decoding a record that another version of hpsearch wrote.
UNREADABLE = (ValueError, TypeError, LookupError)


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file, in hex.

    Raises:
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def checksum_of(*parts: Any) -> str:
    """Return the checksum of a row's cells, 32 hex digits."""
    digest = hashlib.sha256()
    for part in parts:
        data = part if isinstance(part, bytes) else str(part).encode()
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()[:32]


def as_json(result: ExecutionResult) -> str:
    """Encode a result without its arrays."""
    # `asdict` would copy every number of the curve.
    record = {**vars(result)}
    del record["state"], record["snapshot"], record["number"]
    curve = result.curve
    # A list for each metric takes a tenth of the space of a mapping for each epoch.
    names = list(curve[0]) if curve else []
    record["curve"] = {name: [epoch[name] for epoch in curve] for name in names}
    # Format 4 has `spans`, which earlier versions read.
    return json.dumps({"spans": [], "execution": result.number, **record})


def from_json(text: str) -> ExecutionResult:
    """Decode the output of `as_json`.

    Raises:
        UNREADABLE: `text` is not a valid record.
    """
    record = json.loads(text)
    record["number"] = record.pop("execution")
    record["status"] = Status(record["status"])
    names = list(record["curve"])
    record["curve"] = Curve(
        dict(zip(names, values, strict=True))
        for values in zip(*record["curve"].values(), strict=True)
    )
    record.pop("spans", None)
    return ExecutionResult(**record)


def as_npz(arrays: Sequence[npt.NDArray[Any]]) -> bytes:
    """Encode arrays in their order, without pickle.

    Raises:
        ValueError: An array holds objects, which need pickle.
    """
    # Some versions of `np.savez` would store `allow_pickle` as an array of that name.
    if any(array.dtype.hasobject for array in arrays):
        raise ValueError("Object arrays cannot be saved when allow_pickle=False")
    buffer = io.BytesIO()
    np.savez(buffer, *arrays)
    return buffer.getvalue()


def from_npz(blob: bytes) -> tuple[npt.NDArray[Any], ...]:
    """Decode the output of `as_npz`; never unpickles."""
    with np.load(io.BytesIO(blob), allow_pickle=False) as archive:
        return tuple(archive[f"arr_{index}"] for index in range(len(archive.files)))


def snapshot_of(epoch: int, best: int, blob: bytes) -> Snapshot:
    """Decode a snapshot; the last `best` of its arrays are the weights at the best epoch."""
    arrays = from_npz(blob)
    cut = len(arrays) - best
    return Snapshot(epoch, arrays[:cut], arrays[cut:] if best else None)


def _statements(script: str) -> dict[str, str]:
    statements = filter(None, (" ".join(part.split()) for part in script.split(";")))
    return {text.partition("(")[0].removeprefix("CREATE TABLE "): text for text in statements}


def schema_fault(db: sqlite3.Connection) -> str:
    """Return a difference between a file's declarations and a store's; empty if they agree.

    A foreign view, trigger, index or expression would run when rows are read or written.

    Raises:
        sqlite3.Error: The file cannot be read.
    """
    declared = _statements(SCHEMA)
    statements: dict[str, object] = {}
    for kind, name, table, statement in db.execute(
        "SELECT type, name, tbl_name, sql FROM sqlite_schema"
    ):
        if kind == "table" and name in declared:
            statements[name] = statement
        elif not (kind == "index" and name == f"sqlite_autoindex_{table}_1" and statement is None):
            what = printable(f"{kind} {name}")[:_MOST_SHOWN]
            return f"it has the {what}, which no run makes"
    for name, statement in declared.items():
        if name not in statements:
            return f"the table {name} is missing"
        if " ".join(str(statements[name]).split()) != statement:
            return f"the table {name} is not declared as a run declares it"
    return ""
