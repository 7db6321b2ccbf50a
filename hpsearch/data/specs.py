"""The data of a training: descriptions of its inputs and targets, and its arrays.

These are plain values that cross processes. Importing this module does not import NumPy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import accumulate, pairwise
from math import prod
from typing import TYPE_CHECKING, Any, ClassVar, Literal

if TYPE_CHECKING:
    import numpy.typing as npt


class Task(StrEnum):
    """The kind of prediction.

    With `objective`, a user's function returns the score. With `own`, a user's model has its own
    loss and metrics and takes raw targets.
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


DATE_PARTS = ("year", "month", "weekday", "day_of_year", "seconds")


@dataclass(frozen=True)
class DateColumn:
    """A column of dates, which a model takes as numbers.

    Attributes:
        format: Format of its texts, as `pandas.to_datetime` takes it; empty for dates of a frame.
        first: The training file's first date, in ISO 8601, from which seconds count.
    """

    name: str
    format: str
    first: str

    @property
    def parts(self) -> tuple[str, ...]:
        """The names of the numbers that replace a date."""
        return tuple(f"{self.name}.{part}" for part in DATE_PARTS)


@dataclass(frozen=True)
class TableSpec:
    """The columns of a table, as determined from the training rows.

    Attributes:
        names: Columns in the order in which a model takes them, a date as its parts; empty for rows
            without names.
        missing: Further cells that mean a missing value.
        decimal: Decimal sign of the file; other files have it, too, if they do not show theirs.
        reading: The keys of a sweep's data that say how its CSV is written, and their values.
    """

    names: tuple[str, ...] = ()
    text: frozenset[str] = frozenset()
    dates: tuple[DateColumn, ...] = ()
    missing: tuple[str, ...] = ()
    decimal: Literal[".", ","] = "."
    reading: tuple[tuple[str, str], ...] = ()
    READING_KEYS: ClassVar = ("separator", "decimal", "encoding")

    @property
    def read(self) -> tuple[str, ...]:
        """The columns to read from a table, in order; a date is one column."""
        whole = {part: date.name for date in self.dates for part in date.parts}
        return tuple(dict.fromkeys(whole.get(name, name) for name in self.names))

    @property
    def as_text(self) -> frozenset[str]:
        """The columns whose cells pandas must not convert."""
        return self.text.union(date.name for date in self.dates)


@dataclass(frozen=True)
class ArrayPart:
    """One of several inputs or targets, whose columns stand side by side in one array.

    Attributes:
        name: Its key in a mapping; empty for a list.
        shape: Shape of one row.
        image: True for an input of images, uint8 numbers.
    """

    name: str
    shape: tuple[int, ...]
    whole: bool
    image: bool = False

    @property
    def columns(self) -> int:
        """Number of its columns."""
        return prod(self.shape)

    @property
    def in_fingerprint(self) -> str:
        """The text that represents it in a fingerprint."""
        # Keep the class' former name, with which the first fingerprints were made.
        return f"TargetPart(name={self.name!r}, shape={self.shape!r}, whole={self.whole!r})"


def column_slices(parts: Sequence[ArrayPart]) -> list[slice]:
    """Return the slice of columns that each part occupies."""
    ends = list(accumulate((part.columns for part in parts), initial=0))
    return [slice(*bounds) for bounds in pairwise(ends)]


@dataclass(frozen=True)
class InputSpec:
    """The conversion of raw rows to features, fitted on the training split only.

    Attributes:
        shape: Shape of one raw row; for a table with text columns, `(n_columns,)`.
        dtype: Type of the raw array, `uint8` or `float32`.
        table: The columns of a table; empty for rows without names.
        columns: The columns of a table with text columns, else None.
        fill: If values are missing, the number that replaces a missing one, for each feature, or
            for each numeric column of a table with text columns; else empty.
        indicators: Indices into `fill` of the columns with an extra feature: 1 where the value is
            missing, else 0.
        mean, variance: With `scale: standard`, one number for each feature (of a flattened row),
            or for each numeric column of a table with text columns; else empty.
        scale, offset: With another scale, a feature becomes feature * scale + offset. One number
            for all features, or one for each; else empty.
        parts: Several inputs of a custom model, side by side in a row; else empty.
    """

    shape: tuple[int, ...]
    dtype: str
    columns: tuple[ColumnSpec, ...] | None = None
    mean: tuple[float, ...] = ()
    variance: tuple[float, ...] = ()
    scale: tuple[float, ...] = ()
    offset: tuple[float, ...] = ()
    fill: tuple[float, ...] = ()
    indicators: tuple[int, ...] = ()
    table: TableSpec = TableSpec()
    parts: tuple[ArrayPart, ...] = ()


@dataclass(frozen=True)
class Target:
    """The target that a model predicts.

    Attributes:
        outputs: Units of the output layer (1 for binary, one for each class for multiclass).
        classes: Class names in the order of their indices; empty for regression.
        numbers: True if labels are numbers, whose class names are their texts.
        mean, std: Of the training split's regression targets, one number for each target. Training
            reads `(target - mean) / std`. 0 and 1 for classification.
        parts: Several targets, whose columns are side by side in one array; else empty.
    """

    task: Task
    outputs: int
    classes: tuple[str, ...] = ()
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    parts: tuple[ArrayPart, ...] = ()
    numbers: bool = False

    @property
    def standardised(self) -> bool:
        """True if training reads standardised targets instead of raw ones."""
        return any(self.mean) or any(std != 1 for std in self.std)


@dataclass(frozen=True, eq=False)
class Arrays:
    """The arrays that a training reads; equal to themselves only.

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
        held: See `Dataset`.
    """

    input: InputSpec
    target: Target
    arrays: Arrays
    folds: tuple[TrainingData, ...] = ()
    held: Any = None

    def of_fold(self, fold: int | None) -> TrainingData:
        """Return the data of a fold (from 1), or these without cross-validation."""
        return self if fold is None else self.folds[fold - 1]


def runs_in_graph(spec: InputSpec) -> bool:
    """True if a training scales the rows itself: uint8 images take a quarter of the memory."""
    return spec.dtype == "uint8" and spec.columns is None


def n_features(spec: InputSpec) -> int:
    """Width of one row of features."""
    indicators = len(spec.indicators)
    if spec.columns is None:
        return prod(spec.shape) + indicators
    widths = (1 if c.vocabulary is None else len(c.vocabulary) + 1 for c in spec.columns)
    return sum(widths) + indicators


def row_shape(spec: InputSpec) -> tuple[int, ...]:
    """Shape of a row for a user's model: an image keeps its shape, a table is encoded."""
    encoded = spec.columns is not None or spec.indicators
    return (n_features(spec),) if encoded else spec.shape
