"""How to run a sweep, what interrupts it, and what it came to."""

from __future__ import annotations

import concurrent.futures
import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import IO

from hpsearch.errors import HpsearchError
from hpsearch.machine import cores
from hpsearch.space.trial import Trial
from hpsearch.spec.sweep import Sweep
from hpsearch.store.directory import ResultsDirectory


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
