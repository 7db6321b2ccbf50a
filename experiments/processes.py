"""Measure the wall time of commands and the memory of all their processes."""

from __future__ import annotations

import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

__all__ = ["Snapshot", "Watch", "environment", "memory_mb", "running", "timed"]

_EVERY_SECONDS = 0.25
_KILOBYTES_A_MB = 1024


@dataclass(frozen=True)
class Snapshot:
    """A snapshot of a tree of processes.

    Attributes:
        seconds: Time since the watch began.
        pss_mb: Process -> proportional set size in megabytes.
        progress: The result of the watch's `progress`.
    """

    seconds: float
    pss_mb: Mapping[int, float]
    progress: int

    @property
    def total_mb(self) -> float:
        """The sum over all processes."""
        return sum(self.pss_mb.values())


@dataclass
class Watch:
    """Takes snapshots of a process and its descendants until `end` is called.

    Args:
        pid: The tree's root.
        progress: Called at each snapshot.
        every_seconds: Time between snapshots.
    """

    pid: int
    progress: Callable[[], int] = lambda: 0
    every_seconds: float = _EVERY_SECONDS
    snapshots: list[Snapshot] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._root = psutil.Process(self.pid)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        began = time.monotonic()
        while not self._over.wait(self.every_seconds):
            try:
                members = [self._root, *self._root.children(recursive=True)]
            except psutil.Error:
                return
            pss = {member.pid: memory_mb(member.pid, "Pss") for member in members}
            self.snapshots.append(Snapshot(time.monotonic() - began, pss, self.progress()))

    def end(self) -> list[Snapshot]:
        """Stop and return the snapshots."""
        self._over.set()
        self._thread.join()
        return self.snapshots


def memory_mb(pid: int, *kinds: str) -> float:
    """The sum of some kinds of a process' memory, named as in /proc/PID/smaps_rollup.

    Returns:
        Megabytes; 0 if the process has ended.
    """
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    except OSError:
        return 0.0
    rows = (line.split() for line in text.splitlines())
    kilobytes = {row[0].rstrip(":"): row[1] for row in rows if len(row) == 3}
    return sum(int(kilobytes.get(kind, 0)) for kind in kinds) / _KILOBYTES_A_MB


def environment(**changes: str) -> dict[str, str]:
    """This process' environment with changes, in which Python caches bytecode, as for users."""
    kept = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    return kept | changes


@contextmanager
def running(command: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command during a block, and wait for it at the block's end.

    Raises:
        SystemExit: The command failed; the message ends with the end of its output.
    """
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env=environment())
        try:
            yield process
            code = process.wait()
        finally:
            process.kill()
            process.wait()
        if code != 0:
            output.seek(0)
            text = output.read().decode(errors="replace")[-3000:]
            raise SystemExit(f"{' '.join(command)} failed with exit status {code}:\n{text}")


def timed(command: Sequence[str]) -> tuple[float, float]:
    """Run a command and return its wall seconds and the peak megabytes of all its processes."""
    began = time.perf_counter()
    with running(command) as process:
        watch = Watch(process.pid)
        process.wait()
        seconds = time.perf_counter() - began
        snapshots = watch.end()
    return seconds, max((snapshot.total_mb for snapshot in snapshots), default=0.0)
