"""Why a worker on a cluster ended, in one line, and whether its machine is to blame."""

from __future__ import annotations

import re
from dataclasses import dataclass
from types import ModuleType

__all__ = ["Death", "death_of"]

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
