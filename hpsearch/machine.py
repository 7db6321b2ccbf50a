"""What this machine offers: cores, memory within its control groups, forking, package versions."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from hpsearch.errors import NotSupportedError


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


def version_of(package: str) -> str:
    """As its installation says, or `unknown` where there is none."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"


def available_bytes() -> int:
    """Bytes of memory that this process may still take: machine, control groups and rlimit."""
    left = [_available_on_machine(), *(limit - used for limit, used in _control_groups())]
    with contextlib.suppress(ImportError, OSError, ValueError):
        # Windows has no such limit.
        import resource

        soft, _ = resource.getrlimit(resource.RLIMIT_AS)
        if soft != resource.RLIM_INFINITY:
            pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
            left.append(soft - pages * os.sysconf("SC_PAGE_SIZE"))
    return max(0, min(left))


def _available_on_machine() -> int:
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/meminfo").read_text("ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    import psutil

    return int(psutil.virtual_memory().available)


#: The driver, the servers and all other programs have the rest.
_SHARE = 0.8
#: A worker in which TensorFlow runs takes some 400 MB before it trains anything.
_LEAST_BYTES = 2**30


def share_bytes(workers: int) -> int:
    """What each of so many workers may take by default: its part of four fifths of the machine.

    Not less than 1 GiB, or four fifths of a machine that is smaller.
    """
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    usable = int(_SHARE * min([machine, *(limit for limit, _ in _control_groups())]))
    return max(usable // workers, min(_LEAST_BYTES, usable))


def _control_groups() -> Iterator[tuple[int, int]]:
    """Limit and use, in bytes, of the control groups around this process (Linux)."""
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines():
            _, controllers, path = line.split(":", 2)
            root = Path("/sys/fs/cgroup")
            if not controllers:
                yield from _limits(root, path, "memory.max", "memory.current")
            elif "memory" in controllers.split(","):
                files = ("memory.limit_in_bytes", "memory.usage_in_bytes")
                yield from _limits(root / "memory", path, *files)


def _limits(root: Path, group: str, limit: str, used: str) -> Iterator[tuple[int, int]]:
    inner = root / group.lstrip("/")
    for directory in (inner, *inner.parents):
        if directory.is_relative_to(root):
            # No limit reads "max", or is a number beyond any machine's memory.
            with contextlib.suppress(OSError, ValueError):
                numbers = [int((directory / file).read_text("ascii")) for file in (limit, used)]
                yield numbers[0], numbers[1]


def own_bytes(pid: int) -> int:
    """Resident memory of a process but for what it maps, such as the data that all share.

    0 where the process is gone.
    """
    try:
        fields = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()
        return (int(fields[1]) - int(fields[2])) * os.sysconf("SC_PAGE_SIZE")
    except (ProcessLookupError, FileNotFoundError):
        if Path("/proc/self/statm").exists():
            return 0
    import psutil

    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return 0


def die_first() -> None:
    """Where the machine runs out of memory, the system is to end this process before others."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
