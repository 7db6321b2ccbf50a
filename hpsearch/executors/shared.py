"""A dataset in one block of anonymous memory that forked workers map instead of copying."""

from __future__ import annotations

import mmap
import os
import pickle
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hpsearch.executors.base import Dataset
from hpsearch.trial import Arrays, InputSpec, Target

__all__ = ["mapped", "share"]

#: TensorFlow takes a buffer without copying it where it starts at a multiple of this.
_ALIGNMENT = 64
_SIZE_BYTES = 8


@dataclass(frozen=True)
class _Layout:
    """Where each array lies in the block: `(dtype, shape, offset in bytes)`."""

    parts: tuple[tuple[str, tuple[int, ...], int], ...]
    size: int


@dataclass(frozen=True)
class _Header:
    """A dataset without its arrays, and where these lie."""

    input: InputSpec
    target: Target
    names: tuple[str, ...]
    layout: _Layout


def _layout(arrays: Sequence[npt.NDArray[np.generic]]) -> _Layout:
    parts, offset = [], 0
    for array in arrays:
        parts.append((array.dtype.str, array.shape, offset))
        offset += -(-array.nbytes // _ALIGNMENT) * _ALIGNMENT
    return _Layout(tuple(parts), max(offset, _ALIGNMENT))


def share(dataset: Dataset) -> int:
    """Copy a dataset into anonymous memory: its arrays, the rest pickled, and the rest's size.

    Returns:
        A file descriptor, which the caller closes. Nothing is left on disk whatever becomes of
        the processes.
    """
    given = {name: array for name, array in vars(dataset.arrays).items() if array is not None}
    ordered = tuple(given.values())
    layout = _layout(ordered)
    rest = pickle.dumps(_Header(dataset.input, dataset.target, tuple(given), layout))
    handle = _anonymous_file()
    os.truncate(handle, layout.size)
    with mmap.mmap(handle, layout.size) as block:
        for array, (dtype, shape, offset) in zip(ordered, layout.parts, strict=True):
            view = np.ndarray(shape, dtype, buffer=block, offset=offset)
            np.copyto(view, array)
            del view
    os.pwrite(handle, rest + len(rest).to_bytes(_SIZE_BYTES, "little"), layout.size)
    return handle


def _anonymous_file() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("hpsearch-data", os.MFD_CLOEXEC)
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def mapped(handle: int) -> Dataset:
    """The dataset of a block.

    Its arrays are writable, since TensorFlow asks for it, but private.
    """
    end = os.fstat(handle).st_size - _SIZE_BYTES
    size = int.from_bytes(os.pread(handle, _SIZE_BYTES, end), "little")
    header: _Header = pickle.loads(os.pread(handle, size, end - size))  # noqa: S301 - our own
    block = mmap.mmap(handle, header.layout.size, flags=mmap.MAP_PRIVATE)
    views = [
        np.ndarray(shape, dtype, buffer=block, offset=offset)
        for dtype, shape, offset in header.layout.parts
    ]
    arrays = Arrays(**dict(zip(header.names, views, strict=True)))
    return Dataset(header.input, header.target, arrays)
