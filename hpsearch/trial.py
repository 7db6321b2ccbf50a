"""What a sweep runs and what comes out: frozen plain data that may cross processes."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from math import prod
from typing import TYPE_CHECKING, Any, overload

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = [
    "Arrays",
    "ColumnSpec",
    "Curve",
    "EarlyStopping",
    "InputSpec",
    "Past",
    "Recipe",
    "Snapshot",
    "Status",
    "Target",
    "TargetPart",
    "Task",
    "Training",
    "TrialResult",
]


#: What every MLP reports, `mae` or `accuracy` by its task.
_REPORTED = ("loss", "accuracy", "mae")


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


class Status(StrEnum):
    """How a trial ended; a trial that was interrupted has none."""

    COMPLETED = "completed"
    STOPPED = "stopped"
    DIVERGED = "diverged"
    FAILED = "failed"
    TIMEOUT = "timeout"
    KILLED = "killed"

    @property
    def scored(self) -> bool:
        """Whether the score of such a trial counts."""
        return self in (Status.COMPLETED, Status.STOPPED)


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
class EarlyStopping:
    """Stop once the metric has not improved by more than `min_delta` for `patience` epochs."""

    patience: int
    min_delta: float = 0.0


@dataclass(frozen=True)
class Recipe:
    """What decides a score beside the config, the seed and the data.

    Attributes:
        sweep_seed: Weights, shuffles and masks derive from it and the trial's seed.
        loss, output_activation: Keras names.
        metric, goal, epoch: The score: a metric's name, `maximize` or `minimize`, and the
            epoch it is read at, `last` or `best`.
        model: `package.module:name` of what builds the model, or empty for the MLP.
        code: That function or class by cloudpickle, where it cannot be imported by its name.
        late: What a hyperparameter that a model asks for beside those of its config is:
            `default`, or `drawn` from its range by the config and the sweep's seed.
        asked: Of `epochs` and `batch_size`, those that the model asks for by itself: its own
            `fit` is not told them.
        weighted: Whether rows have weights in the loss.
    """

    sweep_seed: int
    loss: str
    output_activation: str
    metric: str
    goal: str
    epoch: str = "last"
    early_stopping: EarlyStopping | None = None
    model: str = ""
    code: bytes = field(default=b"", repr=False)
    late: str = "drawn"
    asked: tuple[str, ...] = ()
    weighted: bool = False

    @property
    def keras_metric(self) -> str:
        """The metric that is scored, without `val_`, where no MLP reports it anyway; or empty."""
        name = self.metric.removeprefix("val_")
        return "" if self.model or name in _REPORTED else name

    def better(self, score: float, than: float) -> bool:
        """Whether `score` is strictly better than `than`."""
        return score > than if self.goal == "maximize" else score < than


@dataclass(frozen=True)
class Training:
    """One uninterrupted run of an MLP that answers one or more trials.

    Attributes:
        values: The live hyperparameters without `epochs`.
        seed: The trials' seed.
        stops: `(epochs, trial number)`, ascending in epochs: the epochs after which a trial
            is answered.
        whole: The epochs that its one trial asks for, where the method halts it before: its
            status is `stopped` then. None where it is trained to its end.
        source: The trial whose snapshot it goes on from; None where it starts anew.
        fold: Of cross-validation, from 1; None without.
    """

    values: Mapping[str, Any]
    seed: int
    stops: tuple[tuple[int, int], ...]
    whole: int | None = None
    source: int | None = None
    fold: int | None = None

    @property
    def number(self) -> int:
        """The trial that names this training: the one that trains longest."""
        return self.stops[-1][1]

    @property
    def epochs(self) -> int:
        """How many epochs it takes."""
        return self.stops[-1][0]

    @property
    def trials(self) -> tuple[int, ...]:
        """Numbers of the trials that it answers."""
        return tuple(number for _, number in self.stops)


Epoch = Mapping[str, float]


class Curve(Sequence[Epoch]):
    """A learning curve in eight bytes a number, since those of all trials stay in memory.

    Equal to every sequence of equal mappings.

    Args:
        epochs: One mapping an epoch, all with the same names.
    """

    __slots__ = ("_names", "_numbers")

    def __init__(self, epochs: Iterable[Epoch] = ()) -> None:
        epochs = tuple(epochs)
        self._names = _shared(tuple(epochs[0]) if epochs else ())
        self._numbers = array("d", [epoch[name] for epoch in epochs for name in self._names])

    def __len__(self) -> int:
        return len(self._numbers) // len(self._names) if self._names else 0

    @overload
    def __getitem__(self, index: int) -> Epoch: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Epoch]: ...
    def __getitem__(self, index: int | slice) -> Epoch | Sequence[Epoch]:
        if isinstance(index, slice):
            return tuple(self[each] for each in range(len(self))[index])
        first = range(len(self))[index] * len(self._names)
        return dict(zip(self._names, self._numbers[first : first + len(self._names)], strict=True))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]  # like the mappings that it stands for

    def __repr__(self) -> str:
        return f"Curve({list(self)})"


@cache
def _shared(names: tuple[str, ...]) -> tuple[str, ...]:
    """One object for all that are equal."""
    return names


@dataclass(frozen=True)
class Snapshot:
    """All that a training needs to go on as if it had never halted.

    Attributes:
        epoch: Epochs that it was trained.
        state: The trainer's: weights, the optimizer's variables, random generators.
        best: The weights at the best epoch so far, where the recipe scores that one.
    """

    epoch: int
    state: tuple[npt.NDArray[Any], ...]
    best: tuple[npt.NDArray[Any], ...] | None = None

    @property
    def nbytes(self) -> int:
        """Bytes of its numbers."""
        return sum(array.nbytes for array in (*self.state, *(self.best or ())))


@dataclass(frozen=True)
class Past:
    """A training so far, to go on from.

    Attributes:
        curve: Its epochs, as many as the snapshot's.
        seconds: That they took.
    """

    curve: Sequence[Epoch]
    snapshot: Snapshot
    seconds: float = 0.0


@dataclass(frozen=True)
class TrialResult:
    """What came out of one trial.

    Attributes:
        trial: The trial's number.
        curve: One mapping an epoch, from epoch 1 on: metric name -> value.
        scored_epoch: The epoch whose metrics and score the row shows (from 1), or None.
        seconds: Of training; where trials share one, the share of this one.
        shared_with: The trial whose training answered this one, or None.
        trainer: `native`, `graph`, `xla` or `fit`; empty where none ran.
        weights: How many numbers the model has, or None where none was built.
        error: One line for people; `traceback` is whole.
        late: Hyperparameters that the model asked for beside those of the config.
        state: The weights at the scored epoch where they are to be kept.
        snapshot: Of the training at the last epoch, where it may go on.
    """

    trial: int
    status: Status
    score: float | None = None
    curve: Sequence[Epoch] = ()
    scored_epoch: int | None = None
    best_epoch: int | None = None
    best_score: float | None = None
    seconds: float = 0.0
    shared_with: int | None = None
    trainer: str = ""
    weights: int | None = None
    error: str = ""
    traceback: str = ""
    late: Mapping[str, Any] = field(default_factory=dict)
    state: tuple[npt.NDArray[Any], ...] | None = field(default=None, compare=False, repr=False)
    snapshot: Snapshot | None = field(default=None, compare=False, repr=False)
