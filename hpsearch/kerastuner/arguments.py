"""Send the arguments of `search` to the workers."""

from __future__ import annotations

import io
import mmap
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from pickle import PickleBuffer
from typing import IO, Any, Final

import cloudpickle
import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from hpsearch.custom.fit_arguments import NotOnEngine
from hpsearch.custom.shipping import shipped
from hpsearch.data.dataset import is_dataset
from hpsearch.data.files import array_at, place_of
from hpsearch.errors import InputError
from hpsearch.workers.shared import blocks_in, write_blocks

#: The most bytes that each training is sent; larger arrays go into a file that all of them map.
MOST_BYTES: Final = 2**26
_IGNORE_STATE = 1
#: Operations that call Python functions, which exist in one process only.
_OF_PYTHON = frozenset({"EagerPyFunc", "PyFunc", "PyFuncStateless"})
#: Rows of an array, or elements of a `tf.data.Dataset`, for a run that finds hyperparameters.
_FEW_ROWS = 64
_FEW_ELEMENTS = 8
_FEW_BATCHES = 2

Given = tuple[tuple[Any, ...], dict[str, Any]]


@dataclass(frozen=True)
class Sent:
    """Pickled arguments, with a file for large arrays.

    Attributes:
        code: The pickle.
        path: The file; empty if there is none.
        sizes: Bytes of each array in it.
        few: Whether to load few rows and one epoch, for a run that finds hyperparameters.
    """

    code: bytes
    path: str = ""
    sizes: tuple[int, ...] = ()
    few: bool = False

    def load(self) -> Given:
        """Return a new copy of the arguments, which a training may change.

        Raises:
            NotOnEngine: Few rows are asked for, and no argument has rows.
        """
        given: Given = cloudpickle.loads(self.code, buffers=self._buffers())
        return _with_few_rows(given) if self.few else given

    def _buffers(self) -> list[memoryview]:
        if not self.path:
            return []
        with Path(self.path).open("rb") as file:
            # Copy on write: a training's changes stay in its process.
            block = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))
        return blocks_in(block, self.sizes)

    def remove(self) -> None:
        """Remove the file; processes that have mapped it keep its contents."""
        if self.path in _OPEN:
            _OPEN.pop(self.path).close()


def sent(given: Given, name: str, folder: Path) -> Sent:
    """Pickle arguments for workers.

    Args:
        name: The arguments' name in messages.
        folder: On the disk that holds the file for large arrays.

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

    of = [type(value) for value in (*args, *kwargs.values())]
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
    blocks = [buffer.raw() for buffer in buffers]
    if sum(block.nbytes for block in blocks) + len(code) <= MOST_BYTES:
        return Sent(shipped(given, name, of, dumps=lambda value: dumps(value, None)))
    try:
        return Sent(code, _written(blocks, folder), tuple(block.nbytes for block in blocks))
    except OSError as error:
        raise NotOnEngine(f"{name} cannot be written to {folder}: {error.strerror}") from None


#: This process's files, by path.
_OPEN: dict[str, IO[bytes]] = {}


def _written(blocks: Sequence[memoryview], folder: Path) -> str:
    """Write a file without a name, which ends with this process; return a path to open it by."""
    folder.mkdir(parents=True, exist_ok=True)
    file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - open until the search ends
    write_blocks(file, blocks)
    file.flush()
    path = f"/proc/{os.getpid()}/fd/{file.fileno()}"
    # Only Linux has such paths.
    Path(path).stat()
    _OPEN[path] = file
    return path


class _Pickler(cloudpickle.Pickler):
    """Pickles datasets and mapped arrays, too."""

    def __init__(self, file: io.BytesIO, keep: Callable[[PickleBuffer], Any] | None) -> None:
        super().__init__(file, protocol=5, buffer_callback=keep)

    def reducer_override(self, obj: Any) -> Any:
        """Return how to rebuild an object; see `pickle`."""
        if is_dataset(obj):
            # As an array, the graph can go into the file.
            return _dataset, (np.frombuffer(_graph_of(obj), np.uint8), obj.element_spec)
        if isinstance(obj, np.ndarray):
            location = place_of(obj)
            if location is not None:
                return array_at, location
            if isinstance(obj, np.memmap):
                # `numpy.memmap` itself would put the numbers into the pickle.
                return np.asarray, (np.array(obj, subok=False, order="C"),)
        return super().reducer_override(obj)


# TensorFlow's datasets


def _graph_of(dataset: Any) -> bytes:
    """Return the graph of a `tf.data.Dataset`, including its tensors and variables' values.

    Raises:
        NotOnEngine: The dataset calls Python, or writes a file.
    """
    try:
        graph = tf.raw_ops.DatasetToGraphV2(
            input_dataset=dataset._variant_tensor,
            external_state_policy=_IGNORE_STATE,
        ).numpy()
    except Exception as error:  # noqa: BLE001 - whatever TensorFlow raises
        why = str(error).partition("\n")[0]
        raise NotOnEngine(f"a tf.data.Dataset has no graph: {why}") from None
    root = tf.compat.v1.GraphDef.FromString(graph)
    nodes = [*root.node, *(node for part in root.library.function for node in part.node_def)]
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


def _dataset(graph: npt.NDArray[np.uint8], spec: Any) -> Any:
    """Rebuild the dataset of a graph, starting from its first element."""
    variant = tf.raw_ops.DatasetFromGraph(graph_def=graph.tobytes())
    return tf.data.experimental.from_variant(variant, structure=spec)


# Few rows, to find hyperparameters


class _FirstBatches(keras.utils.PyDataset):
    """The first batches of a dataset, with the dataset's other attributes."""

    def __init__(self, dataset: keras.utils.PyDataset) -> None:
        super().__init__()
        self._dataset = dataset

    def __len__(self) -> int:
        return min(int(self._dataset.num_batches), _FEW_BATCHES)

    def __getitem__(self, index: int) -> Any:
        return self._dataset[index]

    def __getattr__(self, name: str) -> Any:
        return getattr(vars(self)["_dataset"], name)


def _has_rows(value: Any) -> bool:
    is_array = isinstance(value, np.ndarray | keras.utils.PyDataset) or hasattr(value, "iloc")
    return is_array or is_dataset(value)


def _with_few_rows(given: Given) -> Given:
    if not any(map(_has_rows, keras.tree.flatten(given))):
        raise NotOnEngine(
            "code of the program's own gets no rows, and may request hyperparameters in each trial:"
            " give hyperparameters=, with allow_new_entries=False"
        )
    args, kwargs = keras.tree.map_structure(_few, given)
    return args, kwargs | ({"epochs": 1} if "epochs" in kwargs else {})


def _few(value: Any) -> Any:
    if is_dataset(value):
        return value.take(_FEW_ELEMENTS)
    if isinstance(value, keras.utils.PyDataset):
        return _FirstBatches(value)
    return value[:_FEW_ROWS] if _has_rows(value) else value
