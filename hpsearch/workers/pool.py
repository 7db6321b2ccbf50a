"""The workers of the local executor: starting, limiting and burying them."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import pickle
import selectors
import signal
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any, NoReturn

import cloudpickle

from hpsearch.errors import HpsearchError
from hpsearch.workers.protocol import (
    Answered,
    Call,
    Called,
    Event,
    Finished,
    Job,
    Lost,
    Retired,
    Started,
    Work,
)
from hpsearch.workers.servers import Server, Servers


@dataclass(eq=False, kw_only=True)
class WorkerState:
    """One worker's work.

    Attributes:
        work: What it was given; None while it has nothing.
        began: The clock when its training did, by its own word.
        answered: Trials of its training that were answered.
        doom: Why it is to end, in words.
        timed_out, too_large: Which limit that was, if any.
        retired: Whether it has said that it takes no more.
    """

    number: int
    work: Work | None = None
    began: float | None = None
    answered: set[int] = field(default_factory=set)
    doom: str = ""
    timed_out: bool = False
    too_large: bool = False
    retired: bool = False

    def take(self, work: Work) -> None:
        """It is given something."""
        self.work, self.began, self.doom = work, None, ""
        self.timed_out = self.too_large = False
        self.answered = set()

    def hear(self, message: Event | Retired) -> None:
        """Note what it says."""
        match message:
            case Retired():
                self.retired = True
            case Started():
                self.began = time.monotonic()
            case Answered():
                self.answered.add(message.result.trial)
            case Finished() | Called():
                self.work = None

    @property
    def may_be_judged(self) -> bool:
        """Whether it is in a training that is not to end already."""
        return self.work is not None and self.began is not None and not self.doom

    def judge_time(self, most_seconds: float | None) -> None:
        """Doom it where its training takes longer than it may."""
        if most_seconds is None or self.began is None:
            return
        if time.monotonic() - self.began > most_seconds:
            self.timed_out = True
            self.doom = f"took longer than execution.timeout, {most_seconds:g} s"

    def judge_memory(self, used_bytes: int, most_bytes: int) -> None:
        """Doom it where it takes more memory than it may."""
        if used_bytes > most_bytes:
            self.too_large = True
            self.doom = (
                # Rounded up: it reads as more than the limit, however little more it is.
                f"memory: the worker used {math.ceil(used_bytes / 2**20)} MB, more than "
                f"execution.memory, {most_bytes / 2**20:.0f} MB"
            )

    def lost(self, reason: str, *, machine: bool = False) -> Lost | Called | None:
        """The event of its end, for what it was at; None where that was nothing."""
        if isinstance(self.work, Call):
            return Called(self.number, reason)
        if not isinstance(self.work, Job):
            return None
        return Lost(
            self.number,
            self.work.training,
            frozenset(self.answered),
            reason,
            self.timed_out,
            0.0 if self.began is None else time.monotonic() - self.began,
            self.too_large,
            machine,
        )


_LOG = logging.getLogger("hpsearch")
_WAIT_FOR_EXIT_SECONDS = 1.0


@dataclass(eq=False, kw_only=True)
class Worker(WorkerState):
    """One worker and what it is at.

    Attributes:
        pid: Once its server has told.
    """

    server: Server
    connection: Connection[Any, Any]
    pid: int | None = None

    def take(self, work: Work) -> None:
        """Have it do something."""
        super().take(work)
        if self.pid is not None:
            self._send()

    def forked(self, pid: int) -> None:
        """It is there."""
        self.pid = pid
        if self.work is not None:
            self._send()

    def _send(self) -> None:
        """Only to a process that is there: a connection that nobody reads holds little."""
        try:
            self.connection.send_bytes(cloudpickle.dumps(self.work))
        except OSError:
            _LOG.info("worker %d ended before its next training", self.number)


class Pool:
    """Workers that were forked, by number.

    Args:
        servers: What forks them; closed with the pool.
        limit: How many at most.
        growth_bytes: See `worker.serve`.
    """

    def __init__(self, servers: Servers, limit: int, growth_bytes: int) -> None:
        self.servers = servers
        self.workers: dict[int, Worker] = {}
        self._limit = limit
        self._growth_bytes = growth_bytes
        self._ended: dict[int, int] = {}
        self._selector = selectors.DefaultSelector()
        for server in servers:
            self._selector.register(server, selectors.EVENT_READ, server)

    def provide(self, handle: int) -> None:
        """Hand a shared dataset to the servers."""
        for server in self.servers:
            with self._needed(server):
                server.provide(handle)

    def worker_for(self, work: Work) -> Worker:
        """An idle worker that can do it, or a new one, for which an idle one may have to go."""
        idle = [worker for worker in self.workers.values() if worker.work is None]
        able = [worker for worker in idle if worker.server.loaded or not work.tensorflow]
        if able:
            # Light ones first: the others are wanted for what only they can do.
            return min(able, key=lambda worker: worker.server.loaded)
        if len(self.workers) == self._limit:
            self.forget(idle[0])
        return self._fork(self.servers.loaded if work.tensorflow else self.servers.light)

    def _fork(self, server: Server) -> Worker:
        number = next(n for n in range(1, self._limit + 1) if n not in self.workers)
        ours, theirs = socket.socketpair()
        worker = Worker(number=number, server=server, connection=Connection(ours.detach()))

        def on_forked(pid: int) -> None:
            # How an earlier process of that number ended is of no use any more.
            self._ended.pop(pid, None)
            worker.forked(pid)

        with theirs, self._needed(server):
            server.fork(number, self._growth_bytes, theirs.fileno(), on_forked)
        self.workers[number] = worker
        self._selector.register(worker.connection, selectors.EVENT_READ, worker)
        return worker

    def forget(self, worker: Worker) -> None:
        """Let go of a worker, which ends where it has not."""
        self._selector.unregister(worker.connection)
        worker.connection.close()
        del self.workers[worker.number]

    def ready(self, seconds: float) -> Sequence[Worker]:
        """Wait for workers that have something to say, or have ended; listen to the servers."""
        ready = [key.data for key, _ in self._selector.select(max(0.0, seconds))]
        # The servers first: to bury a worker takes their messages, too, and a turn that came
        # later would wait for one that is gone.
        for each in ready:
            if isinstance(each, Server):
                self._hear(each)
        return [each for each in ready if isinstance(each, Worker)]

    def _hear(self, server: Server) -> None:
        with self._needed(server):
            ended = server.receive()
            if ended is not None:
                pid, status = ended
                self._ended[pid] = status

    def how_ended(self, worker: Worker) -> str:
        """How the process of a worker ended, in words."""
        return _reason(self._exit_code(worker, worker.server))

    def _exit_code(self, ended: Worker | Server, teller: Server) -> int | None:
        """How a process ended, once the server that forked it has told."""
        deadline = time.monotonic() + _WAIT_FOR_EXIT_SECONDS
        with selectors.DefaultSelector() as selector:
            selector.register(teller, selectors.EVENT_READ)
            while ended.pid not in self._ended:
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    return None
                self._hear(teller)
        return os.waitstatus_to_exitcode(self._ended.pop(ended.pid))

    @contextlib.contextmanager
    def _needed(self, server: Server) -> Iterator[None]:
        """Nothing goes on without a server."""
        try:
            yield
        except (EOFError, OSError, pickle.UnpicklingError):
            self._server_ended(server)

    def _server_ended(self, server: Server) -> NoReturn:
        if server.loaded:
            # The other one, its parent, tells how.
            code = self._exit_code(server, self.servers.light)
        else:
            code = self.servers.wait(_WAIT_FOR_EXIT_SECONDS)
        raise HpsearchError(
            f"the process that starts workers ended ({_reason(code)}); the last lines of run.log "
            "say why; what was finished is stored, so run the same command again"
        )

    def close(self) -> None:
        """End all workers and servers at once."""
        for worker in self.workers.values():
            if worker.pid is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(worker.pid, signal.SIGKILL)
            worker.connection.close()
        self.workers.clear()
        self._selector.close()
        self.servers.close()


def _reason(code: int | None) -> str:
    if code is None:
        return "no exit status"
    if code >= 0:
        return f"exit status {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
