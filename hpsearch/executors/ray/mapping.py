"""Arrays of the object store as TensorFlow uses them: where they are, without a copy."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from hpsearch.executors.base import Dataset
from hpsearch.trial import Arrays

__all__ = ["copied", "mapped"]

_Array = npt.NDArray[Any]


def mapped(dataset: Dataset) -> Dataset:
    """The same memory as arrays that call themselves writable, since TensorFlow asks for it.

    The system does not let anyone write to it: nothing that runs code of a user's gets these.
    The dataset that they are of has to be kept.
    """
    return _with_arrays(dataset, _view)


def copied(dataset: Dataset) -> Dataset:
    """Arrays of one's own."""
    return _with_arrays(dataset, np.array)


def _view(array: _Array) -> _Array:
    if array.flags.writeable or not (array.size and array.flags.c_contiguous):
        return array
    block = (ctypes.c_char * array.nbytes).from_address(array.ctypes.data)
    view: _Array = np.frombuffer(memoryview(block), array.dtype).reshape(array.shape)
    return view


def _with_arrays(dataset: Dataset, make: Callable[[_Array], _Array]) -> Dataset:
    """A dataset with other arrays; those that several parts share stay shared."""
    made: dict[int, _Array] = {}

    def once(array: _Array) -> _Array:
        if id(array) not in made:
            made[id(array)] = make(array)
        return made[id(array)]

    def of(part: Dataset) -> Dataset:
        given = {name: array for name, array in vars(part.arrays).items() if array is not None}
        arrays = Arrays(**{name: once(array) for name, array in given.items()})
        return replace(part, arrays=arrays, folds=tuple(map(of, part.folds)))

    return of(dataset)
