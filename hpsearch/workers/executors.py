"""Open the executor that `execution.engine` names, or train in this process or in any pool."""

from __future__ import annotations

import concurrent.futures
import hashlib
import pickle
import queue
import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from functools import partial
from pkgutil import resolve_name
from typing import IO, Any

import cloudpickle

from hpsearch.data.specs import TrainingData
from hpsearch.machine import cores, share_bytes
from hpsearch.spec.execution import ExecutionSettings
from hpsearch.training.subjects import Job
from hpsearch.workers.local import CallsHere, LocalExecutor
from hpsearch.workers.protocol import Call, Event, Executor, Work, WorkerState, free_number
from hpsearch.workers.servers import Servers
from hpsearch.workers.work import run, start_tensorflow

_POLL_SECONDS = 0.2
_NO_DATA = "no data"


class InProcessExecutor(Executor):
    """Runs one training or call at a time, within `events`."""

    def __init__(self, dataset: TrainingData | None = None, *, threads: int = 1) -> None:
        self._dataset = dataset
        self._threads = partial(int, threads)
        self._work: Work | None = None

    def provide(self, dataset: TrainingData) -> None:
        self._dataset = dataset

    @property
    def free(self) -> int:
        return 1 - self.busy

    @property
    def busy(self) -> int:
        return int(self._work is not None)

    def submit(self, work: Work) -> None:
        """Take a training or a call, which the next `events` runs."""
        self._work = work

    def events(self, timeout_seconds: float) -> Sequence[Event]:
        """Run the waiting work to its end, ignoring the timeout, and return its events."""
        del timeout_seconds
        work, self._work = self._work, None
        events: list[Event] = []
        if work is not None:
            assert self._dataset is not None
            if isinstance(work, Job):
                work = replace(work, threads=self._threads)
            run(work, self._dataset, 1, events.append)
        return events

    def close(self) -> None:
        """Forget the waiting work."""
        self._work = None


class FuturesExecutor(CallsHere):
    """Runs trainings in the caller's pool, and calls in a worker of this machine.

    Each of the pool's processes receives the data once.

    Args:
        pool: The pool, whose processes can import hpsearch and the user's modules.
        log: Receives what calls print.
        threads: The number of threads of each training.
    """

    def __init__(
        self, pool: concurrent.futures.Executor, workers: int, log: IO[str], *, threads: int = 1
    ) -> None:
        super().__init__(log)
        self._pool, self._threads = pool, threads
        self._workers = workers
        self._digest, self._data = "", b""
        self._slots: dict[int, WorkerState] = {}
        self._done: queue.SimpleQueue[tuple[WorkerState, concurrent.futures.Future[Any]]] = (
            queue.SimpleQueue()
        )

    def provide(self, dataset: TrainingData) -> None:
        """Keep the data until a process of the pool asks for it."""
        super().provide(dataset)
        self._data = pickle.dumps(dataset)
        self._digest = hashlib.sha256(self._data).hexdigest()

    @property
    def free(self) -> int:
        return self._workers - len(self._slots)

    @property
    def busy(self) -> int:
        return len(self._slots) + self.calling

    def submit(self, work: Work) -> None:
        """Send a training to the pool, or make a call here."""
        if isinstance(work, Call):
            super().submit(work)
            return
        slot = WorkerState(number=free_number(self._slots))
        self._slots[slot.number] = slot
        slot.take(work)
        self._send(slot, b"")

    def _send(self, slot: WorkerState, data: bytes) -> None:
        task = cloudpickle.dumps(slot.work)
        arguments = (task, slot.number, self._threads, self._digest, data)
        future = self._pool.submit(_run, *arguments)
        future.add_done_callback(lambda done: self._done.put((slot, done)))

    def _look(self, seconds: float) -> list[Event]:
        events = super()._look(min(seconds, _POLL_SECONDS / 10))
        wait = _POLL_SECONDS / 10 if self.listens or events else seconds
        with suppress(queue.Empty):
            events += self._take(*self._done.get(timeout=wait))
        return events

    def _take(self, slot: WorkerState, done: concurrent.futures.Future[Any]) -> Sequence[Event]:
        try:
            answer = done.result()
        # The pool may raise anything: the training gave no answer.
        except (Exception, concurrent.futures.CancelledError) as error:  # noqa: BLE001
            del self._slots[slot.number]
            return slot.lost(f"the worker ended ({type(error).__name__}: {error})")
        if answer == _NO_DATA:
            self._send(slot, self._data)
            return []
        del self._slots[slot.number]
        events: list[Event] = pickle.loads(answer)  # noqa: S301 - our own
        return events


#: The datasets that this process of a pool has received, by digest.
_datasets: dict[str, TrainingData] = {}
#: A pool may have threads, but a process must train one model at a time.
_TRAINS = threading.Lock()


def _run(task: bytes, number: int, threads: int, digest: str, data: bytes) -> Any:
    """Run a training in a process of the pool; return its events, or ask for the data."""
    with _TRAINS:
        if data:
            _datasets.clear()
            _datasets[digest] = pickle.loads(data)  # noqa: S301 - from the driver
        if digest not in _datasets:
            return _NO_DATA
        job: Job = cloudpickle.loads(task)
        if job.tensorflow:
            start_tensorflow(threads)
        job = replace(job, threads=partial(int, threads))
        events: list[Event] = []
        run(job, _datasets[digest], number, events.append)
        return pickle.dumps(events)


def opened_executor(
    execution: ExecutionSettings,
    workers: int | None,
    log: IO[str],
    *,
    servers: Servers | None = None,
    pool: concurrent.futures.Executor | None = None,
    in_process: bool = False,
    devices: Sequence[str] | None = None,
) -> AbstractContextManager[Executor]:
    """Return the executor that an `execution:` block describes; its context closes it.

    Args:
        workers: Number of trainings at a time; None means as many as a cluster has room for.
        log: An open file for what workers print.
        servers: Running servers, which the local engine needs, and closes.
        pool: Trains in this pool's processes instead of the engine's.
        in_process: Trains in this process instead of the engine's.
        devices: See `LocalExecutor`.
    """
    memory = None if execution.memory == "auto" else execution.memory
    threads = execution.fixed_threads
    if in_process:
        return InProcessExecutor(threads=threads)
    if pool is None and execution.engine == "ray":
        # Ray is an annex, whose package is optional.
        opened_ray = resolve_name("hpsearch.ray.executor:opened_ray")
        ray: AbstractContextManager[Executor] = opened_ray(execution, workers, memory, log)
        return ray
    assert workers is not None
    if pool is not None:
        return FuturesExecutor(pool, workers, log, threads=threads)
    assert servers is not None
    return LocalExecutor(
        servers,
        workers,
        timeout_seconds=execution.timeout_seconds,
        memory_bytes=share_bytes(workers) if execution.memory == "auto" else memory,
        devices=devices,
        threads=threads,
        cores=cores() if execution.threads == "auto" else 0,
    )
