"""What a dataset is, in 12 characters: the values, labels and split, never the file's bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from hpsearch.data.dataset import Inputs

__all__ = ["combined", "fingerprint"]

#: A sum of so many numbers is still in the processor's cache when it is hashed.
_BLOCK_VALUES = 1 << 16


def fingerprint(
    parts: Mapping[str, tuple[Inputs, npt.NDArray[Any], npt.NDArray[Any] | None] | None],
    classes: Iterable[str],
) -> str:
    """`d` and 11 hex digits of a SHA-256.

    Args:
        parts: From a part's name to its raw rows, its targets and its rows' weights, if any.
            Targets are int class indices, or float64 regression values in their own units. Each
            part holds its rows in order, so the split is hashed with the values.
        classes: Class names in the order of their indices.
    """
    digest = hashlib.sha256()
    _add_texts(digest, ["hpsearch data 1", *classes])
    for name, part in parts.items():
        _add_texts(digest, [name])
        if part is not None:
            x, y, weights = part
            _add_inputs(digest, x)
            _add_array(digest, y)
            if weights is not None:
                _add_texts(digest, ["weights"])
                _add_array(digest, weights)
    return "d" + digest.hexdigest()[:11]


def combined(fingerprints: Iterable[str]) -> str:
    """One fingerprint of the folds of cross-validation, in their order."""
    digest = hashlib.sha256()
    _add_texts(digest, ["hpsearch folds 1", *fingerprints])
    return "d" + digest.hexdigest()[:11]


def _add_inputs(digest: Any, x: Inputs) -> None:
    if not isinstance(x, Mapping):
        _add_array(digest, x)
        return
    for name, values in x.items():
        _add_texts(digest, [name])
        if values.dtype == object:
            _add_texts(digest, values.tolist())
        else:
            _add_array(digest, values)


def _add_array(digest: Any, values: npt.NDArray[Any]) -> None:
    """Type, shape and little-endian values; -0.0 counts as 0.0."""
    dtype = np.dtype(
        np.int64 if values.dtype.kind in "iu" and values.itemsize > 1 else values.dtype
    )
    little = dtype.newbyteorder("<")
    _add_texts(digest, [little.str, *map(str, values.shape)])
    plain = np.ascontiguousarray(values, little)
    if dtype.kind != "f":
        digest.update(plain)
        return
    flat = plain.reshape(-1)
    for begin in range(0, flat.size, _BLOCK_VALUES):
        block = flat[begin : begin + _BLOCK_VALUES] + 0.0
        digest.update(block.astype(little, copy=False))


def _add_texts(digest: Any, texts: list[str]) -> None:
    """Texts with their lengths, so that no two lists run together."""
    encoded = [text.encode("utf-8", "surrogatepass") for text in texts]
    digest.update(f"{len(encoded)}:{','.join(str(len(each)) for each in encoded)};".encode())
    digest.update(b"".join(encoded))
