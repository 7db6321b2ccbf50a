"""Arrays as tensors, without a copy where that is possible."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import tensorflow as tf

if TYPE_CHECKING:
    import numpy.typing as npt

    from hpsearch.trial import Arrays

__all__ = ["Tensors", "as_tensors", "with_row_shape"]

#: TensorFlow takes memory as it is only where Eigen's vector instructions can read it.
_ALIGNMENT_BYTES = 64


class Tensors(NamedTuple):
    """`Arrays` as tensors of the same shapes and types."""

    x_train: Any
    y_train: Any
    x_val: Any
    y_val: Any
    w_train: Any = None
    w_val: Any = None


class _Latest:
    """The tensors of the arrays that were used last: a process trains on one data set."""

    arrays: Arrays | None = None
    tensors: Tensors | None = None


def as_tensors(arrays: Arrays) -> Tensors:
    """The same tensors as the last time where `arrays` is the same object."""
    if _Latest.tensors is None or _Latest.arrays is not arrays:
        _Latest.tensors = Tensors(
            *map(_tensor, (arrays.x_train, arrays.y_train, arrays.x_val, arrays.y_val)),
            *(None if each is None else _tensor(each) for each in (arrays.w_train, arrays.w_val)),
        )
        _Latest.arrays = arrays
    return _Latest.tensors


class _Shaped:
    """The arrays that were given another shape last."""

    arrays: Arrays | None = None
    shaped: Arrays | None = None


def with_row_shape(arrays: Arrays, shape: tuple[int, ...]) -> Arrays:
    """The same rows, each with `shape`, not copied; the same object as the last time."""
    if arrays.x_train.shape[1:] == shape:
        return arrays
    known = _Shaped.shaped
    if known is None or _Shaped.arrays is not arrays or known.x_train.shape[1:] != shape:
        _Shaped.arrays = arrays
        _Shaped.shaped = known = replace(
            arrays,
            x_train=arrays.x_train.reshape(-1, *shape),
            x_val=arrays.x_val.reshape(-1, *shape),
        )
    return known


def _tensor(array: npt.NDArray[Any]) -> Any:
    if _is_shareable(array):
        return tf.experimental.dlpack.from_dlpack(array.__dlpack__())
    return tf.constant(array)


def _is_shareable(array: npt.NDArray[Any]) -> bool:
    """Whether TensorFlow can use the array's memory; read-only arrays have no DLPack form."""
    return bool(
        array.size
        and array.flags.writeable
        and array.flags.c_contiguous
        and array.ctypes.data % _ALIGNMENT_BYTES == 0
    )
