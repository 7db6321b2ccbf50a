"""Targets: inference of the task, class names, encoding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hpsearch.data.dataset import RawData, RawPart, TaskName
from hpsearch.data.specs import Target, Task
from hpsearch.data.tables import FLOAT32_MAX, MISSING, parse_numbers
from hpsearch.errors import DataError
from hpsearch.wording import quoted

MAX_INFERRED_CLASSES = 20
#: float64 represents all smaller whole numbers exactly.
_WHOLE = 2**53


class Classes:
    """Class names in the order of their indices, taken from the training rows.

    Args:
        source: Its `labels` are the names; without labels, the distinct values of `train.y` are.
    """

    def __init__(self, source: RawData) -> None:
        self._where = source.where
        self._indices = source.labels != ()
        self._numeric = not np.isnan(_numbers(source.train.y)).any()
        self.names = source.labels
        if not self._indices:
            names = set(self._texts(source.train.y).tolist())
            self.names = tuple(sorted(names, key=float if self._numeric else str))

    def _texts(self, y: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The class name of each row; 1, 1.0 and 01 are one class if all labels are numbers."""
        if not self._numeric:
            return y
        values = _numbers(y)
        distinct, inverse = np.unique(values, return_inverse=True, equal_nan=False)
        names = np.array([_number_name(value) for value in distinct.tolist()], object)[inverse]
        strange = np.isnan(values)
        names[strange] = y[strange]
        return np.asarray(names, object)

    def codes(self, part: RawPart) -> npt.NDArray[np.int32]:
        """Return class indices `(n_samples,)`.

        Raises:
            DataError: No training row has one of the labels.
        """
        if self._indices:
            return part.y.astype(np.int32)
        lookup = {name: index for index, name in enumerate(self.names)}
        texts = self._texts(part.y).tolist()
        codes = np.array([lookup.get(text, -1) for text in texts], np.int32)
        unknown = np.flatnonzero(codes < 0)
        if unknown.size:
            row = int(unknown[0])
            others = f" ({unknown.size} such rows)" if unknown.size > 1 else ""
            raise DataError(
                f"{part.place(row)}: label {texts[row]!r} is out of range{others}: "
                f"the training rows of {self._where} have {quoted(self.names)}"
            )
        return codes


def _numbers(y: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Targets as numbers, NaN for text."""
    return parse_numbers(y) if y.dtype == object else y.astype(np.float64)


def _number_name(value: float) -> str:
    return str(int(value)) if value.is_integer() else repr(value)


def infer_task(source: RawData, given: TaskName | None) -> TaskName:
    """Return the given task, or else the one that the training targets suggest.

    Raises:
        DataError: Targets are missing or infinite, contradict `given`, have a single value, or
            suggest both tasks.
    """
    y = source.train.y
    parts = [part for part in (source.train, source.validation, source.test) if part is not None]
    for part in parts:
        _require_values(part)
    kind = given or _kind_of(source)
    if kind == "regression":
        for part in parts:
            _require_numbers(part)
        return kind
    if y.ndim > 1:
        raise DataError(
            f"{source.where}: task: classification takes one column of labels or one-hot rows, "
            f"and y has shape {y.shape}"
        )
    if source.labels:
        return kind
    if len(np.unique(y)) == 1:
        raise DataError(
            f"{source.where}: the target has one class only, {str(y[0])!r}; "
            "there is nothing to learn"
        )
    values = _numbers(y)
    large = np.abs(values) >= _WHOLE
    if large.any() and not np.isnan(values).any():
        row = int(np.argmax(large))
        raise DataError(
            f"{source.train.place(row)}: label {y[row]!s} is too large: from 2**53 on, whole "
            "numbers run together; put a letter before each label"
        )
    return kind


def _kind_of(source: RawData) -> TaskName:
    part = source.train
    if source.labels:
        return "classification"
    if part.y.ndim > 1:
        return "regression"
    values = _numbers(part.y)
    text = np.isnan(values)
    if text.any():
        if 2 * int(text.sum()) <= len(text):
            row = int(np.argmax(text))
            raise DataError(
                f"{part.place(row)}: target {part.y[row]!r} is not a number ({int(text.sum())} "
                f"such rows), the others are; repair it, or say task: classification"
            )
        return "classification"
    if not np.equal(values, np.round(values)).all():
        return "regression"
    return _kind_of_whole(source, values)


def _kind_of_whole(source: RawData, values: npt.NDArray[np.float64]) -> TaskName:
    distinct, first, counts = np.unique(values, return_index=True, return_counts=True)
    if len(distinct) <= MAX_INFERRED_CLASSES and (counts >= 2).all():
        return "classification"
    if len(distinct) > MAX_INFERRED_CLASSES:
        why = f"{len(distinct)} different values, more than {MAX_INFERRED_CLASSES}"
    else:
        alone = int(np.argmax(counts < 2))
        place = source.train.place(int(first[alone]))
        why = f"{_number_name(float(distinct[alone]))} stands in one row only ({place})"
    raise DataError(
        f"{source.where}: the target's whole numbers could be classes or a quantity ({why}); "
        "say task: classification or task: regression"
    )


def _require_values(part: RawPart) -> None:
    """Refuse missing and infinite targets."""
    values = _numbers(part.y)
    bad = ~(np.abs(values) <= FLOAT32_MAX)
    if part.y.dtype == object:
        missing = np.isin(part.y, list(MISSING))
        if missing.any():
            row = int(np.argmax(missing))
            raise DataError(
                f"{part.place(row)}: the target has a missing value, {part.y[row]!r} "
                f"({int(missing.sum())} such rows); remove the row"
            )
        bad &= ~np.isnan(values)
    if bad.any():
        row = int(np.argwhere(bad)[0][0])
        raise DataError(
            f"{part.place(row)}: target {part.y[row]!s} is not a finite float32 number; "
            "repair or remove the row"
        )


def _require_numbers(part: RawPart) -> None:
    if part.y.dtype != object:
        return
    text = np.isnan(parse_numbers(part.y))
    if text.any():
        row = int(np.argmax(text))
        raise DataError(
            f"{part.place(row)}: target {part.y[row]!r} is not a number, as task: regression "
            f"needs ({int(text.sum())} such rows); repair it, or say task: classification"
        )


def regression_values(part: RawPart) -> npt.NDArray[np.float64]:
    """Return the targets in their own units, `(n_samples, outputs)`."""
    return _numbers(part.y).reshape(len(part.y), -1)


def regression_target(values: npt.NDArray[np.float64], where: str) -> Target:
    """Return a target with mean and standard deviation of training rows `(n_samples, outputs)`.

    Raises:
        DataError: A target is constant.
    """
    if (values == values[0]).all(axis=0).any():
        raise DataError(
            f"{where}: the target is constant on the training split "
            f"({values[0].tolist()}); there is nothing to learn"
        )
    return Target(
        task=Task.REGRESSION,
        outputs=values.shape[1],
        mean=tuple(values.mean(axis=0).tolist()),
        std=tuple(values.std(axis=0).tolist()),
    )


def class_target(names: Sequence[str]) -> Target:
    """Return a target of one sigmoid unit for two classes, else of one softmax unit a class."""
    if len(names) == 2:
        return Target(task=Task.BINARY, outputs=1, classes=tuple(names))
    return Target(task=Task.MULTICLASS, outputs=len(names), classes=tuple(names))


def encode_target(target: Target, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Encode class indices or regression values as in `hpsearch.data.specs.Arrays`."""
    match target.task:
        case Task.BINARY:
            return values.astype(np.float32)
        case Task.MULTICLASS:
            return values.astype(np.int32)
    standardised = (values - np.array(target.mean)) / np.array(target.std)
    return np.asarray(standardised, np.float32)
