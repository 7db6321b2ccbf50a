"""How to run, what ends a run, and what it came to."""

from __future__ import annotations

import concurrent.futures
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpsearch.errors import HpsearchError
from hpsearch.machine import cores
from hpsearch.plan import Trial
from hpsearch.sweep import Sweep

__all__ = ["Interrupted", "Outcome", "Settings", "Stop"]


class Interrupted(HpsearchError):
    """A signal ended a run, of which what was finished is stored in `where`, or something else.

    Attributes:
        number: The signal's.
        where: The results directory, or None.
        results: From Python, the `hpsearch.Results` so far where any trial has a row, else None.
    """

    def __init__(self, number: int, where: Path | None = None) -> None:
        self.number = number
        self.where = where
        self.results: Any = None
        self.exit_code = 128 + number
        name = "interrupted" if number == signal.SIGINT else "terminated"
        stored = f"; results so far are in {where}, the same command continues" if where else ""
        super().__init__(name + stored)

    @property
    def by_keyboard(self) -> bool:
        """Whether it was a Ctrl-C, or a notebook's stop button."""
        return self.number == signal.SIGINT


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
class Outcome:
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
