"""The update of the weights: Keras' optimizer, with TensorFlow's fused kernels where equal.

`Update.apply` is the one place where weights change. Clipping, weight decay, schedules, averages,
gradient accumulation and constraints stay Keras' own: only the innermost part, the op-by-op formula
of a few optimizers, is replaced by one kernel a weight on the optimizer's own variables.

Source of the formulas: `keras.src.optimizers` (`update_step` of each), and
`tensorflow/core/kernels/training_ops.cc`. They agree to rounding; the tests hold them to it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from hpsearch.training.state import FirstValues

__all__ = ["Update", "is_fused"]

Tensor = Any
Kernel = Callable[[Any, Tensor, Any], None]


class Update:
    """How a built optimizer changes weights.

    Args:
        optimizer: Of Keras; it updates by fused kernels from now on, where its formula has one.
    """

    def __init__(self, optimizer: Any) -> None:
        self._optimizer = optimizer
        self._scratch = _scratch(optimizer)
        _fuse(optimizer, self._scratch)
        self._first = FirstValues(optimizer.variables)

    def apply(self, gradients: Sequence[Tensor], variables: Sequence[Any]) -> None:
        """One update of `variables`."""
        self._optimizer.apply(gradients, variables)

    @property
    def restarts(self) -> bool:
        """Whether `restart` knows all first values."""
        return self._first.complete or _begins_with_weights(self._optimizer)

    def restart(self) -> None:
        """Sets the state to that before any update; the weights have their first values already."""
        self._first.restore()
        for variable in self._scratch:
            variable.assign(tf.zeros_like(variable))
        if _begins_with_weights(self._optimizer):
            _begin_with_weights(self._optimizer)


def is_fused(optimizer: Any) -> bool:
    """Whether there is a kernel for this optimizer as it is set."""
    return _maker(optimizer) is not None


def _fuse(optimizer: Any, scratch: Sequence[Any]) -> None:
    maker = _maker(optimizer)
    if maker is None:
        return
    kernel = maker(optimizer, scratch)
    by_operations = optimizer._backend_update_step  # noqa: SLF001

    def update_step(
        gradients: Sequence[Tensor], variables: Sequence[Any], learning_rate: Tensor
    ) -> None:
        if not all(_is_plain(gradient) for gradient in gradients):
            by_operations(gradients, variables, learning_rate)
            return
        kernel(gradients, variables, tf.cast(learning_rate, tf.float32))

    optimizer._backend_update_step = update_step  # noqa: SLF001


def _is_plain(gradient: Tensor) -> bool:
    return not isinstance(gradient, tf.IndexedSlices) and gradient.dtype == tf.float32


def _scratch(optimizer: Any) -> list[Any]:
    """Variables that a kernel writes to and Keras has not; what they hold has no effect."""
    if not is_fused(optimizer) or not isinstance(optimizer, keras.optimizers.RMSprop):
        return []
    slots = [] if optimizer.momentum else optimizer._velocities  # noqa: SLF001
    return [tf.Variable(tf.zeros_like(slot.value), trainable=False) for slot in slots]


def _begins_with_weights(optimizer: Any) -> bool:
    # By its name: not every Keras has the class.
    return type(optimizer).__name__ == "ScheduleFreeAdamW"


def _begin_with_weights(optimizer: Any) -> None:
    for slot, weight in zip(
        optimizer._momentums,  # noqa: SLF001
        optimizer._trainable_variables,  # noqa: SLF001
        strict=True,
    ):
        slot.assign(weight)


def _maker(optimizer: Any) -> Callable[[Any, Sequence[Any]], Kernel] | None:
    # The exact class: a subclass may have another formula.
    maker = _MAKERS.get(type(optimizer))
    if maker is None or not hasattr(optimizer, "_backend_update_step"):
        return None
    if not 0 < getattr(optimizer, "beta_2", 0.5) < 1:
        return None
    if getattr(optimizer, "amsgrad", False) or getattr(optimizer, "centered", False):
        return None
    return maker


def _handle(variable: Any) -> Any:
    return getattr(variable, "value", variable).handle


def _index(optimizer: Any, variable: Any) -> int:
    return int(optimizer._get_variable_index(variable))  # noqa: SLF001


def _sgd(optimizer: Any, _: Sequence[Any]) -> Kernel:
    def kernel(gradients: Sequence[Tensor], variables: Sequence[Any], rate: Tensor) -> None:
        for gradient, variable in zip(gradients, variables, strict=True):
            if not optimizer.momentum:
                tf.raw_ops.ResourceApplyGradientDescent(
                    var=_handle(variable), alpha=rate, delta=gradient
                )
                continue
            slot = optimizer.momentums[_index(optimizer, variable)]
            tf.raw_ops.ResourceApplyKerasMomentum(
                var=_handle(variable),
                accum=_handle(slot),
                lr=rate,
                grad=gradient,
                momentum=optimizer.momentum,
                use_nesterov=optimizer.nesterov,
            )

    return kernel


def _adam(optimizer: Any, _: Sequence[Any]) -> Kernel:
    def kernel(gradients: Sequence[Tensor], variables: Sequence[Any], rate: Tensor) -> None:
        step = tf.cast(optimizer.iterations + 1, tf.float32)
        powers = tf.pow(optimizer.beta_1, step), tf.pow(optimizer.beta_2, step)
        rate = rate * _adam_correction(optimizer.beta_2, step, powers[1])
        for gradient, variable in zip(gradients, variables, strict=True):
            index = _index(optimizer, variable)
            tf.raw_ops.ResourceApplyAdam(
                var=_handle(variable),
                m=_handle(optimizer._momentums[index]),  # noqa: SLF001
                v=_handle(optimizer._velocities[index]),  # noqa: SLF001
                beta1_power=powers[0],
                beta2_power=powers[1],
                lr=rate,
                beta1=optimizer.beta_1,
                beta2=optimizer.beta_2,
                epsilon=optimizer.epsilon,
                grad=gradient,
            )

    return kernel


def _adam_correction(beta_2: float, step: Tensor, power: Tensor) -> Tensor:
    """Learning rate's factor that makes the kernel's step Keras' step.

    The kernel weighs a squared gradient by `1 - float32(beta_2)`, Keras by `float32(1 - beta_2)`;
    for 0.999 these differ by 1.3e-5. After t steps the kernel's velocity is Keras' times
    `(1 - float32(beta_2)^t) / (1 - beta_2^t)`: exactly so where squared gradients are constant,
    and within 1e-8 a step of their age where not.
    """
    return tf.sqrt((1.0 - power) / -tf.math.expm1(step * math.log(beta_2)))


def _rmsprop(optimizer: Any, scratch: Sequence[Any]) -> Kernel:
    # Without momentum the kernel writes the increment there.
    momentums = scratch or [slot.value for slot in optimizer._momentums]  # noqa: SLF001

    def kernel(gradients: Sequence[Tensor], variables: Sequence[Any], rate: Tensor) -> None:
        for gradient, variable in zip(gradients, variables, strict=True):
            index = _index(optimizer, variable)
            tf.raw_ops.ResourceApplyRMSProp(
                var=_handle(variable),
                ms=_handle(optimizer._velocities[index]),  # noqa: SLF001
                mom=momentums[index].handle,
                lr=rate,
                rho=optimizer.rho,
                momentum=optimizer.momentum,
                epsilon=optimizer.epsilon,
                grad=gradient,
            )

    return kernel


def _adagrad(optimizer: Any, _: Sequence[Any]) -> Kernel:
    for slot in optimizer._accumulators:  # noqa: SLF001
        # Keras adds epsilon under the root at every step, the kernel not at all: the sum of
        # squares starts with it instead.
        slot.value.assign_add(tf.fill(slot.shape, optimizer.epsilon))

    def kernel(gradients: Sequence[Tensor], variables: Sequence[Any], rate: Tensor) -> None:
        for gradient, variable in zip(gradients, variables, strict=True):
            slot = optimizer._accumulators[_index(optimizer, variable)]  # noqa: SLF001
            tf.raw_ops.ResourceApplyAdagrad(
                var=_handle(variable), accum=_handle(slot), lr=rate, grad=gradient
            )

    return kernel


_MAKERS: dict[type, Callable[[Any, Sequence[Any]], Kernel]] = {
    keras.optimizers.SGD: _sgd,
    keras.optimizers.Adam: _adam,
    keras.optimizers.AdamW: _adam,
    keras.optimizers.RMSprop: _rmsprop,
    keras.optimizers.Adagrad: _adagrad,
}
