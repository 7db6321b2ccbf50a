"""The arguments of a tuner's `search`, checked for the engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from hpsearch.data.assembly import fingerprint
from hpsearch.data.dataset import (
    Dataset,
    Split,
    are_several,
    are_several_inputs,
    packed,
    several_target,
)
from hpsearch.data.specs import ArrayPart, Arrays, InputSpec, Target, Task
from hpsearch.errors import DataError

#: Arguments of `fit` that the engine understands.
_UNDERSTOOD = frozenset(
    {
        "x", "y", "batch_size", "callbacks", "epochs", "validation_data", "validation_split",
        "verbose",
    }
)  # fmt: skip
#: Other arguments, with the values that change nothing.
_NEUTRAL: dict[str, Any] = {
    "class_weight": None,
    "initial_epoch": 0,
    "sample_weight": None,
    "shuffle": True,
    "steps_per_epoch": None,
    "validation_batch_size": None,
    "validation_freq": 1,
    "validation_steps": None,
}
#: Arguments of `fit` by position, as KerasTuner passes them on.
_POSITIONS = ("x", "y", "batch_size", "epochs", "verbose", "callbacks", "validation_split")


class NotOnEngine(Exception):
    """The reason why trials run in this process instead."""


@dataclass(frozen=True)
class Request:
    """The checked arguments of `search`.

    Attributes:
        arrays: Rows to train on and to validate on, as Keras would take them.
        epochs, batch_size: None if they were not given.
        callbacks: Keras' callbacks.
        arguments: Arguments of `fit` that only `fit` itself understands.
        parts: The targets whose columns the arrays hold, if there are several; else empty.
        inputs: The same of several inputs.
    """

    arrays: Arrays
    epochs: int | None
    batch_size: int | None
    callbacks: tuple[Any, ...]
    arguments: Mapping[str, Any]
    parts: tuple[ArrayPart, ...] = ()
    inputs: tuple[ArrayPart, ...] = ()

    @property
    def target(self) -> Target:
        """The target, neither encoded nor standardised."""
        if self.parts:
            return several_target(self.parts)
        outputs = int(np.prod(self.arrays.y_train.shape[1:], dtype=np.int64))
        return Target(Task.OWN, outputs, mean=(0.0,) * outputs, std=(1.0,) * outputs)

    @property
    def dataset(self) -> Dataset:
        """The arrays as a dataset, neither scaled, encoded nor standardised."""
        arrays = self.arrays
        train = Split(arrays.x_train, arrays.y_train)
        validation = Split(arrays.x_val, arrays.y_val)
        parts = {"train": train, "validation": validation}
        return Dataset(
            name="memory",
            input=InputSpec(
                tuple(arrays.x_train.shape[1:]), str(arrays.x_train.dtype), parts=self.inputs
            ),
            target=self.target,
            train=train,
            validation=validation,
            test=None,
            fingerprint=fingerprint(
                parts, (each.in_fingerprint for each in (*self.parts, *self.inputs))
            ),
        )


def request_of(args: Sequence[Any], kwargs: Mapping[str, Any]) -> Request:
    """Check the arguments of `search(*args, **kwargs)`.

    Raises:
        NotOnEngine: The engine cannot do what they ask for.
    """
    if len(args) > len(_POSITIONS):
        raise NotOnEngine("search was given more positional arguments than x, y and those of fit")
    given = {**dict(zip(_POSITIONS, args, strict=False)), **kwargs}
    x, inputs = _inputs("x", given.get("x"), given.get("y"))
    y, parts = _targets("y", given.get("y"), x)
    if given.get("sample_weight") is not None:
        raise NotOnEngine("there is a sample_weight")
    if len(x) != len(y):
        raise NotOnEngine(f"x has {len(x)} rows, and y {len(y)}")
    split = given.get("validation_split") or 0.0
    if given.get("validation_data") is not None:
        x_val, y_val = _pair(given["validation_data"], inputs, parts)
    elif split:
        # Keras takes the last rows, before any shuffle.
        first = int(len(x) * (1.0 - split))
        x, x_val, y, y_val = x[:first], x[first:], y[:first], y[first:]
    else:
        raise NotOnEngine("search was given no validation_data and no validation_split")
    others = {
        name: value
        for name, value in given.items()
        if name not in _UNDERSTOOD and not _is_neutral(name, value)
    }
    epochs, batch_size = given.get("epochs"), given.get("batch_size")
    callbacks = given.get("callbacks") or ()
    return Request(
        Arrays(x, y, x_val, y_val),
        None if epochs is None else int(epochs),
        None if batch_size is None else int(batch_size),
        tuple(callbacks) if isinstance(callbacks, list | tuple) else (callbacks,),
        others,
        parts,
        inputs,
    )


def _is_neutral(name: str, value: Any) -> bool:
    return name in _NEUTRAL and (value is None or value == _NEUTRAL[name])


def _pair(
    given: Any, inputs: tuple[ArrayPart, ...], parts: tuple[ArrayPart, ...]
) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    if not isinstance(given, tuple | list) or len(given) != 2:
        raise NotOnEngine("validation_data is no pair of arrays")
    rows, targets = given
    x = _inputs("validation_data's x", rows, targets, inputs)[0]
    return x, _targets("validation_data's y", targets, x, parts)[0]


def _inputs(
    name: str, given: Any, y: Any, like: tuple[ArrayPart, ...] = ()
) -> tuple[npt.NDArray[Any], tuple[ArrayPart, ...]]:
    """Return the rows, and what the columns are if there are several inputs."""
    if not isinstance(given, Mapping) and not are_several_inputs(given, y):
        if like:
            raise NotOnEngine(f"{name} has not the inputs of x")
        return _array(name, given), ()
    try:
        columns, parts = packed(given, name, like or None, "inputs")
    except DataError as error:
        raise NotOnEngine(str(error)) from None
    # Images are not scaled here, so that their numbers are as whole as any others.
    parts = tuple(replace(each, whole=each.whole or each.image, image=False) for each in parts)
    return np.asarray(columns, np.float32), parts


def _targets(
    name: str, given: Any, x: npt.NDArray[Any], like: tuple[ArrayPart, ...] | None = None
) -> tuple[npt.NDArray[Any], tuple[ArrayPart, ...]]:
    """Return the targets, and what the columns are if there are several."""
    if not are_several(given, len(x)):
        if like:
            raise NotOnEngine(f"{name} has not the targets of y")
        return _array(name, given), ()
    try:
        columns, parts = packed(given, name, like or None)
    except DataError as error:
        raise NotOnEngine(str(error)) from None
    return np.asarray(columns, np.float32), parts


def _array(name: str, given: Any) -> npt.NDArray[Any]:
    """Convert an array as Keras' adapter does: floats to float32, integers unchanged."""
    if hasattr(given, "to_numpy"):
        given = given.to_numpy()
    if type(given).__module__.startswith("tensorflow") and hasattr(given, "numpy"):
        given = given.numpy()
    if not isinstance(given, np.ndarray):
        raise NotOnEngine(f"{name} is no array but {type(given).__name__}")
    if given.dtype.kind not in "biuf" or not given.ndim or not len(given):
        raise NotOnEngine(f"{name} has no rows of numbers: {given.shape} {given.dtype}")
    wanted = np.float32 if given.dtype.kind == "f" else given.dtype
    return np.ascontiguousarray(given, wanted)
