"""Share a dataset in one block of anonymous memory, which forked workers map without copying.

Arrays that a file holds (`numpy.memmap`) are not in the block: workers map the file.
"""

from __future__ import annotations

import io
import mmap
import os
import pickle
import tempfile
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from hpsearch.data.files import array_at, place_of
from hpsearch.data.specs import Arrays, InputSpec, Target, Task, TrainingData

#: TensorFlow uses a buffer without copying if its address is a multiple of this.
_ALIGNMENT = 64
_SIZE_BYTES = 8


#: The data for functions and programs.
NO_ROWS = TrainingData(
    InputSpec((1,), "float32"),
    Target(Task.OBJECTIVE, 1),
    Arrays(*[np.zeros((0, 1), np.float32)] * 4),
)


def share(dataset: TrainingData) -> int:
    """Copy a dataset into anonymous memory: the arrays, a pickle of the rest, and its size.

    For arrays in files, it copies only their places.

    Returns:
        A file descriptor, which the caller closes. Nothing can be left on disk.
    """
    buffers: list[pickle.PickleBuffer] = []
    # Pickle passes only contiguous arrays as separate buffers, and workers take C order.
    contiguous = with_arrays(dataset, lambda array: np.asarray(array, order="C"))
    stream = io.BytesIO()
    _Pickler(stream, protocol=5, buffer_callback=buffers.append).dump(contiguous)
    body = stream.getvalue()
    blocks = [buffer.raw() for buffer in buffers]
    trailer = pickle.dumps(([block.nbytes for block in blocks], body))
    # Other systems than Linux, and some builds of Python, lack it.
    sealed = hasattr(os, "memfd_create")
    if sealed:
        handle = os.memfd_create("hpsearch-data", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    else:
        with tempfile.TemporaryFile() as file:
            handle = os.dup(file.fileno())
    with open(handle, "wb", closefd=False) as memory:
        for block in blocks:
            memory.write(block)
            memory.write(bytes(-block.nbytes % _ALIGNMENT))
        memory.write(trailer + len(trailer).to_bytes(_SIZE_BYTES, "little"))
    if sealed:
        import fcntl

        # Make the memory read-only: a worker's code can write to every descriptor.
        seals = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
        fcntl.fcntl(handle, fcntl.F_ADD_SEALS, seals)
    return handle


class _Pickler(pickle.Pickler):
    """Pickles arrays in files as places in the files."""

    def reducer_override(self, obj: Any) -> Any:
        """Return how to rebuild an object; see `pickle`."""
        location = place_of(obj) if isinstance(obj, np.ndarray) else None
        return NotImplemented if location is None else (array_at, location)


def mapped(handle: int) -> TrainingData:
    """Return the dataset of a block.

    The arrays are writable, as TensorFlow requires, but changes affect this process only.
    """
    block = memoryview(mmap.mmap(handle, 0, flags=mmap.MAP_PRIVATE))
    size = int.from_bytes(block[-_SIZE_BYTES:], "little")
    lengths, body = pickle.loads(block[-_SIZE_BYTES - size : -_SIZE_BYTES])  # noqa: S301 - our own
    buffers, start = [], 0
    for length in lengths:
        buffers.append(block[start : start + length])
        start += length + -length % _ALIGNMENT
    dataset: TrainingData = pickle.loads(body, buffers=buffers)  # noqa: S301 - our own
    return dataset


def with_arrays(
    dataset: TrainingData, make: Callable[[npt.NDArray[Any]], npt.NDArray[Any]]
) -> TrainingData:
    """Apply `make` to a dataset's arrays; parts that share an array still do."""
    made: dict[int, npt.NDArray[Any]] = {}

    def once(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        if id(array) not in made:
            made[id(array)] = make(array)
        return made[id(array)]

    def convert(part: TrainingData) -> TrainingData:
        given = {name: array for name, array in vars(part.arrays).items() if array is not None}
        arrays = Arrays(**{name: once(array) for name, array in given.items()})
        return replace(part, arrays=arrays, folds=tuple(map(convert, part.folds)))

    return convert(dataset)
