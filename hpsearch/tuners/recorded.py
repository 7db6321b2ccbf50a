"""Read batches that only this process can make, once, for all trainings."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import GeneratorType
from typing import Any, Final

import cloudpickle
import tensorflow as tf

from hpsearch.data.dataset import SHARE_OF_MEMORY, arrays_in, is_dataset, joined
from hpsearch.machine import available_bytes
from hpsearch.models.fit_arguments import (
    NotOnEngine,
    batch_size_of,
    has_equal_rows,
    row_digests,
)
from hpsearch.tuners.arguments import dataset_of, graph_of

#: The most bytes to read without a number of steps: a generator may be endless.
MOST_BYTES: Final = 2**28
#: Memory of a batch beside its arrays.
_OVERHEAD_BYTES: Final = 1000
#: Argument of `fit` -> the one that counts its batches in an epoch.
_STEPS: Final = {"x": "steps_per_epoch", "validation_data": "validation_steps"}


@dataclass(frozen=True)
class Batches:
    """The batches that a generator or a dataset yielded.

    Attributes:
        passes: The batches of each epoch; later epochs start again from the first one.
        spec: The dataset's `element_spec`; None for a generator.
        endless: Whether reading stopped before the end.
        same: Whether all epochs have the same rows.
        error: The exception raised after the last batch, or None.
        counted: Whether the dataset knows its number of batches.
        beyond: The epoch after the only one of each training, read to compare them.
    """

    passes: tuple[tuple[Any, ...], ...]
    spec: Any
    endless: bool
    same: bool
    error: Exception | None = None
    counted: bool = False
    beyond: tuple[Any, ...] = ()

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """Restore a generator or a dataset in the other process."""
        return _restored, (self.passes, self.spec, self.endless, self.error, self.counted)

    @property
    def rows(self) -> tuple[Any, ...]:
        """The arrays of an epoch: x, y and perhaps weights."""
        found: tuple[Any, ...] = joined(self.passes[0])
        return found


def _restored(
    passes: Sequence[Sequence[Any]],
    spec: Any,
    endless: bool,
    error: Exception | None,
    counted: bool,
) -> Any:
    if spec is None:
        return _in_turn(passes, endless=endless, error=error)
    turn = itertools.count()

    def elements() -> Iterator[Any]:
        if endless:
            yield from _in_turn(passes, endless=True)
            return
        place = next(turn) % len(passes)
        yield from passes[place]
        if error is not None and place == len(passes) - 1:
            raise error

    dataset = tf.data.Dataset.from_generator(elements, output_signature=spec)
    lengths = {len(each) for each in passes}
    if not counted or endless or error is not None or len(lengths) > 1:
        return dataset
    return dataset.apply(tf.data.experimental.assert_cardinality(lengths.pop()))


def _in_turn(
    passes: Sequence[Sequence[Any]], *, endless: bool, error: Exception | None = None
) -> Iterator[Any]:
    while True:
        for each in passes:
            yield from each
        if error is not None:
            raise error
        if not endless:
            return


class Recorder:
    """Reads generators, and datasets that call Python, among the arguments of `search`.

    Args:
        epochs: The epochs of a training; None if unknown.
        own: Whether user code gets the arguments.
    """

    def __init__(self, epochs: int | None, *, own: bool) -> None:
        self._epochs, self.own = epochs, own
        self._room = available_bytes() * SHARE_OF_MEMORY
        #: Each generator that was read from, and its batches so far.
        self._begun: list[tuple[Any, list[Any]]] = []
        #: The exception of the generator or dataset being read.
        self._error: Exception | None = None

    def recorded(
        self, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the arguments with `Batches` in place of generators and datasets.

        Raises:
            NotOnEngine: There is too much to read, or the amount is unknown.
        """
        steps = {name: kwargs.get(count) for name, count in _STEPS.items()}
        # The first positional argument is x.
        named = itertools.chain(["x"], itertools.repeat(""))
        found = [
            self._recorded(each, steps.get(name)) for name, each in zip(named, args, strict=False)
        ]
        return tuple(found), {n: self._recorded(each, steps.get(n)) for n, each in kwargs.items()}

    def _recorded(self, value: Any, steps: int | None) -> Any:
        self._error = None
        if isinstance(value, GeneratorType):
            read: list[Any] = []
            self._begun.append((value, read))
            return self._of_steps(self._noted(value, read), None, steps)
        if not is_dataset(value):
            return value
        elements = value.as_numpy_iterator
        graph = _graph_of(value)
        if graph is not None and (steps is None or self.own):
            return value
        if graph is not None:
            # Reading advances the state by which a dataset shuffles.
            unread = dataset_of(graph, value.element_spec)
            return self._same(elements(), value.element_spec, steps) or unread
        if steps is not None:
            found = self._of_steps(elements(), value.element_spec, steps)
        elif int(value.cardinality()) == tf.data.INFINITE_CARDINALITY:
            raise NotOnEngine("a tf.data.Dataset that calls Python is endless")
        else:
            found = self._of_epochs(elements, value.element_spec)
        return replace(found, counted=int(value.cardinality()) >= 0)

    def _noted(self, generator: Iterator[Any], read: list[Any]) -> Iterator[Any]:
        try:
            for each in generator:
                # A generator may reuse its arrays.
                read.append(copy.deepcopy(each))
                yield read[-1]
        except Exception as error:
            read.append(error)
            raise

    def _of_steps(self, elements: Iterator[Any], spec: Any, steps: int | None) -> Batches:
        """Read `steps` batches an epoch, or all batches."""
        if steps is None:
            whole = self._pass(elements, None, MOST_BYTES)
            return self._ended([whole], spec)
        if self._epochs is None:
            raise NotOnEngine("the number of epochs is not known, and so not what to read")
        passes: list[tuple[Any, ...]] = []
        for _ in range(self._epochs):
            found = self._pass(elements, steps)
            if found:
                passes.append(found)
            if len(found) < steps:
                # A dataset's iterator runs on through all epochs.
                one = [(*itertools.chain(*passes),)]
                return self._ended(passes if spec is None else one, spec)
            if len(passes) == 2 and _are_equal(*passes):
                return Batches((passes[0],), spec, endless=True, same=True)
        beyond = self._beyond(elements, steps) if len(passes) == 1 else ()
        same = len(passes) == 1 and _are_equal(passes[0], beyond or passes[0])
        return Batches(tuple(passes), spec, endless=True, same=same, beyond=beyond)

    def _beyond(self, elements: Iterator[Any], steps: int) -> tuple[Any, ...]:
        """Return the epoch after a training's last one; empty if there are too few batches."""
        try:
            found = self._pass(elements, steps)
        except NotOnEngine:
            return ()
        finally:
            self._error = None
        return found if len(found) == steps else ()

    def _same(self, elements: Iterator[Any], spec: Any, steps: int | None) -> Batches | None:
        """Return an epoch's batches if the next epoch has the same rows."""
        try:
            first, again = self._pass(elements, steps), self._pass(elements, steps)
        except NotOnEngine:
            return None
        if len(again) != steps or not _are_equal(first, again):
            return None
        return Batches((first,), spec, endless=True, same=True)

    def _of_epochs(self, begin: Callable[[], Iterator[Any]], spec: Any) -> Batches:
        """Read a dataset from its start in each epoch."""
        first = self._pass(begin(), None)
        if self._error is not None:
            return self._ended([first], spec)
        again = self._pass(begin(), None)
        if (
            self._error is None
            and _are_equal(first, again)
            and row_digests(first) == row_digests(again)
        ):
            return Batches((first,), spec, endless=False, same=True)
        if self._epochs is None:
            raise NotOnEngine("the number of epochs is not known, and so not what to read")
        passes = [first, again]
        while self._error is None and len(passes) < self._epochs:
            passes.append(self._pass(begin(), None))
        return self._ended(passes, spec)

    def _ended(self, passes: Sequence[tuple[Any, ...]], spec: Any) -> Batches:
        return Batches(tuple(passes), spec, endless=False, same=False, error=self._error)

    def _pass(
        self, elements: Iterator[Any], steps: int | None, most: int | None = None
    ) -> tuple[Any, ...]:
        found: list[Any] = []
        for each in self._noting_error(itertools.islice(elements, steps)):
            found.append(each)
            size = sum(array.nbytes for array in arrays_in(each)) + _OVERHEAD_BYTES
            self._room -= size
            most = None if most is None else most - size
            if self._room < 0 or (most is not None and most < 0):
                raise NotOnEngine("there are too many batches to read them once for all trainings")
        return tuple(found)

    def _noting_error(self, elements: Iterator[Any]) -> Iterator[Any]:
        """Yield elements; note an exception of user code, to be raised in each training."""
        try:
            yield from elements
        except (MemoryError, tf.errors.ResourceExhaustedError):
            # A training keeps no batches, so memory may suffice there.
            raise NotOnEngine("memory ended as its batches were read for all trainings") from None
        except Exception as error:  # noqa: BLE001 - whatever it is
            self._error = _portable(error)

    def put_back(self, value: Any) -> Any:
        """Return a generator that repeats what was read; other values as they are."""
        for generator, read in self._begun:
            if value is generator:
                return _continued(read, generator)
        return value


def _continued(read: Sequence[Any], rest: Iterator[Any]) -> Iterator[Any]:
    for each in read:
        if isinstance(each, Exception):
            raise each
        yield each
    yield from rest


def _portable(error: Exception) -> Exception:
    """Return the exception if it can be pickled, else a RuntimeError with its text."""
    try:
        cloudpickle.loads(cloudpickle.dumps(error))
    except Exception:  # noqa: BLE001 - of the user's class
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


def _graph_of(dataset: Any) -> bytes | None:
    try:
        return graph_of(dataset)
    except NotOnEngine:
        return None


def _are_equal(first: Sequence[Any], again: Sequence[Any]) -> bool:
    """Check if two epochs have the same rows; False if they have no rows of numbers."""
    if not all(isinstance(each, tuple | list) and len(each) in (2, 3) for each in first):
        return False
    arrays = [array for each in (*first, *again) for array in arrays_in(each)]
    if any(not array.ndim or array.dtype.kind not in "biuf" for array in arrays):
        return False
    return has_equal_rows(first, again)


def with_read_rows(given: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return arguments of `fit` with arrays in place of generators with equal epochs.

    None without such generators, or if the engine cannot take the rows as arrays.
    """
    changed = dict(given)
    if not any(isinstance(given.get(name), Batches) for name in _STEPS):
        return None
    for name, steps in _STEPS.items():
        batches = given.get(name)
        if isinstance(batches, Batches):
            if not batches.same:
                return None
            rows = batches.rows
            changed.pop(steps, None)
            if name == "x":
                if given.get("y") is not None or given.get("sample_weight") is not None:
                    return None
                changed["x"], changed["y"], changed["sample_weight"] = (*rows, None)[:3]
                try:
                    changed["batch_size"] = batch_size_of(batches.passes[0])
                except NotOnEngine:
                    return None
            else:
                changed[name] = rows
    return changed
