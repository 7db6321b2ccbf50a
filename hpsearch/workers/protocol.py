"""The executor protocol: trainings and calls go in, events come out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import IO, Any, Protocol, Self

import cloudpickle

from hpsearch.data.specs import TrainingData
from hpsearch.models.problem import Recipe
from hpsearch.space.trial import ResumePoint, Training, TrialResult

#: A config's values to a score, or to an iterator that gives one an epoch.
Objective = Callable[[dict[str, Any]], float | Iterator[float]]


@dataclass(frozen=True)
class Job:
    """A training to run.

    Attributes:
        recipe: What decides the score beside config, seed and data.
        keep_better_than: Weights of trials that score better are sent back; None keeps those
            of every scored trial.
        keep: Whether any weights are sent back.
        tensorflow: Whether the training needs a worker in which TensorFlow can be used.
        past: What it goes on from; None where it starts anew.
        floors: Of each epoch, the score that a training must have reached by then, or it is
            stopped; empty for none, shorter than the training for its first epochs.
        snapshot: Whether the state at the last epoch is sent back.
        objective: Called with the config for its score, or for a score an epoch, in place of
            an MLP; found by its module and name where it is called.
    """

    training: Training
    recipe: Recipe
    keep_better_than: float | None = None
    keep: bool = True
    tensorflow: bool = True
    past: ResumePoint | None = None
    floors: tuple[float, ...] = ()
    snapshot: bool = False
    objective: Objective | None = None

    def wants(self, score: float) -> bool:
        """Whether the weights of a trial with this score are to be sent back."""
        if not self.keep:
            return False
        return self.keep_better_than is None or self.recipe.better(score, self.keep_better_than)


@dataclass(frozen=True)
class Call:
    """A function to call in a worker for what it gives, or leaves behind: a file.

    No limit of time or memory holds for it.

    Attributes:
        function: Found by its module and name where it is called; gives plain data, or None.
        arguments: Plain data.
        tensorflow: Whether it needs a worker in which TensorFlow can be used.
        with_data: Whether the data that all trainings read is its last argument.
    """

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    tensorflow: bool = True
    with_data: bool = False


Work = Job | Call


@dataclass(frozen=True)
class Started:
    """A worker began a training."""

    worker: int
    training: Training


@dataclass(frozen=True)
class EpochFinished:
    """A training finished an epoch (from 1); not every epoch is told."""

    worker: int
    training: Training
    epoch: int
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class Answered:
    """A trial has its result."""

    worker: int
    result: TrialResult


@dataclass(frozen=True)
class Finished:
    """A training is over; all its trials were answered."""

    worker: int
    training: Training


@dataclass(frozen=True)
class Lost:
    """A worker ended within a training.

    Attributes:
        answered: Numbers of the trials that were answered before.
        reason: One line for people.
        timed_out: Whether the executor ended it since it took too long.
        seconds: How long the training had run.
        too_large: Whether the executor ended it since it took too much memory.
        machine_lost: Whether its machine went, or was given to somebody else: most likely no
            fault of the training.
    """

    worker: int
    training: Training
    answered: frozenset[int]
    reason: str
    timed_out: bool
    seconds: float
    too_large: bool = False
    machine_lost: bool = False


@dataclass(frozen=True)
class Called:
    """A call is over.

    Attributes:
        error: Why it failed, in one line: what the function raised, or how its worker ended;
            empty where it did not.
        value: What the function gave.
    """

    worker: int
    error: str = ""
    value: Any = None


@dataclass(frozen=True)
class Said:
    """Something about the workers that people want to know, in one line."""

    message: str
    warning: bool = False


Event = Started | EpochFinished | Answered | Finished | Lost | Called | Said


@dataclass(frozen=True)
class Setup:
    """What an engine's executor is made for.

    Attributes:
        workers: How many trainings may run at a time; None for as many as there is room for, of
            which the cluster alone knows.
        timeout_seconds: Longest time of a training, or None.
        memory_bytes: Most memory of a training, or None.
        address, resources: As the sweep file has them, for a cluster.
        log: An open file for what workers print; the run's `run.log`.
    """

    workers: int | None
    timeout_seconds: float | None = None
    memory_bytes: int | None = None
    address: str | None = None
    resources: Mapping[str, float] = field(default_factory=dict)
    log: IO[str] | None = None


class Executor(Protocol):
    """Runs trainings and calls, some at a time."""

    def provide(self, dataset: TrainingData) -> None:
        """Hand over what every training reads; once, before the first `submit`."""
        ...

    @property
    def free(self) -> int:
        """How many it would start at once."""
        ...

    @property
    def busy(self) -> int:
        """How many are under way."""
        ...

    def submit(self, work: Work) -> None:
        """Start a training or a call; only while `free` is positive."""
        ...

    def events(self, timeout_seconds: float) -> Sequence[Event]:
        """What happened, in order; waits for at least one event, or until the time is up."""
        ...

    def close(self) -> None:
        """End all work at once; no process is left when it returns."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


@dataclass(frozen=True)
class Retired:
    """The worker has grown and ends; nothing is lost with it."""


def messages(connection: Connection[Any, Any]) -> Sequence[Event | Retired]:
    """Every message that has arrived.

    Raises:
        EOFError, OSError: The worker is gone, and no whole message of it is left.
    """
    received: list[Event | Retired] = []
    while connection.poll():
        try:
            received.append(cloudpickle.loads(connection.recv_bytes()))
        except (EOFError, OSError):
            if received:
                return received
            raise
    return received
