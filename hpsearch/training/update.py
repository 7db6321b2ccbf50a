"""Update weights inside a compiled trainer's graph, with fused kernels and variable numbers."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from hpsearch.training.trainer import OPTIMIZER_NUMBERS, SCHEDULE_NUMBERS

Tensor = Any
Apply = Callable[[Tensor, Any, int], None]
"""A function of a gradient, its variable's handle and index that updates the variable."""


class Update:
    """The state of a built optimizer, which from now on uses fused kernels if its formula has them.

    Attributes:
        restarts: Whether `restart` is possible, that is whether all first values are known.
    """

    def __init__(self, optimizer: Any) -> None:
        self._scratch = _scratch(optimizer)
        _fuse(optimizer, self._scratch)
        if type(optimizer) is keras.optimizers.Adagrad and is_fused(optimizer):
            for slot in optimizer._accumulators:
                # Keras adds epsilon under the root at every step, but the kernel does not: start
                # the sum of squares with epsilon instead.
                slot.value.assign_add(tf.fill(slot.shape, optimizer.epsilon))
        self._first = FirstValues(optimizer.variables)
        self.restarts = self._first.complete

    def restart(self) -> None:
        """Reset the state to before any update."""
        self._first.restore()
        for variable in self._scratch:
            variable.assign(tf.zeros_like(variable))


class FirstValues:
    """The values of Keras variables before a training, for variables filled with one number."""

    def __init__(self, variables: Sequence[Any]) -> None:
        arrays = [variable.numpy() for variable in variables]
        self._numbers = [
            (variable, array.flat[0])
            for variable, array in zip(variables, arrays, strict=True)
            if array.size and np.all(array == array.flat[0])
        ]
        self.complete = len(self._numbers) == len(arrays)

    def restore(self) -> None:
        """Reset the variables to their first values."""
        for variable, number in self._numbers:
            variable.assign(np.full(variable.shape, number))


def is_fused(optimizer: Any) -> bool:
    """Check if there is a kernel for this optimizer with its settings."""
    return _maker(optimizer) is not None


def _fuse(optimizer: Any, scratch: Sequence[Any]) -> None:
    maker = _maker(optimizer)
    if maker is None:
        return
    unfused = optimizer._backend_update_step

    def update_step(
        gradients: Sequence[Tensor], variables: Sequence[Any], learning_rate: Tensor
    ) -> None:
        if any(isinstance(g, tf.IndexedSlices) or g.dtype != tf.float32 for g in gradients):
            unfused(gradients, variables, learning_rate)
            return
        apply = maker(optimizer, scratch, tf.cast(learning_rate, tf.float32))
        for gradient, variable in zip(gradients, variables, strict=True):
            apply(gradient, _handle(variable), int(optimizer._get_variable_index(variable)))

    optimizer._backend_update_step = update_step


def _scratch(optimizer: Any) -> list[Any]:
    """Return variables that a kernel writes to but Keras lacks; their values have no effect."""
    if not is_fused(optimizer) or not isinstance(optimizer, keras.optimizers.RMSprop):
        return []
    slots = [] if optimizer.momentum else optimizer._velocities
    return [tf.Variable(tf.zeros_like(slot.value), trainable=False) for slot in slots]


Maker = Callable[[Any, Sequence[Any], Tensor], Apply]
"""A function of an optimizer, its scratch variables and the learning rate."""


def _maker(optimizer: Any) -> Maker | None:
    has_formula = (
        hasattr(optimizer, "_backend_update_step")
        and 0 < getattr(optimizer, "beta_2", 0.5) < 1
        and not getattr(optimizer, "amsgrad", False)
        and not getattr(optimizer, "centered", False)
    )
    # Only the exact class: a subclass may have another formula.
    return _MAKERS.get(type(optimizer)) if has_formula else None


def _handle(variable: Any) -> Any:
    return getattr(variable, "value", variable).handle


def _sgd(optimizer: Any, _: Sequence[Any], rate: Tensor) -> Apply:
    def apply(gradient: Tensor, handle: Any, index: int) -> None:
        if not optimizer.momentum:
            tf.raw_ops.ResourceApplyGradientDescent(var=handle, alpha=rate, delta=gradient)
            return
        tf.raw_ops.ResourceApplyKerasMomentum(
            var=handle,
            accum=_handle(optimizer.momentums[index]),
            lr=rate,
            grad=gradient,
            momentum=optimizer.momentum,
            use_nesterov=optimizer.nesterov,
        )

    return apply


def _adam(optimizer: Any, _: Sequence[Any], rate: Tensor) -> Apply:
    step = tf.cast(optimizer.iterations + 1, tf.float32)
    powers = tf.pow(optimizer.beta_1, step), tf.pow(optimizer.beta_2, step)
    rate = rate * _adam_correction(optimizer.beta_2, step, powers[1])

    def apply(gradient: Tensor, handle: Any, index: int) -> None:
        tf.raw_ops.ResourceApplyAdam(
            var=handle,
            m=_handle(optimizer._momentums[index]),
            v=_handle(optimizer._velocities[index]),
            beta1_power=powers[0],
            beta2_power=powers[1],
            lr=rate,
            beta1=optimizer.beta_1,
            beta2=optimizer.beta_2,
            epsilon=optimizer.epsilon,
            grad=gradient,
        )

    return apply


def _adam_correction(beta_2: float, step: Tensor, power: Tensor) -> Tensor:
    """Return the factor on the learning rate that turns the kernel's step into Keras' step.

    The kernel weighs a squared gradient by `1 - float32(beta_2)`, Keras by `float32(1 - beta_2)`;
    for 0.999 these differ by 1.3e-5. After t steps the kernel's velocity is Keras' velocity times
    `(1 - float32(beta_2)^t) / (1 - beta_2^t)`: exactly if squared gradients are constant, and
    otherwise within 1e-8 for each step of their age.
    """
    return tf.sqrt((1.0 - power) / -tf.math.expm1(step * math.log(beta_2)))


def _rmsprop(optimizer: Any, scratch: Sequence[Any], rate: Tensor) -> Apply:
    # Without momentum, the kernel writes increments to scratch variables.
    momentums = scratch or [slot.value for slot in optimizer._momentums]

    def apply(gradient: Tensor, handle: Any, index: int) -> None:
        tf.raw_ops.ResourceApplyRMSProp(
            var=handle,
            ms=_handle(optimizer._velocities[index]),
            mom=momentums[index].handle,
            lr=rate,
            rho=optimizer.rho,
            momentum=optimizer.momentum,
            epsilon=optimizer.epsilon,
            grad=gradient,
        )

    return apply


def _adagrad(optimizer: Any, _: Sequence[Any], rate: Tensor) -> Apply:
    def apply(gradient: Tensor, handle: Any, index: int) -> None:
        slot = _handle(optimizer._accumulators[index])
        tf.raw_ops.ResourceApplyAdagrad(var=handle, accum=slot, lr=rate, grad=gradient)

    return apply


_MAKERS: dict[type, Maker] = {
    keras.optimizers.SGD: _sgd,
    keras.optimizers.Adam: _adam,
    keras.optimizers.AdamW: _adam,
    keras.optimizers.RMSprop: _rmsprop,
    keras.optimizers.Adagrad: _adagrad,
}


class OptimizerNumbers:
    """Variables for numbers that Keras keeps in Python, which a graph would turn into constants.

    Args:
        optimizer: A Keras optimizer; it and the regularizers keep Python numbers between traces.
        regularizers: `keras.regularizers.L2` objects with one common weight.
    """

    def __init__(self, optimizer: Any, regularizers: Sequence[Any] = ()) -> None:
        self._optimizer = optimizer
        self._regularizers = regularizers
        self._places = [*_places(optimizer), *((regularizer, "l2") for regularizer in regularizers)]
        self._variables = [
            tf.Variable(float(value), dtype=tf.float32, trainable=False)
            for value in _values(self._places)
        ]

    @contextlib.contextmanager
    def in_graph(self) -> Iterator[None]:
        """Within this context, traced functions read the variables."""
        values = _values(self._places)
        _set(self._places, list(map(_Number, values, self._variables)))
        try:
            yield
        finally:
            _set(self._places, values)

    def take(self, optimizer: Any, l2: float) -> None:
        """Copy the numbers of another optimizer with the same arguments, and an L2 weight."""
        values = [*_values(_places(optimizer)), *[l2] * len(self._regularizers)]
        _set(self._places, values)
        for variable, value in zip(self._variables, values, strict=True):
            variable.assign(float(value))
        rate, other = self._optimizer._learning_rate, optimizer._learning_rate
        if isinstance(rate, keras.Variable):
            rate.assign(other)


class _Number:
    """A number in a graph, with its value for Python branches and a variable for operations."""

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
    """Return the objects and attribute names that hold a number."""
    places = [(optimizer, name) for name in OPTIMIZER_NUMBERS]
    rate = optimizer._learning_rate  # the property would call a schedule
    if isinstance(rate, keras.optimizers.schedules.LearningRateSchedule):
        places += [(rate, name) for name in SCHEDULE_NUMBERS]
    return [place for place in places if isinstance(getattr(*place, None), int | float)]


def _values(places: Sequence[Place]) -> list[Any]:
    return [getattr(*place) for place in places]


def _set(places: Sequence[Place], values: Sequence[Any]) -> None:
    for (owner, name), value in zip(places, values, strict=True):
        setattr(owner, name, value)
