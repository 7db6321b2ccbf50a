"""Run forked workers on this machine, and enforce their limits."""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import selectors
import signal
import socket
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import cloudpickle

from hpsearch.data.specs import TrainingData
from hpsearch.errors import HpsearchError
from hpsearch.files import cut_beginning
from hpsearch.machine import descendants, now, own_bytes
from hpsearch.spec.execution import MOST_THREADS
from hpsearch.training.subjects import Job
from hpsearch.wording import exit_text
from hpsearch.workers.protocol import (
    NO_DEVICE,
    Conversation,
    Event,
    Executor,
    Heard,
    Resources,
    Threads,
    Work,
    WorkerState,
    free_number,
)
from hpsearch.workers.servers import CLOSED_STATUS, Server, Servers, Wire
from hpsearch.workers.shared import share

_LOG = logging.getLogger("hpsearch")
_POLL_SECONDS = 0.2
#: Short, because a worker can take a gigabyte in half a second.
_MEMORY_CHECK_SECONDS = 0.05
#: Looking at children inspects all processes, which takes milliseconds.
_CHILDREN_CHECK_SECONDS = 1.0
_WAIT_FOR_EXIT_SECONDS = 1.0
#: Number of the conversation's process; workers count from 1.
_PARTNER = 0


@dataclass(eq=False, kw_only=True)
class Worker(WorkerState):
    """A forked worker and its work.

    Attributes:
        pid: None until its server has reported it.
        device: The number of the GPU that it may see; empty if all workers may see all GPUs.
        ended: Whether its server has reported its end. The worker's children may keep the other
            side of the connection open.
    """

    server: Server
    connection: Wire
    device: str = ""
    pid: int | None = None
    ended: bool = False
    #: The number of threads last sent to the worker.
    _threads: int = 1
    _waiting: list[Any] = field(default_factory=list)

    def take(self, work: Work) -> None:
        """Send the worker a training or a call, which begins without idle cores."""
        super().take(work)
        self.grant(1)
        self.send(work)

    def grant(self, threads: int) -> None:
        """Let the training use so many threads from its next epoch on."""
        if threads != self._threads:
            self._threads = threads
            self.send(Threads(threads))

    def send(self, message: Any) -> None:
        """Send a message, or keep it until the process exists."""
        if self.pid is None:
            self._waiting.append(message)
        else:
            self.connection.post(cloudpickle.dumps(message))

    def forked(self, pid: int) -> None:
        """Record the worker's process, and send the waiting messages."""
        self.pid, self.since = pid, now()
        while self._waiting:
            self.send(self._waiting.pop(0))

    def received(self) -> list[Any] | None:
        """Return the messages received so far; None once the worker has ended, and all are read."""
        try:
            messages = [cloudpickle.loads(message) for message in self.connection.take()]
        except EOFError:
            return None
        return messages or (None if self.ended else [])


class Pool:
    """Forked workers by number."""

    def __init__(self, servers: Servers, limit: int, threads: int = 1) -> None:
        self._threads = threads
        self.servers = servers
        self.workers: dict[int, Worker] = {}
        #: The conversation's process, if any.
        self.partner: Worker | None = None
        self._limit = limit
        self._exit_statuses: dict[int, int] = {}
        self._selector = selectors.DefaultSelector()
        for server in servers:
            self._selector.register(server, selectors.EVENT_READ, server)

    def provide(self, handle: int) -> None:
        """Hand a shared dataset to the servers."""
        for server in self.servers:
            with _required():
                server.provide(handle)

    def converse(self, conversation: Conversation, device: str) -> None:
        """Fork a process for a conversation."""
        self.partner = self._fork(self.servers.loaded, _PARTNER)
        self.partner.send(Resources(device, 1))
        self.partner.send(conversation)

    def worker_for(self, work: Work, device: str = "") -> Worker:
        """Return a suitable idle worker, or fork one; at the limit, replace an idle one."""
        idle = [worker for worker in self.workers.values() if worker.work is None]
        able = [w for w in idle if w.device == device and (w.server.loaded or not work.tensorflow)]
        if able:
            # Light workers first, because only loaded workers can do other work.
            return min(able, key=lambda worker: worker.server.loaded)
        if len(self.workers) == self._limit:
            # To start again on a GPU takes longest.
            self.forget(min(idle, key=lambda w: (w.device not in ("", NO_DEVICE), w.server.loaded)))
        number = free_number(self.workers)
        server = self.servers.loaded if work.tensorflow else self.servers.light
        worker = self.workers[number] = self._fork(server, number)
        worker.device = device
        worker.send(Resources(device, self._threads))
        return worker

    def _fork(self, server: Server, number: int) -> Worker:
        ours, theirs = socket.socketpair()
        # Some systems lack a flag with which `send` does not wait.
        ours.setblocking(False)
        worker = Worker(number=number, server=server, connection=Wire(ours))

        def on_forked(pid: int) -> None:
            # The system may reuse the PID of an earlier worker.
            self._exit_statuses.pop(pid, None)
            worker.forked(pid)

        with theirs, _required():
            server.fork(number, theirs.fileno(), on_forked)
        self._selector.register(worker.connection, selectors.EVENT_READ, worker)
        return worker

    def forget(self, worker: Worker) -> None:
        """Close the connection to a worker, which then ends if it still runs."""
        self._selector.unregister(worker.connection)
        worker.connection.close()
        if worker is self.partner:
            self.partner = None
        else:
            del self.workers[worker.number]

    def ready(self, seconds: float) -> Sequence[Worker]:
        """Wait for workers that sent messages or ended; handle the servers' messages."""
        self._flush()
        wait = 0.0 if any(worker.ended for worker in self._all()) else max(0.0, seconds)
        ready = {key.data for key, _ in self._selector.select(wait)}
        # Servers first: `how_ended` reads from them, too, and a later read could block.
        for sender in ready:
            if isinstance(sender, Server):
                self._hear(sender)
        return [worker for worker in self._all() if worker in ready or worker.ended]

    def _all(self) -> list[Worker]:
        return [*self.workers.values(), *([self.partner] if self.partner else [])]

    def _flush(self) -> None:
        """Send messages for which workers had no room, and watch for room for the others."""
        for worker in self._all():
            worker.connection.flush()
            wanted = selectors.EVENT_READ
            if worker.connection.waits:
                wanted |= selectors.EVENT_WRITE
            if self._selector.get_key(worker.connection).events != wanted:
                self._selector.modify(worker.connection, wanted, worker)

    def _hear(self, server: Server) -> None:
        with _required():
            ended = server.receive()
            if ended is not None:
                pid, status = ended
                self._exit_statuses[pid] = status
                for worker in self._all():
                    exited = worker.pid == pid and worker.server is server
                    worker.ended = worker.ended or exited

    def how_ended(self, worker: Worker) -> str:
        """Describe how a worker's process ended; if only its connection has, end the process."""
        code = self.wait_for(worker)
        if code is None:
            end(worker)
            self.wait_for(worker)
        if code in (None, CLOSED_STATUS):
            return "its code closed the worker's connection to the driver, or wrote to it"
        return exit_text(code)

    def wait_for(self, worker: Worker) -> int | None:
        """Wait for the worker's server to report its end, and return its exit code."""
        deadline = time.monotonic() + _WAIT_FOR_EXIT_SECONDS
        with selectors.DefaultSelector() as selector:
            selector.register(worker.server, selectors.EVENT_READ)
            while worker.pid not in self._exit_statuses:
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    return None
                self._hear(worker.server)
        return os.waitstatus_to_exitcode(self._exit_statuses.pop(worker.pid))

    def require_servers(self, most_seconds: float | None) -> None:
        """Check that the servers have forked the requested workers in time."""
        for server in self.servers:
            if silent := server.silent_seconds(most_seconds):
                raise HpsearchError(
                    f"the process that starts workers (PID {server.pid}) has not answered for "
                    f"{silent:.0f} s, so it was stopped or hangs; it is ended, and what was "
                    "finished is stored, so run the same command again"
                )

    def close(self) -> None:
        """End all workers and servers at once."""
        for worker in self._all():
            end(worker)
            worker.connection.close()
        self.workers.clear()
        self._selector.close()
        self.servers.close()


@contextlib.contextmanager
def _required() -> Iterator[None]:
    """Raise HpsearchError if a server has ended."""
    try:
        yield
    except (EOFError, OSError, pickle.UnpicklingError) as error:
        raise HpsearchError(
            "the process that starts workers ended, for which run.log may have the reason; "
            "what was finished is stored, so run the same command again"
        ) from error


def end(worker: Worker) -> None:
    """End a worker's process at once."""
    if worker.pid is not None and not worker.ended:
        with contextlib.suppress(ProcessLookupError):
            os.kill(worker.pid, signal.SIGKILL)


class LocalExecutor(Executor):
    """Forked workers that share one copy of the data.

    Light workers (see `forkserver`) take trainings that need no TensorFlow. Loaded workers take
    any training; the first one starts when TensorFlow has been imported.

    Args:
        servers: Fork the workers; closed with this executor.
        workers: Number of trainings at a time.
        timeout_seconds: Longest time of a training, or None.
        memory_bytes: Most memory of a worker during a training without the shared data, or None.
        devices: The GPUs' numbers, each as often as trainings may share it; None if all workers
            see all GPUs.
        threads: The number of threads of each training.
        cores: The cores that native trainings share beyond these; 0 for none.
    """

    def __init__(
        self,
        servers: Servers,
        workers: int,
        *,
        timeout_seconds: float | None = None,
        memory_bytes: int | None = None,
        devices: Sequence[str] | None = None,
        threads: int = 1,
        cores: int = 0,
    ) -> None:
        self._devices = None if devices is None else Counter(devices)
        self._cores = cores
        self._limit = workers
        self._timeout_seconds = timeout_seconds
        self._memory_bytes = memory_bytes
        self._memory_checked = self._children_checked = 0.0
        #: Bytes of workers' children, by the workers' PIDs.
        self._children_bytes: dict[int, int] = {}
        self._poll_seconds = _POLL_SECONDS if memory_bytes is None else _MEMORY_CHECK_SECONDS
        self._pool = Pool(servers, workers, threads)

    def provide(self, dataset: TrainingData) -> None:
        """Put the data where every worker maps them; called before the first `submit`."""
        handle = share(dataset)
        try:
            self._pool.provide(handle)
        finally:
            os.close(handle)

    @property
    def free(self) -> int:
        return self._limit - self.busy

    @property
    def busy(self) -> int:
        return sum(worker.work is not None for worker in self._pool.workers.values())

    @property
    def free_devices(self) -> int | None:
        return self._unused().total() if self._devices else None

    def _unused(self) -> Counter[str]:
        """The free places on each GPU; that of a dead worker is free once its work is lost."""
        workers = self._pool.workers.values()
        busy = Counter(worker.device for worker in workers if worker.work is not None)
        return (self._devices or Counter()) - busy

    def _device_for(self, work: Work) -> str:
        """Return the GPU with the fewest trainings; a call gets one only if one is free."""
        if self._devices is None:
            return ""
        needed = work.needs.device if isinstance(work, Job) else work.tensorflow
        free = self._unused()
        assert free or not self._devices or not isinstance(work, Job) or not needed
        if not (needed and free):
            return NO_DEVICE
        idle = {worker.device for worker in self._pool.workers.values() if worker.work is None}
        return max(free, key=lambda device: (free[device], device in idle))

    def submit(self, work: Work) -> None:
        """Start a training or a call, in an idle worker or a new one."""
        worker = self._pool.worker_for(work, self._device_for(work))
        if isinstance(work, Job):
            _LOG.info("worker %d: %s", worker.number, work.training.label)
        worker.take(work)

    def spread(self, *, waiting: bool) -> None:
        """Share the idle cores among the trainings that can use them.

        Args:
            waiting: True if other trainings wait, whose cores are then left.
        """
        workers = self._pool.workers.values()
        jobs = [(w, w.work.needs.threads) for w in workers if isinstance(w.work, Job)]
        idle = max(0, self._cores - (self._limit if waiting else self.busy))
        # First to those that can use the fewest, so that the others get what these leave.
        jobs.sort(key=lambda job: job[1])
        for others, (worker, most) in zip(range(len(jobs), 0, -1), jobs, strict=True):
            more = min(most - 1, MOST_THREADS - 1, idle // others)
            worker.grant(1 + more)
            idle -= more

    def converse(self, conversation: Conversation) -> None:
        """Start the conversation's process once TensorFlow has been imported."""
        self._pool.converse(conversation, "" if self._devices is None else NO_DEVICE)

    @property
    def converses(self) -> bool:
        """True if a conversation's process is running."""
        return self._pool.partner is not None

    def say(self, message: Any) -> None:
        """Send a message; an event reports if the process has ended."""
        if self._pool.partner is not None:
            self._pool.partner.send(message)

    def _look(self, seconds: float) -> list[Event]:
        events: list[Event] = []
        for worker in self._pool.ready(min(seconds, self._poll_seconds)):
            if worker is self._pool.partner:
                events += self._listen(worker)
            # Handling another worker's end may have replaced this worker.
            elif worker in self._pool.workers.values():
                events += self._hear(worker)
        self._enforce_limits()
        return events

    def _listen(self, partner: Worker) -> list[Event]:
        """The conversation's next messages, or its end."""
        if (messages := partner.received()) is not None:
            return [Heard(message) for message in messages]
        self._pool.forget(partner)
        return [Heard(ended=self._pool.how_ended(partner))]

    def _hear(self, worker: Worker) -> list[Event]:
        if (messages := worker.received()) is None:
            return self._handle_end(worker)
        events = worker.hear(messages)
        if worker.retired:
            self._pool.forget(worker)
            if worker.device not in ("", NO_DEVICE):
                self._pool.wait_for(worker)
        return events

    def _handle_end(self, worker: Worker) -> list[Event]:
        """Forget an ended worker, and report its lost work."""
        self._pool.forget(worker)
        if worker.work is None:
            return []
        # In any case: until a process has ended, it may hold its GPU.
        ended = self._pool.how_ended(worker)
        return worker.lost(worker.end_reason or f"the worker ended ({ended})")

    def _enforce_limits(self) -> None:
        self._pool.require_servers(self._timeout_seconds)
        cut_beginning(self._pool.servers.log)
        instant = time.monotonic()
        since = instant - self._memory_checked
        limit = self._memory_bytes if since >= _MEMORY_CHECK_SECONDS else None
        if limit is not None:
            self._memory_checked = instant
            if instant - self._children_checked >= _CHILDREN_CHECK_SECONDS:
                self._children_checked = instant
                workers = self._pool.workers.values()
                families = descendants([worker.pid for worker in workers if worker.pid is not None])
                self._children_bytes = {
                    pid: sum(map(_private_bytes, family)) for pid, family in families.items()
                }
        for worker in self._pool.workers.values():
            if worker.pid is None or not worker.limits_apply:
                continue
            worker.check_time(self._timeout_seconds)
            if limit is not None and isinstance(worker.work, Job) and not worker.end_reason:
                used = own_bytes(worker.pid) + self._children_bytes.get(worker.pid, 0)
                worker.check_memory(used, limit)
            if worker.end_reason:
                end(worker)

    def close(self) -> None:
        self._pool.close()


def _private_bytes(pid: int) -> int:
    """Return a process' resident memory with its part of shared pages; 0 if unknown."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        text = Path(f"/proc/{pid}/smaps_rollup").read_text("ascii")
        return 1024 * int(text.partition("Pss_Anon:")[2].split()[0])
    return 0


class CallsHere(Executor):
    """Base of executors that train elsewhere: one worker on this machine makes calls.

    The first call or conversation starts it.

    Args:
        log: Receives what the worker prints.
    """

    def __init__(self, log: IO[str]) -> None:
        self._log = log
        self._dataset: TrainingData | None = None
        self._local: LocalExecutor | None = None
        self._closing = ExitStack()

    def provide(self, dataset: TrainingData) -> None:
        """Keep the data, which calls may read."""
        self._dataset = dataset

    @property
    def calling(self) -> int:
        """Number of calls under way, at most one."""
        return 0 if self._local is None else self._local.busy

    def submit(self, work: Work) -> None:
        """Make a call, if no other one is under way."""
        self._started().submit(work)

    def converse(self, conversation: Conversation) -> None:
        """Start a conversation on this machine."""
        self._started().converse(conversation)

    def say(self, message: Any) -> None:
        self._started().say(message)

    @property
    def listens(self) -> bool:
        """True if there may be events of calls or of a conversation."""
        return self._local is not None and (self._local.converses or self.calling > 0)

    def _started(self) -> LocalExecutor:
        if self._local is None:
            assert self._dataset is not None, "provide comes first"
            executor = LocalExecutor(Servers(self._log), 1)
            self._local = self._closing.enter_context(executor)
            self._local.provide(self._dataset)
        return self._local

    def _look(self, seconds: float) -> list[Event]:
        """Return new events of calls; wait only if there may be some."""
        if self._local is None or not self.listens:
            return []
        return [*self._local.events(seconds)]

    def close(self) -> None:
        """End all calls at once."""
        self._closing.close()
