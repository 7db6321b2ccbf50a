"""What the operating system offers."""

from __future__ import annotations

import os

from hpsearch.errors import NotSupportedError

__all__ = ["cores", "require_fork"]


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def require_fork() -> None:
    """Check that processes can be forked, as workers are.

    Raises:
        NotSupportedError: They cannot: this is Windows.
    """
    if not hasattr(os, "fork"):
        raise NotSupportedError(
            "training needs a system that forks processes: Linux, or macOS. On Windows, run it in "
            "WSL; plan, show, compare and report work here, too"
        )
