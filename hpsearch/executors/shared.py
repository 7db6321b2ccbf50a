"""Arrays in one block of anonymous memory that forked workers map instead of copying."""

from __future__ import annotations

import mmap
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hpsearch.trial import Arrays

__all__ = ["Layout", "map_arrays", "share_arrays"]

#: TensorFlow takes a buffer without copying it where it starts at a multiple of this.
_ALIGNMENT = 64


@dataclass(frozen=True)
class Layout:
    """Where each array lies in the block: `(dtype, shape, offset in bytes)`."""

    parts: tuple[tuple[str, tuple[int, ...], int], ...]
    size: int


def _layout(arrays: Sequence[npt.NDArray[np.generic]]) -> Layout:
    parts, offset = [], 0
    for array in arrays:
        parts.append((array.dtype.str, array.shape, offset))
        offset += -(-array.nbytes // _ALIGNMENT) * _ALIGNMENT
    return Layout(tuple(parts), max(offset, _ALIGNMENT))


def share_arrays(arrays: Arrays) -> tuple[int, Layout]:
    """Copy arrays into anonymous memory.

    Returns:
        A file descriptor, which the caller closes, and what lies where. Nothing is left on disk
        whatever becomes of the processes.
    """
    ordered = (arrays.x_train, arrays.y_train, arrays.x_val, arrays.y_val)
    layout = _layout(ordered)
    handle = _anonymous_file()
    os.truncate(handle, layout.size)
    with mmap.mmap(handle, layout.size) as block:
        for array, (dtype, shape, offset) in zip(ordered, layout.parts, strict=True):
            view = np.ndarray(shape, dtype, buffer=block, offset=offset)
            np.copyto(view, array)
            del view
    return handle, layout


def _anonymous_file() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("hpsearch-data", os.MFD_CLOEXEC)
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def map_arrays(handle: int, layout: Layout) -> Arrays:
    """The arrays of a block; writable, since TensorFlow asks for it, but private."""
    block = mmap.mmap(handle, layout.size, flags=mmap.MAP_PRIVATE)
    views = [
        np.ndarray(shape, dtype, buffer=block, offset=offset)
        for dtype, shape, offset in layout.parts
    ]
    return Arrays(*views)
