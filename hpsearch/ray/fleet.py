"""The workers on a cluster, as their nodes and as the driver see them."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import queue
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from hpsearch.data.specs import TrainingData
from hpsearch.machine import own_bytes, share_bytes, version_of
from hpsearch.training.subjects import Job
from hpsearch.workers.protocol import (
    Called,
    Event,
    Finished,
    Lost,
    Retired,
    Work,
    WorkerState,
    free_number,
)
from hpsearch.workers.servers import ENVIRONMENT, import_paths
from hpsearch.workers.shared import with_arrays
from hpsearch.workers.work import Runner, preload_tensorflow

#: Events within this time of the first are reported with it.
_GATHER_SECONDS = 0.02
_MEMORY_CHECK_SECONDS = 0.05
#: Packages whose versions affect the bits of a score.
_PACKAGES = ("hpsearch", "tensorflow", "keras", "numpy")


@dataclass(frozen=True)
class Hello:
    """The introduction of a worker.

    Attributes:
        node: Ray's id of its node.
        host: The node's name, for people.
        versions: Of Python and of packages.
    """

    node: str
    host: str
    pid: int
    versions: Mapping[str, str]


def package_versions() -> dict[str, str]:
    """Return the package versions that must agree on all nodes."""
    python = ".".join(map(str, sys.version_info[:2]))
    return {"Python": python} | {name: version_of(name) for name in _PACKAGES}


class RayWorker:
    """A worker; Ray makes an actor of it.

    Args:
        number: The worker's number.
        dataset: The data in the object store, with mapped instead of copied arrays.
        paths: The driver's module paths.
        directory: The driver's working directory, used if the node has it.
    """

    def __init__(
        self,
        number: int,
        dataset: TrainingData,
        paths: Sequence[str],
        directory: str,
    ) -> None:
        # TensorFlow reads these when it is imported, later.
        os.environ.update(ENVIRONMENT)
        sys.path += [path for path in paths if path not in sys.path]
        with contextlib.suppress(OSError):
            os.chdir(directory)
        self._number = number
        self._given = dataset
        self._mapped: TrainingData | None = None
        self._copied: TrainingData | None = None
        self._work: queue.SimpleQueue[Work] = queue.SimpleQueue()
        self._news: queue.SimpleQueue[Event | Retired] = queue.SimpleQueue()

    def hello(self) -> Hello:
        """Start to serve and return the worker's introduction."""
        # Ray is an optional package.
        import ray

        threading.Thread(target=self._serve, daemon=True).start()
        node = ray.get_runtime_context().get_node_id()
        return Hello(node, socket.gethostname(), os.getpid(), package_versions())

    def talk(self, work: Work | None) -> list[Event | Retired]:
        """Take work, if any, then wait for events and return all that there are."""
        if work is not None:
            self._work.put(work)
        news = [self._news.get()]
        until = time.monotonic() + _GATHER_SECONDS
        while not _ends(news[-1]):
            try:
                news.append(self._news.get(timeout=max(0.0, until - time.monotonic())))
            except queue.Empty:
                break
        return news

    def watch(self, most_bytes: int | None, slots: int) -> tuple[int, int]:
        """Wait until this process exceeds its memory limit; return its use and the limit.

        The call also ends with the actor, so that a driver learns of its end at once.

        Args:
            most_bytes: The limit; None for this worker's share of the machine's memory.
            slots: Number of workers that share the machine's memory.
        """
        most = share_bytes(slots) if most_bytes is None else most_bytes
        while (used := own_bytes(os.getpid())) <= most:
            time.sleep(_MEMORY_CHECK_SECONDS)
        return used, most

    def _serve(self) -> None:
        runner = Runner(self._number)
        # Importing TensorFlow in a new actor takes seconds.
        runner.growth_bytes = 2**30
        while True:
            work = self._work.get()
            held: list[Event] = []

            def emit(event: Event, held: list[Event] = held) -> None:
                # Hold the last event back: `Retired`, which refuses more work, must precede it.
                if _ends(event):
                    held.append(event)
                else:
                    self._news.put(event)

            if work.tensorflow:
                # Before the training starts, whose time excludes the import.
                preload_tensorflow()
            runner.run(work, self._dataset_for(work), emit)
            if runner.has_grown:
                self._news.put(Retired())
            for event in held:
                self._news.put(event)

    def _dataset_for(self, work: Work) -> TrainingData:
        """Return the mapped data; for a user's code or a call, which may write, return a copy."""
        if isinstance(work, Job) and not work.subject.gives_rows:
            self._mapped = self._mapped or with_arrays(self._given, _writable_view)
            return self._mapped
        self._copied = self._copied or with_arrays(self._given, np.array)
        return self._copied


def _writable_view(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return an array over the same memory that claims to be writable, as TensorFlow requires.

    Writing to it would end the process, so user code must not get it. The caller must keep `array`.
    """
    if array.flags.writeable or not (array.size and array.flags.c_contiguous):
        return array
    block = (ctypes.c_char * array.nbytes).from_address(array.ctypes.data)
    view: npt.NDArray[Any] = np.frombuffer(memoryview(block), array.dtype).reshape(array.shape)
    return view


def _ends(event: Event | Retired) -> bool:
    """Check if a worker is free after this event."""
    return isinstance(event, Called | Finished | Lost)


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
        entries = (entry for entry in self._alive if entry["NodeID"] == node)
        return max(1, sum(self._slots(entry) for entry in entries))

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

    def hire(self, unwanted: set[str]) -> None:
        """Request one more worker, which says hello once a node has room for it.

        Args:
            unwanted: Nodes on which the worker must not run.
        """
        number = free_number(self._members)
        options = dict(self._options)
        if unwanted:
            options["label_selector"] = {"ray.io/node-id": f"!in({','.join(sorted(unwanted))})"}
        actor = self._class.options(**options).remote(number, self.data, *self._surroundings)
        member = self._members[number] = Member(number=number, actor=actor)
        self._ask(member, "hello", actor.hello.remote())

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
