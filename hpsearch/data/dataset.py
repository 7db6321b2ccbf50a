"""What the loaders hand out, and what they hand to each other."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hpsearch.data.spec import Kind
from hpsearch.trial import InputSpec, Target, Task

__all__ = ["Dataset", "Inputs", "Part", "Shape", "Source", "Split", "n_rows", "take"]

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
class Part:
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
class Source:
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
    train: Part
    validation: Part | None = None
    test: Part | None = None
    labels: tuple[str, ...] = ()
    unit: float | None = None
    task: Kind | None = None
    feature_names: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    user_data: bool = True


@dataclass(frozen=True, eq=False)
class Split:
    """One part of a dataset: raw rows `x`, and `y` encoded as `hpsearch.trial.Arrays` says.

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
