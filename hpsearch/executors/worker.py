"""A forked worker: work from a connection, events back, until the connection closes."""

from __future__ import annotations

import functools
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import cloudpickle

from hpsearch.executors.base import Dataset, Event, Work
from hpsearch.executors.work import run

__all__ = ["Retired", "Runner", "messages", "serve", "start_tensorflow"]


@dataclass(frozen=True)
class Retired:
    """The worker has grown and ends; nothing is lost with it."""


@functools.cache
def start_tensorflow() -> None:
    """Start its runtime, once, with one thread, taking no more of a GPU than it needs."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    for gpu in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(gpu, enable=True)


def _resident_bytes() -> int:
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        import psutil

        return int(psutil.Process().memory_info().rss)


class Runner:
    """Runs work in this process, and sees how it grows.

    Args:
        worker: Its number.
        growth_bytes: How much more memory than after the first training is too large; than
            after the first with TensorFlow, once it runs.
    """

    def __init__(self, worker: int, growth_bytes: int) -> None:
        self._worker, self._growth_bytes = worker, growth_bytes
        self._at_start = 0
        self._tensorflow_runs = False

    def run(self, work: Work, dataset: Dataset, emit: Callable[[Event], None]) -> None:
        """Run a training or a call and emit what happens."""
        if work.tensorflow and not self._tensorflow_runs:
            # Not before: a worker may have trainings only that do without.
            start_tensorflow()
            # What TensorFlow needs for itself is no growth.
            self._tensorflow_runs, self._at_start = True, 0
        run(work, dataset, self._worker, emit)
        self._at_start = self._at_start or _resident_bytes()

    @property
    def has_grown(self) -> bool:
        """Whether it has become too large."""
        return _resident_bytes() - self._at_start > self._growth_bytes


def _end_with_parent_by_polling() -> None:
    """Where the system kills no orphans (macOS), a thread sees to it."""
    if sys.platform == "linux":
        return
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def serve(worker: int, descriptor: int, dataset: Dataset, growth_bytes: int) -> None:
    """Run what comes until the driver closes the connection, or the process has grown too large.

    Args:
        growth_bytes: See `Runner`.
    """
    connection: Connection[Any, Any] = Connection(descriptor)
    _end_with_parent_by_polling()
    runner = Runner(worker, growth_bytes)

    def emit(event: Event) -> None:
        connection.send_bytes(cloudpickle.dumps(event))

    while True:
        try:
            work: Work = cloudpickle.loads(connection.recv_bytes())
        except EOFError:
            return
        runner.run(work, dataset, emit)
        if runner.has_grown:
            connection.send_bytes(cloudpickle.dumps(Retired()))
            return


def messages(connection: Connection[Any, Any]) -> Sequence[Event | Retired]:
    """Every message that has arrived.

    Raises:
        EOFError, OSError: The worker is gone, and no whole message of it is left.
    """
    received: list[Event | Retired] = []
    while connection.poll():
        try:
            received.append(cloudpickle.loads(connection.recv_bytes()))
        except (EOFError, OSError):
            if received:
                return received
            raise
    return received
