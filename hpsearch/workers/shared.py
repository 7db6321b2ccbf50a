"""A dataset in one block of anonymous memory that forked workers map instead of copying."""

from __future__ import annotations

import mmap
import os
import pickle
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from hpsearch.data.specs import Arrays, InputSpec, Target, TrainingData

#: TensorFlow takes a buffer without copying it where it starts at a multiple of this.
_ALIGNMENT = 64
_SIZE_BYTES = 8


@dataclass(frozen=True)
class _Layout:
    """Where each array lies in the block: `(dtype, shape, offset in bytes)`."""

    parts: tuple[tuple[str, tuple[int, ...], int], ...]
    size: int


@dataclass(frozen=True)
class _Part:
    """A dataset without its arrays, and which it has."""

    input: InputSpec
    target: Target
    names: tuple[str, ...]


@dataclass(frozen=True)
class _Header:
    """The dataset, or the folds of one, and where the arrays of all of them lie."""

    parts: tuple[_Part, ...]
    folded: bool
    layout: _Layout


def _layout(arrays: Sequence[npt.NDArray[np.generic]]) -> _Layout:
    parts, offset = [], 0
    for array in arrays:
        parts.append((array.dtype.str, array.shape, offset))
        offset += -(-array.nbytes // _ALIGNMENT) * _ALIGNMENT
    return _Layout(tuple(parts), max(offset, _ALIGNMENT))


def share(dataset: TrainingData) -> int:
    """Copy a dataset into anonymous memory: its arrays, the rest pickled, and the rest's size.

    Returns:
        A file descriptor, which the caller closes. Nothing is left on disk whatever becomes of
        the processes.
    """
    # The dataset of folds has the arrays of the first one.
    datasets = dataset.folds or (dataset,)
    given = [_given(each.arrays) for each in datasets]
    ordered = [array for each in given for array in each.values()]
    layout = _layout(ordered)
    parts = tuple(
        _Part(each.input, each.target, tuple(names))
        for each, names in zip(datasets, given, strict=True)
    )
    rest = pickle.dumps(_Header(parts, bool(dataset.folds), layout))
    handle = _anonymous_file()
    os.truncate(handle, layout.size)
    with mmap.mmap(handle, layout.size) as block:
        for array, (dtype, shape, offset) in zip(ordered, layout.parts, strict=True):
            view = np.ndarray(shape, dtype, buffer=block, offset=offset)
            np.copyto(view, array)
            del view
    os.pwrite(handle, rest + len(rest).to_bytes(_SIZE_BYTES, "little"), layout.size)
    return handle


def _given(arrays: Arrays) -> dict[str, npt.NDArray[np.generic]]:
    return {name: array for name, array in vars(arrays).items() if array is not None}


def _anonymous_file() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("hpsearch-data", os.MFD_CLOEXEC)
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def mapped(handle: int) -> TrainingData:
    """The dataset of a block.

    Its arrays are writable, since TensorFlow asks for it, but private.
    """
    end = os.fstat(handle).st_size - _SIZE_BYTES
    size = int.from_bytes(os.pread(handle, _SIZE_BYTES, end), "little")
    header: _Header = pickle.loads(os.pread(handle, size, end - size))  # noqa: S301 - our own
    block = mmap.mmap(handle, header.layout.size, flags=mmap.MAP_PRIVATE)
    views = iter(
        [
            np.ndarray(shape, dtype, buffer=block, offset=offset)
            for dtype, shape, offset in header.layout.parts
        ]
    )
    datasets = tuple(
        TrainingData(part.input, part.target, Arrays(**{name: next(views) for name in part.names}))
        for part in header.parts
    )
    return replace(datasets[0], folds=datasets) if header.folded else datasets[0]
