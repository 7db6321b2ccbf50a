"""An executor in the calling process, for tests and debugging.

Same interface and results as the local one; it cannot end a training that hangs, and what kills
the training kills the caller.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from hpsearch.executors import work
from hpsearch.executors.base import Dataset, Event, Job

__all__ = ["InProcessExecutor"]


class InProcessExecutor:
    """Runs one training at a time, when `events` is called."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        self._job: Job | None = None

    @property
    def free(self) -> int:
        """How many trainings it would take: one, or none while one waits."""
        return 0 if self._job is not None else 1

    @property
    def busy(self) -> int:
        """How many trainings wait."""
        return 1 - self.free

    def submit(self, job: Job) -> None:
        """Take a training; it runs in the next call of `events`."""
        if self._job is not None:
            raise RuntimeError("submit needs a free worker")
        self._job = job

    def events(self, timeout_seconds: float) -> Sequence[Event]:
        """Run the training that waits; every event of it. The timeout is not used."""
        del timeout_seconds
        job, self._job = self._job, None
        events: list[Event] = []
        if job is not None:
            work.run(job, self._dataset, 1, events.append)
        return events

    def close(self) -> None:
        """Forget the training that waits."""
        self._job = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
