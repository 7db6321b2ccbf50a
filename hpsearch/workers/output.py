"""Bound the log of workers' output, which could grow without end."""

from __future__ import annotations

import contextlib
import os
import re
from typing import IO, Any

#: A larger log loses all but its first and its last bytes.
_MOST_BYTES = 64 * 2**20
_FIRST_BYTES = 2**20
_LAST_BYTES = 8 * 2**20
_NOTICE = re.compile(rb"\n\[(\d+) bytes were cut here\]\n")


def cut_middle(log: IO[Any]) -> None:
    """Cut the middle out of a log that has grown beyond 64 MiB, and note the bytes cut.

    Lines that others append meanwhile are lost, and counted except for the last instant.

    Args:
        log: A file open for reading and appending; any other file stays unchanged.
    """
    with contextlib.suppress(OSError, ValueError):
        descriptor = log.fileno()
        size = os.fstat(descriptor).st_size
        if size <= _MOST_BYTES:
            return
        # Others may have written before the notice during an earlier cut.
        head = os.pread(descriptor, _FIRST_BYTES + 2 * _LAST_BYTES, 0)
        earlier = _NOTICE.search(head)
        cut = int(earlier[1]) - len(earlier[0]) if earlier else 0
        end = earlier.start() if earlier else head.rfind(b"\n", 0, _FIRST_BYTES) + 1
        first = head[: min(end, _FIRST_BYTES)]
        last = os.pread(descriptor, _LAST_BYTES, size - _LAST_BYTES)
        last = last[last.find(b"\n") + 1 :]
        # Others may have appended meanwhile.
        cut += os.fstat(descriptor).st_size - len(first) - len(last)
        os.ftruncate(descriptor, len(first))
        os.write(descriptor, b"\n[%d bytes were cut here]\n" % cut + last)
