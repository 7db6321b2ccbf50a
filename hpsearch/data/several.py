"""Several targets, as a model with several outputs takes them, in one array of columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hpsearch.errors import DataError
from hpsearch.trial import Target, TargetPart, Task

__all__ = ["are_several", "packed", "several_target", "unpacked"]

#: Whole numbers from which float32 has not each.
_WHOLE = 2**24


def are_several(y: Any, rows: int) -> bool:
    """Whether `y` is a mapping of arrays, or a list of arrays with as many rows as x."""
    if isinstance(y, Mapping):
        return True
    if not isinstance(y, list | tuple) or not y or len(y) == rows:
        return False
    return all(getattr(each, "shape", ())[:1] == (rows,) for each in y)


def packed(
    y: Any, where: str, like: Sequence[TargetPart] | None = None
) -> tuple[npt.NDArray[np.float64], tuple[TargetPart, ...]]:
    """The columns of all targets `(n_samples, columns)`, and what they are.

    Args:
        y: Name -> target, or a list of targets, each `(n_samples, ...)` numbers.
        where: Names it in messages.
        like: What those of the training rows are.

    Raises:
        DataError: Something else, targets of different lengths, or others than the training's.
    """
    named = y.items() if isinstance(y, Mapping) else (("", each) for each in y)
    columns, parts = [], []
    for place, (name, target) in enumerate(named):
        called = f"{where}[{name or place!r}]"
        array = np.asarray(target)
        if array.ndim == 0 or array.dtype.kind not in "biuf":
            raise DataError(
                f"{called}: must be an array of numbers, one or more a row, not "
                f"{array.dtype} {array.shape}; with several targets, classes are whole numbers"
            )
        whole = array.dtype.kind != "f"
        if whole and array.size and np.abs(array).max() >= _WHOLE:
            raise DataError(f"{called}: has whole numbers beyond {_WHOLE:,}")
        parts.append(TargetPart(str(name), array.shape[1:], whole=whole))
        columns.append(array.reshape(len(array), -1).astype(np.float64))
    _require_equal(where, columns, parts, like)
    return np.concatenate(columns, axis=1), tuple(parts)


def _require_equal(
    where: str,
    columns: Sequence[npt.NDArray[Any]],
    parts: Sequence[TargetPart],
    like: Sequence[TargetPart] | None,
) -> None:
    lengths = [len(each) for each in columns]
    if len(set(lengths)) != 1:
        raise DataError(f"{where}: its targets have {', '.join(map(str, lengths))} rows")
    if like is None:
        return
    ours, theirs = ([(part.name, part.shape) for part in each] for each in (parts, like))
    if ours != theirs:
        raise DataError(f"{where}: its targets are {ours}, those of the training rows {theirs}")


def several_target(parts: Sequence[TargetPart]) -> Target:
    """What is predicted: targets as they are, for a model that has their losses."""
    outputs = sum(part.columns for part in parts)
    return Target(
        Task.OWN, outputs, mean=(0.0,) * outputs, std=(1.0,) * outputs, parts=tuple(parts)
    )


def unpacked(
    y: Any, parts: Sequence[TargetPart], convert: Callable[[Any, TargetPart], Any] | None = None
) -> Any:
    """The targets as they were given, from their columns: a mapping, or a list.

    Args:
        y: `(n_samples, columns)`, an array or a tensor.
        convert: From one target's columns to its shape and type; None for arrays.
    """
    made, first = [], 0
    for part in parts:
        made.append((convert or _as_array)(y[:, first : first + part.columns], part))
        first += part.columns
    if not parts[0].name:
        return made
    return {part.name: each for part, each in zip(parts, made, strict=True)}


def _as_array(columns: npt.NDArray[Any], part: TargetPart) -> npt.NDArray[Any]:
    array = columns.reshape(-1, *part.shape)
    return array.astype(np.int32) if part.whole else array
