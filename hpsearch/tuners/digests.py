"""Digests of the arguments of `search`, by which other data are refused."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from typing import Any, Final

import numpy as np

Part = bytes | memoryview
#: Keyword arguments that are no data.
_NO_DATA: Final = frozenset({"epochs", "verbose"})


def digest_of(args: Sequence[Any], given: Mapping[str, Any]) -> str:
    """Return a digest of the numbers and texts in arguments; epochs and the like do not count."""
    data = {name: each for name, each in given.items() if name not in _NO_DATA}
    return _hashed(_framed(_parts([list(args), data])))


def former_digest(values: Sequence[Any]) -> str:
    """Return the digest that directories of the first release hold."""
    return _hashed(_former_parts(values))


def _hashed(parts: Iterable[Part]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()[:16]


def _framed(parts: Iterable[Part]) -> Iterator[Part]:
    """Yield each part after its length, so that none can be taken for two others."""
    for part in parts:
        yield b"%d:" % len(part)
        yield part


def _parts(value: Any) -> Iterator[Part]:
    if hasattr(value, "to_numpy"):
        value = value.to_numpy()
    if isinstance(value, np.ndarray):
        yield f"{value.dtype}{value.shape}".encode()
        if value.dtype.kind == "O":
            yield from _parts(value.tolist())
        elif value.size and value.itemsize:
            yield _bytes_of(value)
    elif isinstance(value, Mapping):
        yield b"mapping %d" % len(value)
        for name, each in sorted(value.items(), key=lambda item: str(item[0])):
            yield str(name).encode()
            yield from _parts(each)
    elif isinstance(value, list | tuple):
        yield b"sequence %d" % len(value)
        for each in value:
            yield from _parts(each)
    else:
        yield _told(value)


def _bytes_of(array: Any) -> memoryview:
    data: memoryview = np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
    return data


def _told(value: Any) -> bytes:
    # Of other objects only the class tells the same in every process.
    known = isinstance(value, int | float | str | date | np.generic | None)
    return repr(value if known else type(value).__qualname__).encode()


def _former_parts(value: Any) -> Iterator[Part]:
    if hasattr(value, "to_numpy"):
        value = value.to_numpy()
    if isinstance(value, np.ndarray):
        yield f"{value.dtype}{value.shape}".encode()
        if value.dtype.kind == "O":
            yield from _former_parts(value.tolist())
        elif value.size and value.itemsize:
            yield _bytes_of(value)
    elif isinstance(value, Mapping):
        for name, each in value.items():
            yield str(name).encode()
            yield from _former_parts(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _former_parts(each)
    else:
        yield _told(value)
