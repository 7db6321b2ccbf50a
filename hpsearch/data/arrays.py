"""Arrays and frames in memory, checked and brought into the loaders' types."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hpsearch.data import tables
from hpsearch.data.dataset import Inputs, Part, n_rows
from hpsearch.data.files import listed
from hpsearch.data.spec import Kind
from hpsearch.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["array_part", "image_unit"]

_IMAGE_DIMENSIONS = 3


def array_part(
    x: Any,
    y: Any,
    where: str,
    task: Kind | None = None,
    like: Part | None = None,
    *,
    weights: Any = None,
) -> Part:
    """Rows from arrays, lists or pandas objects.

    Args:
        x: `(n_samples, ...)` numbers, or a frame (text columns allowed).
        y: `(n_samples,)` labels or numbers, `(n_samples, n_classes)` one-hot rows, or
            `(n_samples, outputs)` numbers.
        where: Names the pair in messages.
        task: Rows of ones and zeros are one-hot labels unless it is `regression`.
        like: The training part that this part must match.
        weights: `(n_samples,)` of the rows in the loss, or None.

    Raises:
        DataError: Shapes or types that no dataset can have.
    """

    def place(row: int) -> str:
        return f"{where}: row {row} (from 0)"

    features = _features(x, where, place, like)
    targets = _targets(y, where, task)
    if n_rows(features) != len(targets):
        raise DataError(f"{where}: x has {n_rows(features)} rows and y has {len(targets)}")
    if not len(targets):
        raise DataError(f"{where}: no rows")
    if like is not None:
        _require_like(features, targets, like, where)
    return Part(features, targets, place, _weights(weights, len(targets), where, place))


def _weights(
    weights: Any, rows: int, where: str, place: Callable[[int], str]
) -> npt.NDArray[np.float32] | None:
    if weights is None:
        return None
    array = _as_array(weights, "sample_weight", where)
    if array.shape != (rows,) or array.dtype.kind not in "biuf":
        raise DataError(
            f"{where}: sample_weight has shape {array.shape} and type {array.dtype}; give one "
            f"number for each of the {rows} rows"
        )
    bad = ~((array >= 0) & (array <= tables.FLOAT32_MAX))
    if bad.any():
        row = int(np.argmax(bad))
        raise DataError(
            f"{place(row)}: sample_weight is {array[row]}; it must be finite, not below 0"
        )
    if not array.any():
        raise DataError(f"{where}: sample_weight is 0 in every row; there is nothing to learn")
    return np.ascontiguousarray(array, np.float32)


def image_unit(x: Inputs) -> float | None:
    """255 for images (uint8 with two or more dimensions a row), else None."""
    if isinstance(x, Mapping) or x.dtype != np.uint8 or x.ndim < _IMAGE_DIMENSIONS:
        return None
    return 255.0


def _require_like(x: Inputs, y: npt.NDArray[Any], like: Part, where: str) -> None:
    if isinstance(x, Mapping) or isinstance(like.x, Mapping):
        return
    if x.shape[1:] != like.x.shape[1:]:
        raise DataError(
            f"{where}: one row of x has shape {x.shape[1:]} and {like.x.shape[1:]} in the "
            "training part"
        )
    if x.dtype != like.x.dtype:
        raise DataError(f"{where}: x is {x.dtype} and {like.x.dtype} in the training part")
    if y.shape[1:] != like.y.shape[1:]:
        raise DataError(
            f"{where}: one row of y has shape {y.shape[1:]} and {like.y.shape[1:]} in the "
            "training part"
        )


def _pandas(value: Any, kind: str) -> bool:
    """Whether `value` is a pandas object of that class, without importing pandas to ask."""
    module = sys.modules.get("pandas")
    return module is not None and isinstance(value, getattr(module, kind))


def _as_array(value: Any, name: str, where: str) -> npt.NDArray[Any]:
    try:
        array = np.asarray(value)
    except Exception as error:  # any array-like may raise anything in __array__
        raise DataError(f"{where}: {name} is no array: {type(error).__name__}: {error}") from error
    if array.ndim == 0:
        raise DataError(f"{where}: {name} is {type(value).__name__}, not an array of rows")
    if array.dtype.kind not in "biufOUST":
        raise DataError(f"{where}: {name} has the type {array.dtype}; use numbers or text")
    return array


def _features(x: Any, where: str, place: Callable[[int], str], like: Part | None) -> Inputs:
    if isinstance(x, Mapping):
        import pandas as pd

        return _frame(pd.DataFrame(dict(x)), where, place, like)
    if _pandas(x, "DataFrame"):
        return _frame(x, where, place, like)
    array = _as_array(x, "x", where)
    if array.ndim == 1:
        array = array[:, np.newaxis]
    if array.dtype.kind in "OUST":
        import pandas as pd

        if array.ndim > 2:
            raise DataError(f"{where}: x has the type {array.dtype} in {array.ndim} dimensions")
        frame = pd.DataFrame(array.astype(object)).infer_objects()
        return _frame(frame, where, place, like)
    if not array.size:
        raise DataError(f"{where}: x is empty, shape {array.shape}")
    if array.dtype == np.uint8 and array.ndim >= _IMAGE_DIMENSIONS:
        return array
    return _finite(array, place)


def _frame(
    frame: pd.DataFrame, where: str, place: Callable[[int], str], like: Part | None
) -> Inputs:
    frame = frame.set_axis([str(name) for name in frame.columns], axis=1)
    twice = frame.columns[frame.columns.duplicated()].tolist()
    if twice:
        raise DataError(f"{where}: duplicate column names {listed(twice)}")
    text = None
    if like is not None:
        if not isinstance(like.x, Mapping):
            text = frozenset[str]()
        else:
            text = frozenset(n for n, v in like.x.items() if v.dtype == object)
            missing = [name for name in like.x if name not in frame.columns]
            if missing:
                raise DataError(f"{where}: no columns {listed(missing)}, as the training part has")
            frame = frame[list(like.x)]
    if not frame.shape[1]:
        raise DataError(f"{where}: x has no columns")
    parsed = tables.columns(frame, where, lambda rows: [place(row) for row in rows], text)
    return tables.inputs(parsed)


def _finite(array: npt.NDArray[Any], place: Callable[[int], str]) -> npt.NDArray[Any]:
    if array.dtype.kind == "f":
        bad = ~(np.abs(array) <= tables.FLOAT32_MAX)
        if bad.any():
            index = np.argwhere(bad)[0].tolist()
            raise DataError(
                f"{place(index[0])}: column {', '.join(map(str, index[1:]))}: "
                f"{array[tuple(index)]} is not a finite float32 number "
                f"({int(bad.sum())} such values); remove or repair the rows"
            )
    return np.ascontiguousarray(array, np.float32)


def _targets(y: Any, where: str, task: Kind | None) -> npt.NDArray[Any]:
    if isinstance(y, Mapping):
        raise DataError(
            f"{where}: y is a {type(y).__name__}; several targets by name are taken by "
            "hpsearch.tune(x, y, model=build), where the model has as many outputs"
        )
    if _pandas(y, "Series") or _pandas(y, "DataFrame"):
        y = y.astype(object).where(y.notna(), "") if y.isna().to_numpy().any() else y.to_numpy()
    array = _as_array(y, "y", where)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim > 2 or 0 in array.shape:
        raise DataError(f"{where}: y has shape {array.shape}; give one label or target a row")
    if array.dtype.kind == "O":
        array = _from_objects(array)
    if array.dtype.kind in "UST":
        array = array.astype(str).astype(object)
    elif array.dtype.kind == "b":
        array = np.where(array, "True", "False").astype(object)
    if array.dtype == object and array.ndim > 1:
        raise DataError(f"{where}: y has shape {array.shape} and holds text; give one column")
    if array.ndim == 2 and task != "regression" and _one_hot(array):
        return np.asarray(array.argmax(axis=1), np.int64)
    if array.dtype.kind in "iu":
        return array.astype(np.int64)
    return array if array.dtype == object else array.astype(np.float64)


def _from_objects(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Numbers where all are, else text, with missing values as the empty text."""
    cells = array.ravel().tolist()
    if all(isinstance(cell, (bool, np.bool_)) for cell in cells):
        return array.astype(bool)
    if all(isinstance(cell, (int, float, np.number)) for cell in cells):
        return array.astype(np.float64)
    texts = ["" if cell is None else str(cell) for cell in cells]
    return np.array(texts, object).reshape(array.shape)


def _one_hot(array: npt.NDArray[Any]) -> bool:
    return bool(
        array.shape[1] > 1 and np.isin(array, (0, 1)).all() and (array.sum(axis=1) == 1).all()
    )
