"""The Ray executor, which trains on a cluster by the same protocol as on this machine."""

from __future__ import annotations

import logging
import os
import queue
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import ModuleType
from typing import IO, Any

from hpsearch.data.specs import TrainingData
from hpsearch.errors import HpsearchError, InputError
from hpsearch.ray.connection import Head, connected
from hpsearch.ray.worker import Hello, RayWorker, package_versions
from hpsearch.spec.execution import ExecutionSettings
from hpsearch.workers.local import CallsHere
from hpsearch.workers.protocol import Call, Event, Said, Work, WorkerState, free_number
from hpsearch.workers.servers import import_paths

_LOST_NODE = re.compile(
    r"node (?:has|was|is) (?:died|dead|drained|removed|terminated|preempt)", re.IGNORECASE
)
_DETAIL = re.compile(r"Worker exit detail: (.*?)(?: Some common causes|$)")
_LOG = logging.getLogger("hpsearch")
_CHECK_SECONDS = 2.0
_POLL_SECONDS = 0.2
_MOST_WORKERS = 1024
#: If a node has room, a worker starts within this time.
_SAY_AFTER_SECONDS = 10.0
#: After this many failed starts, the run ends if no worker was ever put to use.
_STARTS = 3
_RETRY_SECONDS = 5.0


class Nodes:
    """The cluster's nodes, by Ray's ids.

    Attributes:
        needed: The resources of one worker, by Ray's names.
        avoided: Why nodes are avoided in this run, in the order in which they were found.
    """

    def __init__(self, ray: ModuleType, needed: Mapping[str, float]) -> None:
        self._ray, self.needed = ray, needed
        self.avoided: dict[str, str] = {}
        self._alive: list[dict[str, Any]] = []

    def update(self) -> None:
        """Ask the cluster for its nodes."""
        self._alive = [node for node in self._ray.nodes() if node["Alive"]]

    @property
    def usable(self) -> list[dict[str, Any]]:
        """The nodes that are alive and not avoided, in Ray's description."""
        return [node for node in self._alive if node["NodeID"] not in self.avoided]

    @property
    def none_left(self) -> bool:
        """True if some nodes have the resources of a worker, but all of them are avoided."""
        return not any(map(self._slots, self.usable)) and any(map(self._slots, self._alive))

    @property
    def room(self) -> int:
        """Number of workers for which the usable nodes have room without other users."""
        return min(sum(map(self._slots, self.usable)), _MOST_WORKERS)

    def slots(self, node: str) -> int:
        """Return the number of workers that fit on a node, at least one."""
        entries = (entry for entry in self._alive if entry["NodeID"] == node)
        return max(1, sum(self._slots(entry) for entry in entries))

    def _slots(self, node: Mapping[str, Any]) -> int:
        has = node["Resources"]
        return min(
            (int(has.get(name, 0) / amount) for name, amount in self.needed.items() if amount),
            default=_MOST_WORKERS,
        )


@dataclass(eq=False, kw_only=True)
class Member(WorkerState):
    """One worker and its work.

    Attributes:
        node: Its node's name, for people.
        pid: The PID of its process there; 0 until it has started.
    """

    #: A worker's first training may import TensorFlow, perhaps over a network.
    importing_seconds: float = 120.0
    actor: Any
    node: str = "its node"
    pid: int = 0

    @property
    def idle(self) -> bool:
        """True if it can take work."""
        return self.pid > 0 and self.work is None


Take = Callable[[Member, Any], list[Event]]
#: A worker, what takes its answer, and what returns the answer or raises if the worker ended.
News = tuple[Member, Take, Callable[[], Any]]


class RayExecutor(CallsHere):
    """Workers on the nodes of a cluster.

    Args:
        ray: The module `ray`, connected.
        workers: Number of trainings at a time; None for as many as the cluster has room for.
        memory_bytes: Most memory of a worker during a training, without the shared data; None
            for its share of the node's memory.
        log: Receives what calls print.
    """

    def __init__(
        self,
        ray: ModuleType,
        execution: ExecutionSettings,
        workers: int | None,
        memory_bytes: int | None,
        log: IO[str],
    ) -> None:
        super().__init__(log)
        self._ray, self._workers = ray, workers
        self._timeout_seconds, self._memory_bytes = execution.timeout_seconds, memory_bytes
        self._threads = execution.fixed_threads
        needed = {"CPU": float(self._threads), **(execution.resources or {})}
        self._nodes, self._head = Nodes(ray, needed), Head(ray)
        self._class = ray.remote(
            num_cpus=needed["CPU"],
            # Ray has separate arguments for CPUs and GPUs.
            num_gpus=needed.get("GPU", 0),
            resources={name: needed[name] for name in needed.keys() - {"CPU", "GPU"}},
            max_restarts=0,
            # A worker is watched while it talks, so it needs two threads.
            max_concurrency=2,
        )(RayWorker)
        #: Reference to the dataset in the object store.
        self._data: Any = None
        self._members: dict[int, Member] = {}
        self._news: queue.SimpleQueue[News] = queue.SimpleQueue()
        self._checked = self._waiting_since = self._hire_after = 0.0
        self._said_waiting = False
        self._failed_starts = 0
        #: True if a worker was ever put to use.
        self._used = False
        self._versions = package_versions()

    def provide(self, dataset: TrainingData) -> None:
        """Put the data into the object store once; nodes fetch them, and their workers map them."""
        super().provide(dataset)
        try:
            self._data = self._ray.put(dataset)
        except self._ray.exceptions.ObjectStoreFullError:
            raise InputError(
                "the data do not fit into Ray's object store; start the cluster with a larger "
                "--object-store-memory"
            ) from None
        self._waiting_since = time.monotonic()
        self._check_cluster()

    @property
    def free(self) -> int:
        return sum(member.idle for member in self._members.values())

    @property
    def busy(self) -> int:
        return self.calling + sum(member.work is not None for member in self._members.values())

    def submit(self, work: Work) -> None:
        """Start a training on a node, or a call on the driver's machine."""
        if isinstance(work, Call):
            super().submit(work)
            return
        numbers = (number for number, member in self._members.items() if member.idle)
        member = self._members[min(numbers)]
        _LOG.info("worker %d on %s: %s", member.number, member.node, work.training.label)
        member.take(work)
        self._ask(member, member.actor.talk.remote(work), self._hear)

    def _ask(self, member: Member, reference: Any, take: Take) -> None:
        """Have `take` called with the answer to a request."""

        def put(future: Any) -> None:
            self._news.put((member, take, future.result))

        reference.future().add_done_callback(put)

    def _look(self, seconds: float) -> list[Event]:
        wait = min(seconds, _POLL_SECONDS)
        here = wait if self.calling else 0.0
        events = super()._look(here)
        with suppress(queue.Empty):
            events += self._take(*self._news.get(timeout=wait - here))
            while True:
                events += self._take(*self._news.get_nowait())
        for member in self._members.values():
            if member.limits_apply:
                member.check_time(self._timeout_seconds)
                if member.timed_out:
                    self._end(member)
        if time.monotonic() - self._checked >= _CHECK_SECONDS:
            events += self._check_cluster()
        return events

    def _take(self, member: Member, take: Take, answer_of: Callable[[], Any]) -> list[Event]:
        if self._members.get(member.number) is not member:
            return []
        try:
            answer = answer_of()
        except Exception as error:  # noqa: BLE001  # whatever Ray raises, the worker has ended
            return self._handle_end(member, error)
        return take(member, answer)

    def _welcome(self, member: Member, hello: Hello) -> list[Event]:
        """Use a new worker, unless its node has other versions."""
        node, name = hello.node, f"{hello.host} (node {hello.node[:8]})"
        if differing := [package for package in hello.versions if package not in self._versions]:
            self._dismiss(member)
            if node in self._nodes.avoided:
                return []
            has = ", ".join(differing)
            said = f"{name} is used no more in this run: unlike this machine, it has {has}"
            self._nodes.avoided[node] = said
            return [Said(said, warning=True)]
        self._used = True
        member.node, member.pid = name, hello.pid
        watch = member.actor.watch.remote(self._memory_bytes, self._nodes.slots(node))
        self._ask(member, watch, self._limit_memory)
        _LOG.info("worker %d: process %d on %s", member.number, hello.pid, name)
        return []

    def _hear(self, member: Member, messages: Sequence[Event]) -> list[Event]:
        events = member.hear(messages)
        if member.work is not None:
            self._ask(member, member.actor.talk.remote(None), self._hear)
        elif member.retired:
            self._dismiss(member)
        return events

    def _limit_memory(self, member: Member, memory: tuple[int, int]) -> list[Event]:
        if member.work is None:
            # No training caused memory that was kept between trainings.
            self._dismiss(member)
            return []
        member.check_memory(*memory)
        self._end(member)
        return []

    def _handle_end(self, member: Member, error: Exception) -> list[Event]:
        """Forget an ended worker, and report its lost work."""
        del self._members[member.number]
        reason, machine_lost = member.end_reason, False
        if not reason:
            reason, machine_lost = _how_ended(self._ray, error, member.node)
        if not member.pid and not machine_lost:
            return self._not_started(error, reason)
        self._checked = 0.0
        return member.lost(reason, machine=machine_lost, host=f" on {member.node}")

    def _not_started(self, error: Exception, reason: str) -> list[Event]:
        """Report a failed start, and wait before the next one."""
        _LOG.warning("a worker did not start: %s", error)
        self._failed_starts += 1
        if self._failed_starts >= _STARTS and not self._used:
            raise HpsearchError(
                f"no worker can be started on the cluster: {reason}; hpsearch and its packages "
                "must be installed on every node, see run.log"
            )
        self._hire_after = time.monotonic() + _RETRY_SECONDS
        return [Said(f"a worker did not start: {reason}", warning=True)]

    def _dismiss(self, member: Member) -> None:
        """End a worker at once, and forget it."""
        del self._members[member.number]
        self._end(member)
        # Request another one soon, not at once: that blocks if the head does not answer.
        self._checked = 0.0

    def _end(self, member: Member) -> None:
        """End a worker's process; answers that it still owes then raise."""
        # Ray may have forgotten it.
        with suppress(self._ray.exceptions.RayError, ValueError):
            self._ray.kill(member.actor, no_restart=True)

    def _check_cluster(self) -> list[Event]:
        """Check the head and the nodes, and request as many workers as have room."""
        self._checked = time.monotonic()
        if not self._head.answers():
            return []
        self._nodes.update()
        if not self._used and self._nodes.none_left:
            raise HpsearchError(
                "no node of the cluster with room for a worker can be used; "
                f"the last: {[*self._nodes.avoided.values()][-1]}"
            )
        self._hire()
        if any(member.pid for member in self._members.values()):
            self._waiting_since, self._said_waiting = self._checked, False
            return []
        if self._said_waiting or self._checked - self._waiting_since < _SAY_AFTER_SECONDS:
            return []
        self._said_waiting = True
        return [Said(f"waiting: no node has room for a worker of {self._nodes.needed}")]

    def _hire(self) -> None:
        if time.monotonic() < self._hire_after:
            return
        wanted = self._workers or max(1, self._nodes.room)
        options: dict[str, Any] = {}
        if avoided := ",".join(self._nodes.avoided):
            options = {"label_selector": {"ray.io/node-id": f"!in({avoided})"}}
        while len(self._members) < wanted:
            number = free_number(self._members)
            actor = self._class.options(**options).remote(
                number, self._data, import_paths(), os.getcwd(), self._threads
            )
            member = self._members[number] = Member(number=number, actor=actor)
            self._ask(member, actor.hello.remote(), self._welcome)

    def close(self) -> None:
        super().close()
        if not self._head.lost:
            for member in self._members.values():
                self._end(member)


def _how_ended(ray: ModuleType, error: BaseException, node: str) -> tuple[str, bool]:
    """Return why an actor ended, for people, and whether its machine was lost."""
    errors = ray.exceptions
    said = " ".join(str(error).split())
    lost = isinstance(error, errors.ActorDiedError) and _LOST_NODE.search(said)
    if (
        lost
        or getattr(error, "preempted", False)
        or isinstance(error, errors.ActorUnavailableError | errors.NodeDiedError)
    ):
        return f"{node} went away", True
    detail = _DETAIL.search(said)
    return f"the worker on {node} ended ({(detail.group(1) if detail else said)[:200]})", False


@contextmanager
def opened_ray(
    execution: ExecutionSettings, workers: int | None, memory_bytes: int | None, log: IO[str]
) -> Iterator[RayExecutor]:
    """Connect to the cluster of `execution.address`, and yield its executor; see `connected`."""
    with (
        connected(execution.address, log) as ray,
        RayExecutor(ray, execution, workers, memory_bytes, log) as executor,
    ):
        yield executor
