"""Send the arguments of `search` to the workers."""

from __future__ import annotations

import contextlib
import io
import mmap
import os
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from pickle import PickleBuffer
from typing import Any, Final

import cloudpickle
import numpy as np
import numpy.typing as npt
import tensorflow as tf
from keras.src.legacy.preprocessing.image import Iterator as ImageIterator

from hpsearch.data.dataset import is_dataset
from hpsearch.data.files import array_at, place_of
from hpsearch.errors import InputError
from hpsearch.files import NO_LINK, lock_without_waiting
from hpsearch.models.fit_arguments import NotOnEngine
from hpsearch.models.shipping import shipped

#: The most bytes that each training is sent; larger arrays go into a file that all of them map.
MOST_BYTES: Final = 2**26
_ALIGNMENT = 64
_IGNORE_STATE = 1
#: Operations that call Python functions, which exist in one process only.
_OF_PYTHON = frozenset({"EagerPyFunc", "PyFunc", "PyFuncStateless"})
_LOCKS = {type(make()): make for make in (threading.Lock, threading.RLock)}

Given = tuple[tuple[Any, ...], dict[str, Any]]


@dataclass(frozen=True)
class Sent:
    """Pickled arguments, with a file for large arrays.

    Attributes:
        code: The pickle.
        path: The file; empty if there is none.
        sizes: Bytes of each array in it.
    """

    code: bytes
    path: str = ""
    sizes: tuple[int, ...] = ()

    def load(self) -> Given:
        """Return a new copy of the arguments, which a training may change."""
        found: Given = cloudpickle.loads(self.code, buffers=self._buffers())
        return found

    def _buffers(self) -> list[memoryview]:
        if not self.path:
            return []
        with Path(self.path).open("rb") as file:
            # Copy on write: a training's changes stay in its process.
            block = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))
        views, start = [], 0
        for size in self.sizes:
            views.append(block[start : start + size])
            start += size + -size % _ALIGNMENT
        return views

    def remove(self) -> None:
        """Remove the file; processes that have mapped it keep its contents."""
        if self.path:
            Path(self.path).unlink(missing_ok=True)
            if self.path in _HELD:
                os.close(_HELD.pop(self.path))


def sent(given: Given, name: str, folder: Path) -> Sent:
    """Pickle arguments for workers.

    Args:
        name: The arguments' name in messages.
        folder: Holds the file for large arrays; files that killed searches left are removed.

    Raises:
        InputError: Something cannot be pickled.
        NotOnEngine: The arguments are too large.
    """
    args, kwargs = given
    buffers: list[PickleBuffer] = []

    def dumps(value: Any, keep: Callable[[PickleBuffer], Any] | None) -> bytes:
        file = io.BytesIO()
        _Pickler(file, keep).dump(value)
        return file.getvalue()

    of = [type(each) for each in (*args, *kwargs.values())]
    try:
        code = shipped(given, name, of, dumps=lambda value: dumps(value, buffers.append))
    except InputError as error:
        if isinstance(error.__cause__, NotOnEngine):
            raise error.__cause__ from None
        raise
    if len(code) > MOST_BYTES:
        raise NotOnEngine(
            f"{name} have {len(code) >> 20} MB beside arrays, which each training would be sent (at"
            f" most {MOST_BYTES >> 20} MB): give arrays, or a keras.utils.PyDataset that reads from"
            " files"
        )
    blocks = [each.raw() for each in buffers]
    if sum(each.nbytes for each in blocks) + len(code) <= MOST_BYTES:
        return Sent(shipped(given, name, of, dumps=lambda value: dumps(value, None)))
    try:
        return Sent(code, _written(blocks, folder), tuple(each.nbytes for each in blocks))
    except OSError as error:
        raise NotOnEngine(f"{name} cannot be written to {folder}: {error.strerror}") from None


def copied(value: Any) -> Any:
    """Copy an argument as for a training; the copy may share its arrays."""
    file = io.BytesIO()
    buffers: list[PickleBuffer] = []
    _Pickler(file, buffers.append).dump(value)
    return cloudpickle.loads(file.getvalue(), buffers=buffers)


_PREFIX = ".arguments-"
#: This process's files; each stays open and locked until it is removed.
_HELD: dict[str, int] = {}


def _written(blocks: Sequence[memoryview], folder: Path) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    remove_old(folder)
    handle, path = _new_file(folder)
    try:
        with os.fdopen(os.dup(handle), "wb") as file:
            for block in blocks:
                file.write(block)
                file.write(bytes(-block.nbytes % _ALIGNMENT))
    except OSError:
        Path(path).unlink()
        os.close(handle)
        raise
    _HELD[path] = handle
    return path


def _new_file(folder: Path) -> tuple[int, str]:
    """Create and lock a file; return its descriptor and path."""
    while True:
        handle, path = tempfile.mkstemp(prefix=_PREFIX, dir=folder)
        try:
            is_locked = lock_without_waiting(handle)
        except OSError:
            # The file system has no locks, so `remove_old` removes nothing there.
            return handle, path
        # Another process may have removed the file before it was locked.
        if is_locked and Path(path).exists():
            return handle, path
        os.close(handle)
        Path(path).unlink(missing_ok=True)


def remove_old(folder: Path) -> None:
    """Remove the files of ended processes, in this or other containers."""
    for path in folder.glob(f"{_PREFIX}*"):
        # A process holds its files' locks until it ends.
        with contextlib.suppress(OSError):
            handle = os.open(path, os.O_RDWR | NO_LINK)
            try:
                if lock_without_waiting(handle):
                    path.unlink()
            finally:
                os.close(handle)


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # cloudpickle has no types
    """Pickles locks, datasets, image iterators and mapped arrays, too."""

    def __init__(self, file: io.BytesIO, keep: Callable[[PickleBuffer], Any] | None) -> None:
        super().__init__(file, protocol=5, buffer_callback=keep)

    def reducer_override(self, obj: Any) -> Any:
        """Return how to rebuild an object; see `pickle`."""
        if type(obj) in _LOCKS:
            return _LOCKS[type(obj)], ()
        if is_dataset(obj):
            # As an array, the graph can go into the file.
            return _dataset, (np.frombuffer(graph_of(obj), np.uint8), obj.element_spec)
        if isinstance(obj, ImageIterator):
            state = {n: each for n, each in vars(obj).items() if n != "index_generator"}
            return _image_iterator, (type(obj), state)
        if isinstance(obj, np.ndarray):
            found = place_of(obj)
            if found is not None:
                return array_at, found
            if isinstance(obj, np.memmap):
                # `numpy.memmap` itself would put the numbers into the pickle.
                return np.asarray, (np.array(obj, subok=False, order="C"),)
        return super().reducer_override(obj)


def _image_iterator(kind: type, state: Mapping[str, Any]) -> Any:
    """Rebuild Keras' iterator over images with a new index generator."""
    made: Any = object.__new__(kind)
    vars(made).update(state)
    made.index_generator = made._flow_index()  # noqa: SLF001 - there is no public way
    return made


# TensorFlow's datasets


def graph_of(dataset: Any) -> bytes:
    """Return the graph of a `tf.data.Dataset`, including its tensors and variables' values.

    Raises:
        NotOnEngine: The dataset calls Python, or writes a file.
    """
    try:
        graph = tf.raw_ops.DatasetToGraphV2(
            input_dataset=dataset._variant_tensor,  # noqa: SLF001 - there is no public way
            external_state_policy=_IGNORE_STATE,
        ).numpy()
    except Exception as error:  # noqa: BLE001 - whatever TensorFlow raises
        why = str(error).partition("\n")[0]
        raise NotOnEngine(f"a tf.data.Dataset has no graph: {why}") from None
    found = tf.compat.v1.GraphDef.FromString(graph)
    nodes = [*found.node, *(node for each in found.library.function for node in each.node_def)]
    if any(node.op in _OF_PYTHON for node in nodes):
        raise NotOnEngine(
            "a tf.data.Dataset calls Python (from_generator, py_function or numpy_function)"
        )
    constants = {node.name: node for node in nodes if node.op == "Const"}
    for node in nodes:
        if node.op.startswith("CacheDataset"):
            name = constants.get(node.input[1])
            if name is None or any(name.attr["value"].tensor.string_val):
                raise NotOnEngine("a tf.data.Dataset has a file as cache, which trainings share")
    return bytes(graph)


def dataset_of(graph: bytes, spec: Any) -> Any:
    """Rebuild the dataset of a graph, starting from its first element."""
    variant = tf.raw_ops.DatasetFromGraph(graph_def=graph)
    return tf.data.experimental.from_variant(variant, structure=spec)


def _dataset(graph: npt.NDArray[np.uint8], spec: Any) -> Any:
    return dataset_of(graph.tobytes(), spec)
