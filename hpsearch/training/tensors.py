"""Arrays as tensors, without a copy where that is possible."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import tensorflow as tf

if TYPE_CHECKING:
    import numpy.typing as npt

    from hpsearch.trial import Arrays

__all__ = ["Tensors", "as_tensors", "fitted"]

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


class _Fitted:
    """The arrays that were made to fit last."""

    arrays: Arrays | None = None
    asked: tuple[tuple[int, ...], int | None] | None = None
    fitted: Arrays | None = None


def fitted(arrays: Arrays, shape: tuple[int, ...], *, classes: int | None) -> Arrays:
    """The same data as a model of one's own takes it; the same object as the last time.

    Args:
        shape: Of a row; rows are not copied.
        classes: Labels are one-hot in so many classes; None leaves them.
    """
    if arrays.x_train.shape[1:] == shape and classes is None:
        return arrays
    asked = (shape, classes)
    if _Fitted.fitted is None or _Fitted.arrays is not arrays or _Fitted.asked != asked:
        y_train, y_val = arrays.y_train, arrays.y_val
        if classes is not None:
            y_train, y_val = (np.eye(classes, dtype=np.float32)[y] for y in (y_train, y_val))
        x_train, x_val = (x.reshape(-1, *shape) for x in (arrays.x_train, arrays.x_val))
        _Fitted.arrays, _Fitted.asked = arrays, asked
        _Fitted.fitted = replace(arrays, x_train=x_train, x_val=x_val, y_train=y_train, y_val=y_val)
    return _Fitted.fitted


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
