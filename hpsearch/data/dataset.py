"""What loaders give: raw rows, datasets, splits, several targets in one array."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from hpsearch.data.specs import InputSpec, Target, TargetPart, Task
from hpsearch.errors import DataError

TaskName = Literal["classification", "regression"]
Scale = Literal["auto", "none", "unit", "standard"]

Indices = npt.NDArray[np.intp]
Folds = Callable[[Indices, Indices | None], Sequence[tuple[Indices, Indices]]]


@dataclass(frozen=True)
class Options:
    """What does not depend on where the rows come from.

    Attributes:
        validation, test: Fractions to split off; None where the source brings the part, or
            (for `test`) where there is none.
        cv: Folds of cross-validation in place of a validation part, or None.
        folds: Makes these folds, or without `cv` the one split; None for the usual ones.
        parts: Of several targets; see `Target`.
    """

    validation: float | None = 0.2
    test: float | None = None
    seed: int = 42
    scale: Scale = "auto"
    task: TaskName | None = None
    cv: int | None = None
    folds: Folds | None = None
    parts: tuple[TargetPart, ...] = ()


Inputs = npt.NDArray[Any] | dict[str, npt.NDArray[Any]]
"""Raw rows: `(n_samples, ...)` float32 or uint8; or, for a table with text columns, a mapping
from column name to `(n_samples,)` float32 numbers or object `str`, as `Model.predict` takes."""


def n_rows(x: Inputs) -> int:
    """Number of rows in `x`."""
    return len(next(iter(x.values()))) if isinstance(x, Mapping) else len(x)


def take(x: Inputs, rows: npt.NDArray[np.intp]) -> Inputs:
    """Rows of `x` in the order of the indices `rows`."""
    if isinstance(x, Mapping):
        return {name: column[rows] for name, column in x.items()}
    return x[rows]


@dataclass(frozen=True, eq=False)
class RawPart:
    """Rows as they were read: features, targets, and where each row stands.

    Attributes:
        x: Raw rows.
        y: int64 or object `str` labels `(n_samples,)`, or float64 `(n_samples,)` or
            `(n_samples, outputs)`.
        place: From a row's index to words such as `iris.csv:17`.
        weights: Of the rows in the loss, float32 `(n_samples,)`, or None.
    """

    x: Inputs
    y: npt.NDArray[Any]
    place: Callable[[int], str]
    weights: npt.NDArray[np.float32] | None = None


@dataclass(frozen=True, eq=False)
class RawData:
    """All that was read, before it is split and encoded.

    Attributes:
        name: Of the dataset.
        where: How messages call it: a path, or `the built-in set 'iris'`.
        train: The rows that splits are taken from.
        validation, test: Parts that the source brings of its own.
        labels: Class names where `train.y` holds indices into them.
        unit: The largest raw value of an image, else None.
        task: Where the source knows it.
        feature_names: One a column, or empty.
        user_data: Whether rows come from the user, so that oddities deserve a warning.
    """

    name: str
    where: str
    train: RawPart
    validation: RawPart | None = None
    test: RawPart | None = None
    labels: tuple[str, ...] = ()
    unit: float | None = None
    task: TaskName | None = None
    feature_names: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    user_data: bool = True


@dataclass(frozen=True, eq=False)
class Split:
    """One part of a dataset: raw rows `x`, and `y` encoded as `hpsearch.data.dataset.Arrays` says.

    `weights` are those of the rows in the loss, float32 `(n_samples,)`, or None.
    """

    x: Inputs
    y: npt.NDArray[Any]
    weights: npt.NDArray[np.float32] | None = None

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.y)


@dataclass(frozen=True, eq=False)
class Dataset:
    """Raw rows, encoded targets, and how to turn the rows into features.

    Attributes:
        name: Of the built-in set, or the stem of the file.
        input, target: Fitted on the training split only.
        test: None where there is no test split.
        fingerprint: `d` and 11 hex digits of the parsed values, labels and split.
        warnings: One sentence each, for the user.
        feature_names: One a column of a table, else empty.
        folds: Of cross-validation, each fitted on its own training split; then `input`, `target`,
            `train` and `validation` are the first one's, and the fingerprint that of them all.
    """

    name: str
    input: InputSpec
    target: Target
    train: Split
    validation: Split
    test: Split | None
    fingerprint: str
    warnings: tuple[str, ...] = ()
    feature_names: tuple[str, ...] = ()
    folds: tuple[Dataset, ...] = ()

    def of_fold(self, fold: int | None) -> Dataset:
        """That of a fold (from 1); this one without cross-validation."""
        return self if fold is None else self.folds[fold - 1]


@dataclass(frozen=True)
class Shape:
    """The sizes of a dataset, as `load` would give them.

    Attributes:
        test_rows: 0 where there is no test split.
        input_shape: Of one raw row.
        features: Width of one row as the first Dense layer sees it.
        outputs: Units of the output layer.
    """

    name: str
    train_rows: int
    validation_rows: int
    test_rows: int
    input_shape: tuple[int, ...]
    features: int
    task: Task
    outputs: int

    @classmethod
    def of(cls, dataset: Dataset) -> Shape:
        """The shape of a loaded dataset."""
        columns = dataset.input.columns
        features = (
            math.prod(dataset.input.shape)
            if columns is None
            else sum(1 if c.vocabulary is None else len(c.vocabulary) + 1 for c in columns)
        )
        return cls(
            name=dataset.name,
            train_rows=len(dataset.train),
            validation_rows=len(dataset.validation),
            test_rows=0 if dataset.test is None else len(dataset.test),
            input_shape=dataset.input.shape,
            features=features,
            task=dataset.target.task,
            outputs=dataset.target.outputs,
        )


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
