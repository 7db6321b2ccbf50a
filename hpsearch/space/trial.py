"""A trial's way: `Trial` (a numbered config), `Training` (what answers it), `TrialResult`."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple, overload

from hpsearch.space.mlp import MLPConfig
from hpsearch.space.space import Config, Kind

if TYPE_CHECKING:
    import numpy.typing as npt


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
class ResumePoint:
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


#: Epochs of what ends by itself.
ENDLESS = 2**31


class Repetition(NamedTuple):
    """What repeats a config: a seed, and with cross-validation a fold, from 1."""

    seed: int
    fold: int | None = None


#: A config's id and a repetition of it.
TrialKey = tuple[str, Repetition]


@dataclass(frozen=True)
class Trial:
    """A config with a seed: one row of the results table.

    Attributes:
        number: From 1, fixed when the trial is first planned.
        fold: Of cross-validation, from 1; None without.
    """

    number: int
    config: Config
    seed: int
    fold: int | None = None

    @property
    def repetition(self) -> Repetition:
        """Seed and fold, which repeat a config."""
        return Repetition(self.seed, self.fold)

    @property
    def key(self) -> TrialKey:
        """What makes two trials one."""
        return self.config.id, self.repetition

    @property
    def epochs(self) -> int:
        """How many epochs it asks for; what is told of none goes on to its own end."""
        match self.config.kind:
            case Kind.FUNCTION:
                return 1
            case Kind.STEPWISE | Kind.WHOLE_MODEL:
                return int(self.config.values.get("epochs", ENDLESS))
        return MLPConfig(self.config.values).epochs
