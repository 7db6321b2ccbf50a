"""Write, lock, digest and bound files."""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path
from typing import IO, Any

from hpsearch.errors import RefusedError

#: Neither follow a link in the place of a file nor wait for a FIFO.
NO_LINK = os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


def lock_without_waiting(handle: int) -> bool:
    """Lock a file while it is open; return False if another process has locked it.

    Raises:
        OSError: The file system has no locks.
    """
    import fcntl  # missing on Windows, which does not train

    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file as a whole; readers see the old one or the new one.

    Raises:
        OSError: The disk is full or read-only; the old file is unchanged.
    """
    data = content.encode() if isinstance(content, str) else content
    temporary = path.with_name(f".{path.name}.{os.urandom(8).hex()}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


_MOST_BYTES = 64 * 2**20
_LAST_BYTES = 8 * 2**20


def cut_beginning(log: IO[Any]) -> None:
    """Cut all but the last 8 MiB of a log that has grown beyond 64 MiB.

    Args:
        log: A file open for reading and appending; any other file stays unchanged.
    """
    with contextlib.suppress(OSError, ValueError):
        descriptor = log.fileno()
        size = os.fstat(descriptor).st_size
        if size > _MOST_BYTES:
            last = os.pread(descriptor, _LAST_BYTES, size - _LAST_BYTES)
            os.ftruncate(descriptor, 0)
            os.write(descriptor, b"[the beginning was cut]\n" + last[last.find(b"\n") + 1 :])


def require_new(out: Path) -> None:
    """Check that a directory is missing or empty."""
    try:
        free = not any(out.iterdir()) and not out.is_symlink()
    except FileNotFoundError:
        free = not out.is_symlink()
    except OSError:
        free = False
    if not free:
        raise RefusedError(f"{out}: must be a new or empty directory; nothing is overwritten")
