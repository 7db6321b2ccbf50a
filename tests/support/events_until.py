"""Waits with an executor."""

from __future__ import annotations

import time


def wait_for(executor, met, *, seconds=180):
    """Events until something holds, of them or of the executor."""
    deadline, events = time.monotonic() + seconds, []
    while not met(events):
        assert time.monotonic() < deadline, f"not within {seconds} s, but {events}"
        events += executor.events(0.2)
    return events
