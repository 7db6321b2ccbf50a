"""The Ray executor, which trains on a cluster by the same protocol as on this machine."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import IO

from hpsearch.data.specs import TrainingData
from hpsearch.errors import HpsearchError, InputError
from hpsearch.ray.connection import Head, connected
from hpsearch.ray.fleet import Fleet, Hello, Member, News, Nodes, package_versions
from hpsearch.spec.keys import ExecutionSettings
from hpsearch.workers.local import CallsHere
from hpsearch.workers.protocol import Call, Event, Retired, Said, Work

_LOST_NODE = re.compile(
    r"node (?:has|was|is) (?:died|dead|drained|removed|terminated|preempt)", re.IGNORECASE
)
_DETAIL = re.compile(r"Worker exit detail: (.*?)(?: Some common causes|\n|$)")
_LOG = logging.getLogger("hpsearch")
_CHECK_SECONDS = 2.0
_POLL_SECONDS = 0.2
#: If a node has room, a worker starts within this time.
_SAY_AFTER_SECONDS = 10.0
#: After this many failed starts in a row, the run ends if no worker was ever put to use.
_STARTS = 3
_LONGEST_BACKOFF_SECONDS = 30.0


@contextmanager
def opened_ray(
    execution: ExecutionSettings, workers: int | None, memory_bytes: int | None, log: IO[str]
) -> Iterator[RayExecutor]:
    """Connect to the cluster of `execution.address`, and yield its executor; see `connected`."""
    with connected(execution.address, log) as ray:
        yield RayExecutor(
            ray,
            workers,
            timeout_seconds=execution.timeout_seconds,
            memory_bytes=memory_bytes,
            resources=execution.resources or {},
            log=log,
        )


class RayExecutor(CallsHere):
    """Workers on the nodes of a cluster.

    Args:
        ray: The module `ray`, connected.
        workers: Number of trainings at a time; None for as many as the cluster has room for.
        timeout_seconds: Longest time of a training, or None.
        memory_bytes: Most memory of a worker during a training, without the shared data; None
            for its share of the node's memory.
        resources: The resources of one worker, by Ray's names; one CPU by default.
        log: Receives what calls print.
    """

    def __init__(
        self,
        ray: ModuleType,
        workers: int | None,
        *,
        timeout_seconds: float | None = None,
        memory_bytes: int | None = None,
        resources: Mapping[str, float] | None = None,
        log: IO[str],
    ) -> None:
        super().__init__(log)
        self._ray, self._workers = ray, workers
        self._timeout_seconds, self._memory_bytes = timeout_seconds, memory_bytes
        self._nodes = Nodes(ray, {"CPU": 1.0, **(resources or {})})
        self._head = Head(ray)
        self._fleet = Fleet(ray, self._nodes.needed)
        self._checked = self._waiting_since = 0.0
        self._said_waiting = False
        self._hire_after = 0.0
        self._failed_starts = 0
        #: True if a worker was ever put to use.
        self._used = False
        self._versions = package_versions()

    def provide(self, dataset: TrainingData) -> None:
        """Put the data into the object store once; nodes fetch them, and their workers map them.

        Raises:
            InputError: The object store has no room for it.
        """
        super().provide(dataset)
        try:
            self._fleet.data = self._ray.put(dataset)
        except self._ray.exceptions.ObjectStoreFullError:
            size = sum(a.nbytes for a in vars(dataset.arrays).values() if a is not None)
            raise InputError(
                f"the data's {size / 2**20:.0f} MB do not fit into Ray's object store; start the "
                "cluster with a larger --object-store-memory"
            ) from None
        self._waiting_since = time.monotonic()
        self._check_cluster()

    @property
    def free(self) -> int:
        return len(self._idle())

    def _idle(self) -> list[Member]:
        return [member for member in self._fleet if member.idle]

    @property
    def busy(self) -> int:
        return self.calling + sum(member.work is not None for member in self._fleet)

    def submit(self, work: Work) -> None:
        """Start a training on a node, or a call on the driver's machine."""
        if isinstance(work, Call):
            super().submit(work)
            return
        idle = self._idle()
        if not idle:
            raise RuntimeError("submit needs a free worker")
        member = min(idle, key=lambda candidate: candidate.number)
        _LOG.info(
            "worker %d on %s: %s",
            member.number,
            self._nodes.name(member.node),
            work.training.label,
        )
        member.take(work)
        self._fleet.talk(member, work)

    def _look(self, seconds: float) -> list[Event]:
        """Return new events.

        Raises:
            HpsearchError: The head is gone, or no worker can be started.
        """
        wait = min(seconds, _POLL_SECONDS)
        here = wait if self.calling else 0.0
        events = super()._look(here)
        for news in list(self._fleet.news(wait - here)):
            events += self._take(news)
        self._enforce_time()
        if time.monotonic() - self._checked >= _CHECK_SECONDS:
            events += self._check_cluster()
        return events

    def _take(self, news: News) -> list[Event]:
        member, kind, answer_of = news
        if member not in self._fleet:
            return []
        try:
            answer = answer_of()
        except Exception as error:  # noqa: BLE001  # whatever Ray raises, the worker has ended
            return self._handle_end(member, error)
        match kind:
            case "hello":
                return self._welcome(member, answer)
            case "talk":
                return self._hear(member, answer)
            case "watch":
                return self._too_large(member, answer)

    def _welcome(self, member: Member, hello: Hello) -> list[Event]:
        """Use a new worker, unless its node has other versions."""
        self._nodes.met(hello.node, hello.host)
        self._failed_starts = 0
        differing = [
            f"{name} {hello.versions[name]} (here {version})"
            for name, version in self._versions.items()
            if hello.versions[name] != version
        ]
        said = ""
        if differing:
            said = self._nodes.avoid(hello.node, f"it has {', '.join(differing)}")
        if hello.node in self._nodes.avoided:
            self._dismiss(member)
            return [Said(said, warning=True)] if said else []
        self._used = True
        member.node, member.pid = hello.node, hello.pid
        self._fleet.watch(member, self._memory_bytes, self._nodes.slots(hello.node))
        _LOG.info("worker %d: process %d on %s", member.number, hello.pid, hello.host)
        if self._said_waiting:
            self._said_waiting = False
            return [Said(f"a worker is there, on {self._nodes.name(hello.node)}: going on")]
        return []

    def _hear(self, member: Member, messages: Sequence[Event | Retired]) -> list[Event]:
        events = member.hear(messages)
        if member.work is not None:
            self._fleet.talk(member)
        elif member.retired or member.node in self._nodes.avoided:
            self._dismiss(member)
        return events

    def _too_large(self, member: Member, memory: tuple[int, int]) -> list[Event]:
        if member.work is None:
            # No training caused memory that was kept between trainings.
            self._dismiss(member)
            return []
        member.check_memory(*memory)
        self._fleet.end(member)
        return []

    def _enforce_time(self) -> None:
        for member in self._fleet:
            if member.limits_apply:
                member.check_time(self._timeout_seconds)
                if member.timed_out:
                    self._fleet.end(member)

    def _handle_end(self, member: Member, error: Exception) -> list[Event]:
        """Forget an ended worker, and report its lost work."""
        self._fleet.forget(member)
        name = self._nodes.name(member.node) if member.node else "its node"
        reason, machine_lost = member.end_reason, False
        if not reason:
            reason, machine_lost = _how_ended(self._ray, error, name)
        if not member.node and not machine_lost:
            return self._not_started(error, reason)
        if machine_lost and member.node:
            self._nodes.lost(member.node)
        self._checked = 0.0
        return member.lost(reason, machine=machine_lost, host=f" on {name}")

    def _not_started(self, error: Exception, reason: str) -> list[Event]:
        """Report a failed start, and wait longer after each before the next start.

        Raises:
            HpsearchError: No worker was ever put to use.
        """
        _LOG.warning("a worker did not start: %s", error)
        self._failed_starts += 1
        if self._failed_starts >= _STARTS and not self._used:
            raise HpsearchError(
                f"no worker can be started on the cluster: {reason}; hpsearch and its packages "
                "must be installed on every node, see run.log"
            )
        backoff = min(2.0**self._failed_starts, _LONGEST_BACKOFF_SECONDS)
        self._hire_after = time.monotonic() + backoff
        return [Said(f"a worker did not start: {reason}", warning=True)]

    def _dismiss(self, member: Member) -> None:
        self._fleet.dismiss(member)
        # Request another one soon, not at once: that blocks if the head does not answer.
        self._checked = 0.0

    def _check_cluster(self) -> list[Event]:
        """Check the head and the nodes, and request as many workers as have room.

        Raises:
            HpsearchError: No node has ever been of use, and no other is left to try.
        """
        self._checked = time.monotonic()
        if not self._head.answers():
            return []
        self._nodes.update()
        if not self._used and self._nodes.none_left:
            raise HpsearchError(
                "no node of the cluster with room for a worker can be used; "
                f"the last: {self._nodes.last_avoided}"
            )
        self._hire()
        if self._fleet.ready:
            self._waiting_since = self._checked
            return []
        if self._said_waiting or self._checked - self._waiting_since < _SAY_AFTER_SECONDS:
            return []
        self._said_waiting = True
        asked = ", ".join(f"{name}: {amount:g}" for name, amount in self._nodes.needed.items())
        return [
            Said(
                f"waiting: none of the cluster's {len(self._nodes.usable)} usable nodes has room "
                f"for a worker of {{{asked}}}; trainings go on when one has"
            )
        ]

    def _hire(self) -> None:
        if time.monotonic() < self._hire_after:
            return
        wanted = self._workers or max(1, self._nodes.room)
        while len(self._fleet) < wanted:
            self._fleet.hire(self._nodes.avoided | self._nodes.suspected)

    def close(self) -> None:
        super().close()
        if not self._head.lost:
            self._fleet.close()


def _how_ended(ray: ModuleType, error: BaseException, node: str) -> tuple[str, bool]:
    """Return why an actor ended, for people, and whether its machine was lost.

    Args:
        node: Name of the actor's node, for people.
    """
    errors = ray.exceptions
    text = str(error)
    said = " ".join(text.split())
    if isinstance(error, errors.ActorUnavailableError | errors.NodeDiedError):
        return f"{node} went away", True
    if getattr(error, "preempted", False):
        return f"{node} was preempted", True
    if isinstance(error, errors.ActorDiedError) and _LOST_NODE.search(said):
        return f"{node} went away", True
    if isinstance(error, errors.OutOfMemoryError) or "low on memory" in said:
        return f"memory: {node} ran out of it, so Ray ended the worker", False
    detail = _DETAIL.search(" ".join(text.split("\n")))
    return f"the worker on {node} ended ({detail.group(1) if detail else said[:200]})", False
