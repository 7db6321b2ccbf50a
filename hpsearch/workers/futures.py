"""Executors in this process and on any `concurrent.futures` executor."""

from __future__ import annotations

import concurrent.futures
import hashlib
import logging
import os
import pickle
import queue
import threading
import time
from collections import deque
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Self

import cloudpickle

from hpsearch.data.specs import TrainingData
from hpsearch.workers.local import LocalExecutor
from hpsearch.workers.protocol import Call, Event, Job, Lost, Work
from hpsearch.workers.servers import Servers
from hpsearch.workers.work import run, start_tensorflow


class LocalCalls:
    """One worker of this machine, which starts with the first call.

    Args:
        log: For what it prints; None for nowhere.
    """

    def __init__(self, log: IO[str] | None) -> None:
        self._log = log
        self._dataset: TrainingData | None = None
        self._executor: LocalExecutor | None = None
        self._calls: deque[Call] = deque()
        self._closing = ExitStack()

    def provide(self, dataset: TrainingData) -> None:
        """Keep what calls may read."""
        self._dataset = dataset

    @property
    def busy(self) -> int:
        """How many calls wait or are being made."""
        return len(self._calls) + (0 if self._executor is None else self._executor.busy)

    def submit(self, call: Call) -> None:
        """Make a call, after those that wait.

        Raises:
            HpsearchError: The worker cannot be started.
        """
        self._calls.append(call)
        self._begin()

    def _begin(self) -> None:
        while self._calls and self._started().free:
            self._started().submit(self._calls.popleft())

    def _started(self) -> LocalExecutor:
        if self._executor is None:
            assert self._dataset is not None, "provide comes first"
            with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
                servers = Servers(self._log or nowhere)
            self._executor = self._closing.enter_context(LocalExecutor(servers, 1))
            self._executor.provide(self._dataset)
        return self._executor

    def events(self, timeout_seconds: float) -> Sequence[Event]:
        """What happened; waits for something only while there is a call."""
        if self._executor is None or not self.busy:
            return []
        events = self._executor.events(timeout_seconds)
        self._begin()
        return events

    def close(self) -> None:
        """End all work at once."""
        self._closing.close()


class InProcessExecutor:
    """Runs one training or call at a time, when `events` is called."""

    def __init__(self, dataset: TrainingData | None = None) -> None:
        self._dataset = dataset
        self._work: Work | None = None

    def provide(self, dataset: TrainingData) -> None:
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


_LOG = logging.getLogger("hpsearch")
_POLL_SECONDS = 0.2
_NO_DATA = "no data"
#: What this process has been sent, by its digest.
_datasets: dict[str, TrainingData] = {}
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
        self._beside = LocalCalls(log)
        self._digest, self._data = "", b""
        self._slots: dict[int, _Slot] = {}
        self._done: queue.SimpleQueue[tuple[_Slot, concurrent.futures.Future[Any]]] = (
            queue.SimpleQueue()
        )

    def provide(self, dataset: TrainingData) -> None:
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
