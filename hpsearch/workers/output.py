"""The log of what workers print, which has no end of its own."""

from __future__ import annotations

import contextlib
import os
import re
from typing import IO, Any

#: A log of more than this loses all but its first and its last bytes.
_MOST_BYTES = 64 * 2**20
_FIRST_BYTES = 2**20
_LAST_BYTES = 8 * 2**20
_NOTICE = re.compile(rb"\n\[(\d+) bytes were cut here\]\n")


def cut_middle(log: IO[Any]) -> None:
    """Cut the middle out of a log that has grown beyond 64 MiB, and say how many bytes it had.

    What others append meanwhile is lost, and counted but for the last instant.

    Args:
        log: A file that is open for reading and appending; another one stays as it is.
    """
    with contextlib.suppress(OSError, ValueError):
        descriptor = log.fileno()
        size = os.fstat(descriptor).st_size
        if size <= _MOST_BYTES:
            return
        # At an earlier cut others may have written before the notice.
        head = os.pread(descriptor, _FIRST_BYTES + 2 * _LAST_BYTES, 0)
        earlier = _NOTICE.search(head)
        cut = int(earlier[1]) - len(earlier[0]) if earlier else 0
        end = earlier.start() if earlier else head.rfind(b"\n", 0, _FIRST_BYTES) + 1
        first = head[: min(end, _FIRST_BYTES)]
        last = os.pread(descriptor, _LAST_BYTES, size - _LAST_BYTES)
        last = last[last.find(b"\n") + 1 :]
        # Others have appended meanwhile.
        cut += os.fstat(descriptor).st_size - len(first) - len(last)
        os.ftruncate(descriptor, len(first))
        os.write(descriptor, b"\n[%d bytes were cut here]\n" % cut + last)
