"""Bound the log of workers' output, which could grow without end."""

from __future__ import annotations

import contextlib
import os
from typing import IO, Any

#: A larger log loses all but its last bytes.
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
