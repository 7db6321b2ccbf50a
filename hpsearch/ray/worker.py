"""A worker on a cluster, in a process of its node."""

from __future__ import annotations

import contextlib
import ctypes
import os
import queue
import socket
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from hpsearch.data.specs import TrainingData
from hpsearch.machine import own_bytes, share_bytes, version_of
from hpsearch.training.subjects import Job
from hpsearch.workers.protocol import Event, Finished
from hpsearch.workers.servers import ENVIRONMENT
from hpsearch.workers.shared import with_arrays
from hpsearch.workers.work import Runner, preload_tensorflow

#: Events within this time of the first are reported with it.
_GATHER_SECONDS = 0.02
_MEMORY_CHECK_SECONDS = 0.05
#: Packages whose versions affect the bits of a score.
_PACKAGES = ("hpsearch", "tensorflow", "keras", "numpy")


@dataclass(frozen=True)
class Hello:
    """The introduction of a worker.

    Attributes:
        node: Ray's id of its node.
        host: The node's name, for people.
    """

    node: str
    host: str
    pid: int
    versions: tuple[str, ...]


def package_versions() -> tuple[str, ...]:
    """Return the names and versions of packages that must agree on all nodes."""
    python = ".".join(map(str, sys.version_info[:2]))
    return (f"Python {python}", *(f"{name} {version_of(name)}" for name in _PACKAGES))


class RayWorker:
    """A worker; Ray makes an actor of it.

    Args:
        dataset: The data in the object store, with mapped instead of copied arrays.
        paths: The driver's module paths.
        directory: The driver's working directory, used if the node has it.
        threads: The number of threads of each training.
    """

    def __init__(
        self,
        number: int,
        dataset: TrainingData,
        paths: Sequence[str],
        directory: str,
        threads: int = 1,
    ) -> None:
        # TensorFlow reads these when it is imported, later.
        os.environ.update(ENVIRONMENT)
        sys.path += [path for path in paths if path not in sys.path]
        with contextlib.suppress(OSError):
            os.chdir(directory)
        self._number, self._threads = number, threads
        self._given = dataset
        self._jobs: queue.SimpleQueue[Job] = queue.SimpleQueue()
        self._news: queue.SimpleQueue[Event] = queue.SimpleQueue()

    def hello(self) -> Hello:
        """Start to serve and return the worker's introduction."""
        # Ray is an optional package.
        import ray

        threading.Thread(target=self._serve, daemon=True).start()
        node = ray.get_runtime_context().get_node_id()
        return Hello(node, socket.gethostname(), os.getpid(), package_versions())

    def talk(self, job: Job | None) -> list[Event]:
        """Take a job, if any, then wait for events and return all that there are."""
        if job is not None:
            self._jobs.put(job)
        news = [self._news.get()]
        until = time.monotonic() + _GATHER_SECONDS
        while not isinstance(news[-1], Finished):
            try:
                news.append(self._news.get(timeout=max(0.0, until - time.monotonic())))
            except queue.Empty:
                break
        return news

    def watch(self, most_bytes: int | None, slots: int) -> tuple[int, int]:
        """Wait until this process exceeds its memory limit; return its use and the limit.

        The call also ends with the actor, so that a driver learns of its end at once.

        Args:
            most_bytes: The limit; None for this worker's share of the machine's memory.
            slots: Number of workers that share the machine's memory.
        """
        most = share_bytes(slots) if most_bytes is None else most_bytes
        while (used := own_bytes(os.getpid())) <= most:
            time.sleep(_MEMORY_CHECK_SECONDS)
        return used, most

    def _serve(self) -> None:
        runner = Runner(self._number, threads=self._threads)
        # Importing TensorFlow in a new actor takes seconds.
        runner.growth_bytes = 2**30
        while True:
            job = self._jobs.get()
            if job.tensorflow:
                # Before the training starts, whose time excludes the import.
                preload_tensorflow()
            # A user's code may write to its rows.
            dataset = self._copied if job.subject.gives_rows else self._mapped
            runner.run(job, dataset, self._news.put)

    @cached_property
    def _mapped(self) -> TrainingData:
        return with_arrays(self._given, _writable_view)

    @cached_property
    def _copied(self) -> TrainingData:
        return with_arrays(self._given, np.array)


def _writable_view(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return an array over the same memory that claims to be writable, as TensorFlow requires.

    Writing to it would end the process, so user code must not get it. The caller must keep `array`.
    """
    if array.flags.writeable or not (array.size and array.flags.c_contiguous):
        return array
    block = (ctypes.c_char * array.nbytes).from_address(array.ctypes.data)
    view: npt.NDArray[Any] = np.frombuffer(memoryview(block), array.dtype).reshape(array.shape)
    return view
