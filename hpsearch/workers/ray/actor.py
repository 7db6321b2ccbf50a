"""A worker on a cluster's node: an actor that trains in a thread and is polled for events."""

from __future__ import annotations

import contextlib
import ctypes
import os
import queue
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hpsearch.data.specs import Arrays, TrainingData
from hpsearch.machine import own_bytes, share_bytes, version_of
from hpsearch.workers.protocol import Called, Finished, Job, Retired
from hpsearch.workers.servers import ENVIRONMENT
from hpsearch.workers.work import Runner, preload_tensorflow

if TYPE_CHECKING:
    from hpsearch.workers.protocol import Event, Work

_Array = npt.NDArray[Any]


def mapped(dataset: TrainingData) -> TrainingData:
    """The same memory as arrays that call themselves writable, since TensorFlow asks for it.

    The system does not let anyone write to it: nothing that runs code of a user's gets these.
    The dataset that they are of has to be kept.
    """
    return _with_arrays(dataset, _view)


def copied(dataset: TrainingData) -> TrainingData:
    """Arrays of one's own."""
    return _with_arrays(dataset, np.array)


def _view(array: _Array) -> _Array:
    if array.flags.writeable or not (array.size and array.flags.c_contiguous):
        return array
    block = (ctypes.c_char * array.nbytes).from_address(array.ctypes.data)
    view: _Array = np.frombuffer(memoryview(block), array.dtype).reshape(array.shape)
    return view


def _with_arrays(dataset: TrainingData, make: Callable[[_Array], _Array]) -> TrainingData:
    """A dataset with other arrays; those that several parts share stay shared."""
    made: dict[int, _Array] = {}

    def once(array: _Array) -> _Array:
        if id(array) not in made:
            made[id(array)] = make(array)
        return made[id(array)]

    def of(part: TrainingData) -> TrainingData:
        given = {name: array for name, array in vars(part.arrays).items() if array is not None}
        arrays = Arrays(**{name: once(array) for name, array in given.items()})
        return replace(part, arrays=arrays, folds=tuple(map(of, part.folds)))

    return of(dataset)


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
    python = ".".join(map(str, sys.version_info[:2]))
    return {"Python": python} | {name: version_of(name) for name in _PACKAGES}


class RayWorker:
    """What an actor is made of; `ray.remote` is told of it where a cluster is.

    Args:
        number: Of the worker.
        dataset: In the object store: its arrays are mapped, not copied.
        around: Of the driver.
    """

    def __init__(self, number: int, dataset: TrainingData, around: Surroundings) -> None:

        # Before TensorFlow and NumPy's algebra are imported.
        os.environ.update(ENVIRONMENT)
        sys.path += [path for path in around.paths if path not in sys.path]
        with contextlib.suppress(OSError):
            os.chdir(around.directory)
        self._number = number
        self._given = dataset
        self._mapped: TrainingData | None = None
        self._copied: TrainingData | None = None
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
        most = share_bytes(slots) if most_bytes is None else most_bytes
        while (used := own_bytes(os.getpid())) <= most:
            time.sleep(_LOOK_AT_MEMORY_SECONDS)
        return used, most

    def _serve(self) -> None:

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

    def _dataset_for(self, work: Work) -> TrainingData:
        """The rows where they are mapped; a model of one's own may write to its own copy."""
        if isinstance(work, Job) and not work.recipe.model:
            self._mapped = self._mapped or mapped(self._given)
            return self._mapped
        self._copied = self._copied or copied(self._given)
        return self._copied


def _ends(event: Any) -> bool:
    """Whether a worker that has said so is free."""
    return isinstance(event, Called | Finished)
