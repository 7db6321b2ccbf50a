"""Numbers of an optimizer and of regularizers as variables of the graph that trains by them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import tensorflow as tf

from hpsearch.training.programs import OPTIMIZER_NUMBERS, SCHEDULE_NUMBERS

__all__ = ["Numbers"]


class Numbers:
    """Those that Keras keeps as Python numbers, which a graph would hold as constants.

    Args:
        optimizer: Of Keras; it and the regularizers keep their own numbers between traces.
        regularizers: `keras.regularizers.L2`, with one weight.
    """

    def __init__(self, optimizer: Any, regularizers: Sequence[Any] = ()) -> None:
        self._optimizer = optimizer
        self._regularizers = regularizers
        self._places = [*_places(optimizer), *((each, "l2") for each in regularizers)]
        self._variables = [
            tf.Variable(float(value), dtype=tf.float32, trainable=False)
            for value in _values(self._places)
        ]

    @contextlib.contextmanager
    def in_graph(self) -> Iterator[None]:
        """As long as it lasts, what is traced reads variables."""
        values = _values(self._places)
        _set(self._places, list(map(_Number, values, self._variables)))
        try:
            yield
        finally:
            _set(self._places, values)

    def take(self, optimizer: Any, l2: float) -> None:
        """Sets the numbers to those of another optimizer with the same arguments, and the L2's."""
        values = [*_values(_places(optimizer)), *[l2] * len(self._regularizers)]
        _set(self._places, values)
        for variable, value in zip(self._variables, values, strict=True):
            variable.assign(float(value))
        own, other = self._optimizer._learning_rate, optimizer._learning_rate  # noqa: SLF001
        if isinstance(own, keras.Variable):
            own.assign(other)


class _Number:
    """A number in a graph: Python's branches see its value, operations its variable."""

    def __init__(self, value: float, variable: Any) -> None:
        self._value = value
        self._variable = variable

    def __tf_tensor__(self, dtype: Any = None, name: str | None = None) -> Any:
        return tf.convert_to_tensor(self._variable, dtype=dtype, name=name)

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return self._value == other

    def __hash__(self) -> int:
        return hash(self._value)

    def __gt__(self, other: float) -> bool:
        return self._value > other

    def __sub__(self, other: Any) -> Any:
        return self._variable - other

    def __mul__(self, other: Any) -> Any:
        return self._variable * other


Place = tuple[Any, str]


def _places(optimizer: Any) -> list[Place]:
    """Objects and the names of their attributes that hold a number."""
    places = [(optimizer, name) for name in OPTIMIZER_NUMBERS]
    rate = optimizer._learning_rate  # noqa: SLF001 - the property would call a schedule
    if isinstance(rate, keras.optimizers.schedules.LearningRateSchedule):
        places += [(rate, name) for name in SCHEDULE_NUMBERS]
    return [place for place in places if isinstance(getattr(*place, None), int | float)]


def _values(places: Sequence[Place]) -> list[Any]:
    return [getattr(*place) for place in places]


def _set(places: Sequence[Place], values: Sequence[Any]) -> None:
    for (owner, name), value in zip(places, values, strict=True):
        setattr(owner, name, value)
