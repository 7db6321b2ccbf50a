"""The contents of the store's rows: JSON records, NPZ arrays, checksums."""

from __future__ import annotations

import hashlib
import io
import json
import math
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hpsearch.space.execution import Curve, ExecutionResult, Snapshot, Status

#: The columns that name versions -> the packages.
PACKAGES = {"version": "hpsearch", "tensorflow": "tensorflow", "keras": "keras"}
#: Further columns, of programs only, that name the code that made a row.
OF_PROGRAMS = ("data", "program_commit")

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

_MOST_INT64 = 2**63
#: Version of the NPY format -> the reader of its header.
_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
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
    OverflowError,
    zipfile.BadZipFile,
    zlib.error,
)


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file, in hex.

    Raises:
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


_WHOLE, _NUMBER, _NOTHING = (int,), (int, float), (type(None),)
#: Field of a result -> the types of its values.
_FIELDS = {
    "number": _WHOLE,
    "score": (*_NUMBER, *_NOTHING),
    "scored_epoch": (*_WHOLE, *_NOTHING),
    "best_epoch": (*_WHOLE, *_NOTHING),
    "best_score": (*_NUMBER, *_NOTHING),
    "seconds": _NUMBER,
    "shared_with": (*_WHOLE, *_NOTHING),
    "trainer": (str,),
    "weights": (*_WHOLE, *_NOTHING),
    "error": (str,),
    "traceback": (str,),
    "late": (dict,),
    "versions": (dict,),
}


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
    record["number"] = record.pop("execution")
    record["status"] = Status(record["status"])
    require_types(record, _FIELDS)
    names = list(record["curve"])
    record["curve"] = Curve(
        dict(zip(names, values, strict=True))
        for values in zip(*record["curve"].values(), strict=True)
    )
    record.pop("spans", None)
    versions = record["versions"]
    if not versions.keys() <= {*PACKAGES, *OF_PROGRAMS}:
        raise ValueError(f"versions are of {', '.join(PACKAGES)}, not {', '.join(versions)}")
    require_types(versions, dict.fromkeys(versions, (str,)))
    result = ExecutionResult(**record)
    if not 1 <= (result.scored_epoch or 1) <= max(1, len(result.curve)):
        raise ValueError(f"scored_epoch is {result.scored_epoch} of {len(result.curve)} epochs")
    if result.status.scored and not math.isfinite(result.score or 0.0):
        raise ValueError(f"score is {result.score}, and it is {result.status}")
    return result


def require_types(record: Mapping[str, Any], types: Mapping[str, tuple[type, ...]]) -> None:
    """Check the types of the values that a decoded record has.

    Raises:
        TypeError: A value has another type, or is an integer beyond 64 bits.
    """
    for name, allowed in types.items():
        value = record.get(name, allowed)
        if value is allowed:
            continue
        if type(value) not in allowed or (type(value) is int and abs(value) >= _MOST_INT64):
            names = " or ".join(each.__name__ for each in allowed)
            raise TypeError(f"{name} must be {names}, not {value!r:.40}")


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
    with zipfile.ZipFile(io.BytesIO(blob)) as archive:
        members = archive.infolist()
        # Members of a hostile archive may overlap, or unpack to more bytes than exist.
        if any(each.compress_type != zipfile.ZIP_STORED for each in members):
            raise ValueError("its arrays are compressed")
        if sum(each.file_size for each in members) > len(blob):
            raise ValueError(f"its arrays are larger than its {len(blob)} bytes")
        return tuple(_array_of(archive.read(f"arr_{index}.npy")) for index in range(len(members)))


def _array_of(data: bytes) -> npt.NDArray[Any]:
    """Decode the NPY format; compare the header's sizes with the number of bytes."""
    file = io.BytesIO(data)
    version = np.lib.format.read_magic(file)
    read = _HEADERS.get(version)
    if read is None:
        raise ValueError(f"an array has format {version}")
    shape, _, dtype = read(file)
    there = len(data) - file.tell()
    # A header could claim any number of elements without bytes.
    if (
        not dtype.itemsize
        or min(shape, default=0) < 0
        or math.prod(shape) * dtype.itemsize != there
    ):
        raise ValueError(f"an array of shape {shape} and {dtype} has {there} bytes")
    file.seek(0)
    array: npt.NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
    return array


def snapshot_of(epoch: int, best: int, blob: bytes) -> Snapshot:
    """Decode a snapshot; the last `best` of its arrays are the weights at the best epoch.

    Raises:
        UNREADABLE: `blob` is not a valid archive.
    """
    arrays = from_npz(blob)
    if epoch < 1 or not 0 <= best <= len(arrays):
        raise ValueError(f"epoch {epoch}, and {best} of {len(arrays)} arrays of the best epoch")
    cut = len(arrays) - best
    return Snapshot(epoch, arrays[:cut], arrays[cut:] if best else None)
