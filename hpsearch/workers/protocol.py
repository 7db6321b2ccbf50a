"""The executor protocol: trainings and calls go in, events come out."""

from __future__ import annotations

import itertools
import logging
import math
import time
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

from hpsearch.data.specs import TrainingData
from hpsearch.machine import now
from hpsearch.space.execution import ExecutionResult, Training
from hpsearch.training.subjects import Job

_LOG = logging.getLogger("hpsearch")
#: A timed call, which may build many models, has at least this time.
_CALL_SECONDS = 60.0


@dataclass(frozen=True)
class Call:
    """A function to call in a worker, for its value or for a file that it writes.

    The memory limit does not apply to calls.

    Attributes:
        function: Returns plain data or None. The worker imports it by its module and name.
        arguments: Plain data.
        tensorflow: Whether the function needs a worker that can use TensorFlow.
        with_data: Whether to append the training data to the arguments.
        timed: Whether a time limit, based on that of trainings, applies.
    """

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    tensorflow: bool = True
    with_data: bool = False
    timed: bool = False


@dataclass(frozen=True)
class Conversation:
    """A function that talks with the driver from a separate process that can use TensorFlow.

    Attributes:
        function: `package.module:name` of a function. Its arguments are a `Wire`, over which it
            sends and receives pickled messages, and `arguments`.
    """

    function: str
    arguments: tuple[Any, ...]


Work = Job | Call


@dataclass(frozen=True)
class Resources:
    """A worker's share of the machine, sent before its first work.

    Attributes:
        device: The number of the only GPU that it may see, `NO_DEVICE`, or empty for all.
        threads: The number of threads of TensorFlow, and the least of the native trainer.
    """

    device: str
    threads: int


#: As a device, it hides all GPUs.
NO_DEVICE = "-1"


@dataclass(frozen=True)
class Threads:
    """The number of threads that the native trainer may use from its next epoch on."""

    number: int


@dataclass(frozen=True)
class Started:
    """A worker began a training."""

    worker: int
    training: Training


@dataclass(frozen=True)
class EpochFinished:
    """A training finished an epoch (from 1); not every epoch is reported."""

    worker: int
    training: Training
    epoch: int
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class Answered:
    """An execution has its result."""

    worker: int
    result: ExecutionResult


@dataclass(frozen=True)
class Finished:
    """A training ended, and all its executions are answered.

    Attributes:
        retires: Whether the worker ends, for example because it has grown too large.
    """

    worker: int
    training: Training
    retires: bool = False


@dataclass(frozen=True)
class Lost:
    """A worker ended during a training.

    Attributes:
        reason: One line for people.
        timed_out: Whether the executor ended the worker because it took too long.
        seconds: How long the training had run.
        too_large: Whether the executor ended the worker because it took too much memory.
        machine_lost: Whether the worker's machine was lost or reassigned, which is probably not
            the training's fault.
    """

    worker: int
    training: Training
    reason: str
    timed_out: bool
    seconds: float
    too_large: bool = False
    machine_lost: bool = False


@dataclass(frozen=True)
class Called:
    """A call ended.

    Attributes:
        error: The function's exception, or how the worker ended, in one line; empty on success.
        retires: See `Finished`.
    """

    worker: int
    error: str = ""
    value: Any = None
    ended: bool = False
    retires: bool = False


@dataclass(frozen=True)
class Said:
    """News about the workers for people, in one line."""

    message: str
    warning: bool = False


@dataclass(frozen=True)
class Heard:
    """A conversation's process sent a message, or ended; `ended` says how in one line."""

    message: Any = None
    ended: str = ""


Event = Started | EpochFinished | Answered | Finished | Lost | Called | Said | Heard


class Executor(Protocol):
    """Runs trainings and calls, several at a time."""

    def provide(self, dataset: TrainingData) -> None:
        """Take the data that every training reads; called once, before the first `submit`."""
        ...

    @property
    def free(self) -> int:
        """Number of trainings that could start at once."""
        ...

    @property
    def busy(self) -> int:
        """Number of trainings and calls under way."""
        ...

    def submit(self, work: Work) -> None:
        """Start a training or a call; allowed only while `free` is positive."""
        ...

    @property
    def free_devices(self) -> int | None:
        """Number of trainings for which GPUs are free; None if no GPUs are assigned."""
        return None

    def spread(self, *, waiting: bool) -> None:
        """Share the idle cores among the trainings, unless other trainings wait for them."""
        del waiting

    def converse(self, conversation: Conversation) -> None:
        """Start a conversation, at most one, in another process; its messages are events."""
        del conversation
        raise NotImplementedError

    def say(self, message: Any) -> None:
        """Send a message to the conversation's process."""
        del message
        raise NotImplementedError

    def events(self, timeout_seconds: float) -> Sequence[Event]:
        """Wait for at least one event or the timeout, then return new events in order."""
        deadline = time.monotonic() + timeout_seconds
        events: list[Event] = []
        left = 0.0
        while not events and left >= 0:
            left = deadline - time.monotonic()
            events += self._look(max(0.0, left))
        return events

    def _look(self, seconds: float) -> list[Event]:
        """Wait for at most so long, or less, and return new events, for `events`."""
        del seconds
        return []

    def close(self) -> None:
        """End all work at once; leave no process."""
        ...

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass(eq=False, kw_only=True)
class WorkerState:
    """The work of one worker, as its executor knows it.

    Attributes:
        since: Clock time from which the work's time counts, when the worker got it.
        began: Clock time at which the training began, if it has.
        end_reason: Why the executor ends this worker, in words; empty if it does not.
        timed_out, too_large: The limit that the worker exceeded, if any.
        retired: Whether the worker ends after its work.
        importing_seconds: Extra time that a training may take to begin.
    """

    number: int
    work: Work | None = None
    since: float = 0.0
    began: float | None = None
    end_reason: str = ""
    timed_out: bool = False
    too_large: bool = False
    retired: bool = False
    importing_seconds: float = 0.0

    def take(self, work: Work) -> None:
        """Record new work."""
        self.work, self.began, self.end_reason = work, None, ""
        self.since = now()
        self.timed_out = self.too_large = False

    def hear(self, events: Sequence[Event]) -> list[Event]:
        """Record events of the worker, and return them."""
        for event in events:
            match event:
                case Started():
                    self.began = now()
                    if self.importing_seconds:
                        self.since = self.began
                case Finished() | Called():
                    self.work, self.retired = None, event.retires
        return [*events]

    @property
    def limits_apply(self) -> bool:
        """True if the worker has a training or a timed call that the executor has not ended."""
        limited = isinstance(self.work, Job) or (self.work is not None and self.work.timed)
        return limited and not self.end_reason

    def check_time(self, most_seconds: float | None) -> None:
        """Set `end_reason` if the work has exceeded its time."""
        if most_seconds is None:
            return
        limit = most_seconds
        if isinstance(self.work, Call):
            limit = max(limit, _CALL_SECONDS)
        elif self.began is None:
            limit += self.importing_seconds
        if now() - self.since > limit:
            self.timed_out = True
            self.end_reason = f"took longer than execution.timeout, {most_seconds:g} s"

    def check_memory(self, used_bytes: int, most_bytes: int) -> None:
        """Set `end_reason` if the worker has exceeded its memory."""
        if used_bytes > most_bytes:
            self.too_large = True
            self.end_reason = (
                # Rounded up, so that it exceeds the limit in print, too.
                f"memory: the worker used {math.ceil(used_bytes / 2**20)} MB, more than "
                f"execution.memory, {most_bytes / 2**20:.0f} MB"
            )

    def lost(self, reason: str, *, machine: bool = False, host: str = "") -> list[Event]:
        """Log the worker's end, and return its event; none if it was idle.

        Args:
            machine: See `Lost.machine_lost`.
            host: The worker's machine, for the log, as ` on NAME`.
        """
        work, label = self.work, ""
        if work is not None:
            label = work.function.__qualname__ if isinstance(work, Call) else work.training.label
        _LOG.warning("worker %d%s: %s%s", self.number, host, label and f"{label}: ", reason)
        if work is None:
            return []
        if isinstance(work, Call):
            return [Called(self.number, reason, ended=True)]
        # Take the limit's clock, by which a training that timed out took longer than the limit.
        began = self.since if self.began is None or self.timed_out else self.began
        limits = self.timed_out, now() - began, self.too_large
        return [Lost(self.number, work.training, reason, *limits, machine)]


def free_number(workers: Container[int]) -> int:
    """Return the lowest number, from 1, that no worker has."""
    return next(number for number in itertools.count(1) if number not in workers)
