"""The events of a run, which listeners show."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hpsearch.space.execution import Execution
from hpsearch.workers.protocol import Event, Said

if TYPE_CHECKING:
    from hpsearch.engine.planning import Summary
    from hpsearch.models.problem import Recipe
    from hpsearch.space.execution import ExecutionResult


@dataclass(frozen=True)
class Began:
    """The run is set up.

    Attributes:
        directory: The results directory; empty if the run writes no files.
        workers: Number of trainings at a time; None for as many as the cluster has room for.
        profile: Lines that describe the data.
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
