"""Waits with an executor, and readings of its events and of its workers' memory."""

import time
from collections import Counter
from pathlib import Path

from hpsearch.workers.protocol import Answered


def wait_for(executor, met, *, seconds=180):
    """Events until something holds, of them or of the executor."""
    deadline, events = time.monotonic() + seconds, []
    while not met(events):
        assert time.monotonic() < deadline, f"not within {seconds} s, but {events}"
        events += executor.events(0.2)
    return events


def answers(events):
    """The results among events, by number."""
    return {e.result.number: e.result for e in events if isinstance(e, Answered)}


def memory_of(pid, name):
    """Bytes by kind, as in /proc/PID/smaps: of the mappings of that name, and of all others."""
    data, other = Counter(), Counter()
    total = other
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        words = line.split()
        if words[0].endswith(":"):
            total[words[0][:-1]] += 1024 * int(words[1]) if words[-1] == "kB" else 0
        else:
            total = data if name in line else other
    return data, other
