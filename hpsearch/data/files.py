"""Checks that every file passes before it is read: it exists, it fits in memory."""

from __future__ import annotations

import contextlib
import difflib
import os
from collections.abc import Iterable
from pathlib import Path

from hpsearch.errors import DataError

__all__ = ["available_bytes", "listed", "require_file", "require_memory", "suggestion"]


def available_bytes() -> int:
    """Bytes of memory that this process may still take: machine, container and rlimit."""
    limits = [_machine_bytes()]
    with contextlib.suppress(OSError, ValueError):
        maximum = int(Path("/sys/fs/cgroup/memory.max").read_text("ascii"))
        current = int(Path("/sys/fs/cgroup/memory.current").read_text("ascii"))
        limits.append(maximum - current)
    with contextlib.suppress(ImportError, OSError, ValueError):
        # Windows has no such limit.
        import resource

        soft, _ = resource.getrlimit(resource.RLIMIT_AS)
        if soft != resource.RLIM_INFINITY:
            pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
            limits.append(soft - pages * os.sysconf("SC_PAGE_SIZE"))
    return max(0, min(limits))


def _machine_bytes() -> int:
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/meminfo").read_text("ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    import psutil

    return int(psutil.virtual_memory().available)


def require_memory(needed: int, where: str) -> None:
    """Refuse data that would not fit.

    Raises:
        DataError: Reading takes about `needed` bytes and fewer are available.
    """
    available = available_bytes()
    if needed > available:
        raise DataError(
            f"{where}: reading it takes about {_size(needed)} of memory and "
            f"{_size(available)} are available; use fewer rows or columns, or a larger machine"
        )


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{count / 1e6:.1f} MB"


def require_file(path: str) -> Path:
    """The path of a readable, non-empty regular file.

    Raises:
        DataError: It is missing, not a file, empty, or not readable.
    """
    file = Path(path)
    try:
        if not file.exists():
            near = suggestion(file.name, _names_beside(file))
            raise DataError(f"{path}: no such file{near}")
        if not file.is_file():
            raise DataError(f"{path}: not a regular file; name the file itself")
        if file.stat().st_size == 0:
            raise DataError(f"{path}: the file is empty (0 bytes)")
        with file.open("rb"):
            pass
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from error
    return file


def _names_beside(file: Path) -> list[str]:
    try:
        return [entry.name for entry in file.parent.iterdir()]
    except OSError:
        return []


def suggestion(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` where one of `known` is near `word`, else nothing."""
    near = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def listed(names: Iterable[str], limit: int = 20) -> str:
    """Names in quotes, separated by commas, cut after `limit`."""
    every = list(names)
    more = f", ... ({len(every)} in all)" if len(every) > limit else ""
    return ", ".join(repr(name) for name in every[:limit]) + more
