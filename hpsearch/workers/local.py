"""The local executor: forked workers that share one copy of the data."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import time
from collections.abc import Sequence
from typing import Self

from hpsearch.data.specs import TrainingData
from hpsearch.machine import own_bytes
from hpsearch.workers.pool import Pool, Worker
from hpsearch.workers.protocol import Call, Event, Job, Retired, Work, messages
from hpsearch.workers.servers import Servers
from hpsearch.workers.shared import share

_LOG = logging.getLogger("hpsearch")
#: TensorFlow keeps some megabytes of each model for good; a fresh worker costs milliseconds.
_GROWTH_BYTES = 250 * 2**20
_POLL_SECONDS = 0.2
#: A worker can take a gigabyte in half a second.
_LOOK_AT_MEMORY_SECONDS = 0.05


class LocalExecutor:
    """Forked workers that share one copy of the data.

    Those that are light (see `forkserver`) take trainings that need no TensorFlow; the loaded
    ones, of which the first comes once TensorFlow is imported, take any.

    Args:
        servers: What forks workers; closed with this executor.
        workers: How many trainings run at a time.
        timeout_seconds: Longest time of a training, or None.
        memory_bytes: Most memory of a worker in a training, the shared data apart, or None.
        growth_bytes: A worker that has grown by more since its first training is replaced.
    """

    def __init__(
        self,
        servers: Servers,
        workers: int,
        *,
        timeout_seconds: float | None = None,
        memory_bytes: int | None = None,
        growth_bytes: int = _GROWTH_BYTES,
    ) -> None:
        self._limit = workers
        self._timeout_seconds = timeout_seconds
        self._memory_bytes = memory_bytes
        self._looked = 0.0
        self._poll_seconds = _POLL_SECONDS if memory_bytes is None else _LOOK_AT_MEMORY_SECONDS
        self._pool = Pool(servers, workers, growth_bytes)

    def provide(self, dataset: TrainingData) -> None:
        """Put the data where every worker maps it; before the first `submit`."""
        handle = share(dataset)
        try:
            self._pool.provide(handle)
        finally:
            os.close(handle)

    @property
    def free(self) -> int:
        """How many trainings or calls it would start at once."""
        return self._limit - self.busy

    @property
    def busy(self) -> int:
        """How many trainings and calls are under way."""
        return sum(worker.work is not None for worker in self._pool.workers.values())

    def submit(self, work: Work) -> None:
        """Start a training or a call, in a worker that waits or a new one.

        Raises:
            HpsearchError: A server has ended.
        """
        if not self.free:
            raise RuntimeError("submit needs a free worker")
        worker = self._pool.worker_for(work)
        if isinstance(work, Job):
            _LOG.info("worker %d: trial %d", worker.number, work.training.number)
        worker.take(work)

    def events(self, timeout_seconds: float) -> Sequence[Event]:
        """What happened, in order; waits for at least one event, or until the time is up."""
        deadline = time.monotonic() + timeout_seconds
        events: list[Event] = []
        while not events:
            remaining = deadline - time.monotonic()
            for worker in self._pool.ready(min(remaining, self._poll_seconds)):
                # Another one's end may have cost it its place.
                if worker in self._pool.workers.values():
                    events += self._hear(worker)
            self._enforce_limits()
            if remaining <= 0:
                break
        return events

    def _hear(self, worker: Worker) -> list[Event]:
        try:
            received = messages(worker.connection)
        except (EOFError, OSError):
            return self._bury(worker)
        for message in received:
            worker.hear(message)
        # Of one that has retired the connection closes next.
        return [message for message in received if not isinstance(message, Retired)]

    def _bury(self, worker: Worker) -> list[Event]:
        """Forget a worker whose connection closed; what it ran is lost."""
        self._pool.forget(worker)
        work = worker.work
        if work is None:
            return []
        if worker.retired:
            # The work crossed the worker's farewell; a fresh worker takes it.
            self.submit(work)
            return []
        reason = worker.doom or f"the worker ended ({self._pool.how_ended(worker)})"
        if isinstance(work, Call):
            what = work.function.__qualname__
        else:
            what = f"trial {work.training.number}"
        _LOG.warning("worker %d: %s: %s", worker.number, what, reason)
        event = worker.lost(reason)
        return [] if event is None else [event]

    def _enforce_limits(self) -> None:
        now = time.monotonic()
        look = self._memory_bytes is not None and now - self._looked >= _LOOK_AT_MEMORY_SECONDS
        if look:
            self._looked = now
        for worker in self._pool.workers.values():
            if worker.pid is None or not worker.may_be_judged:
                continue
            worker.judge_time(self._timeout_seconds)
            if look and self._memory_bytes is not None and not worker.doom:
                worker.judge_memory(own_bytes(worker.pid), self._memory_bytes)
            if worker.doom:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(worker.pid, signal.SIGKILL)

    def close(self) -> None:
        """End all work at once; no process is left when it returns."""
        self._pool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
