"""Trainings on any `concurrent.futures` executor: a process pool, Dask's, MPI's, a batch system's.

Such an executor has no way to tell news, or to end what runs: a training is told when it is over,
there is no limit of its time or memory, and what a lost worker had answered is trained again.
"""

from __future__ import annotations

import concurrent.futures
import hashlib
import logging
import pickle
import queue
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO, Any, Self

import cloudpickle

from hpsearch.executors.base import Call, Dataset, Event, Job, Lost, Work
from hpsearch.executors.beside import Beside
from hpsearch.executors.work import run
from hpsearch.executors.worker import start_tensorflow

__all__ = ["FuturesExecutor"]

_LOG = logging.getLogger("hpsearch")
_POLL_SECONDS = 0.2
_NO_DATA = "no data"
#: What this process has been sent, by its digest.
_datasets: dict[str, Dataset] = {}
_TRAINS = threading.Lock()


@dataclass(eq=False)
class _Slot:
    """One training that is under way."""

    number: int
    job: Job
    began: float


class FuturesExecutor:
    """Runs trainings as functions of a pool, which stays the caller's; calls beside the driver.

    The data goes to each of the pool's processes once.

    Args:
        pool: Its processes have hpsearch, and find the user's modules.
        workers: How many trainings it is given at a time.
        log: For what calls print; None for nowhere.
    """

    def __init__(
        self, pool: concurrent.futures.Executor, workers: int, log: IO[str] | None = None
    ) -> None:
        self._pool = pool
        self._workers = workers
        self._beside = Beside(log)
        self._digest, self._data = "", b""
        self._slots: dict[int, _Slot] = {}
        self._done: queue.SimpleQueue[tuple[_Slot, concurrent.futures.Future[Any]]] = (
            queue.SimpleQueue()
        )

    def provide(self, dataset: Dataset) -> None:
        """Keep the data until a process of the pool asks for it."""
        self._beside.provide(dataset)
        self._data = pickle.dumps(dataset)
        self._digest = hashlib.sha256(self._data).hexdigest()

    @property
    def free(self) -> int:
        """How many it would take."""
        return self._workers - len(self._slots)

    @property
    def busy(self) -> int:
        """How many are under way."""
        return len(self._slots) + self._beside.busy

    def submit(self, work: Work) -> None:
        """Give the pool a training; make a call here."""
        if isinstance(work, Call):
            self._beside.submit(work)
            return
        if not self.free:
            raise RuntimeError("submit needs a free worker")
        number = next(n for n in range(1, self._workers + 1) if n not in self._slots)
        slot = self._slots[number] = _Slot(number, work, time.monotonic())
        self._send(slot, b"")

    def _send(self, slot: _Slot, data: bytes) -> None:
        task = cloudpickle.dumps(slot.job)
        future = self._pool.submit(_run, task, slot.number, self._digest, data)
        future.add_done_callback(lambda done: self._done.put((slot, done)))

    def events(self, timeout_seconds: float) -> Sequence[Event]:
        """What ended, in order; waits for one, or until the time is up."""
        deadline = time.monotonic() + timeout_seconds
        events: list[Event] = []
        while not events:
            remaining = deadline - time.monotonic()
            events += self._beside.events(min(max(0.0, remaining), _POLL_SECONDS))
            wait = _POLL_SECONDS / 10 if self._beside.busy or events else max(0.0, remaining)
            try:
                events += self._take(*self._done.get(timeout=wait))
            except queue.Empty:
                if remaining <= 0:
                    break
        return events

    def _take(self, slot: _Slot, done: concurrent.futures.Future[Any]) -> list[Event]:
        try:
            answer = done.result()
        except (Exception, concurrent.futures.CancelledError) as error:  # noqa: BLE001
            # Whatever the pool raises, the training gave no answer.
            return self._bury(slot, f"the worker ended ({type(error).__name__}: {error})")
        if answer == _NO_DATA:
            self._send(slot, self._data)
            return []
        del self._slots[slot.number]
        events: list[Event] = pickle.loads(answer)  # noqa: S301 - our own
        return events

    def _bury(self, slot: _Slot, reason: str) -> list[Event]:
        del self._slots[slot.number]
        _LOG.warning("worker %d: %s", slot.number, reason)
        seconds = time.monotonic() - slot.began
        lost = Lost(
            slot.number, slot.job.training, frozenset(), reason, timed_out=False, seconds=seconds
        )
        return [lost]

    def close(self) -> None:
        """Hear no more of what runs, which goes on; end calls at once."""
        self._slots.clear()
        self._beside.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _run(task: bytes, number: int, digest: str, data: bytes) -> Any:
    """In a process of the pool: the events of a training, or that the data is not there."""
    # A pool may have threads; a process trains one model at a time.
    with _TRAINS:
        if data:
            _datasets.clear()
            _datasets[digest] = pickle.loads(data)  # noqa: S301 - from the driver
        if digest not in _datasets:
            return _NO_DATA
        job: Job = cloudpickle.loads(task)
        if job.tensorflow:
            start_tensorflow()
        events: list[Event] = []
        run(job, _datasets[digest], number, events.append)
        return pickle.dumps(events)
