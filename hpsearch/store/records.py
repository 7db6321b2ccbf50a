"""The contents of the store's rows: JSON records, NPZ arrays, checksums."""

from __future__ import annotations

import hashlib
import io
import json
import sqlite3
import zipfile
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hpsearch.space.execution import Curve, ExecutionResult, Snapshot, Status

#: The columns of each table; the last is the checksum of those before it.
COLUMNS = {
    "meta": ("key", "value", "checksum"),
    "executions": (
        "number",
        "trial",
        "config",
        "seed",
        "fold",
        "method",
        "hyperparameters",
        "checksum",
    ),
    "events": ("position", "trial_id", "record", "checksum"),
    "results": ("execution", "status", "record", "checksum"),
    "weights": ("execution", "arrays", "checksum"),
    "snapshots": ("execution", "epoch", "best", "arrays", "checksum"),
}

#: The errors that json, numpy and zipfile raise when data is damaged.
UNREADABLE = (
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    OSError,
    EOFError,
    RecursionError,
    NotImplementedError,
    zipfile.BadZipFile,
    zlib.error,
)


def schema_faults(db: sqlite3.Connection) -> dict[str, str]:
    """Return what is wrong with each table of a store; empty if nothing is.

    Raises:
        sqlite3.Error: The store cannot be read.
    """
    query = "SELECT m.name, p.name FROM sqlite_schema m, pragma_table_info(m.name) p"
    found: dict[str, set[str]] = {}
    for table, column in db.execute(query):
        found.setdefault(table, set()).add(column)
    faults = {}
    for table, columns in COLUMNS.items():
        odd = sorted(found.get(table, set()) ^ set(columns))
        if table not in found:
            faults[table] = f"the table {table} is missing"
        elif odd:
            faults[table] = (
                f"the table {table} has not the columns that it should: {', '.join(odd)}"
            )
    return faults


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
    return json.dumps({"execution": result.number, **record})


def mapping(text: str) -> dict[str, Any]:
    """Decode a cell that holds a mapping as JSON.

    Raises:
        UNREADABLE: `text` is not a mapping.
    """
    found = json.loads(text)
    if not isinstance(found, dict):
        raise TypeError(f"a record is a mapping, not {type(found).__name__}")
    return found


def from_json(text: str) -> ExecutionResult:
    """Decode the output of `as_json`.

    Raises:
        UNREADABLE: `text` is not a valid record.
    """
    record = mapping(text)
    # Stores before format 4 say `trial`.
    record["number"] = record.pop("trial" if "trial" in record else "execution")
    record["status"] = Status(record["status"])
    names = list(record["curve"])
    record["curve"] = Curve(
        dict(zip(names, values, strict=True))
        for values in zip(*record["curve"].values(), strict=True)
    )
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
    """Decode the output of `as_npz`; never unpickles.

    Raises:
        UNREADABLE: `blob` is not a valid archive.
    """
    with np.load(io.BytesIO(blob), allow_pickle=False) as archive:
        return tuple(archive[f"arr_{index}"] for index in range(len(archive.files)))


def snapshot_of(epoch: int, best: int, blob: bytes) -> Snapshot:
    """Decode a snapshot; the last `best` of its arrays are the weights at the best epoch.

    Raises:
        UNREADABLE: `blob` is not a valid archive.
    """
    arrays = from_npz(blob)
    cut = len(arrays) - best
    return Snapshot(epoch, arrays[:cut], arrays[cut:] if best else None)
