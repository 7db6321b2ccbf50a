"""Whether a model's training can be one graph."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

__all__ = ["expressible"]

#: What `fit` calls and a subclass may replace; the compiled trainer has its own of each.
_OWN_STEP = (
    "compute_metrics",
    "evaluate",
    "fit",
    "make_test_function",
    "make_train_function",
    "test_step",
    "train_step",
)


def expressible(model: keras.Model, *, several_targets: bool = False) -> bool:
    """Whether the compiled trainer does what `fit` would do with this model.

    It does unless the model replaces one of the methods of its training step, is to run
    eagerly, has several inputs, or several outputs for one target, a layer keeps state in a
    `tf.Variable` that Keras does not know as a weight, or from one batch to the next. An overridden
    `compute_loss` is honoured.

    Args:
        several_targets: Whether each output has a target of its own.
    """
    return (
        not any(_overrides(model, name) for name in _OWN_STEP)
        and not model.run_eagerly
        and _is_single(model, "inputs")
        and (several_targets or _is_single(model, "outputs"))
        and not any(_hides_state(layer) or _is_stateful(layer) for layer in _layers(model))
    )


def _overrides(model: keras.Model, name: str) -> bool:
    return not getattr(type(model), name).__module__.startswith("keras.")


def _is_single(model: keras.Model, name: str) -> bool:
    tensors = getattr(model, name, None)
    return tensors is None or len(tensors) == 1


def _layers(layer: Any) -> list[Any]:
    return list(layer._flatten_layers())  # noqa: SLF001


def _is_stateful(layer: Any) -> bool:
    return bool(getattr(layer, "stateful", False)) and isinstance(layer, keras.layers.RNN)


def _hides_state(layer: Any) -> bool:
    return any(isinstance(value, tf.Variable) for value in vars(layer).values())
