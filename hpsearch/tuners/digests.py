"""Digests of the arguments of `search`, used to refuse a project's search on other data."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from typing import Any, Final

import keras
import numpy as np
import tensorflow as tf

from hpsearch.data.dataset import arrays_in, is_dataset
from hpsearch.models.fit_arguments import NotOnEngine, row_digests
from hpsearch.tuners.arguments import graph_of
from hpsearch.tuners.recorded import Batches

#: Rows that two epochs share count as data if chance explains them with at most this probability.
_CHANCE: Final = 1e-6
Part = bytes | memoryview
#: Keyword arguments that the digest leaves out.
_NO_DATA: Final = frozenset({"epochs", "verbose"})
#: A `PyDataset`'s attributes, as pairs of name and digest.
State = frozenset[tuple[str, str]]


def digest_of(
    args: Sequence[Any], given: Mapping[str, Any], before: Mapping[int, State] | None = None
) -> str:
    """Return a digest of the numbers and texts in arguments, except for epochs and the like.

    Args:
        before: The states of datasets, by `id`, before reading, which may have changed them.
    """

    def kept(value: Any) -> Any:
        if before is None or id(value) not in before:
            return value
        return [type(value).__qualname__, *sorted(_state_of(value) & before[id(value)])]

    data = {name: kept(each) for name, each in given.items() if name not in _NO_DATA}
    return _hashed(_framed(_parts([[kept(each) for each in args], data])))


def states_of(values: Iterable[Any]) -> dict[int, State]:
    """Return the state of each `PyDataset` among the values, by `id`."""
    return {id(each): _state_of(each) for each in values if _is_pydataset(each)}


def _hashed(parts: Iterable[Part]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()[:16]


def _framed(parts: Iterable[Part]) -> Iterator[Part]:
    """Yield each part after its length, so that different divisions give different digests."""
    for part in parts:
        yield b"%d:" % len(part)
        yield part


def _parts(value: Any) -> Iterator[Part]:
    value = _plain(value)
    if isinstance(value, np.ndarray):
        yield f"{value.dtype}{value.shape}".encode()
        if value.dtype.kind == "O":
            yield from _parts(value.tolist())
        elif value.size and value.itemsize:
            yield _bytes_of(value)
    elif isinstance(value, Mapping):
        yield b"mapping %d" % len(value)
        for name, each in sorted(value.items(), key=lambda item: str(item[0])):
            yield str(name).encode()
            yield from _parts(each)
    elif isinstance(value, list | tuple):
        yield b"sequence %d" % len(value)
        for each in value:
            yield from _parts(each)
    elif isinstance(value, bytes):
        yield repr(value).encode()
    else:
        yield _told(value)


def _plain(value: Any) -> Any:
    """Return an object's values as arrays, lists and mappings, if its type is known."""
    if hasattr(value, "to_numpy"):
        names = [str(each) for each in getattr(value, "columns", ())]
        return [names, value.to_numpy()] if names else value.to_numpy()
    if isinstance(value, np.ma.MaskedArray):
        return [np.ma.getmaskarray(value), np.asarray(value.filled())]
    if isinstance(value, tf.Tensor | tf.Variable) and hasattr(value, "numpy"):
        return value.numpy()
    if hasattr(value, "tocoo") and hasattr(value, "nnz"):
        found = value.tocsr(copy=True)
        found.sum_duplicates()
        return [list(found.shape), found.indptr, found.indices, found.data]
    return _of_dataset(value)


def _of_dataset(value: Any) -> Any:
    if isinstance(value, Batches):
        return _of_batches(value)
    if _is_pydataset(value):
        return [type(value).__qualname__, *sorted(_state_of(value))]
    if is_dataset(value):
        try:
            return [repr(value.element_spec), *_of_graph(graph_of(value))]
        except NotOnEngine:
            return repr(value.element_spec)
    return value


def _of_batches(batches: Batches) -> list[Any]:
    """Return the rows if all epochs share them, else only what another process reads alike."""
    if batches.same:
        return sorted(row_digests(batches.passes[0]))
    first = next((each for one in batches.passes for each in one), ())
    forms = (f"{each.dtype}{each.shape[1:]}" for each in arrays_in(first))
    return [repr(batches.spec), *forms, *_kept([*batches.passes, batches.beyond][:2])]


def _kept(passes: Sequence[Sequence[Any]]) -> list[Any]:
    """Return the rows of the arrays whose rows two epochs share, in any order.

    An example is the labels of augmented images. Arrays with so few different numbers that the
    epochs may agree by chance are left out: another process would draw other numbers.
    """
    batches = [[[*arrays_in(batch)] for batch in one] for one in passes]
    arrays = [array for one in batches for batch in one for array in batch]
    counts = {len(batch) for one in batches for batch in one}
    if len(passes) < 2 or len(counts) > 1 or not all(array.ndim for array in arrays):
        return []
    first, again = ([*map(_rows_of, zip(*one, strict=True))] for one in batches)
    pairs = enumerate(zip(first, again, strict=False))
    return [
        [place, *sorted(rows.elements())]
        for place, (rows, others) in pairs
        if rows and rows == others and _chance_of(rows) < _CHANCE
    ]


def _rows_of(arrays: Sequence[Any]) -> Counter[bytes]:
    """Count an array's equal rows over all batches; empty for objects, such as tf.data's texts."""
    if any(array.dtype.kind not in "biufSU" for array in arrays):
        return Counter()
    return Counter(row_digests([(array,) for array in arrays]))


def _chance_of(counts: Counter[bytes]) -> float:
    """Return the probability that random draws in these proportions give exactly these counts."""
    total = counts.total()
    log = math.lgamma(total + 1)
    log += sum(n * math.log(n / total) - math.lgamma(n + 1) for n in counts.values())
    return math.exp(log)


# TensorFlow's datasets


def _of_graph(graph: bytes) -> list[Any]:
    """Return a graph's operations and constants, without numbered names, seeds and states."""
    found = tf.compat.v1.GraphDef.FromString(graph)
    left = set()
    for node in found.node:
        if node.op.startswith("Shuffle"):
            left.update(node.input[2:])
        elif node.op.startswith("RandomDataset"):
            left.update(node.input)
        elif node.op == "AssignVariableOp":
            # Includes the states of random layers, which start anew in each process.
            left.update(node.input)
    called = [_of_nodes(each.node_def, frozenset()) for each in found.library.function]
    return [_of_nodes(found.node, left), *sorted(map(_digest, called))]


def _of_nodes(nodes: Iterable[Any], left: Iterable[str]) -> list[Any]:
    return [
        node.attr["value"].tensor.SerializeToString(deterministic=True)
        if node.op == "Const" and node.attr["dtype"].type != tf.resource.as_datatype_enum
        else node.op
        for node in nodes
        if node.name not in left
    ]


def _digest(value: Any) -> str:
    return _hashed(_framed(_parts(value)))


# Keras' datasets


def _is_pydataset(value: Any) -> bool:
    return isinstance(value, keras.utils.PyDataset)


def _state_of(dataset: Any) -> State:
    """Return a digest of each attribute, independent of the order of its rows.

    Whole numbers are left out, since they may be counters, and so is the order of rows, which may
    be random.
    """
    found = {}
    for name, value in vars(dataset).items():
        if not _is_position(value):
            found[name] = _digest(_unordered(value))
    return frozenset(found.items())


def _is_position(value: Any) -> bool:
    if isinstance(value, np.ndarray) and value.ndim == 1 and value.dtype.kind in "iu":
        return np.array_equal(np.sort(value), np.arange(len(value)))
    return value is None or (isinstance(value, int | np.integer) and not isinstance(value, bool))


def _unordered(value: Any) -> Any:
    value = _plain(value)
    if isinstance(value, np.ndarray) and value.ndim and value.dtype.kind != "O":
        return [f"{value.dtype}{value.shape}", *sorted(row_digests([(value,)]))]
    if isinstance(value, np.ndarray) and value.ndim:
        value = value.tolist()
    return sorted(map(_digest, value)) if isinstance(value, list | tuple) else value


def _bytes_of(array: Any) -> memoryview:
    data: memoryview = np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
    return data


def _told(value: Any) -> bytes:
    # Other objects have only their class in common between processes.
    known = isinstance(value, int | float | str | date | np.generic | None)
    return repr(value if known else type(value).__qualname__).encode()
