"""What a training reads: descriptions of inputs and targets, and the arrays.

Plain data that crosses processes; importing it imports no NumPy.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from math import prod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy.typing as npt


class Task(StrEnum):
    """What the output layer predicts.

    `objective` where a function of one's own gives the score, `own` where a model of one's own has
    the loss and the metrics and takes the targets as they are.
    """

    BINARY = "binary"
    MULTICLASS = "multiclass"
    REGRESSION = "regression"
    OBJECTIVE = "objective"
    OWN = "own"


@dataclass(frozen=True)
class ColumnSpec:
    """One column of a table: numeric where `vocabulary` is None, else text, one-hot encoded."""

    name: str
    vocabulary: tuple[str, ...] | None = None


@dataclass(frozen=True)
class InputSpec:
    """How raw rows become features; fitted on the training split only.

    Attributes:
        shape: Of one raw row; for a table with text columns, `(n_columns,)`.
        dtype: Of the raw array, `uint8` or `float32`.
        columns: The table's columns where at least one is text, else None.
        mean, variance: Of `scale: standard`, one number a feature (flattened row), else empty.
            Text columns are not scaled; in a table they have one entry per numeric column.
        scale, offset: Of `scale: unit`: feature * scale + offset. One number for all features
            or one a feature.
    """

    shape: tuple[int, ...]
    dtype: str
    columns: tuple[ColumnSpec, ...] | None = None
    mean: tuple[float, ...] = ()
    variance: tuple[float, ...] = ()
    scale: tuple[float, ...] = ()
    offset: tuple[float, ...] = ()


@dataclass(frozen=True)
class TargetPart:
    """One of several targets.

    Attributes:
        name: As they were given by name; empty for one of a list.
        shape: Of one row's.
        whole: Whether it is whole numbers.
    """

    name: str
    shape: tuple[int, ...]
    whole: bool

    @property
    def columns(self) -> int:
        """Of `Arrays.y_train`."""
        return prod(self.shape)


@dataclass(frozen=True)
class Target:
    """What is predicted.

    Attributes:
        task: The kind of prediction.
        outputs: Units of the output layer (1 for binary, classes for multiclass).
        classes: Class names in the order of their indices; empty for regression.
        mean, std: Of the training split's regression target, which is standardised for
            training: `(target - mean) / std`; 0 and 1 for classification. One number a target.
        parts: Of several targets, whose columns lie side by side in one array; else empty.
    """

    task: Task
    outputs: int
    classes: tuple[str, ...] = ()
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    parts: tuple[TargetPart, ...] = ()

    @property
    def standardised(self) -> bool:
        """Whether training reads it in other units than its own."""
        return any(self.mean) or any(std != 1 for std in self.std)


@dataclass(frozen=True)
class Arrays:
    """The numbers that a training reads.

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
    """What every training of a sweep reads.

    Attributes:
        folds: Of cross-validation, what its trainings read in place of this.
    """

    input: InputSpec
    target: Target
    arrays: Arrays
    folds: tuple[TrainingData, ...] = ()

    def of_fold(self, fold: int | None) -> TrainingData:
        """That of a fold (from 1); this one without cross-validation."""
        return self if fold is None else self.folds[fold - 1]


def runs_in_graph(spec: InputSpec) -> bool:
    """Whether a training scales the rows itself: uint8 images take a quarter of the memory."""
    return spec.dtype == "uint8" and spec.columns is None


def n_features(spec: InputSpec) -> int:
    """Width of one row of features."""
    if spec.columns is None:
        return prod(spec.shape)
    return sum(1 if c.vocabulary is None else len(c.vocabulary) + 1 for c in spec.columns)


def row_shape(spec: InputSpec) -> tuple[int, ...]:
    """Of a row as a model of one's own takes it: an image keeps its shape, a table is encoded."""
    return spec.shape if spec.columns is None else (n_features(spec),)
