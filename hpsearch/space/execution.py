"""Executions (trials with a seed and a fold), their trainings and their results."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from hpsearch.space.mlp import DEFAULTS
from hpsearch.space.space import ENDLESS, Config

if TYPE_CHECKING:
    import numpy.typing as npt


class Status(StrEnum):
    """The way an execution ended; an interrupted one has no status."""

    COMPLETED = "completed"
    STOPPED = "stopped"
    DIVERGED = "diverged"
    FAILED = "failed"
    TIMEOUT = "timeout"
    KILLED = "killed"

    @property
    def scored(self) -> bool:
        """True if the score of such an execution counts."""
        return self in (Status.COMPLETED, Status.STOPPED)


@dataclass(frozen=True)
class Training:
    """One uninterrupted run of a trainer that answers one or more executions.

    Attributes:
        values: The active hyperparameters, as `Config.trained` has them.
        stops: `(epochs, execution number)`, ascending in epochs: the epochs after which a result
            for an execution is taken.
        whole: Epochs in the config of its only execution, if the method halts it earlier with
            status `stopped`; None if it trains to the end.
        source: Execution whose snapshot the training continues; None for a new training.
        fold: Fold of cross-validation, from 1; None without.
        trial: The trial of the execution that trains longest.
    """

    values: Mapping[str, Any]
    seed: int
    stops: tuple[tuple[int, int], ...]
    whole: int | None = None
    source: int | None = None
    fold: int | None = None
    trial: int = 0

    @property
    def label(self) -> str:
        """Readable name of the execution that trains longest."""
        return label(self.trial, self.seed, self.fold)

    @property
    def number(self) -> int:
        """Number of the execution that trains longest, which names the training."""
        return self.stops[-1][1]

    @property
    def epochs(self) -> int:
        """Epochs of the longest execution."""
        return self.stops[-1][0]

    @property
    def executions(self) -> tuple[int, ...]:
        """Numbers of the executions that the training answers."""
        return tuple(number for _, number in self.stops)


Epoch = Mapping[str, float]


class Curve(Sequence[Epoch]):
    """A learning curve with eight bytes per number, since all of them stay in memory.

    It equals every sequence of equal mappings.

    Args:
        epochs: One mapping per epoch, all with the same names.
    """

    __slots__ = ("_names", "_numbers")

    def __init__(self, epochs: Iterable[Epoch] = ()) -> None:
        epochs = tuple(epochs)
        self._names = _shared(tuple(epochs[0]) if epochs else ())
        self._numbers = array("d", [epoch[name] for epoch in epochs for name in self._names])

    def __len__(self) -> int:
        return len(self._numbers) // len(self._names) if self._names else 0

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return tuple(self[epoch] for epoch in range(len(self))[index])
        first = range(len(self))[index] * len(self._names)
        return dict(zip(self._names, self._numbers[first : first + len(self._names)], strict=True))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]  # like a sequence of mappings


@cache
def _shared(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the same object for equal names."""
    return names


@dataclass(frozen=True)
class Snapshot:
    """The state from which a training continues as if it had never halted.

    Attributes:
        epoch: Number of trained epochs.
        state: The trainer's weights, optimizer variables and random generators.
        best: Weights at the best epoch so far, if that epoch is scored.
    """

    epoch: int
    state: tuple[npt.NDArray[Any], ...]
    best: tuple[npt.NDArray[Any], ...] | None = None

    @property
    def nbytes(self) -> int:
        """Size of all arrays in bytes."""
        return sum(array.nbytes for array in (*self.state, *(self.best or ())))


@dataclass(frozen=True)
class ResumePoint:
    """A halted training that can continue.

    Attributes:
        curve: Its epochs, as many as the snapshot's, which took `seconds`.
    """

    curve: Sequence[Epoch]
    snapshot: Snapshot
    seconds: float = 0.0


@dataclass(frozen=True)
class ExecutionResult:
    """The result of one execution.

    Attributes:
        curve: One mapping per epoch, from epoch 1 on: metric name -> value.
        scored_epoch: Epoch (from 1) whose metrics and score the row shows, or None.
        seconds: Training time; of a shared training, this execution's share.
        shared_with: Number of the execution whose training answered this one, or None.
        trainer: `native`, `graph`, `xla` or `fit`; empty if none ran.
        weights: Number of the model's weights, or None if no model was built.
        error: One line for people; `traceback` has the details.
        late: Hyperparameters that the model requested beyond those of the config.
        versions: The versions that made it, by column; empty until it is stored.
        state: Weights at the scored epoch, if they are kept.
        snapshot: State of the training after the last epoch, if it may continue.
    """

    number: int
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
    versions: Mapping[str, str] = field(default_factory=dict)
    state: tuple[npt.NDArray[Any], ...] | None = field(default=None, compare=False, repr=False)
    snapshot: Snapshot | None = field(default=None, compare=False, repr=False)


class Repetition(NamedTuple):
    """A seed and, with cross-validation, a fold (from 1), for which a config is trained."""

    seed: int
    fold: int | None = None


#: Config id and repetition.
ExecutionKey = tuple[str, Repetition]


@dataclass(frozen=True)
class Execution:
    """A trial with one seed and one fold: a row of the results table.

    Attributes:
        number: From 1, in the order of planning; internal to the store, not shown to users.
        trial: Number of its trial, from 1: fixed when the config is first planned.
        fold: Fold of cross-validation, from 1; None without.
        method: Name of the method that proposed the config, or of the user's oracle.
    """

    number: int
    trial: int
    config: Config
    seed: int
    fold: int | None = None
    method: str = ""

    @property
    def repetition(self) -> Repetition:
        """Seed and fold."""
        return Repetition(self.seed, self.fold)

    @property
    def key(self) -> ExecutionKey:
        """Identity of the execution: config and repetition."""
        return self.config.id, self.repetition

    @property
    def label(self) -> str:
        """Readable name, such as `trial 3, seed 1`."""
        return label(self.trial, self.seed, self.fold)

    @property
    def epochs(self) -> int:
        """Epochs of the config; ENDLESS if its function or model decides."""
        kind = self.config.kind
        if kind.scores_once:
            return 1
        default = ENDLESS if kind.gets_epochs else DEFAULTS["epochs"]
        return int(self.config.values.get("epochs", default) if kind.has_budget else default)


def label(trial: int, seed: int, fold: int | None = None) -> str:
    """Return a readable name of an execution; seed 0, the only one of most sweeps, is left out."""
    named = f"trial {trial}" + (f", seed {seed}" if seed else "")
    return named + ("" if fold is None else f", fold {fold}")
