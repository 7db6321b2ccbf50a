"""A worker on a node: an actor that trains in a thread of its own, and is asked for news.

One call gives it work and brings its first news; each further call waits for more. So a short
training costs one round trip, and a long one tells its epochs while it is at them.
"""

from __future__ import annotations

import contextlib
import os
import queue
import socket
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hpsearch.executors.base import Dataset, Event, Work
    from hpsearch.executors.worker import Retired

__all__ = ["Hello", "RayWorker", "Surroundings", "surroundings"]

#: News that comes within this of the first is told with it.
_GATHER_SECONDS = 0.02
_LOOK_AT_MEMORY_SECONDS = 0.05
#: TensorFlow keeps some megabytes of each model for good; a fresh actor imports it for seconds.
_GROWTH_BYTES = 2**30
#: What decides the bits of a score.
_PACKAGES = ("hpsearch", "tensorflow", "keras", "numpy")


@dataclass(frozen=True)
class Surroundings:
    """What a worker must find as its driver does.

    Attributes:
        paths: Where modules are found.
        directory: The working directory, where the node has it.
    """

    paths: Sequence[str]
    directory: str


@dataclass(frozen=True)
class Hello:
    """Who a worker is.

    Attributes:
        node: Ray's id of it.
        host: Its name, for people.
        versions: Of Python and of packages.
    """

    node: str
    host: str
    pid: int
    versions: Mapping[str, str]


def surroundings() -> dict[str, str]:
    """The versions that have to be the same on all nodes."""
    from hpsearch.versions import version_of

    python = ".".join(map(str, sys.version_info[:2]))
    return {"Python": python} | {name: version_of(name) for name in _PACKAGES}


class RayWorker:
    """What an actor is made of; `ray.remote` is told of it where a cluster is.

    Args:
        number: Of the worker.
        dataset: In the object store: its arrays are mapped, not copied.
        around: Of the driver.
    """

    def __init__(self, number: int, dataset: Dataset, around: Surroundings) -> None:
        from hpsearch.executors.servers import ENVIRONMENT

        # Before TensorFlow and NumPy's algebra are imported.
        os.environ.update(ENVIRONMENT)
        sys.path += [path for path in around.paths if path not in sys.path]
        with contextlib.suppress(OSError):
            os.chdir(around.directory)
        self._number = number
        self._given = dataset
        self._mapped: Dataset | None = None
        self._copied: Dataset | None = None
        self._work: queue.SimpleQueue[Work] = queue.SimpleQueue()
        self._news: queue.SimpleQueue[Event | Retired] = queue.SimpleQueue()

    def hello(self) -> Hello:
        """Imports what trainings need, and says who it is."""
        import ray

        import hpsearch.training

        del hpsearch
        threading.Thread(target=self._serve, daemon=True).start()
        node = ray.get_runtime_context().get_node_id()
        return Hello(node, socket.gethostname(), os.getpid(), surroundings())

    def talk(self, work: Work | None) -> list[Event | Retired]:
        """Take work, if there is any, and wait for news; all there is of it."""
        if work is not None:
            self._work.put(work)
        told = [self._news.get()]
        until = time.monotonic() + _GATHER_SECONDS
        while not _ends(told[-1]):
            try:
                told.append(self._news.get(timeout=max(0.0, until - time.monotonic())))
            except queue.Empty:
                break
        return told

    def watch(self, most_bytes: int | None, slots: int) -> tuple[int, int]:
        """Wait until this process takes more memory than it may; how much it does, and may.

        Its end is that of the actor, too, which is how a driver hears of it at once.

        Args:
            most_bytes: None for its part of this machine's memory.
            slots: Among how many workers that is shared.
        """
        from hpsearch.executors.memory import own_bytes, share_bytes

        most = share_bytes(slots) if most_bytes is None else most_bytes
        while (used := own_bytes(os.getpid())) <= most:
            time.sleep(_LOOK_AT_MEMORY_SECONDS)
        return used, most

    def _serve(self) -> None:
        from hpsearch.executors.forkserver import preload_tensorflow
        from hpsearch.executors.worker import Retired, Runner

        runner = Runner(self._number, _GROWTH_BYTES)
        while True:
            work = self._work.get()
            held: list[Event] = []

            def emit(event: Event, held: list[Event] = held) -> None:
                # The last event is told with whether the worker can take more.
                if _ends(event):
                    held.append(event)
                else:
                    self._news.put(event)

            if work.tensorflow:
                # Its import is no part of the training's time.
                preload_tensorflow()
            runner.run(work, self._dataset_for(work), emit)
            if runner.has_grown:
                self._news.put(Retired())
            for event in held:
                self._news.put(event)

    def _dataset_for(self, work: Work) -> Dataset:
        """The rows where they are mapped; a model of one's own may write to its own copy."""
        from hpsearch.executors.base import Job
        from hpsearch.executors.ray.mapping import copied, mapped

        if isinstance(work, Job) and not work.recipe.model:
            self._mapped = self._mapped or mapped(self._given)
            return self._mapped
        self._copied = self._copied or copied(self._given)
        return self._copied


def _ends(event: Any) -> bool:
    """Whether a worker that has said so is free."""
    from hpsearch.executors.base import Called, Finished

    return isinstance(event, Called | Finished)
