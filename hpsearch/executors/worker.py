"""A forked worker: work from a connection, events back, until the connection closes."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import cloudpickle

from hpsearch.executors.base import Dataset, Event, Work
from hpsearch.executors.work import run

__all__ = ["Retired", "messages", "resident_bytes", "serve", "start_tensorflow"]


@dataclass(frozen=True)
class Retired:
    """The worker has grown and ends; nothing is lost with it."""


def start_tensorflow() -> None:
    """Start its runtime with one thread, taking no more of a GPU than it needs."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    for gpu in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(gpu, enable=True)


def resident_bytes() -> int:
    """Memory of this process."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        import psutil

        return int(psutil.Process().memory_info().rss)


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
        growth_bytes: How much more memory than after the first training is too large; than
            after the first with TensorFlow, once it runs.
    """
    connection: Connection[Any, Any] = Connection(descriptor)
    _end_with_parent_by_polling()
    at_start = 0
    tensorflow_runs = False

    def emit(event: Event) -> None:
        connection.send_bytes(cloudpickle.dumps(event))

    while True:
        try:
            work: Work = cloudpickle.loads(connection.recv_bytes())
        except EOFError:
            return
        if work.tensorflow and not tensorflow_runs:
            # Not before: a loaded worker may have trainings only that do without.
            start_tensorflow()
            # What TensorFlow needs for itself is no growth.
            tensorflow_runs, at_start = True, 0
        run(work, dataset, worker, emit)
        at_start = at_start or resident_bytes()
        if resident_bytes() - at_start > growth_bytes:
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
