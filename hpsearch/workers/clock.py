"""A clock that stands still while this process is suspended."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

#: A wait that ends later than asked by more was not late, but suspended.
_LATE_SECONDS = 1.0


class _Clock(threading.local):
    """Each thread has one: searches in several threads wait at the same time."""

    def __init__(self) -> None:
        self.suspended_seconds = 0.0


_CLOCK = _Clock()


def now() -> float:
    """Return monotonic seconds without those that this thread's waits were suspended.

    The system's monotonic clock stands still while a machine sleeps, but not while its processes
    are stopped, as by SLURM or a container's pause. Only waits are looked at, so a driver that is
    busy extends no limit.
    """
    return time.monotonic() - _CLOCK.suspended_seconds


@contextmanager
def waiting(seconds: float) -> Iterator[None]:
    """Note how much longer than `seconds`, the longest time that was asked for, a wait takes."""
    began = time.monotonic()
    try:
        yield
    finally:
        late = time.monotonic() - began - seconds
        if late > _LATE_SECONDS:
            _CLOCK.suspended_seconds += late
