"""The Ray executor: trainings on a cluster, by the same protocol as on this machine."""

from __future__ import annotations

import json
import logging
import queue
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Self

from hpsearch.data.specs import TrainingData
from hpsearch.errors import HpsearchError, InputError
from hpsearch.space.mlp import MLPConfig
from hpsearch.training.programs import NUMBERS
from hpsearch.workers.futures import LocalCalls
from hpsearch.workers.protocol import Call, Event, Finished, Job, Retired, Said, Setup, Work
from hpsearch.workers.ray.actor import Hello, surroundings
from hpsearch.workers.ray.connection import Head
from hpsearch.workers.ray.fleet import Fleet, Member, News, Nodes

_OF_NODES = re.compile(
    r"node (?:has|was|is) (?:died|dead|drained|removed|terminated|preempt)", re.IGNORECASE
)
_DETAIL = re.compile(r"Worker exit detail: (.*?)(?: Some common causes|\n|$)")


@dataclass(frozen=True)
class Death:
    """How a worker ended.

    Attributes:
        reason: For people.
        machine: Whether the machine went.
        memory: Whether Ray ended it since the machine ran out of memory.
    """

    reason: str
    machine: bool = False
    memory: bool = False


def death_of(ray: ModuleType, error: BaseException, node: str) -> Death:
    """What an error of an actor says.

    Args:
        node: Where it ran, for people.
    """
    known = ray.exceptions
    said = " ".join(str(error).split())
    if isinstance(error, known.ActorUnavailableError | known.NodeDiedError):
        return Death(f"{node} went away", machine=True)
    if getattr(error, "preempted", False):
        return Death(f"{node} was preempted", machine=True)
    if isinstance(error, known.ActorDiedError) and _OF_NODES.search(said):
        return Death(f"{node} went away", machine=True)
    if isinstance(error, known.OutOfMemoryError) or "low on memory" in said:
        return Death(f"memory: {node} ran out of it, so Ray ended the worker", memory=True)
    detail = _DETAIL.search(" ".join(str(error).split("\n")))
    return Death(f"the worker on {node} ended ({detail.group(1) if detail else said[:200]})")


_LOG = logging.getLogger("hpsearch")
_LOOK_SECONDS = 2.0
_POLL_SECONDS = 0.2
#: A worker that a node has room for is there by then.
_SAY_AFTER_SECONDS = 10.0
#: Workers in a row that may not start, when none ever has.
_STARTS = 3
_LONGEST_BACKOFF_SECONDS = 30.0


class RayExecutor:
    """Workers on the nodes of a cluster, as many as are asked for, or as there is room for.

    Args:
        ray: The module, connected.
        setup: Of the run.
    """

    def __init__(self, ray: ModuleType, setup: Setup) -> None:
        self._ray, self._setup = ray, setup
        needed = {"CPU": 1.0} | dict(setup.resources)
        self._nodes = Nodes(ray, needed)
        self._head = Head(ray)
        self._fleet: Fleet | None = None
        self._beside = LocalCalls(setup.log)
        self._looked = self._waiting_since = 0.0
        self._said_waiting = False
        self._hire_after = 0.0
        self._failed_starts = 0
        self._versions = surroundings()

    def provide(self, dataset: TrainingData) -> None:
        """Put the data into the object store, once; nodes fetch it, and their workers map it.

        Raises:
            InputError: The object store has no room for it.
        """
        self._beside.provide(dataset)
        try:
            data = self._ray.put(dataset)
        except self._ray.exceptions.ObjectStoreFullError:
            size = sum(a.nbytes for a in vars(dataset.arrays).values() if a is not None)
            raise InputError(
                f"the data's {size / 2**20:.0f} MB do not fit into Ray's object store; start the "
                "cluster with a larger --object-store-memory"
            ) from None
        self._fleet = Fleet(self._ray, self._nodes.needed, data)
        self._waiting_since = time.monotonic()
        self._look()

    @property
    def _members(self) -> Fleet:
        assert self._fleet is not None, "provide comes first"
        return self._fleet

    @property
    def free(self) -> int:
        """How many trainings it would start at once."""
        return len(self._idle())

    def _idle(self) -> list[Member]:
        """Those that can be given work: of doubtful nodes only where there are no others."""
        ready = self._members.ready
        sound = any(not self._nodes.doubtful(member.node) for member in ready)
        return [
            member
            for member in ready
            if member.idle and not (sound and self._nodes.doubtful(member.node))
        ]

    @property
    def busy(self) -> int:
        """How many trainings and calls are under way."""
        return self._beside.busy + sum(member.work is not None for member in self._members)

    def submit(self, work: Work) -> None:
        """Start a training on a node, or a call beside the driver."""
        if isinstance(work, Call):
            self._beside.submit(work)
            return
        idle = self._idle()
        if not idle:
            raise RuntimeError("submit needs a free worker")
        program = _program(work)
        member = min(
            idle,
            key=lambda each: (
                self._nodes.failures(each.node),
                program is not None and program not in each.programs,
                each.number,
            ),
        )
        if program is not None:
            member.programs.add(program)
        _LOG.info(
            "worker %d on %s: trial %d",
            member.number,
            self._nodes.name(member.node),
            work.training.number,
        )
        member.take(work)
        self._members.talk(member, work)

    def events(self, timeout_seconds: float) -> Sequence[Event]:
        """What happened, in order; waits for at least one event, or until the time is up.

        Raises:
            HpsearchError: The head is gone, or no worker can be started.
        """
        deadline = time.monotonic() + timeout_seconds
        events: list[Event] = []
        while not events:
            remaining = deadline - time.monotonic()
            wait = min(max(0.0, remaining), _POLL_SECONDS)
            if self._beside.busy:
                events += self._beside.events(wait)
                wait = 0.0
            for news in self._arrived(wait):
                events += self._take(news)
            self._enforce_time()
            if time.monotonic() - self._looked >= _LOOK_SECONDS:
                events += self._look()
            if remaining <= 0:
                break
        return events

    def _arrived(self, wait_seconds: float) -> Iterator[News]:
        news = self._members.news
        try:
            yield news.get(timeout=wait_seconds) if wait_seconds else news.get_nowait()
            while True:
                yield news.get_nowait()
        except queue.Empty:
            return

    def _take(self, news: News) -> list[Event]:
        member = news.member
        if member not in self._members:
            return []
        try:
            answer = news.answer()
        except Exception as error:  # noqa: BLE001  # whatever Ray raises, the worker is of no use
            return self._bury(member, error)
        handle: dict[str, Callable[[Member, Any], list[Event]]] = {
            "hello": self._welcome,
            "talk": self._hear,
            "watch": self._too_large,
        }
        return handle[news.kind](member, answer)

    def _welcome(self, member: Member, hello: Hello) -> list[Event]:
        """A worker came up: on a node that is fit for it, or not."""
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
            self._members.dismiss(member)
            self._look_soon()
            return [Said(said, warning=True)] if said else []
        member.node, member.pid = hello.node, hello.pid
        self._members.watch(member, self._setup.memory_bytes, self._nodes.slots(hello.node))
        _LOG.info("worker %d: process %d on %s", member.number, hello.pid, hello.host)
        if self._said_waiting:
            self._said_waiting = False
            return [Said(f"a worker is there, on {self._nodes.name(hello.node)}: going on")]
        return []

    def _hear(self, member: Member, messages: Sequence[Event | Retired]) -> list[Event]:
        events: list[Event] = []
        for message in messages:
            member.hear(message)
            if isinstance(message, Retired):
                continue
            events.append(message)
            if isinstance(message, Finished):
                events += self._judge(member.node, member.failure)
        if member.work is not None:
            self._members.talk(member)
        elif member.retired or member.node in self._nodes.avoided:
            self._members.dismiss(member)
            self._look_soon()
        return events

    def _judge(self, node: str, failure: str) -> list[Event]:
        """A training is over: what that says of its node, and of others."""
        if failure:
            self._nodes.failed(node, failure)
        else:
            self._nodes.succeeded(node)
        said = self._nodes.judge()
        if said:
            for member in self._members:
                if member.idle and member.node in self._nodes.avoided:
                    self._members.dismiss(member)
            self._look_soon()
        return [Said(line, warning=True) for line in said]

    def _too_large(self, member: Member, found: tuple[int, int]) -> list[Event]:
        if member.work is None:
            # What it has kept is no training's fault.
            self._members.dismiss(member)
            self._look_soon()
            return []
        member.judge_memory(*found)
        self._members.end(member)
        return []

    def _enforce_time(self) -> None:
        for member in self._members:
            if member.may_be_judged:
                member.judge_time(self._setup.timeout_seconds)
                if member.timed_out:
                    self._members.end(member)

    def _bury(self, member: Member, error: Exception) -> list[Event]:
        """Forget a worker that ended; what it ran is lost."""
        self._members.forget(member)
        name = self._nodes.name(member.node) if member.node else "its node"
        death = Death(member.doom) if member.doom else death_of(self._ray, error, name)
        if not member.node and not death.machine:
            return self._not_started(error, death.reason)
        if death.machine and member.node:
            self._nodes.gone(member.node)
        self._look_soon()
        _LOG.warning("worker %d on %s: %s", member.number, name, death.reason)
        lost = member.lost(death.reason, machine=death.machine)
        if lost is None:
            return []
        if death.machine or member.doom:
            return [lost]
        return [lost, *self._judge(member.node, death.reason)]

    def _not_started(self, error: Exception, reason: str) -> list[Event]:
        """A worker did not come up; the next one is asked for later each time.

        Raises:
            HpsearchError: None ever did.
        """
        _LOG.warning("a worker did not start: %s", error)
        self._failed_starts += 1
        if self._failed_starts >= _STARTS and not self._nodes.any_met:
            raise HpsearchError(
                f"no worker can be started on the cluster: {reason}; hpsearch and its packages "
                "must be installed on every node, see run.log"
            )
        backoff = min(2.0**self._failed_starts, _LONGEST_BACKOFF_SECONDS)
        self._hire_after = time.monotonic() + backoff
        return [Said(f"a worker did not start: {reason}", warning=True)]

    def _look_soon(self) -> None:
        """Ask for another worker, but not before it is known that there is a head to be asked."""
        self._looked = 0.0

    def _look(self) -> list[Event]:
        """At the cluster: whether its head answers, and how many workers it has room for."""
        self._looked = time.monotonic()
        if not self._head.answers():
            return []
        self._nodes.look()
        self._hire()
        if self._members.ready:
            self._waiting_since = self._looked
            return []
        if self._said_waiting or self._looked - self._waiting_since < _SAY_AFTER_SECONDS:
            return []
        self._said_waiting = True
        asked = ", ".join(f"{name}: {amount:g}" for name, amount in self._nodes.needed.items())
        return [
            Said(
                f"waiting: none of the cluster's {self._nodes.usable} usable nodes has room for a "
                f"worker of {{{asked}}}; trainings go on when one has"
            )
        ]

    def _hire(self) -> None:
        """Ask for workers up to as many as are wanted."""
        if time.monotonic() < self._hire_after:
            return
        wanted = self._setup.workers or max(1, self._nodes.room)
        while len(self._members) < wanted:
            self._members.hire(self._nodes.shunned)

    def close(self) -> None:
        """End all work at once."""
        self._beside.close()
        if self._fleet is not None and not self._head.lost:
            self._fleet.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _program(job: Job) -> str | None:
    """What trainings that one graph trains have in common; None where no graph is traced."""
    if not job.tensorflow or job.objective is not None:
        return None
    values = job.training.values
    others = {name: value for name, value in values.items() if name not in NUMBERS}
    return json.dumps([MLPConfig(values).optimizer[0], others], sort_keys=True, default=repr)
