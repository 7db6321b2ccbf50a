"""The settings of a run, its outcome, who watches it and what interrupts it."""

from __future__ import annotations

import concurrent.futures
import logging
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import IO, TYPE_CHECKING, Any, Protocol

from hpsearch.errors import HpsearchError, Interrupted
from hpsearch.machine import cores, require_fork
from hpsearch.space.execution import Execution
from hpsearch.spec.settings import ExecutionSettings
from hpsearch.store.directory import ResultsDirectory

if TYPE_CHECKING:
    from hpsearch.models.problem import Recipe
    from hpsearch.search.asking import Exchange
    from hpsearch.search.strategy import Strategy
    from hpsearch.space.execution import ExecutionResult
    from hpsearch.tuner.planning import Summary
    from hpsearch.workers.protocol import Event


class Drive(Protocol):
    """Searches with an engine."""

    def __call__(self, engine: Exchange, spec: Any, strategy: Strategy | None) -> None:
        """Search to the end.

        Args:
            spec: A `TunerSpec`.
            strategy: The sweep's method; None if an oracle of the user proposes.
        """
        ...


@dataclass(frozen=True)
class Settings:
    """How to run a sweep.

    Attributes:
        out: The results directory; None for `experiments/NAME`.
        workers: Trainings at a time; None for the sweep's setting.
        retry: Whether to train failed, killed and timed-out executions again.
        fresh: Whether to move an existing directory aside.
        live: Whether to rewrite report.html during the run.
        store: The store's file; None for one in the results directory.
        report: Whether to write report.html at the end.
        model: Whether to write best.keras.
        weights: Whether to store the best trial's weights if best.keras is not written.
        direct: Whether to ask the strategy itself, without a KerasTuner tuner.
        in_process: Whether this process trains, one training at a time, whatever the engine. It
            asks the strategy itself, unless `drive` is given.
        pool: An executor whose processes train, whatever the engine.
        drive: Searches in this process; None has the sweep's method do so in one of its own.
        repeat: See `Engine`.
        anyway_code: Whether an edited program may add rows.
    """

    out: Path | None = None
    workers: int | None = None
    retry: bool = False
    fresh: bool = False
    live: bool = False
    store: Path | None = None
    report: bool = True
    model: bool = True
    weights: bool = False
    direct: bool = False
    in_process: bool = False
    pool: concurrent.futures.Executor | None = None
    drive: Drive | None = None
    repeat: Callable[[ExecutionResult, int], bool] | None = None
    anyway_code: bool = False

    @property
    def trains_elsewhere(self) -> bool:
        """True if something other than the sweep's engine trains."""
        return self.in_process or self.pool is not None

    def workers_for(self, execution: ExecutionSettings) -> int | None:
        """Return how many trainings run at a time.

        `auto` is one for each core that this process may use. On a cluster it is None: as many
        as there is room for.
        """
        asked = self.workers or execution.workers
        if asked == "auto":
            on_cluster = execution.engine == "ray" and self.pool is None
            return None if on_cluster else cores()
        return int(asked)


@dataclass
class Stop:
    """Why a run ends early; a signal handler may set it at any time.

    Attributes:
        at_once: Whether the first signal raises a KeyboardInterrupt, too, as the second does:
            what a run does before it searches, and a training in this process, may take long, and
            checks nothing.
    """

    signal: int | None = None
    reason: str = ""
    at_once: bool = False

    def check(self, where: Path | None = None) -> None:
        """Raise Interrupted if a signal came.

        Args:
            where: The directory that holds the results so far, or None.
        """
        if self.signal is not None:
            raise Interrupted(self.signal, where)


@dataclass(frozen=True)
class RunOutcome:
    """The outcome of a run.

    Attributes:
        completed: Trials of the sweep with a score.
        trials: Trials of the sweep with a result.
        trained: Trials to which this run added a result.
        best: The best execution of the best trial of all rows, and the trial's mean score.
        stopped: Why the run ended early, or empty.
    """

    directory: Path
    completed: int
    trials: int
    trained: int
    best: tuple[Execution, float] | None
    stopped: str = ""

    @property
    def exit_code(self) -> int:
        """0, or 1 if no trial completed or the run ended early."""
        return 0 if self.completed and not self.stopped else 1


_LOG = logging.getLogger("hpsearch")


class Reporter:
    """Shows a run. A reporter decides nothing and must not raise; this one shows nothing."""

    def began(self, name: str, directory: str, recipe: Recipe, workers: int | None) -> None:
        """The run is set up; its files go to `directory`, or nowhere if that is empty."""

    def described(self, lines: Sequence[str]) -> None:
        """Lines that describe the data."""
        for line in lines:
            self.note(line)

    def expected(self, trials: int) -> None:
        """Upper bound on the trials of a run that does not know them in advance."""

    def planned(self, summary: Summary, already_done: Collection[int]) -> None:
        """More executions are planned; the trials `already_done` had all their results before."""

    def event(self, event: Event) -> None:
        """The executor reports an event."""

    def best(self, trial: int, score: float) -> None:
        """This trial is the best so far, with this mean score."""

    def result(self, execution: Execution, result: ExecutionResult) -> None:
        """A result is stored."""

    def note(self, message: str, *, warning: bool = False) -> None:
        """Show a line."""

    def ended(self) -> None:
        """The run sends nothing further."""


class AsWarnings(Reporter):
    """Issues warnings as Python's, located at the caller's line; shows nothing else."""

    def note(self, message: str, *, warning: bool = False) -> None:
        """Issue a warning."""
        if warning:
            warnings.warn(message, UserWarning, stacklevel=stack_level_of_caller())


def stack_level_of_caller() -> int:
    """Return `warnings.warn`'s `stacklevel` for the first frame outside hpsearch."""
    level, frame = 1, sys._getframe(1)  # noqa: SLF001 - documented, and `inspect` is slow
    while frame.f_back is not None and str(frame.f_globals.get("__name__")).startswith("hpsearch."):
        level, frame = level + 1, frame.f_back
    return level


def require_engine(execution: ExecutionSettings) -> None:
    """Check that the engine can run here.

    Raises:
        NotSupportedError: The system does not support it.
        InputError: A package that it needs is not installed.
    """
    if execution.engine == "local":
        require_fork()
        return
    # Ray is an optional package.
    from hpsearch.workers.ray.connection import require_ray

    require_ray()


@contextmanager
def log_file(where: ResultsDirectory) -> Iterator[IO[str]]:
    """Open run.log and send the driver's log messages to it.

    Raises:
        HpsearchError: It cannot be written.
    """
    try:
        log = where.open_log()
    except OSError as error:
        raise HpsearchError(f"{where.log}: cannot be written: {error.strerror}") from None
    handler = logging.StreamHandler(log)
    handler.setFormatter(logging.Formatter("%(asctime)s driver: %(message)s"))
    level = _LOG.level
    _LOG.addHandler(handler)
    _LOG.setLevel(logging.INFO)
    try:
        yield log
    finally:
        _LOG.removeHandler(handler)
        _LOG.setLevel(level)
        log.close()


class _Signalled(KeyboardInterrupt):
    """A signal came.

    If a KeyboardInterrupt itself leaves an `exec`, as dataclasses and named tuples call, Python
    ends as if killed by SIGINT, whoever catches it.
    """


@contextmanager
def signals(where: ResultsDirectory | None = None) -> Iterator[Stop]:
    """Give a `Stop` that notes the first SIGINT or SIGTERM; the second is a KeyboardInterrupt.

    A terminal that is closed ends nothing: SIGHUP is ignored.

    Args:
        where: The directory of a run; the first signal ends what the run does before it searches.

    Raises:
        Interrupted: For a KeyboardInterrupt of these.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def on_signal(number: int, _: FrameType | None) -> None:
        again = stop.signal is not None
        if not again:
            stop.signal = number
        if again or stop.at_once:
            raise _Signalled

    before = {n: signal.signal(n, on_signal) for n in (signal.SIGINT, signal.SIGTERM)}
    if hasattr(signal, "SIGHUP"):
        before[signal.SIGHUP] = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        if where is not None:
            stop.at_once = True
            # One may have come in between.
            stop.check()
        yield stop
    except KeyboardInterrupt:
        if stop.at_once and where is not None:
            # The tables of an earlier run, which this one has not touched yet.
            stop.check(where.path if where.results.exists() else None)
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
