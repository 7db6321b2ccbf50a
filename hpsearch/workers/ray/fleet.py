"""The workers on a cluster and the nodes that they run on."""

from __future__ import annotations

import logging
import os
import queue
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from types import ModuleType
from typing import Any, Literal

from hpsearch.space.trial import Status
from hpsearch.workers.pool import WorkerState
from hpsearch.workers.protocol import Answered, Event, Retired, Work
from hpsearch.workers.ray.actor import RayWorker, Surroundings
from hpsearch.workers.servers import import_paths

#: Trainings in a row that must fail on a node, while they succeed on others.
_FAILURES = 3
_MOST_WORKERS = 1024
#: A cluster goes on giving work to a node for as long, when its machine has gone without a word.
_SUSPECT_SECONDS = 60.0


@dataclass
class _Record:
    """What a node has done so far."""

    host: str
    failures: int = 0
    last: str = ""
    succeeded: bool = False


@dataclass
class Nodes:
    """All that is known of them.

    Attributes:
        needed: What one worker takes, by Ray's names of resources.
    """

    ray: ModuleType
    needed: Mapping[str, float]
    _records: dict[str, _Record] = field(default_factory=dict)
    _avoided: set[str] = field(default_factory=set)
    _suspect_until: dict[str, float] = field(default_factory=dict)
    _alive: list[dict[str, Any]] = field(default_factory=list)

    @property
    def avoided(self) -> frozenset[str]:
        """Those that are not to be used in this run."""
        return frozenset(self._avoided)

    @property
    def shunned(self) -> frozenset[str]:
        """Those that get no more workers, for now at least."""
        now = time.monotonic()
        suspects = (node for node, until in self._suspect_until.items() if now < until)
        return self.avoided.union(suspects)

    def gone(self, node: str) -> None:
        """A worker says that its node is; if it comes back, it has another id."""
        self._suspect_until[node] = time.monotonic() + _SUSPECT_SECONDS

    @property
    def any_met(self) -> bool:
        """Whether a worker ever came up."""
        return bool(self._records)

    def met(self, node: str, host: str) -> None:
        """A worker came up there."""
        self._records.setdefault(node, _Record(host))

    def name(self, node: str) -> str:
        """For people."""
        record = self._records.get(node)
        return f"{record.host} (node {node[:8]})" if record else f"node {node[:8]}"

    def avoid(self, node: str, why: str) -> str:
        """Use it no more in this run; a line that says so, or empty where one has."""
        if node in self._avoided:
            return ""
        self._avoided.add(node)
        return f"{self.name(node)} is used no more in this run: {why}"

    def failures(self, node: str) -> int:
        """How many trainings in a row have failed there."""
        return self._records[node].failures

    def succeeded(self, node: str) -> None:
        """A training gave a score there."""
        record = self._records[node]
        record.succeeded, record.failures = True, 0

    def failed(self, node: str, reason: str) -> None:
        """A training failed there, or ended its worker."""
        record = self._records[node]
        record.failures += 1
        record.last = reason

    def doubtful(self, node: str) -> bool:
        """Whether it has failed so often in a row that others are to be tried first."""
        return self._records[node].failures >= _FAILURES

    def judge(self) -> list[str]:
        """Avoid those on which trainings fail that succeed on others; a line about each.

        Where they fail on every node, it is the sweep that is wrong, not a node.
        """
        working = [node for node, record in self._records.items() if record.succeeded]
        said = []
        for node, record in self._records.items():
            if self.doubtful(node) and node not in self._avoided and {*working} - {node}:
                why = f"{record.failures} trainings in a row failed there, the last with: "
                said.append(f"{self.avoid(node, why + record.last)}; --retry trains them again")
        return said

    def look(self) -> None:
        """Ask the cluster which of them there are."""
        self._alive = [node for node in self.ray.nodes() if node["Alive"]]

    @property
    def _usable(self) -> list[dict[str, Any]]:
        return [node for node in self._alive if node["NodeID"] not in self._avoided]

    @property
    def usable(self) -> int:
        """How many are there that are not avoided."""
        return len(self._usable)

    @property
    def room(self) -> int:
        """How many workers they can have in all, if nobody else has any."""
        return min(sum(map(self._slots, self._usable)), _MOST_WORKERS)

    def slots(self, node: str) -> int:
        """How many workers a node can have; at least the one that asks."""
        found = (each for each in self._alive if each["NodeID"] == node)
        return max(1, sum(self._slots(each) for each in found))

    def _slots(self, node: Mapping[str, Any]) -> int:
        has = node["Resources"]
        return min(
            (int(has.get(name, 0) / amount) for name, amount in self.needed.items() if amount),
            default=_MOST_WORKERS,
        )


_LOG = logging.getLogger("hpsearch")
Kind = Literal["hello", "talk", "watch"]


@dataclass(eq=False, kw_only=True)
class Member(WorkerState):
    """One worker and what it is at.

    Attributes:
        node: Ray's id of where it is; empty until it has said so.
        pid: Of its process there.
        failure: What its training failed with, where it did.
        programs: What it has traced.
    """

    actor: Any
    node: str = ""
    pid: int = 0
    failure: str = ""
    programs: set[str] = field(default_factory=set)

    @property
    def idle(self) -> bool:
        """Whether it can take work."""
        return bool(self.node) and self.work is None and not self.retired

    def take(self, work: Work) -> None:
        """It is given something."""
        super().take(work)
        self.failure = ""

    def hear(self, message: Event | Retired) -> None:
        """Note what it says."""
        super().hear(message)
        # A divergence is the config's own.
        if isinstance(message, Answered) and message.result.status is Status.FAILED:
            self.failure = message.result.error


@dataclass(frozen=True)
class News:
    """An answer of a worker, or how it ended.

    Attributes:
        answer: A function that gives it, or raises.
    """

    member: Member
    kind: Kind
    answer: Callable[[], Any]


class Fleet:
    """Workers by number.

    Args:
        needed: What one takes, by Ray's names of resources.
        data: The dataset's reference in the object store.
    """

    def __init__(self, ray: ModuleType, needed: Mapping[str, float], data: Any) -> None:
        self._ray, self._data = ray, data
        self._options = _options(needed)
        self._class = ray.remote(RayWorker)
        self._around = Surroundings(import_paths(), os.getcwd())
        self._members: dict[int, Member] = {}
        self.news: queue.SimpleQueue[News] = queue.SimpleQueue()

    def __iter__(self) -> Iterator[Member]:
        return iter(tuple(self._members.values()))

    def __contains__(self, member: Member) -> bool:
        return self._members.get(member.number) is member

    def __len__(self) -> int:
        return len(self._members)

    @property
    def ready(self) -> list[Member]:
        """Those that are there."""
        return [member for member in self if member.node]

    def hire(self, avoided: frozenset[str]) -> Member:
        """Ask for one more; it says hello once a node has room for it.

        Args:
            avoided: Nodes that are not to have it.
        """
        number = next(n for n in range(1, len(self._members) + 2) if n not in self._members)
        options = dict(self._options)
        if avoided:
            options["label_selector"] = {"ray.io/node-id": f"!in({','.join(sorted(avoided))})"}
        # Two at a time: it is watched while it talks.
        actor = self._class.options(max_concurrency=2, max_restarts=0, **options).remote(
            number, self._data, self._around
        )
        member = self._members[number] = Member(number=number, actor=actor)
        self._ask(member, "hello", actor.hello.remote())
        return member

    def watch(self, member: Member, most_bytes: int | None, slots: int) -> None:
        """Hear of it when it grows too large, or ends; see `RayWorker.watch`."""
        self._ask(member, "watch", member.actor.watch.remote(most_bytes, slots))

    def talk(self, member: Member, work: Work | None = None) -> None:
        """Give it work, or go on listening to what it does."""
        self._ask(member, "talk", member.actor.talk.remote(work))

    def _ask(self, member: Member, kind: Kind, reference: Any) -> None:
        # Called in a thread of Ray's, one future at a time.
        reference.future().add_done_callback(partial(self._hear, member, kind))

    def _hear(self, member: Member, kind: Kind, future: Any) -> None:
        self.news.put(News(member, kind, future.result))

    def dismiss(self, member: Member) -> None:
        """End it, whatever it is at, and forget it."""
        if self.forget(member):
            self.end(member)

    def forget(self, member: Member) -> bool:
        """Hear no more of a worker; whether there was one to forget."""
        return member in self and self._members.pop(member.number) is member

    def end(self, member: Member) -> None:
        """Have its process end; its answers then say that it has."""
        try:
            self._ray.kill(member.actor, no_restart=True)
        except (self._ray.exceptions.RayError, ValueError) as error:
            _LOG.info("worker %d: %s", member.number, error)

    def close(self) -> None:
        """End all."""
        for member in self:
            self.dismiss(member)


def _options(needed: Mapping[str, float]) -> dict[str, Any]:
    """Ray's own arguments for two of them, its mapping for the rest."""
    rest = {name: amount for name, amount in needed.items() if name not in ("CPU", "GPU")}
    return {
        "num_cpus": needed.get("CPU", 1),
        "num_gpus": needed.get("GPU", 0),
        "resources": rest,
    }
