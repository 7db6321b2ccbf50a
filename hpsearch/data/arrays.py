"""Arrays and frames, from memory, an NPZ file or a user's function, to raw data."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hpsearch.data.dataset import Inputs, RawData, RawPart, TaskName, n_rows
from hpsearch.data.files import read_arrays
from hpsearch.data.tables import FLOAT32_MAX, parse_columns, stack_columns, text_warnings
from hpsearch.errors import DataError
from hpsearch.wording import did_you_mean, quoted

if TYPE_CHECKING:
    import pandas as pd

_IMAGE_DIMENSIONS = 3


def array_part(
    x: Any,
    y: Any,
    where: str,
    task: TaskName | None = None,
    like: RawPart | None = None,
    *,
    weights: Any = None,
) -> RawPart:
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
    return RawPart(features, targets, place, _weights(weights, len(targets), where, place))


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
    bad = ~((array >= 0) & (array <= FLOAT32_MAX))
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


def _require_like(x: Inputs, y: npt.NDArray[Any], like: RawPart, where: str) -> None:
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


def _features(x: Any, where: str, place: Callable[[int], str], like: RawPart | None) -> Inputs:
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
    frame: pd.DataFrame, where: str, place: Callable[[int], str], like: RawPart | None
) -> Inputs:
    frame = frame.set_axis([str(name) for name in frame.columns], axis=1)
    twice = frame.columns[frame.columns.duplicated()].tolist()
    if twice:
        raise DataError(f"{where}: duplicate column names {quoted(twice)}")
    text = None
    if like is not None:
        if not isinstance(like.x, Mapping):
            text = frozenset[str]()
        else:
            text = frozenset(n for n, v in like.x.items() if v.dtype == object)
            missing = [name for name in like.x if name not in frame.columns]
            if missing:
                raise DataError(f"{where}: no columns {quoted(missing)}, as the training part has")
            frame = frame[list(like.x)]
    if not frame.shape[1]:
        raise DataError(f"{where}: x has no columns")
    parsed = parse_columns(frame, where, lambda rows: [place(row) for row in rows], text)
    return stack_columns(parsed)


def _finite(array: npt.NDArray[Any], place: Callable[[int], str]) -> npt.NDArray[Any]:
    if array.dtype.kind == "f":
        bad = ~(np.abs(array) <= FLOAT32_MAX)
        if bad.any():
            index = np.argwhere(bad)[0].tolist()
            raise DataError(
                f"{place(index[0])}: column {', '.join(map(str, index[1:]))}: "
                f"{array[tuple(index)]} is not a finite float32 number "
                f"({int(bad.sum())} such values); remove or repair the rows"
            )
    return np.ascontiguousarray(array, np.float32)


def _targets(y: Any, where: str, task: TaskName | None) -> npt.NDArray[Any]:
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


Pair = tuple[Any, Any] | tuple[Any, Any, Any]
"""Rows `x`, their targets `y`, and maybe their weights in the loss."""

_SHAPES = (
    "return (x, y), ((x_train, y_train), (x_val, y_val)), or that with (x_test, y_test) as a third"
)


def read_function(reference: str, task: TaskName | None = None) -> RawData:
    """Call `package.module:function` and read what it returns.

    Returns:
        A source with the parts of `(x, y)`, `((x_train, y_train), (x_val, y_val))`, or the
        same with a test pair; each of arrays, lists or pandas objects.

    Raises:
        DataError: It cannot be imported, fails, or returns something else.
    """
    name = reference.rpartition(":")[2]
    return _called(_function(reference), reference, name, task)


def _called(function: Callable[[], Any], where: str, name: str, task: TaskName | None) -> RawData:
    try:
        value = function()
    except Exception as error:
        raise DataError(f"{where}: the function failed: {_words(error)}") from error
    train, validation, test = _pairs(value, where)
    return pairs_source(train, validation, test, where=where, name=name, task=task)


def pairs_source(
    train: Pair,
    validation: Pair | None,
    test: Pair | None,
    *,
    where: str,
    name: str,
    task: TaskName | None,
) -> RawData:
    """A source from pairs of x and y.

    Raises:
        DataError: Shapes or types that no dataset can have.
    """
    first = array_part(train[0], train[1], where, task, weights=_pair_weights(train))

    def other(pair: Pair | None, part: str) -> RawPart | None:
        if pair is None:
            return None
        place, weights = f"{where}: {part}", _pair_weights(pair)
        return array_part(pair[0], pair[1], place, task, first, weights=weights)

    return RawData(
        name=name,
        where=where,
        train=first,
        validation=other(validation, "validation"),
        test=other(test, "test"),
        unit=image_unit(first.x),
        feature_names=tuple(first.x) if isinstance(first.x, dict) else (),
        warnings=text_warnings(first.x, where),
    )


def _pair_weights(pair: Pair) -> Any:
    return pair[2] if len(pair) == 3 else None


def _function(reference: str) -> Callable[[], Any]:
    module_name, colon, name = reference.partition(":")
    if not colon or not module_name or not name:
        raise DataError(f"python: {reference!r} is not of the form package.module:function")
    # A console script starts without the working directory on its path, `python -m` with it.
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    importlib.invalidate_caches()
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        raise DataError(
            f"{reference}: module {module_name!r} cannot be imported from {os.getcwd()} or the "
            f"installed packages: {_words(error)}"
        ) from error
    try:
        function = attrgetter(name)(module)
    except AttributeError:
        near = did_you_mean(name, [each for each in vars(module) if not each.startswith("_")])
        raise DataError(f"{reference}: module {module_name!r} has no {name!r}{near}") from None
    if not callable(function):
        raise DataError(f"{reference}: is a {type(function).__name__}, not a function")
    return function  # type: ignore[no-any-return]


def _words(error: Exception) -> str:
    """The exception, and the last line of code it passed."""
    frames = traceback.extract_tb(error.__traceback__)
    at = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {error}{at}"


def _pairs(value: Any, where: str) -> tuple[Pair, Pair | None, Pair | None]:
    if isinstance(value, (tuple, list)) and len(value) in (2, 3):
        if all(_is_pair(each) for each in value):
            pairs = [(each[0], each[1]) for each in value]
            return pairs[0], pairs[1], pairs[2] if len(pairs) == 3 else None
        if len(value) == 2 and not isinstance(value[0], tuple):
            return (value[0], value[1]), None, None
    found = type(value).__name__
    if isinstance(value, (tuple, list)):
        found += f" of {len(value)} ({', '.join(type(each).__name__ for each in value[:5])})"
    raise DataError(f"{where}: returned a {found}; {_SHAPES}")


def _is_pair(value: Any) -> bool:
    """Whether `value` is (x, y), not a list that happens to have two rows."""
    return (
        isinstance(value, (tuple, list))
        and len(value) == 2
        and all(hasattr(each, "__len__") and not isinstance(each, str) for each in value)
    )


def read_npz(
    path: str, task: TaskName | None = None, validation: str | None = None, test: str | None = None
) -> RawData:
    """Read `x, y`, or `x_train, y_train` with `x_val, y_val` and `x_test, y_test`.

    Raises:
        DataError: Not an archive, a pickle, a bomb, or arrays that do not fit together.
    """
    arrays = read_arrays(path)
    known = {"x", "y"} | {f"{a}_{part}" for a in "xy" for part in ("train", "val", "test")}
    other = sorted(set(arrays) - known)
    train = _pair(arrays, path, "_train" if "x_train" in arrays else "", task, None)
    if train is None:
        raise DataError(
            f"{path}: needs arrays x and y, or x_train and y_train; it has {quoted(arrays)}"
        )
    parts: dict[str, RawPart | None] = {}
    for name, suffix, file in (("validation", "_val", validation), ("test", "_test", test)):
        own = _pair(arrays, path, suffix, task, train)
        if own is not None and file is not None:
            raise DataError(f"{path}: has x{suffix} itself, and {name} also names {file}; drop one")
        parts[name] = own if file is None else _whole(file, task, train)
    return RawData(
        name=Path(path).stem,
        where=path,
        train=train,
        validation=parts["validation"],
        test=parts["test"],
        unit=image_unit(train.x),
        warnings=(f"{path}: arrays {quoted(other)} are not used",) if other else (),
    )


def _whole(path: str, task: TaskName | None, like: RawPart) -> RawPart:
    arrays = read_arrays(path)
    part = _pair(arrays, path, "", task, like)
    if part is None:
        raise DataError(f"{path}: needs arrays x and y; it has {quoted(arrays)}")
    return part


def _pair(
    arrays: dict[str, npt.NDArray[Any]],
    path: str,
    suffix: str,
    task: TaskName | None,
    like: RawPart | None,
) -> RawPart | None:
    x, y = f"x{suffix}", f"y{suffix}"
    if x not in arrays and y not in arrays:
        return None
    for name in (x, y):
        if name not in arrays:
            raise DataError(f"{path}: no array {name!r}; it has {quoted(arrays)}")
    return array_part(arrays[x], arrays[y], f"{path}: {x}, {y}", task, like)
