"""The data of a training: descriptions of inputs and targets, and the arrays.

These are plain values that cross processes. Importing this module does not import NumPy.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from math import prod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy.typing as npt


class Task(StrEnum):
    """The kind of prediction.

    With `objective`, a user's function gives the score. With `own`, a user's model has its own loss
    and metrics and takes the targets as they are.
    """

    BINARY = "binary"
    MULTICLASS = "multiclass"
    REGRESSION = "regression"
    OBJECTIVE = "objective"
    OWN = "own"


@dataclass(frozen=True)
class ColumnSpec:
    """A column of a table: one-hot encoded text, or numbers if `vocabulary` is None."""

    name: str
    vocabulary: tuple[str, ...] | None = None


@dataclass(frozen=True)
class InputSpec:
    """The conversion of raw rows to features, fitted on the training split only.

    Attributes:
        shape: Of one raw row; for a table with text columns, `(n_columns,)`.
        dtype: Of the raw array, `uint8` or `float32`.
        names: Of a table's columns, in order; empty for rows without names.
        columns: The columns of a table with text columns, else None.
        mean, variance: With `scale: standard`, one number for each feature (of a flattened row),
            or for each numeric column of a table with text columns; else empty.
        scale, offset: With `scale: unit`, a feature becomes feature * scale + offset. One number
            for all features, or one for each; else empty.
    """

    shape: tuple[int, ...]
    dtype: str
    columns: tuple[ColumnSpec, ...] | None = None
    mean: tuple[float, ...] = ()
    variance: tuple[float, ...] = ()
    scale: tuple[float, ...] = ()
    offset: tuple[float, ...] = ()
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class TargetPart:
    """One of several targets.

    Attributes:
        name: Its key in a mapping of targets; empty for a list of targets.
        shape: Of one row.
        whole: True for whole numbers.
    """

    name: str
    shape: tuple[int, ...]
    whole: bool

    @property
    def columns(self) -> int:
        """Number of its columns in `Arrays.y_train`."""
        return prod(self.shape)


@dataclass(frozen=True)
class Target:
    """The target that a model predicts.

    Attributes:
        task: The kind of prediction.
        outputs: Units of the output layer (1 for binary, one a class for multiclass).
        classes: Class names in the order of their indices; empty for regression.
        numbers: True if labels are numbers, whose class names are their texts.
        mean, std: Of the training split's regression targets, one number a target. Training
            reads `(target - mean) / std`. 0 and 1 for classification.
        parts: Several targets, whose columns are side by side in one array; else empty.
    """

    task: Task
    outputs: int
    classes: tuple[str, ...] = ()
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    parts: tuple[TargetPart, ...] = ()
    numbers: bool = False

    @property
    def standardised(self) -> bool:
        """True if training reads the target in other units than its own."""
        return any(self.mean) or any(std != 1 for std in self.std)


@dataclass(frozen=True)
class Arrays:
    """The arrays that a training reads.

    Attributes:
        x_train, x_val: Features `(n_samples, n_features)` float32, or raw images
            `(n_samples, ...)` uint8 that the graph scales and flattens.
        y_train, y_val: int32 class indices `(n_samples,)`; float32 0/1 `(n_samples,)` for
            binary; float32 standardised targets `(n_samples, outputs)` for regression; the float32
            columns of several targets (see `Target.parts`).
        w_train, w_val: Weights of the rows in the loss, float32 `(n_samples,)`, or None.
    """

    x_train: npt.NDArray[Any]
    y_train: npt.NDArray[Any]
    x_val: npt.NDArray[Any]
    y_val: npt.NDArray[Any]
    w_train: npt.NDArray[Any] | None = None
    w_val: npt.NDArray[Any] | None = None


@dataclass(frozen=True)
class TrainingData:
    """The data that all trainings of a sweep share.

    Attributes:
        folds: With cross-validation, the data of each fold, which its trainings read instead.
    """

    input: InputSpec
    target: Target
    arrays: Arrays
    folds: tuple[TrainingData, ...] = ()

    def of_fold(self, fold: int | None) -> TrainingData:
        """Return the data of a fold (from 1), or this data without cross-validation."""
        return self if fold is None else self.folds[fold - 1]


def runs_in_graph(spec: InputSpec) -> bool:
    """True if a training scales the rows itself: uint8 images take a quarter of the memory."""
    return spec.dtype == "uint8" and spec.columns is None


def n_features(spec: InputSpec) -> int:
    """Width of one row of features."""
    if spec.columns is None:
        return prod(spec.shape)
    return sum(1 if c.vocabulary is None else len(c.vocabulary) + 1 for c in spec.columns)


def row_shape(spec: InputSpec) -> tuple[int, ...]:
    """Shape of a row for a user's model: an image keeps its shape, a table is encoded."""
    return spec.shape if spec.columns is None else (n_features(spec),)
