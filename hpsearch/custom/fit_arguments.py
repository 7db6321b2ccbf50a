"""Read and check the arguments of `keras.Model.fit` for the engine."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from hpsearch.data.dataset import (
    are_several,
    are_several_inputs,
    arrays_in,
    is_dataset,
    joined,
    packed,
    read_elements,
    several_target,
)
from hpsearch.data.specs import ArrayPart, Arrays, InputSpec, Target, Task
from hpsearch.errors import DataError
from hpsearch.machine import available_bytes

#: Arguments of `fit` that the engine understands.
_UNDERSTOOD = frozenset(
    {
        "x", "y", "batch_size", "callbacks", "epochs", "sample_weight", "validation_data",
        "validation_split", "verbose",
    }
)  # fmt: skip
#: Other arguments, with the values that have no effect.
_NEUTRAL: dict[str, Any] = {
    "class_weight": None,
    "initial_epoch": 0,
    "shuffle": True,
    "steps_per_epoch": None,
    "validation_batch_size": None,
    "validation_freq": 1,
    "validation_steps": None,
}
#: Arguments of `fit` by position.
POSITIONS = (
    "x", "y", "batch_size", "epochs", "verbose", "callbacks", "validation_split",
    "validation_data", "shuffle", "class_weight", "sample_weight",
)  # fmt: skip
#: Arguments of `fit` that count batches of a dataset.
_OF_STEPS = ("steps_per_epoch", "validation_steps", "initial_epoch")


Parts = tuple[ArrayPart, ...]


class NotOnEngine(Exception):
    """The reason why `fit` itself has to train."""


@dataclass(frozen=True)
class Request:
    """The checked arguments.

    Attributes:
        arrays: Rows to train on and to validate on, perhaps none, as Keras would take them.
        epochs, batch_size: None if omitted.
        callbacks: Keras' callbacks.
        arguments: Arguments of `fit` that only `fit` itself understands.
        parts: Several targets, in the order of the arrays' columns; empty for one target.
        inputs: The same for several inputs.
    """

    arrays: Arrays
    epochs: int | None
    batch_size: int | None
    callbacks: tuple[Any, ...]
    arguments: Mapping[str, Any]
    parts: Parts = ()
    inputs: Parts = ()

    @property
    def input(self) -> InputSpec:
        """The rows as the model takes them."""
        x = self.arrays.x_train
        return InputSpec(tuple(x.shape[1:]), str(x.dtype), parts=self.inputs)

    @property
    def target(self) -> Target:
        """The target, without encoding or standardisation."""
        if self.parts:
            return several_target(self.parts)
        outputs = int(np.prod(self.arrays.y_train.shape[1:], dtype=np.int64))
        return Target(Task.OWN, outputs, mean=(0.0,) * outputs, std=(1.0,) * outputs)


def request_of(args: Sequence[Any], kwargs: Mapping[str, Any], *, own_fit: bool = False) -> Request:
    """Return the checked arguments of `fit(*args, **kwargs)`.

    Args:
        own_fit: Whether a hypermodel's own `fit` gets them.

    Raises:
        DataError: A nullable column lacks a value.
        NotOnEngine: The engine cannot do what they ask for.
    """
    if len(args) > len(POSITIONS):
        raise NotOnEngine("there are more positional arguments than x, y and those of fit")
    given = {**dict(zip(POSITIONS, args, strict=False)), **kwargs}
    if not own_fit and (is_read(given.get("x")) or is_read(given.get("validation_data"))):
        given = with_rows(given)
    arrays, parts, inputs = _rows(given)
    others = {name: value for name, value in given.items() if name not in _UNDERSTOOD}
    for name, neutral in _NEUTRAL.items():
        if name in others and (others[name] is None or others[name] == neutral):
            del others[name]
    if "validation_freq" in others and not own_fit:
        raise NotOnEngine("validation_freq leaves epochs without a score")
    if own_fit and "verbose" in given:
        others["verbose"] = given["verbose"]
    elif "class_weight" in others and not parts and not own_fit:
        arrays = _with_class_weight(arrays, others.pop("class_weight"))
    epochs, batch_size = given.get("epochs"), given.get("batch_size")
    callbacks = given.get("callbacks") or ()
    return Request(
        arrays,
        None if epochs is None else int(epochs),
        None if batch_size is None else int(batch_size),
        tuple(callbacks) if isinstance(callbacks, list | tuple) else (callbacks,),
        others,
        parts,
        inputs,
    )


def _rows(given: Mapping[str, Any]) -> tuple[Arrays, Parts, Parts]:
    """Return the rows to train on and to validate on, and the parts of targets and inputs."""
    x, y, weights, inputs, parts = _split(
        ("x", "y", "sample_weight"), given.get("x"), given.get("y"), given.get("sample_weight")
    )
    if len(x) != len(y):
        raise NotOnEngine(f"x has {len(x)} rows, and y {len(y)}")
    validation = given.get("validation_data")
    if validation is not None:
        if not isinstance(validation, tuple | list) or len(validation) not in (2, 3):
            raise NotOnEngine("validation_data is no pair of arrays")
        names = [f"validation_data's {name}" for name in ("x", "y", "weights")]
        rows, targets, *third = validation
        like = inputs, parts
        x_val, y_val, w_val, _, _ = _split(names, rows, targets, third[0] if third else None, like)
        return Arrays(x, y, x_val, y_val, weights, w_val), parts, inputs
    # Keras takes the last rows, before any shuffle.
    split = given.get("validation_split") or 0.0
    first = int(len(x) * (1.0 - split)) if split else len(x)
    w_train, w_val = (None, None) if weights is None else (weights[:first], weights[first:])
    arrays = Arrays(x[:first], y[:first], x[first:], y[first:], w_train, w_val)
    return arrays, parts, inputs


def _split(
    names: Sequence[str], x: Any, y: Any, weights: Any, like: tuple[Parts, Parts] = ((), ())
) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[np.float32] | None, Parts, Parts]:
    """Return rows, targets and weights, and the input and the target of each column of several.

    Args:
        names: Their names in messages.
        like: The inputs and targets that they must have.
    """
    several = isinstance(x, Mapping) or are_several_inputs(x, y)
    rows, inputs = _columns(names[0], x, like[0], "inputs", several=several)
    # Images are not scaled here, so their whole numbers stay whole, like any others.
    inputs = tuple(replace(p, whole=p.whole or p.image, image=False) for p in inputs)
    several = are_several(y, rows)
    targets, parts = _columns(names[1], y, like[1], "targets", several=several)
    if weights is None:
        return rows, targets, None, inputs, parts
    numbers = _array(names[2], weights)
    if numbers.shape != (len(rows),):
        raise NotOnEngine(f"{names[2]} has shape {numbers.shape}, not one number for each row of x")
    return rows, targets, np.asarray(numbers, np.float32), inputs, parts


def _with_class_weight(arrays: Arrays, weight_of: Mapping[Any, float]) -> Arrays:
    """Return the arrays with each training row weighted by its class, as in Keras.

    Source: `keras.src.trainers.data_adapters.data_adapter_utils.class_weight_to_sample_weights`.
    """
    if arrays.w_train is not None:
        raise NotOnEngine("there are both a class_weight and a sample_weight")
    y = arrays.y_train
    if y.ndim > 1:
        y = y.argmax(axis=-1) if y.shape[-1] > 1 else y[..., 0]
    if y.ndim > 1:
        raise NotOnEngine("there is a class_weight for targets of several dimensions")
    weights = np.ones(len(y), np.float32)
    for label, weight in weight_of.items():
        weights[np.round(y).astype(np.int64) == int(label)] = weight
    return replace(arrays, w_train=weights)


def _columns(
    name: str, given: Any, like: Parts, noun: str, *, several: bool
) -> tuple[npt.NDArray[Any], Parts]:
    """Return an array, or several arrays as columns side by side, and their parts."""
    if not several:
        if like:
            raise NotOnEngine(f"{name} has not the {noun} of {'x' if noun == 'inputs' else 'y'}")
        return _array(name, given), ()
    try:
        columns, parts = packed(given, name, like or None, noun)
    except DataError as error:
        raise NotOnEngine(str(error)) from None
    return np.asarray(columns, np.float32), parts


def _array(name: str, given: Any) -> npt.NDArray[Any]:
    """Convert an array as Keras' adapter does: floats to float32, integers unchanged."""
    if type(given).__module__.startswith("pandas"):
        given = _numbers_of(name, given)
    elif hasattr(given, "to_numpy"):
        given = given.to_numpy()
    if type(given).__module__.startswith("tensorflow") and hasattr(given, "numpy"):
        given = given.numpy()
    if not isinstance(given, np.ndarray):
        raise NotOnEngine(f"{name} is no array but {type(given).__name__}")
    if given.dtype.kind not in "biuf" or not given.ndim or not len(given):
        raise NotOnEngine(f"{name} has no rows of numbers: {given.shape} {given.dtype}")
    wanted = np.float32 if given.dtype.kind == "f" else given.dtype
    return np.ascontiguousarray(given, wanted)


def _numbers_of(name: str, given: Any) -> npt.NDArray[Any]:
    """Convert a pandas object; booleans among numbers and nullable types are numbers."""
    columns = [given] if given.ndim == 1 else [column for _, column in given.items()]
    if not columns or any(column.dtype.kind not in "biuf" for column in columns):
        return np.asarray(given.to_numpy())
    for column in columns:
        if not isinstance(column.dtype, np.dtype) and column.isna().any():
            raise DataError(
                f"{name}: column {getattr(column, 'name', '')!r} lacks values; fill them in"
            )
    common = np.result_type(*(column.to_numpy().dtype for column in columns))
    return np.asarray(given.to_numpy(common))


# Datasets


def is_read(value: Any) -> bool:
    """Check if `fit` would read batches from a value."""
    return is_dataset(value) or isinstance(value, keras.utils.PyDataset)


def with_rows(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return arguments of `fit` with arrays in place of datasets that it would read.

    The rows of an epoch may come in any order: the engine shuffles them itself.

    Raises:
        NotOnEngine: The rows are endless, too many, or change between epochs.
    """
    changed = dict(given)
    for name in _OF_STEPS:
        if given.get(name):
            raise NotOnEngine(f"{name} counts batches of a dataset")
    if is_read(given.get("x")):
        if given.get("y") is not None or given.get("sample_weight") is not None:
            raise NotOnEngine("x is a dataset, and y or sample_weight are given as well")
        first, again = _read(given["x"]), _read(given["x"])
        if sorted(_row_digests(first)) != sorted(_row_digests(again)):
            raise NotOnEngine("x has other rows in each epoch, as data augmentation makes them")
        changed["x"], changed["y"], changed["sample_weight"] = (*joined(first), None)[:3]
        changed["batch_size"] = _batch_size_of(first)
    if is_read(given.get("validation_data")):
        changed["validation_data"] = joined(_read(given["validation_data"]))
    return changed


Batch = tuple[Any, ...]


def _read(dataset: Any) -> list[Batch]:
    """Return the batches of one epoch, each (x, y) or (x, y, sample_weight)."""
    try:
        given = dataset if is_dataset(dataset) else _batches(dataset)
        batches = read_elements(given, "fit", available_bytes())
    except Exception as error:
        # The dataset may raise anything; a training that reads it will fail with this error.
        raise NotOnEngine(f"the dataset cannot be read: {error}") from error
    for batch in batches:
        arrays = [*arrays_in(batch)]
        lengths = {array.shape[:1] for array in arrays}
        if len(lengths) != 1 or () in lengths or any(a.dtype.kind not in "biuf" for a in arrays):
            raise NotOnEngine("the dataset gives no batches of numbers: call .batch(n)")
    return batches


def _batches(dataset: keras.utils.PyDataset) -> Iterator[Any]:
    count = dataset.num_batches
    if count is None:
        raise NotOnEngine("the PyDataset does not tell how many batches it has")
    for index in range(count):
        yield dataset[index]
    dataset.on_epoch_end()


def _batch_size_of(batches: Sequence[Batch]) -> int:
    """Return the number of rows of a batch; one batch, in any place, may have fewer."""
    sizes = sorted(len(next(arrays_in(batch[1]))) for batch in batches)
    if any(size != sizes[-1] for size in sizes[1:]):
        raise NotOnEngine("the batches have different numbers of rows")
    return sizes[-1]


def _row_digests(batches: Sequence[Batch]) -> list[bytes]:
    """Return a digest of each row of an epoch, in order."""
    digests = []
    for batch in batches:
        arrays = [np.ascontiguousarray(values) for values in arrays_in(batch)]
        for row in range(len(arrays[0])):
            content = b"".join(array[row].tobytes() for array in arrays)
            digests.append(hashlib.blake2b(content, digest_size=16).digest())
    return digests
