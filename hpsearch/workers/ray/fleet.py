"""The workers on a cluster, and the nodes on which they run."""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Literal

from hpsearch.workers.protocol import Work, WorkerState
from hpsearch.workers.ray.actor import RayWorker
from hpsearch.workers.servers import import_paths

_LOG = logging.getLogger("hpsearch")
_MOST_WORKERS = 1024
#: A cluster assigns work to a node for up to this long after its machine has vanished.
_SUSPECT_SECONDS = 60.0


class Nodes:
    """The cluster's nodes, by Ray's ids.

    Attributes:
        needed: The resources of one worker, by Ray's names.
        avoided: Nodes to avoid in this run.
    """

    def __init__(self, ray: ModuleType, needed: Mapping[str, float]) -> None:
        self._ray, self.needed = ray, needed
        self.avoided: set[str] = set()
        #: Why the last avoided node is avoided.
        self.last_avoided = ""
        self._hosts: dict[str, str] = {}
        self._suspect_until: dict[str, float] = {}
        self._alive: list[dict[str, Any]] = []

    @property
    def suspected(self) -> set[str]:
        """Nodes that get no new workers for now, because they lost one."""
        now = time.monotonic()
        return {node for node, until in self._suspect_until.items() if now < until}

    def lost(self, node: str) -> None:
        """Record that a worker was lost with its node; a node that returns has another id."""
        self._suspect_until[node] = time.monotonic() + _SUSPECT_SECONDS

    @property
    def any_met(self) -> bool:
        """True if a worker has ever started."""
        return bool(self._hosts)

    def met(self, node: str, host: str) -> None:
        """Record that a worker has started on a node."""
        self._hosts[node] = host

    def name(self, node: str) -> str:
        """Return a node's name for people."""
        host = self._hosts.get(node)
        return f"{host} (node {node[:8]})" if host else f"node {node[:8]}"

    def avoid(self, node: str, why: str) -> str:
        """Avoid a node in this run; return a line that says so the first time, else empty."""
        if node in self.avoided:
            return ""
        self.avoided.add(node)
        self.last_avoided = f"{self.name(node)} is used no more in this run: {why}"
        return self.last_avoided

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
        fitting = [node for node in self._alive if self._slots(node)]
        return bool(fitting) and all(node["NodeID"] in self.avoided for node in fitting)

    @property
    def room(self) -> int:
        """Number of workers for which the usable nodes have room without other users."""
        return min(sum(map(self._slots, self.usable)), _MOST_WORKERS)

    def slots(self, node: str) -> int:
        """Return the number of workers that fit on a node, at least one."""
        found = (each for each in self._alive if each["NodeID"] == node)
        return max(1, sum(self._slots(each) for each in found))

    def _slots(self, node: Mapping[str, Any]) -> int:
        has = node["Resources"]
        return min(
            (int(has.get(name, 0) / amount) for name, amount in self.needed.items() if amount),
            default=_MOST_WORKERS,
        )


Kind = Literal["hello", "talk", "watch"]


@dataclass(eq=False, kw_only=True)
class Member(WorkerState):
    """One worker and its work.

    Attributes:
        node: Ray's id of its node; empty until it has started.
        pid: The PID of its process there.
    """

    #: A worker's first training may import TensorFlow, perhaps over a network.
    importing_seconds: float = 120.0
    actor: Any
    node: str = ""
    pid: int = 0

    @property
    def idle(self) -> bool:
        """True if it can take work."""
        return bool(self.node) and self.work is None and not self.retired


#: A request to a worker, and a function that returns the answer or raises if the worker ended.
News = tuple[Member, Kind, Callable[[], Any]]


class Fleet:
    """Workers by number.

    Args:
        needed: The resources of one worker, by Ray's names.

    Attributes:
        data: Reference to the dataset in the object store; set before the first worker is hired.
    """

    data: Any = None

    def __init__(self, ray: ModuleType, needed: Mapping[str, float]) -> None:
        self._ray = ray
        # Ray has separate arguments for CPUs and GPUs.
        others = {name: amount for name, amount in needed.items() if name not in ("CPU", "GPU")}
        self._class = ray.remote(RayWorker)
        self._options = {
            "num_cpus": needed.get("CPU", 1),
            "num_gpus": needed.get("GPU", 0),
            "resources": others,
            "max_restarts": 0,
            # A worker is watched while it talks, so it needs two threads.
            "max_concurrency": 2,
        }
        self._surroundings = import_paths(), os.getcwd()
        self._members: dict[int, Member] = {}
        self._news: queue.SimpleQueue[News] = queue.SimpleQueue()

    def __iter__(self) -> Iterator[Member]:
        return iter(tuple(self._members.values()))

    def __contains__(self, member: Member) -> bool:
        return self._members.get(member.number) is member

    def __len__(self) -> int:
        return len(self._members)

    @property
    def ready(self) -> list[Member]:
        """The workers that have started."""
        return [member for member in self if member.node]

    def hire(self, unwanted: set[str]) -> Member:
        """Request one more worker, which says hello once a node has room for it.

        Args:
            unwanted: Nodes on which the worker must not run.
        """
        number = next(n for n in range(1, len(self._members) + 2) if n not in self._members)
        options = dict(self._options)
        if unwanted:
            options["label_selector"] = {"ray.io/node-id": f"!in({','.join(sorted(unwanted))})"}
        actor = self._class.options(**options).remote(number, self.data, *self._surroundings)
        member = self._members[number] = Member(number=number, actor=actor)
        self._ask(member, "hello", actor.hello.remote())
        return member

    def watch(self, member: Member, most_bytes: int | None, slots: int) -> None:
        """Report when a worker grows too large or ends; see `RayWorker.watch`."""
        self._ask(member, "watch", member.actor.watch.remote(most_bytes, slots))

    def talk(self, member: Member, work: Work | None = None) -> None:
        """Give a worker work, or wait for its next events."""
        self._ask(member, "talk", member.actor.talk.remote(work))

    def _ask(self, member: Member, kind: Kind, reference: Any) -> None:
        def put(future: Any) -> None:
            self._news.put((member, kind, future.result))

        reference.future().add_done_callback(put)

    def news(self, wait_seconds: float) -> Iterator[News]:
        """Wait for answers of workers, then yield all of them."""
        with contextlib.suppress(queue.Empty):
            yield self._news.get(timeout=wait_seconds)
            while True:
                yield self._news.get_nowait()

    def dismiss(self, member: Member) -> None:
        """End a worker at once, and forget it."""
        if member in self:
            self.forget(member)
            self.end(member)

    def forget(self, member: Member) -> None:
        """Ignore further news of a worker."""
        del self._members[member.number]

    def end(self, member: Member) -> None:
        """End a worker's process; answers that it still owes then raise."""
        try:
            self._ray.kill(member.actor, no_restart=True)
        except (self._ray.exceptions.RayError, ValueError) as error:
            _LOG.info("worker %d: %s", member.number, error)

    def close(self) -> None:
        """End all workers."""
        for member in self:
            self.dismiss(member)
