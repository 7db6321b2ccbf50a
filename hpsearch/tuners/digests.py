"""Digests of the arguments of `search`, used to refuse a project's search on other data."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any, Final

import keras
import numpy as np
import tensorflow as tf

from hpsearch.data.dataset import is_dataset
from hpsearch.models.fit_arguments import NotOnEngine

Part = bytes | memoryview
#: Keyword arguments that the digest leaves out.
_NO_DATA: Final = frozenset({"epochs", "verbose"})
_SCALARS = bool | int | float | str | bytes | date | np.generic | None


def digest_of(args: Sequence[Any], given: Mapping[str, Any]) -> str:
    """Return a digest of the numbers and texts in arguments, except for epochs and the like.

    The digest has only the form of a dataset, because its rows may change.

    Raises:
        NotOnEngine: An argument is of a kind that cannot be compared, or a dataset is endless.
    """
    data = {name: value for name, value in given.items() if name not in _NO_DATA}
    digest = hashlib.sha256()
    for part in _parts([list(args), data]):
        # After its length, so that different divisions give different digests.
        digest.update(b"%d:" % len(part))
        digest.update(part)
    return digest.hexdigest()[:16]


def _parts(value: Any) -> Iterator[Part]:
    value = _plain(value)
    if type(value) in (np.ndarray, np.memmap):
        yield f"{value.dtype}{value.shape}".encode()
        if value.dtype.kind == "O":
            yield from _parts(value.tolist())
        elif value.size and value.itemsize:
            yield np.ascontiguousarray(value).reshape(-1).view(np.uint8).data
    elif isinstance(value, Mapping):
        yield b"mapping %d" % len(value)
        for name, each in sorted(value.items(), key=lambda item: str(item[0])):
            yield str(name).encode()
            yield from _parts(each)
    elif isinstance(value, list | tuple):
        yield b"sequence %d" % len(value)
        for each in value:
            yield from _parts(each)
    elif isinstance(value, _SCALARS):
        yield repr(value).encode()
    else:
        raise NotOnEngine(
            f"a {type(value).__name__} is among the arguments: other processes get arrays, frames, "
            "numbers, texts, tf.data.Dataset and keras.utils.PyDataset, in lists or mappings"
        )


def _plain(value: Any) -> Any:
    """Return an object's values as arrays and lists, if its type is known."""
    if hasattr(value, "to_numpy"):
        names = [str(name) for name in getattr(value, "columns", ())]
        return [names, value.to_numpy()] if names else value.to_numpy()
    if isinstance(value, tf.Tensor | tf.Variable) and hasattr(value, "numpy"):
        return value.numpy()
    if isinstance(value, keras.utils.PyDataset):
        return [type(value).__qualname__, _finite(value.num_batches)]
    if is_dataset(value):
        count = int(value.cardinality())
        endless = count == tf.data.INFINITE_CARDINALITY
        return [repr(value.element_spec), _finite(None if endless else count)]
    return value


def _finite(count: int | None) -> int:
    if count is None:
        raise NotOnEngine("a dataset among the arguments is endless")
    return count
