"""A forked worker: jobs from a connection, events back, until the connection closes."""

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

from hpsearch.executors import work
from hpsearch.executors.base import Dataset, Event, Job
from hpsearch.executors.shared import Layout, map_arrays
from hpsearch.trial import InputSpec, Target

__all__ = ["Header", "Retired", "mapped", "serve"]


@dataclass(frozen=True)
class Header:
    """A dataset without its arrays, and where these lie."""

    input: InputSpec
    target: Target
    layout: Layout


@dataclass(frozen=True)
class Retired:
    """The worker has grown and ends; nothing is lost with it."""


def mapped(header: Header, handle: int) -> Dataset:
    """The dataset with its arrays mapped from a block of memory."""
    return Dataset(header.input, header.target, map_arrays(handle, header.layout))


def _start_tensorflow() -> None:
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
    """Run jobs until the driver closes the connection, or the process has grown too large.

    Args:
        growth_bytes: How much more memory than after the first training is too large.
    """
    connection: Connection[Any, Any] = Connection(descriptor)
    _end_with_parent_by_polling()
    _start_tensorflow()
    at_start = 0

    def emit(event: Event) -> None:
        connection.send_bytes(cloudpickle.dumps(event))

    while True:
        try:
            job: Job = cloudpickle.loads(connection.recv_bytes())
        except EOFError:
            return
        work.run(job, dataset, worker, emit)
        at_start = at_start or _resident_bytes()
        if _resident_bytes() - at_start > growth_bytes:
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
