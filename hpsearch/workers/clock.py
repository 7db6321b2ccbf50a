"""A clock that stops while this process is suspended."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

#: If a wait overruns by more than this, the process was suspended.
_LATE_SECONDS = 1.0


class _Clock(threading.local):
    """One clock for each thread, since several threads may search at the same time."""

    def __init__(self) -> None:
        self.suspended_seconds = 0.0


_CLOCK = _Clock()


def now() -> float:
    """Return monotonic seconds, without the time for which this thread's waits were suspended.

    The system's monotonic clock stops while a machine sleeps, but not while its processes are
    stopped, as by SLURM or a container's pause. Only waits count, so a busy driver extends no
    limit.
    """
    return time.monotonic() - _CLOCK.suspended_seconds


@contextmanager
def waiting(seconds: float) -> Iterator[None]:
    """Within this context, record by how much a wait of at most `seconds` overruns."""
    began = time.monotonic()
    try:
        yield
    finally:
        late = time.monotonic() - began - seconds
        if late > _LATE_SECONDS:
            _CLOCK.suspended_seconds += late
