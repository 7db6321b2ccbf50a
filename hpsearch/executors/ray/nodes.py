"""The nodes of a cluster: how many workers they have room for, and which are not to be used."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

__all__ = ["Nodes"]

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
