"""A package's engine, whose mistakes are told as what they are: its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Self

from hpsearch.errors import HpsearchError
from hpsearch.executors.base import Dataset, Event, Executor, Work
from hpsearch.extensions import Extension

__all__ = ["Added"]

_MEMBERS = ("free", "busy", "provide", "submit", "events", "close")


class Added:
    """Passes everything on to a package's executor.

    Args:
        extension: What declares it.
        make: Makes the executor.

    Raises:
        HpsearchError: It cannot be made.
        InputError: It is no executor.
    """

    def __init__(self, extension: Extension, make: Callable[[], Any]) -> None:
        self._extension = extension
        executor = self._told("cannot be made", make)
        extension.require(executor, _MEMBERS, "hpsearch.executors.base.Executor")
        self._executor: Executor = executor

    def provide(self, dataset: Dataset) -> None:
        """Hand over what every training reads; once, before the first `submit`.

        Raises:
            HpsearchError: The package's code failed, as from every method.
        """
        self._told("failed in provide", lambda: self._executor.provide(dataset))

    @property
    def free(self) -> int:
        """How many it would start at once."""
        return int(self._told("failed in free", lambda: self._executor.free))

    @property
    def busy(self) -> int:
        """How many are under way."""
        return int(self._told("failed in busy", lambda: self._executor.busy))

    def submit(self, work: Work) -> None:
        """Start a training or a call; only while `free` is positive."""
        self._told("failed in submit", lambda: self._executor.submit(work))

    def events(self, timeout_seconds: float) -> Sequence[Event]:
        """What happened, in order; waits for at least one event, or until the time is up."""
        events: Sequence[Event] = self._told(
            "failed in events", lambda: self._executor.events(timeout_seconds)
        )
        return events

    def close(self) -> None:
        """End all work at once; no process is left when it returns."""
        self._told("failed in close", self._executor.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _told(self, what: str, call: Callable[[], Any]) -> Any:
        return self._extension.told(what, call, HpsearchError, passes=(HpsearchError,))
