"""The workers on a cluster: asked for, heard of, and let go. Where they run is Ray's business."""

from __future__ import annotations

import logging
import os
import queue
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from types import ModuleType
from typing import Any, Literal

from hpsearch.executors.base import Answered, Event, Work
from hpsearch.executors.ray.actor import RayWorker, Surroundings
from hpsearch.executors.servers import import_paths
from hpsearch.executors.underway import Underway
from hpsearch.executors.worker import Retired
from hpsearch.trial import Status

__all__ = ["Fleet", "Member", "News"]

_LOG = logging.getLogger("hpsearch")
Kind = Literal["hello", "talk", "watch"]


@dataclass(eq=False, kw_only=True)
class Member(Underway):
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
