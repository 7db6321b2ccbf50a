"""The settings of a run, its outcome, its events and its signals."""

from __future__ import annotations

import concurrent.futures
import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from pkgutil import resolve_name
from types import FrameType
from typing import IO, TYPE_CHECKING, Any

from hpsearch.errors import HpsearchError, InputError, Interrupted, NotSupportedError, Terminated
from hpsearch.machine import allowed_gpus, cores, gpus
from hpsearch.space.execution import Execution
from hpsearch.spec.execution import ExecutionSettings
from hpsearch.store.directory import ResultsDirectory
from hpsearch.workers.protocol import Event, Said

if TYPE_CHECKING:
    from hpsearch.engine.planning import Summary
    from hpsearch.models.problem import Recipe
    from hpsearch.search.strategy import Exchange, Strategy
    from hpsearch.space.execution import ExecutionResult


#: Searches to the end with an engine, a `TunerSpec`, and the sweep's method, which is None if the
#: user's oracle proposes.
Drive = Callable[["Exchange", Any, "Strategy | None"], None]


@dataclass(frozen=True)
class Settings:
    """How to run a sweep.

    Attributes:
        out: The results directory; None for `experiments/NAME`.
        workers: Number of trainings at a time; None for the sweep's setting.
        retry: Whether to train failed, killed and timed-out executions again.
        fresh: Whether to move an existing directory aside.
        store: The store's file; None for one in the results directory.
        report: Whether to write report.html at the end.
        model: Whether to write best.keras.
        weights: Whether to store the best trial's weights if best.keras is not written.
        keep: The number of best executions whose weights are kept, unless the sweep keeps all.
        direct: Whether to ask the strategy itself, without a KerasTuner tuner.
        in_process: Whether this process trains, one training at a time, instead of the engine. It
            asks the strategy itself.
        pool: An executor whose processes train instead of the engine's.
        drive: Searches in this process; None has the sweep's method search in another one.
        repeat: See `Trainings`.
        anyway_code: Whether an edited program may add rows.
        known: Known results, a file or a frame; None for the sweep's.
    """

    out: Path | None = None
    workers: int | None = None
    retry: bool = False
    fresh: bool = False
    store: Path | None = None
    report: bool = True
    model: bool = True
    weights: bool = False
    keep: int = 1
    direct: bool = False
    in_process: bool = False
    pool: concurrent.futures.Executor | None = None
    drive: Drive | None = None
    repeat: Callable[[ExecutionResult, int], bool] | None = None
    anyway_code: bool = False
    known: Any = None

    @property
    def trains_elsewhere(self) -> bool:
        """True if something other than the sweep's engine trains."""
        return self.in_process or self.pool is not None

    def workers_for(self, execution: ExecutionSettings) -> int | None:
        """Return the number of trainings at a time.

        `auto` is one for each core that this process may use, or for `threads` of them. On a
        cluster it is None: as many as have room.
        """
        asked = self.workers or execution.workers
        if asked == "auto":
            on_cluster = execution.engine == "ray" and self.pool is None
            return None if on_cluster else max(1, cores() // execution.fixed_threads)
        return int(asked)

    def devices_for(self, execution: ExecutionSettings, *, auto: bool) -> tuple[str, ...] | None:
        """Return the GPUs' names, each as often as trainings may share it.

        Args:
            auto: Whether `devices: auto` assigns the GPUs of this machine.

        Returns:
            None if no GPU is assigned, so that each training may use all; empty for no GPU.

        Raises:
            InputError: The sweep names a GPU that this process may not use.
        """
        asked = execution.devices
        if self.trains_elsewhere or execution.engine != "local":
            return None
        if asked == "auto":
            names = gpus() if auto else []
            if not names:
                return None
        else:
            names = [] if asked == "none" else [_gpu(int(number)) for number in asked]
        return tuple(name for name in names for _ in range(execution.workers_per_device))


def _gpu(number: int) -> str:
    """Return the name of the GPU that a sweep names; it is the number if it cannot be checked."""
    allowed = allowed_gpus()
    # Without NVIDIA's files, which GPUs there are is not known.
    names = gpus() or allowed or []
    if allowed is None and not names:
        return str(number)
    if number >= len(names):
        limit = "this machine has" if allowed is None else "the environment leaves"
        raise InputError(
            f"execution.devices: there is no GPU {number}: {limit} {len(names)}, counted from 0"
        )
    return names[number]


@dataclass
class Stop:
    """The reason why a run ends early; a signal handler may set it at any time.

    Attributes:
        at_once: Whether the first signal already raises a KeyboardInterrupt, as the second does.
            That serves work that may take long and cannot check for signals: the steps before
            the search, and trainings in this process.
    """

    signal: int | None = None
    reason: str = ""
    at_once: bool = False

    @property
    def wanted(self) -> bool:
        """True if the run is to end now."""
        return bool(self.reason) or self.signal is not None

    def check(self, where: Path | None = None) -> None:
        """Raise Interrupted, naming the directory with the results so far, if a signal arrived."""
        if self.signal is not None:
            raise (Terminated if self.signal == signal.SIGTERM else Interrupted)(self.signal, where)


@dataclass(frozen=True)
class RunOutcome:
    """The outcome of a run.

    Attributes:
        completed: Trials of the sweep with a score.
        trials: Trials of the sweep with a result.
        trained: Trials to which this run added a result.
        best: The best execution of the best trial among all rows, and the trial's mean score.
        stopped: The reason if the run ended early, else empty.
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


@dataclass(frozen=True)
class Began:
    """The run is set up.

    Attributes:
        directory: The results directory; empty if the run writes no files.
        workers: Number of trainings at a time; None for as many as the cluster has room for.
        most_trials: Upper bound on the trials, if their number is not known in advance.
    """

    name: str
    directory: str
    recipe: Recipe
    workers: int | None
    profile: Sequence[str] = ()
    most_trials: int | None = None


@dataclass(frozen=True)
class Planned:
    """Executions were planned.

    Attributes:
        already_done: Trials that had all their results before.
        best: The best trial so far and its mean score.
    """

    summary: Summary
    already_done: Collection[int] = ()
    best: tuple[int, float] | None = None


@dataclass(frozen=True)
class Stored:
    """A result was stored; `best` as in `Planned`."""

    execution: Execution
    result: ExecutionResult
    best: tuple[int, float] | None = None


@dataclass(frozen=True)
class Ended:
    """The run sends nothing further, except lines to say."""


#: An event of a run, or of its executor.
RunEvent = Began | Planned | Stored | Ended | Event
#: Shows a run, event by event. It decides nothing and must not raise.
Listener = Callable[[RunEvent], None]


def ignore(event: RunEvent) -> None:
    """Show nothing."""


def with_python_warnings(listener: Listener) -> Listener:
    """Return a listener that issues warnings as Python's, at the caller's line."""

    def listen(event: RunEvent) -> None:
        if isinstance(event, Said) and event.warning:
            warnings.warn(event.message, UserWarning, stacklevel=stack_level_of_caller())
        else:
            listener(event)

    return listen


def stack_level_of_caller() -> int:
    """Return `warnings.warn`'s `stacklevel` for the first frame outside hpsearch."""
    level, frame = 1, sys._getframe(1)  # noqa: SLF001 - documented, and `inspect` is slow
    while frame.f_back is not None and str(frame.f_globals.get("__name__")).startswith("hpsearch."):
        level, frame = level + 1, frame.f_back
    return level


_LOG = logging.getLogger("hpsearch")


def keras_changes() -> str:
    """Return what this program changed in Keras that changes numbers; empty if nothing.

    Workers are other processes, whose Keras has its defaults.
    """
    config = getattr(sys.modules.get("keras"), "config", None)
    if config is None:
        return ""
    states = {
        "the backend": (config.backend(), "tensorflow"),
        "keras.config.floatx": (config.floatx(), "float32"),
        "the global dtype policy": (config.dtype_policy().name, "float32"),
    }
    changes = [f"{name} is {now}" for name, (now, default) in states.items() if now != default]
    return " and ".join(changes)


def require_default_keras() -> None:
    """Check that models train in workers as this program would train them."""
    if changes := keras_changes():
        raise InputError(
            f"{changes} in this program, and trials train in other processes by TensorFlow in "
            "float32: set it back; a function that builds the model may set it for its own layers"
        )


def require_engine(execution: ExecutionSettings) -> None:
    """Check that the system supports the engine, and that the packages it needs are installed."""
    if execution.engine != "local":
        resolve_name("hpsearch.ray.connection:require_ray")()
    elif not hasattr(os, "fork"):
        raise NotSupportedError(
            "training needs a system that forks processes: Linux, or macOS. On Windows, run it in "
            "WSL; plan, show, compare and report work here, too"
        )


@contextmanager
def log_file(where: ResultsDirectory) -> Iterator[IO[str]]:
    """Open run.log and send the driver's log messages to it."""
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
    """A signal arrived.

    A subclass, because a plain KeyboardInterrupt that leaves an `exec`, as dataclasses and named
    tuples call it, makes Python end as if killed by SIGINT, even if it is caught.
    """


@contextmanager
def signals(where: ResultsDirectory | None = None) -> Iterator[Stop]:
    """Yield a `Stop` that records the first SIGINT or SIGTERM; the second interrupts at once.

    SIGHUP is ignored, so a closed terminal does not end the run.

    Args:
        where: The directory of a run; its first signal interrupts the steps before the search.

    Raises:
        Interrupted: One of these signals interrupted the run.
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
            # A signal may have arrived before `at_once` was set.
            stop.check()
        yield stop
    except KeyboardInterrupt:
        if stop.at_once and where is not None:
            # Name the tables of an earlier run, which this run has not changed yet.
            stop.check(where.path if where.results.exists() else None)
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
