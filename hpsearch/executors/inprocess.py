"""An executor in the calling process, for tests and debugging.

Same interface and results as the local one; it cannot end a training that hangs, what kills
the training kills the caller, and TensorFlow can be used in it whatever the training needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from hpsearch.executors.base import Dataset, Event, Work
from hpsearch.executors.work import run

__all__ = ["InProcessExecutor"]


class InProcessExecutor:
    """Runs one training or call at a time, when `events` is called."""

    def __init__(self, dataset: Dataset | None = None) -> None:
        self._dataset = dataset
        self._work: Work | None = None

    def provide(self, dataset: Dataset) -> None:
        """Take what every training reads."""
        self._dataset = dataset

    @property
    def free(self) -> int:
        """How many it would take: one, or none while one waits."""
        return 0 if self._work is not None else 1

    @property
    def busy(self) -> int:
        """How many wait."""
        return 1 - self.free

    def submit(self, work: Work) -> None:
        """Take a training or a call; it runs when `events` is called next."""
        if self._work is not None:
            raise RuntimeError("submit needs a free worker")
        self._work = work

    def events(self, timeout_seconds: float) -> Sequence[Event]:
        """Run what waits; every event of it. The timeout is not used."""
        del timeout_seconds
        work, self._work = self._work, None
        events: list[Event] = []
        if work is not None:
            assert self._dataset is not None
            run(work, self._dataset, 1, events.append)
        return events

    def close(self) -> None:
        """Forget what waits."""
        self._work = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
