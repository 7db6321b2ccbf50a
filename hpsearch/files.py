"""Write and lock files."""

from __future__ import annotations

import os
from pathlib import Path

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
