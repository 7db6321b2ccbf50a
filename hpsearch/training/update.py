"""The update of the weights: Keras' optimizer, with TensorFlow's fused kernels where equal.

`apply` is the one place where weights change. Clipping, weight decay, schedules, averages,
gradient accumulation and constraints stay Keras' own: `fuse` replaces only the innermost part,
the op-by-op formula of a few optimizers, by one kernel a weight on the optimizer's own variables.

Source of the formulas: `keras.src.optimizers` (`update_step` of each), and
`tensorflow/core/kernels/training_ops.cc`. They agree to rounding; the tests hold them to it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

__all__ = ["apply", "fuse", "is_fused"]

Tensor = Any
Kernel = Callable[[Any, Tensor, Any], None]


def apply(optimizer: Any, gradients: Sequence[Tensor], variables: Sequence[Any]) -> None:
    """One update of `variables`; `optimizer` is built, and fused where it can be."""
    optimizer.apply(gradients, variables)


def is_fused(optimizer: Any) -> bool:
    """Whether `fuse` has a kernel for this optimizer as it is set."""
    return _maker(optimizer) is not None


def fuse(optimizer: Any) -> None:
    """Makes a built optimizer update by fused kernels, where Keras' formula has one."""
    maker = _maker(optimizer)
    if maker is None:
        return
    kernel = maker(optimizer)
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


def _maker(optimizer: Any) -> Callable[[Any], Kernel] | None:
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


def _sgd(optimizer: Any) -> Kernel:
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


def _adam(optimizer: Any) -> Kernel:
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


def _rmsprop(optimizer: Any) -> Kernel:
    if optimizer.momentum:
        momentums = [slot.value for slot in optimizer._momentums]  # noqa: SLF001
    else:
        # The kernel writes the increment there; Keras has no such variable without momentum.
        momentums = [
            tf.Variable(tf.zeros_like(slot.value), trainable=False)
            for slot in optimizer._velocities  # noqa: SLF001
        ]

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


def _adagrad(optimizer: Any) -> Kernel:
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


_MAKERS: dict[type, Callable[[Any], Kernel]] = {
    keras.optimizers.SGD: _sgd,
    keras.optimizers.Adam: _adam,
    keras.optimizers.AdamW: _adam,
    keras.optimizers.RMSprop: _rmsprop,
    keras.optimizers.Adagrad: _adagrad,
}
