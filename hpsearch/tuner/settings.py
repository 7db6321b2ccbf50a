"""How to run a sweep, who watches, what interrupts it, and what it came to."""

from __future__ import annotations

import concurrent.futures
import logging
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import IO, TYPE_CHECKING, Protocol

from hpsearch.errors import HpsearchError
from hpsearch.machine import cores, require_fork
from hpsearch.space.trial import Trial
from hpsearch.spec.settings import Execution
from hpsearch.spec.sweep import Sweep
from hpsearch.store.directory import ResultsDirectory

if TYPE_CHECKING:
    from hpsearch.models.problem import Recipe
    from hpsearch.space.trial import TrialResult
    from hpsearch.tuner.planning import Summary
    from hpsearch.workers.protocol import Event


@dataclass(frozen=True)
class Settings:
    """How to run, as opposed to what.

    Attributes:
        out: The results directory; None for `experiments/NAME`.
        workers: Overrides the sweep's.
        retry: Whether failed, killed and timed-out trials are trained again.
        fresh: Whether an existing directory is moved aside.
        live: Whether report.html is rewritten while the run is on.
        store: Where the store is kept; None for the results directory.
        report: Whether report.html is written in the end.
        model: Whether best.keras is.
        weights: Whether the best trial's are stored where best.keras is not written.
        in_process: Whether trainings run in this process, one at a time, whatever the engine.
        pool: Whose processes train, whatever the engine; None for the engine.
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
    in_process: bool = False
    pool: concurrent.futures.Executor | None = None

    @property
    def trains_elsewhere(self) -> bool:
        """Whether the trainings are not run by the sweep's engine."""
        return self.in_process or self.pool is not None

    def workers_for(self, sweep: Sweep) -> int | None:
        """How many trainings run at a time.

        `auto` is one a core that this process may use; on a cluster, None: as many as it has
        room for.
        """
        asked = self.workers or sweep.execution.workers
        if asked == "auto":
            on_cluster = sweep.execution.engine == "ray" and self.pool is None
            return None if on_cluster else cores()
        return int(asked)


@dataclass
class Stop:
    """Why a run ends before its work is done; set from a signal handler."""

    signal: int | None = None
    reason: str = ""


@dataclass(frozen=True)
class RunOutcome:
    """What a run came to.

    Attributes:
        completed: Trials of the sweep with a score.
        trials: Trials of the sweep with a result.
        trained: Results that this run added.
        best: The best config's best trial, and the config's mean score.
        stopped: Why it ended early, or empty.
    """

    directory: Path
    completed: int
    trials: int
    trained: int
    best: tuple[Trial, float] | None
    stopped: str = ""

    @property
    def exit_code(self) -> int:
        """0, or 1 where no trial completed."""
        return 0 if self.completed and not self.stopped else 1


_LOG = logging.getLogger("hpsearch")


class Reporter(Protocol):
    """Shows a run; it decides nothing, and what it raises is a bug."""

    def began(self, name: str, directory: str, recipe: Recipe, workers: int | None) -> None:
        """The run is set up; `directory` is where its files go."""

    def expected(self, trials: int) -> None:
        """So many there will be at most, which are not known one by one before they are due."""

    def planned(self, summary: Summary, already_done: int) -> None:
        """More trials are known: what they all come to, and how many had results before."""

    def event(self, event: Event) -> None:
        """An executor's event."""

    def result(self, trial: Trial, result: TrialResult) -> None:
        """A result is stored."""

    def note(self, message: str, *, warning: bool = False) -> None:
        """Show a line."""

    def ended(self) -> None:
        """Nothing further comes."""


class Silent:
    """Shows nothing."""

    def began(self, name: str, directory: str, recipe: Recipe, workers: int | None) -> None:
        """Nothing."""

    def expected(self, trials: int) -> None:
        """Nothing."""

    def planned(self, summary: Summary, already_done: int) -> None:
        """Nothing."""

    def event(self, event: Event) -> None:
        """Nothing."""

    def result(self, trial: Trial, result: TrialResult) -> None:
        """Nothing."""

    def note(self, message: str, *, warning: bool = False) -> None:
        """Nothing."""

    def ended(self) -> None:
        """Nothing."""


class AsWarnings(Silent):
    """Tells what is worth a line as Python's warnings, at the line that called."""

    def note(self, message: str, *, warning: bool = False) -> None:
        """Issue a warning; other notes are not shown."""
        if warning:
            warnings.warn(message, UserWarning, stacklevel=outside())


def outside() -> int:
    """The stack level, for `warnings.warn` in the caller, of the first frame that is not ours."""
    level, frame = 1, sys._getframe(1)  # noqa: SLF001 - documented, and `inspect` is slow
    while frame.f_back is not None and str(frame.f_globals.get("__name__")).startswith("hpsearch."):
        level, frame = level + 1, frame.f_back
    return level


def require_engine(execution: Execution) -> None:
    """Check that the engine can run here.

    Raises:
        NotSupportedError: Not on this system.
        InputError: What it needs is not installed.
    """
    if execution.engine == "local":
        require_fork()
        return
    # Ray is an optional package.
    from hpsearch.workers.ray.connection import require_ray

    require_ray()


@contextmanager
def log_file(where: ResultsDirectory) -> Iterator[IO[str]]:
    """run.log, with what the driver says going there.

    Raises:
        HpsearchError: It cannot be written.
    """
    try:
        log = where.log.open("a", encoding="utf-8")
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


@contextmanager
def signals(stop: Stop) -> Iterator[None]:
    """The first SIGINT or SIGTERM asks the loop to end; a second one ends it at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def on_signal(number: int, _: FrameType | None) -> None:
        if stop.signal is not None:
            raise KeyboardInterrupt
        stop.signal = number

    before = {n: signal.signal(n, on_signal) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
