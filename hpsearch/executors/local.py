"""Workers on this machine: forked from a preloaded server, one training at a time each.

A worker's death costs the training it ran, nothing else; a training that takes too long is
killed; closing leaves no process behind. The driver's own death is seen to by the system
(see `forkserver`).
"""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import IO, Any, Self

import cloudpickle

from hpsearch.errors import HpsearchError
from hpsearch.executors import worker as worker_module
from hpsearch.executors.base import Answered, Dataset, Event, Finished, Job, Lost, Started
from hpsearch.executors.forkserver import Channel
from hpsearch.executors.shared import share_arrays
from hpsearch.executors.worker import Header, Retired

__all__ = ["LocalExecutor", "resident_bytes"]

_LOG = logging.getLogger("hpsearch")
#: TensorFlow's libraries read these when they are loaded; the server must stay single-threaded
#: to fork, and one thread a worker is fastest where every core has a worker.
_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "KERAS_BACKEND": "tensorflow",
    "TF_CPP_MIN_LOG_LEVEL": "2",
    "CUDA_MODULE_LOADING": "LAZY",
}
#: TensorFlow keeps some megabytes of each model for good; a fresh worker costs milliseconds.
_GROWTH_BYTES = 250 * 2**20
_POLL_SECONDS = 0.2
_WAIT_FOR_EXIT_SECONDS = 1.0


@dataclass
class _Worker:
    number: int
    connection: Connection[Any, Any]
    pid: int | None = None
    job: Job | None = None
    began: float | None = None
    answered: set[int] = field(default_factory=set)
    doom: str = ""
    timed_out: bool = False
    retired: bool = False


class LocalExecutor:
    """Forked workers that share one copy of the data.

    The server starts at once, so that its imports go on beside what the driver does; `provide`
    hands it the data.

    Args:
        workers: How many trainings run at a time.
        log: Where workers' and server's output goes: an open file.
        timeout_seconds: Longest time of a training, or None.
        memory_bytes: Most resident memory of a worker, or None.
        growth_bytes: A worker that has grown by more since its first training is replaced.
    """

    def __init__(
        self,
        workers: int,
        log: IO[Any],
        *,
        timeout_seconds: float | None = None,
        memory_bytes: int | None = None,
        growth_bytes: int = _GROWTH_BYTES,
    ) -> None:
        self._limit = workers
        self._timeout_seconds = timeout_seconds
        self._memory_bytes = memory_bytes
        self._growth_bytes = growth_bytes
        self._workers: dict[int, _Worker] = {}
        self._ended: dict[int, int] = {}
        self._selector = selectors.DefaultSelector()
        ours, theirs = socket.socketpair()
        with theirs:
            self._server = subprocess.Popen(  # noqa: S603 - our own module
                [
                    sys.executable,
                    # A keras.py in the user's directory is not to be taken for Keras.
                    "-P",
                    "-m",
                    "hpsearch.executors.forkserver",
                    str(theirs.fileno()),
                    str(os.getpid()),
                    *_import_paths(),
                ],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=os.environ | _ENVIRONMENT,
                start_new_session=True,
            )
        self._channel = Channel(ours)
        self._selector.register(self._channel, selectors.EVENT_READ)

    def provide(self, dataset: Dataset) -> None:
        """Put the data where every worker maps it; before the first `submit`."""
        handle, layout = share_arrays(dataset.arrays)
        try:
            self._send(("data", Header(dataset.input, dataset.target, layout)), handle)
        finally:
            os.close(handle)

    @property
    def free(self) -> int:
        """How many trainings it would start at once."""
        return self._limit - self.busy

    @property
    def busy(self) -> int:
        """How many trainings are under way."""
        return sum(worker.job is not None for worker in self._workers.values())

    def submit(self, job: Job) -> None:
        """Start a training, in a worker that waits or a new one.

        Raises:
            HpsearchError: The server has ended.
        """
        if not self.free:
            raise RuntimeError("submit needs a free worker")
        idle = [w for w in self._workers.values() if w.job is None]
        worker = idle[0] if idle else self._fork()
        worker.job, worker.began, worker.doom, worker.timed_out = job, None, "", False
        worker.answered = set()
        try:
            worker.connection.send_bytes(cloudpickle.dumps(job))
        except OSError:
            _LOG.info("worker %d ended before its next training", worker.number)

    def _fork(self) -> _Worker:
        number = next(n for n in range(1, self._limit + 1) if n not in self._workers)
        ours, theirs = socket.socketpair()
        with theirs:
            self._send(("fork", number, self._growth_bytes), theirs.fileno())
        worker = _Worker(number, Connection(ours.detach()))
        self._workers[number] = worker
        self._selector.register(worker.connection, selectors.EVENT_READ, worker)
        return worker

    def _send(self, message: Any, descriptor: int) -> None:
        try:
            self._channel.send(message, descriptor)
        except OSError:
            self._server_ended()

    def _server_ended(self) -> None:
        try:
            code: int | None = self._server.wait(_WAIT_FOR_EXIT_SECONDS)
        except subprocess.TimeoutExpired:
            code = None
        raise HpsearchError(
            f"the process that starts workers ended ({_reason(code)}); the last lines of run.log "
            "say why; what was finished is stored, so run the same command again"
        )

    def events(self, timeout_seconds: float) -> Sequence[Event]:
        """What happened, in order; waits for at least one event, or until the time is up."""
        deadline = time.monotonic() + timeout_seconds
        events: list[Event] = []
        while not events:
            remaining = deadline - time.monotonic()
            ready = self._selector.select(max(0.0, min(remaining, _POLL_SECONDS)))
            # The server first: to bury a worker takes the server's messages, too, and a turn
            # that came later would wait for one that is gone.
            for key, _ in sorted(ready, key=lambda each: each[0].data is not None):
                if key.data is None:
                    self._hear_server()
                else:
                    events += self._hear(key.data)
            self._enforce_limits()
            if remaining <= 0:
                break
        return events

    def _hear_server(self) -> None:
        try:
            message, _ = self._channel.receive()
        except (EOFError, OSError, pickle.UnpicklingError):
            self._selector.unregister(self._channel)
            self._server_ended()
        if message[0] == "forked" and message[1] in self._workers:
            self._workers[message[1]].pid = message[2]
            # How an earlier process of that number ended is of no use any more.
            self._ended.pop(message[2], None)
        elif message[0] == "ended":
            self._ended[message[1]] = message[2]

    def _hear(self, worker: _Worker) -> list[Event]:
        try:
            messages = worker_module.messages(worker.connection)
        except (EOFError, OSError):
            return self._bury(worker)
        events: list[Event] = []
        for message in messages:
            if isinstance(message, Retired):
                # Its connection closes next.
                worker.retired = True
                continue
            if isinstance(message, Started):
                worker.began = time.monotonic()
            elif isinstance(message, Answered):
                worker.answered.add(message.result.trial)
            elif isinstance(message, Finished):
                worker.job = None
            events.append(message)
        return events

    def _bury(self, worker: _Worker) -> list[Event]:
        """Forget a worker whose connection closed; what it ran is lost."""
        self._selector.unregister(worker.connection)
        worker.connection.close()
        del self._workers[worker.number]
        if worker.job is None:
            return []
        if worker.retired:
            # The job crossed the worker's farewell; a fresh worker takes it.
            self.submit(worker.job)
            return []
        seconds = 0.0 if worker.began is None else time.monotonic() - worker.began
        reason = worker.doom or f"the worker ended ({_reason(self._exit_code(worker))})"
        _LOG.warning("worker %d: trial %d: %s", worker.number, worker.job.training.number, reason)
        lost = Lost(
            worker.number,
            worker.job.training,
            frozenset(worker.answered),
            reason,
            worker.timed_out,
            seconds,
        )
        return [lost]

    def _exit_code(self, worker: _Worker) -> int | None:
        """How a worker ended, once the server has told."""
        deadline = time.monotonic() + _WAIT_FOR_EXIT_SECONDS
        with selectors.DefaultSelector() as selector:
            selector.register(self._channel, selectors.EVENT_READ)
            while worker.pid not in self._ended:
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    return None
                self._hear_server()
        return os.waitstatus_to_exitcode(self._ended.pop(worker.pid))

    def _enforce_limits(self) -> None:
        now = time.monotonic()
        for worker in self._workers.values():
            if worker.job is None or worker.began is None or worker.pid is None or worker.doom:
                continue
            if self._timeout_seconds is not None and now - worker.began > self._timeout_seconds:
                worker.timed_out = True
                worker.doom = f"took longer than execution.timeout, {self._timeout_seconds:g} s"
            elif self._memory_bytes is not None:
                used = resident_bytes(worker.pid)
                if used > self._memory_bytes:
                    worker.doom = (
                        f"memory: the worker used {used / 2**20:.0f} MB, more than "
                        f"execution.memory, {self._memory_bytes / 2**20:.0f} MB"
                    )
            if worker.doom:
                _kill(worker.pid)

    def close(self) -> None:
        """End all work at once; no process is left when it returns."""
        for worker in self._workers.values():
            if worker.pid is not None:
                _kill(worker.pid)
            worker.connection.close()
        self._workers.clear()
        self._selector.close()
        self._channel.socket.close()
        # The server kills no one: each worker has its death signal, this covers its children.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._server.pid, signal.SIGKILL)
        self._server.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _import_paths() -> list[str]:
    """Where the driver finds modules, so that workers find the user's, too."""
    # Not resolved: a link may be there so that its target can change.
    return [str(Path(path).absolute()) for path in [*sys.path, "."]]


def resident_bytes(pid: int) -> int:
    """Resident memory of a process; 0 where it is gone."""
    import psutil

    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return 0


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _reason(code: int | None) -> str:
    if code is None:
        return "no exit status"
    if code >= 0:
        return f"exit status {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
