"""Raw data from arrays and frames in memory, from a user's function or from an NPZ file."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hpsearch.data.columns import (
    FLOAT64_WHOLE,
    MISSING,
    NO_CELL,
    ParsedTable,
    parse_columns,
    require_column,
)
from hpsearch.data.dataset import (
    FLOAT32_MAX,
    IMAGE_MAX,
    Inputs,
    RawData,
    RawPart,
    are_images,
    are_several_inputs,
    n_rows,
    packed,
    require_finite,
)
from hpsearch.data.files import read_arrays
from hpsearch.data.specs import ArrayPart, TableSpec
from hpsearch.errors import DataError, InputError
from hpsearch.importing import contained, load_object
from hpsearch.opening import frame_of
from hpsearch.spec.data import DataSpec
from hpsearch.wording import in_words, quoted

if TYPE_CHECKING:
    import pandas as pd

Pair = tuple[Any, Any] | tuple[Any, Any, Any]
"""Rows `x` and their targets `y`, perhaps with the rows' weights in the loss."""

PARTS = ("train", "validation", "test")
_INT64_MAX = 2**63 - 1


def _part(pair: Pair, where: str, spec: DataSpec, like: RawPart | None) -> RawPart:
    """Return arrays, lists or pandas objects as rows, which must match the training part `like`."""
    x, y, weights = map(as_supported, (*pair, None)[:3])
    about: dict[str, Any] = {}
    features: Inputs
    if are_several_inputs(x, y) or (like is not None and like.parts):
        features, about["parts"] = _several(x, y, where, like)
    else:
        features, table = _features(x, where, like, spec)
        if table is not None:
            about = {"table": table.spec, "notices": tuple(table.notices)}
    if spec.drop and "table" not in about:
        raise DataError(f"{where}: drop: x is no table, whose columns have names; leave drop out")
    targets = _targets(y, where, spec, like)
    if n_rows(features) != len(targets):
        raise DataError(f"{where}: x has {n_rows(features)} rows and y has {len(targets)}")
    if not len(targets):
        raise DataError(f"{where}: no rows")
    if like is not None and not like.parts:
        _require_like(features, targets, like, where)
    weights = _weights(weights, len(targets), where)
    return RawPart(features, targets, partial(_place, where), weights, **about)


def _place(where: str, row: int) -> str:
    return f"{where}: row {row} (from 0)"


def _several(
    x: Any, y: Any, where: str, like: RawPart | None
) -> tuple[npt.NDArray[np.float32], tuple[ArrayPart, ...]]:
    """Return several inputs, for a custom model, and their parts."""
    if not are_several_inputs(x, y) and not isinstance(x, Mapping):
        raise DataError(f"{where}: x is {type(x).__name__}; give the inputs of the training rows")
    if like is not None and not like.parts:
        raise DataError(f"{where}: x has several inputs, and the training part's x is one")
    columns, parts = packed(x, f"{where}: x", like.parts if like is not None else None, "inputs")
    if not columns.size:
        raise DataError(f"{where}: no rows")
    require_finite(columns, parts, partial(_place, where))
    return np.ascontiguousarray(columns, np.float32), parts


def _weights(weights: Any, rows: int, where: str) -> npt.NDArray[np.float32] | None:
    if weights is None:
        return None
    array = _as_array(weights, "sample_weight", where)
    if array.shape != (rows,) or array.dtype.kind not in "biuf":
        raise DataError(
            f"{where}: sample_weight has shape {array.shape} and type {array.dtype}; give one "
            f"number for each of the {rows} rows"
        )
    bad = ~((array >= 0) & (array <= FLOAT32_MAX))
    if bad.any() or not array.any():
        row = int(np.argmax(bad))
        raise DataError(
            f"{_place(where, row)}: sample_weight is {array[row]}; weights must be finite and at "
            "least 0, and not all 0"
        )
    return np.ascontiguousarray(array, np.float32)


def _require_like(x: Inputs, y: npt.NDArray[Any], like: RawPart, where: str) -> None:
    if isinstance(x, Mapping) or isinstance(like.x, Mapping):
        return
    ours, theirs = (
        f"{rows.dtype} of {rows.shape[1:]}, of y {targets.shape[1:]}"
        for rows, targets in ((x, y), (like.x, like.y))
    )
    if ours != theirs:
        raise DataError(f"{where}: a row of x is {ours}, and in the training part {theirs}")


def _is_pandas(value: Any, kind: str) -> bool:
    """True if `value` is an object of that pandas class; does not import pandas."""
    module = sys.modules.get("pandas")
    return module is not None and isinstance(value, getattr(module, kind))


def as_supported(value: Any) -> Any:
    """Return polars and Arrow as pandas, masked values as missing; anything else unchanged."""
    if type(value).__module__.startswith(("polars.", "pyarrow.")):
        return _as_pandas(value)
    if not isinstance(value, np.ma.MaskedArray) or not value.mask.any():
        return value
    if value.dtype.kind in "biuf":
        return np.ma.filled(value.astype(np.float64), np.nan)
    return value.filled("")


def _as_pandas(value: Any) -> Any:
    kind = type(value).__name__
    try:
        import pyarrow as pa

        if hasattr(value, "collect"):
            value = value.collect()
        if getattr(getattr(value, "dtype", None), "shape", ()):
            # A column of polars whose cells are arrays of one shape.
            return value.to_numpy()
        given = value.to_arrow() if hasattr(value, "to_arrow") else value
        is_table = hasattr(given, "schema")
        table = given if is_table else pa.table({"": given})
    except Exception as error:  # polars and pyarrow raise many kinds.
        raise DataError(f"{kind}: cannot be read: {error}") from error
    frame = frame_of(table, kind)
    return frame if is_table else frame[""]


def _column(value: Any) -> Any:
    """Return a column without an index, by which pandas would align it with other columns."""
    value = as_supported(value)
    return getattr(value, "array", value)


def _as_array(value: Any, name: str, where: str) -> npt.NDArray[Any]:
    try:
        array = np.asarray(value)
    except Exception as error:  # __array__ may raise anything.
        raise DataError(
            f"{where}: {name} is not an array: {type(error).__name__}: {error}"
        ) from error
    if array.ndim == 0 or array.dtype.kind not in "biufOUT":
        raise DataError(
            f"{where}: {name} has the type {array.dtype} and the shape {array.shape}; give rows of "
            "numbers or text"
        )
    # float16 cannot be compared with the largest float32 number.
    return array.astype(np.float32) if array.dtype == np.float16 else array


def _features(
    x: Any, where: str, like: RawPart | None, spec: DataSpec
) -> tuple[Inputs, ParsedTable | None]:
    if isinstance(x, Mapping) or _is_pandas(x, "DataFrame"):
        return _table(x, where, like, spec)
    array = _as_array(x, "x", where)
    if array.ndim == 1:
        array = array[:, np.newaxis]
    if array.dtype.kind in "OUT" or (like is not None and isinstance(like.x, Mapping)):
        if array.ndim > 2:
            raise DataError(f"{where}: x has the type {array.dtype} in {array.ndim} dimensions")
        return _table(array.astype(object), where, like, spec)
    if not array.size:
        raise DataError(f"{where}: x is empty, shape {array.shape}")
    missing = spec.impute != "none" and array.ndim == 2
    return array if are_images(array) else _finite(array, where, missing=missing), None


def as_frame(x: Any, where: str) -> pd.DataFrame:
    """Return a frame, a mapping of columns or an array of objects as a frame with text as names."""
    # pandas is slow to import, and arrays of numbers do not need it.
    import pandas as pd

    try:
        mapping = isinstance(x, Mapping)
        frame = pd.DataFrame({name: _column(x[name]) for name in x} if mapping else x)
    except ValueError as error:
        raise DataError(f"{where}: is no table: {error}") from error
    if isinstance(x, np.ndarray):
        frame = frame.infer_objects()
    frame = frame.set_axis([str(name) for name in frame.columns], axis=1)
    twice = frame.columns[frame.columns.duplicated()].tolist()
    if twice:
        raise DataError(f"{where}: duplicate column names {quoted(twice)}")
    return frame


def _table(x: Any, where: str, like: RawPart | None, spec: DataSpec) -> tuple[Inputs, ParsedTable]:
    frame, table, key = as_frame(x, where), None, "drop"
    if like is not None:
        key = "the training part"
        table = like.table if like.table.names else TableSpec(tuple(frame.columns))
    for name in spec.drop if table is None else table.read:
        require_column(where, list(frame.columns), name, key)
    if table is None:
        frame = frame.drop(columns=list(spec.drop))
    parsed = parse_columns(frame, where, partial(_place, where), spec, table)
    return parsed.inputs, parsed


def _finite(array: npt.NDArray[Any], where: str, *, missing: bool) -> npt.NDArray[Any]:
    if array.dtype.kind != "f" or (np.abs(array) <= FLOAT32_MAX).all():
        return np.ascontiguousarray(array, np.float32)
    gone = np.isnan(array) & missing
    bad = ~(gone | (np.abs(array) <= FLOAT32_MAX))
    if bad.any():
        index = np.argwhere(bad)[0].tolist()
        raise DataError(
            f"{_place(where, index[0])}: column {', '.join(map(str, index[1:]))}: "
            f"{array[tuple(index)]} is not a finite float32 number "
            f"({int(bad.sum())} such values); remove or repair the rows"
        )
    # NaNs may differ in their bits, which would change the fingerprint.
    return np.where(gone, np.float32(np.nan), array.astype(np.float32))


def _targets(y: Any, where: str, spec: DataSpec, like: RawPart | None) -> npt.NDArray[Any]:
    if _is_pandas(y, "Series") or _is_pandas(y, "DataFrame"):
        y = y.astype(object).where(y.notna(), "") if y.isna().to_numpy().any() else y.to_numpy()
    array = _as_array(y, "y", where)
    rounded = array.dtype.kind == "f" and bool((np.abs(array) >= FLOAT64_WHOLE).any())
    if isinstance(y, list | tuple) and (rounded or array.dtype.kind == "U"):
        # NumPy converts mixed numbers and texts to text, and mixed integer types to float64.
        array = np.array(y, object)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.dtype.kind == "O":
        array = _from_objects(array, where)
    if array.dtype.kind in "UT":
        array = array.astype(str).astype(object)
    elif array.dtype.kind == "b" and array.ndim == 1:
        array = np.where(array, "True", "False").astype(object)
    if array.ndim > (1 if array.dtype == object else 2) or 0 in array.shape:
        raise DataError(f"{where}: y has shape {array.shape}; give one label or target a row")
    are_labels = spec.task != "regression" and (like is None or like.y.ndim == 1)
    if array.ndim == 2 and are_labels and _one_hot(array):
        return np.asarray(array.argmax(axis=1), np.int64)
    if array.dtype.kind in "iu":
        beyond = array.dtype == np.uint64 and array.max() > _INT64_MAX
        return array.astype(np.uint64 if beyond else np.int64)
    return array if array.dtype == object else array.astype(np.float64)


def _from_objects(array: npt.NDArray[Any], where: str) -> npt.NDArray[Any]:
    """Convert objects to booleans or exact numbers if all are, else to text, empty if missing."""
    cells = [float(cell) if isinstance(cell, Decimal) else cell for cell in array.ravel().tolist()]
    if odd := [cell for cell in cells if isinstance(cell, NO_CELL)]:
        raise DataError(f"{where}: y has {odd[0]!r:.60}; give one number or text a row")
    if all(isinstance(cell, (bool, np.bool_)) for cell in cells):
        return array.astype(bool)
    if all(isinstance(cell, (int, float, np.number)) for cell in cells):
        numbers = _exact_numbers(cells)
        if numbers is not None:
            return numbers.reshape(array.shape)
    texts = ["" if cell is None else str(cell) for cell in cells]
    written = {cell for cell in cells if isinstance(cell, str)}
    others = {text for cell, text in zip(cells, texts, strict=True) if not isinstance(cell, str)}
    if twice := (written & others) - MISSING:
        raise DataError(
            f"{where}: y has {min(twice)!r} as text and as another type; give labels of one type"
        )
    return np.array(texts, object).reshape(array.shape)


def _exact_numbers(cells: list[Any]) -> npt.NDArray[Any] | None:
    """Return numbers in the first type that holds all whole ones exactly; None if none does."""
    whole = [int(cell) for cell in cells if isinstance(cell, (int, np.integer))]
    low, high = min(whole, default=0), max(whole, default=0)
    if len(whole) < len(cells):
        return np.array(cells, np.float64) if max(-low, high) < FLOAT64_WHOLE else None
    for kind in (np.int64, np.uint64):
        if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max:
            return np.array(whole, kind)
    return None


def _one_hot(array: npt.NDArray[Any]) -> bool:
    return bool(
        array.shape[1] > 1 and np.isin(array, (0, 1)).all() and (array.sum(axis=1) == 1).all()
    )


def read_function(reference: str, spec: DataSpec) -> RawData:
    """Call `package.module:function` and read the arrays, lists or pandas objects it returns.

    It returns `(x, y)`, or `((x_train, y_train), (x_val, y_val))`, perhaps with a test pair, too.
    """
    try:
        with contained():
            value = load_object(reference)()
    except (Exception, SystemExit) as error:
        cause = (error.__cause__ if isinstance(error, InputError) else None) or error
        frames = traceback.extract_tb(cause.__traceback__)
        at = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
        raise DataError(f"{reference}: failed: {in_words(cause)}{at}") from error
    pairs = dict(zip(PARTS, _pairs(value, reference), strict=False))
    return raw_from_pairs(reference.rpartition(":")[2], reference, pairs, spec)


def raw_from_pairs(
    name: str,
    where: str,
    pairs: Mapping[str, Pair | None],
    spec: DataSpec,
    warnings: tuple[str, ...] = (),
) -> RawData:
    """Check the pairs of x and y of each part, `train` first, and return them as raw data."""
    parts: dict[str, RawPart] = {}
    for part, pair in pairs.items():
        if pair is not None:
            place = where if part == "train" else f"{where}: {part}"
            parts[part] = _part(pair, place, spec, parts.get("train"))
    train = parts["train"]
    is_image = not isinstance(train.x, Mapping) and are_images(train.x)
    return RawData(
        name=name,
        where=where,
        train=train,
        validation=parts.get("validation"),
        test=parts.get("test"),
        unit=IMAGE_MAX if is_image else None,
        warnings=warnings,
    )


def _pairs(value: Any, where: str) -> list[Pair]:
    if isinstance(value, (tuple, list)) and len(value) in (2, 3):
        if all(_is_pair(item) for item in value):
            return list(map(tuple, value))
        if len(value) == 2 and not isinstance(value[0], tuple):
            return [(value[0], value[1])]
    raise DataError(
        f"{where}: returned a {type(value).__name__}; return (x, y), "
        "((x_train, y_train), (x_val, y_val)), or that with (x_test, y_test) as a third"
    )


def _is_pair(value: Any) -> bool:
    """True for a pair (x, y), false for a list of two numbers or texts."""
    return (
        isinstance(value, (tuple, list))
        and len(value) == 2
        and all(hasattr(item, "__len__") and not isinstance(item, str) for item in value)
    )


_NPZ_NAMES = {"x", "y"} | {f"{a}_{part}" for a in "xy" for part in ("train", "val", "test")}


def read_npz(path: str, spec: DataSpec) -> RawData:
    """Read arrays `x, y`, or `x_train, y_train` with `x_val, y_val` and `x_test, y_test`."""
    arrays, unused = read_arrays(path, _NPZ_NAMES)
    suffix = "_train" if "x_train" in arrays else ""
    pairs = {"train": _pair(arrays, path, suffix, required=True, unused=unused)}
    others = (("validation", "_val", spec.validation), ("test", "_test", spec.test))
    for name, suffix, file in others:
        pairs[name] = _pair(arrays, path, suffix)
        if isinstance(file, str):
            if pairs[name] is not None:
                raise DataError(
                    f"{path}: has x{suffix} itself, and {name} also names {file}; drop one"
                )
            pairs[name] = _pair(read_arrays(file, {"x", "y"})[0], file, "", required=True)
    warnings = (f"{path}: arrays {quoted(unused)} are not used",) if unused else ()
    return raw_from_pairs(Path(path).stem, path, pairs, spec, warnings)


def _pair(
    arrays: Mapping[str, npt.NDArray[Any]],
    path: str,
    suffix: str,
    *,
    required: bool = False,
    unused: Sequence[str] = (),
) -> Pair | None:
    """Return the arrays of a part, if it is there."""
    names = f"x{suffix}", f"y{suffix}"
    if not required and arrays.keys().isdisjoint(names):
        return None
    for name in names:
        if name not in arrays:
            raise DataError(
                f"{path}: no array {name!r}, but {quoted([*arrays, *unused])}; it needs x and y, "
                "or x_train and y_train, and may have x_val and y_val, x_test and y_test"
            )
    return arrays[names[0]], arrays[names[1]]
