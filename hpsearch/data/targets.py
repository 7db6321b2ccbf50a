"""Infer the task, name the classes and encode the targets."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

import numpy as np
import numpy.typing as npt

from hpsearch.data.columns import FLOAT64_WHOLE, MISSING, parse_numbers
from hpsearch.data.dataset import FLOAT32_MAX, Indices, RawData, RawPart, TaskName
from hpsearch.data.specs import Target, Task
from hpsearch.errors import DataError
from hpsearch.wording import quoted

MAX_INFERRED_CLASSES = 20
#: As many different whole numbers are a quantity.
_LEAST_QUANTITIES = 1_000
#: A label with more digits is text: to spell it out could take minutes.
_MOST_DIGITS = 400
_NUMBER = re.compile(r"\s*[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?\s*\Z", re.ASCII)
#: A number with a leading zero, such as a zip code, is an identifier: the zeros matter.
_LEADING_ZERO = re.compile(r"\s*[+-]?0[0-9]")


def _reads_numbers(source: RawData) -> bool:
    """Check if labels are numbers, where 1 and 1.0 are one class; the training rows decide."""
    y = source.train.y
    if y.dtype != object:
        return True
    cells = dict.fromkeys(y.tolist())
    if source.typed or np.isnan(parse_numbers(np.array([*cells], object))).any():
        return False
    return not any(map(_LEADING_ZERO.match, cells))


def _named(y: npt.NDArray[Any], *, numbers: bool) -> tuple[list[str], Indices]:
    """Return the distinct class names of labels, and each row's index into them."""
    cells = y.tolist()
    of_text = _canonical if numbers else str
    names = {
        label: of_text(label) if isinstance(label, str) else _number_name(label)
        for label in dict.fromkeys(cells)
    }
    indices = {name: index for index, name in enumerate(dict.fromkeys(names.values()))}
    return list(indices), np.array([indices[names[label]] for label in cells], np.intp)


def _canonical(cell: str) -> str:
    """Return the shortest text of a number, exact for whole ones; return other text unchanged."""
    value = _number(cell)
    if value is None:
        return cell
    if value == value.to_integral_value():
        return str(int(value))
    return _number_name(float(value)) if abs(value) < FLOAT64_WHOLE else cell.strip()


def _number_name(value: float) -> str:
    return str(int(value)) if isinstance(value, int) or value.is_integer() else repr(value)


class Classes:
    """Class names in the order of their indices, taken from the training rows."""

    def __init__(self, source: RawData) -> None:
        self._where = source.where
        self._indices = source.labels != ()
        self.names = source.labels
        self.warnings: tuple[str, ...] = ()
        if self._indices:
            self.numbers = all(_number(name) is not None for name in self.names)
            return
        _require_exact(source.train)
        self.numbers = _reads_numbers(source)
        names, _ = _named(source.train.y, numbers=self.numbers)
        if len(names) == 1:
            raise DataError(
                f"{source.where}: the target has one class only, {names[0]!r}; "
                "there is nothing to learn"
            )
        values = {name: _number(name) for name in names}
        by_value = None not in values.values()
        self.names = tuple(sorted(names, key=lambda name: (values[name] if by_value else 0, name)))
        if source.train.y.dtype == object:
            self.warnings = self._ambiguous(dict.fromkeys(source.train.y.tolist()))

    def _ambiguous(self, labels: Iterable[str]) -> tuple[str, ...]:
        """Return a warning of a number that is written in several ways, such as 1 and 1.0."""
        equal: dict[str, list[str]] = {}
        for label in labels:
            if _number(label) is not None:
                equal.setdefault(_canonical(label), []).append(label)
        several = [written for written in equal.values() if len(written) > 1]
        how = "different classes, as labels are text; if they are one number, write it in one way"
        if self.numbers:
            how = "one class, as all labels are numbers; if they are text, put a letter before each"
        return tuple(
            f"{self._where}: labels such as {quoted(written, 3)} are {how}"
            for written in several[:1]
        )

    def codes(self, part: RawPart) -> npt.NDArray[np.int32]:
        """Return class indices `(n_samples,)`."""
        if self._indices:
            return part.y.astype(np.int32)
        lookup = {name: index for index, name in enumerate(self.names)}
        names, rows = _named(part.y, numbers=self.numbers)
        codes = np.array([lookup.get(name, -1) for name in names], np.int32)[rows]
        unknown = np.flatnonzero(codes < 0)
        if unknown.size:
            raise DataError(
                f"{part.place(int(unknown[0]))}: label {names[rows[unknown[0]]]!r} is out of range "
                f"({unknown.size} such rows): the training rows of {self._where} have "
                f"{quoted(self.names)}"
            )
        return codes


def _number(text: str) -> Decimal | None:
    """Return the exact number that a text represents; None for other text, and huge numbers."""
    try:
        value = Decimal(text.strip()) if _NUMBER.match(text) else None
    except InvalidOperation:  # the exponent is too large
        return None
    return None if value is None or value.adjusted() > _MOST_DIGITS else value


def _require_exact(part: RawPart) -> None:
    """Refuse floating-point labels that rounding may have made equal."""
    if part.y.dtype.kind != "f":
        return
    large = np.abs(part.y) >= FLOAT64_WHOLE
    if large.any():
        row = int(np.argmax(large))
        raise DataError(
            f"{part.place(row)}: label {part.y[row]!s} is too large: from 2**53 on, "
            "floating-point numbers run together; give integers or text"
        )


def _numbers(y: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Return targets as numbers, NaN for text."""
    return parse_numbers(y) if y.dtype == object else y.astype(np.float64)


def infer_task(source: RawData, given: TaskName | None) -> TaskName:
    """Return the given task, or the task that the training targets suggest."""
    y = source.train.y
    parts = [part for part in (source.train, source.validation, source.test) if part is not None]
    for part in parts:
        _require_values(part, numbers=_reads_numbers(source))
    kind = given or _kind_of(source)
    if kind == "regression":
        for part in parts:
            _require_values(part, numbers=True)
            _require_numbers(part, "as task: regression needs")
        return kind
    if y.ndim > 1:
        raise DataError(
            f"{source.where}: task: classification takes one column of labels or one-hot rows, "
            f"and y has shape {y.shape}"
        )
    return kind


def are_whole(values: npt.NDArray[np.float64]) -> bool:
    """Check if all numbers are whole."""
    return bool(np.equal(values, np.round(values)).all())


def _kind_of(source: RawData) -> TaskName:
    part = source.train
    if source.labels:
        return "classification"
    if part.y.ndim > 1:
        return "regression"
    values = _numbers(part.y)
    if 2 * np.isnan(values).sum() > len(values):
        return "classification"
    _require_numbers(part, "the others are")
    if not are_whole(values):
        return "regression"
    names, rows = _named(part.y, numbers=_reads_numbers(source))
    if len(names) >= _LEAST_QUANTITIES and _reads_numbers(source):
        return "regression"
    counts = np.bincount(rows)
    if len(names) <= MAX_INFERRED_CLASSES and (counts >= 2).all():
        return "classification"
    why = f"{len(names)} different values, more than {MAX_INFERRED_CLASSES}"
    if len(names) <= MAX_INFERRED_CLASSES:
        why = f"{names[int(np.argmax(counts < 2))]} stands in one row only"
    raise DataError(
        f"{source.where}: the target's whole numbers could be classes or a quantity ({why}); "
        "say task: classification or task: regression (hpsearch run: --task)"
    )


def _require_values(part: RawPart, *, numbers: bool) -> None:
    """Refuse missing targets and infinite numbers; text such as `inf` may be a label."""
    values = _numbers(part.y)
    bad = ~(np.abs(values) <= FLOAT32_MAX)
    if part.y.dtype == object:
        bad = np.isin(part.y, list(MISSING)) | (bad & ~np.isnan(values) & numbers)
    if bad.any():
        row = int(np.argwhere(bad)[0][0])
        target = str(part.y[row])
        hint = ""
        if target and target in MISSING:
            hint = f"; with data: {{missing: [{target!r}]}} such rows of a CSV file are left out"
        raise DataError(
            f"{part.place(row)}: the target {target!r} is missing or not a finite number "
            f"({int(bad.sum())} such); repair or remove the row{hint}"
        )


def _require_numbers(part: RawPart, why: str) -> None:
    text = np.isnan(_numbers(part.y))
    if text.any():
        row = np.argmax(text)
        raise DataError(
            f"{part.place(int(row))}: target {part.y[row]!r} is not a number, {why} "
            f"({int(text.sum())} such rows); repair it, or say task: classification"
        )


def regression_values(part: RawPart) -> npt.NDArray[np.float64]:
    """Return the targets in their own units, `(n_samples, outputs)`."""
    return _numbers(part.y).reshape(len(part.y), -1)


def regression_target(values: npt.NDArray[np.float64], where: str) -> Target:
    """Return a target with mean and standard deviation of training rows `(n_samples, outputs)`."""
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


def class_target(names: Sequence[str], *, numbers: bool = False) -> Target:
    """Return a target for a sigmoid unit if there are two classes, else for a softmax unit each."""
    task, outputs = (Task.BINARY, 1) if len(names) == 2 else (Task.MULTICLASS, len(names))
    return Target(task=task, outputs=outputs, classes=tuple(names), numbers=numbers)


def encode_target(target: Target, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Encode class indices or regression values as in `hpsearch.data.specs.Arrays`."""
    match target.task:
        case Task.BINARY:
            return values.astype(np.float32)
        case Task.MULTICLASS:
            return values.astype(np.int32)
    standardised = (values - np.array(target.mean)) / np.array(target.std)
    return np.asarray(standardised, np.float32)


def in_own_units(y: npt.NDArray[Any], target: Target) -> npt.NDArray[Any]:
    """Return targets in their own units, float32; class indices stay as they are."""
    if target.task is not Task.REGRESSION:
        return y
    return np.asarray(y * np.array(target.std) + np.array(target.mean), np.float32)
