"""Split a model into a frozen base, whose outputs never change, and a trained head."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
from keras.src.models.functional import Functional
from keras.src.ops.node import Node

#: Most bytes of the base's outputs. Fixed: free memory must not decide how a model trains.
MOST_BYTES = 2**30

#: Layers that may call anything, change weights in each step, or make a mask that the head lacks.
_IMPURE = (keras.layers.Lambda, keras.layers.SpectralNormalization, keras.layers.Masking)


class BaseAndHead(NamedTuple):
    """Two models that together have the layers of one.

    Attributes:
        base: The layers whose outputs for a row are the same in all epochs.
        head: The other layers, which take the base's output.
    """

    base: keras.Model
    head: keras.Model


def frozen_base(model: keras.Model, rows: int) -> BaseAndHead | None:
    """Return the longest frozen base of a functional or Sequential model, and its head.

    None if no frozen layer with weights precedes the first trained one, or if the outputs for
    `rows` rows are larger than `MOST_BYTES`.
    """
    functional = getattr(model, "_functional", model)
    if type(model) not in (keras.Sequential, Functional) or not isinstance(functional, Functional):
        return None
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        return None
    tensor = _last_fixed(list(_in_order(functional)))
    if tensor is None or tensor.dtype != "float32" or None in tensor.shape[1:]:
        return None
    if rows * math.prod(tensor.shape[1:]) * np.dtype(tensor.dtype).itemsize > MOST_BYTES:
        return None
    base = keras.Model(model.inputs[0], tensor, name="base")
    return BaseAndHead(base, keras.Model(tensor, model.outputs[0], name="head"))


def _last_fixed(nodes: Sequence[Node]) -> Any:
    """Return the last tensor that only frozen layers determine and all later layers depend on."""
    fixed = next((n for n, each in enumerate(nodes) if not _is_fixed(each)), 0)
    for end in range(fixed, 0, -1):
        if not any(getattr(each.operation, "weights", ()) for each in nodes[:end]):
            return None
        tensor = _only_tensor_between(nodes[:end], nodes[end:])
        if tensor is not None:
            return tensor
    return None


def _in_order(model: Functional) -> Iterator[Node]:
    """Yield the nodes; each node follows those whose outputs it takes."""
    by_depth = model._nodes_by_depth  # noqa: SLF001 - Keras has no public form
    for depth in sorted(by_depth, reverse=True):
        yield from by_depth[depth]


def _is_fixed(node: Node) -> bool:
    """Check if an operation maps equal inputs to equal outputs in all epochs."""
    operation = node.operation
    if not isinstance(operation, keras.layers.Layer):
        return not hasattr(operation, "seed_generator")
    if operation.trainable_variables or len(node.output_tensors) != 1:
        return False
    return all(map(_is_pure, operation._flatten_layers()))  # noqa: SLF001


def _is_pure(layer: Any) -> bool:
    if not type(layer).__module__.startswith("keras.") or "call" in vars(layer):
        return False
    if layer.activity_regularizer is not None or layer._seed_generators:  # noqa: SLF001
        return False
    if isinstance(layer, _IMPURE) or getattr(layer, "mask_zero", False):
        return False
    if isinstance(layer, keras.layers.BatchNormalization):
        # Even without trained weights, an unfrozen layer adapts to the batches.
        return not layer.trainable
    return not getattr(layer, "stateful", False)


def _only_tensor_between(base: Sequence[Node], head: Sequence[Node]) -> Any:
    """Return the only tensor that the head takes from the base; None if there are several."""
    made = {id(each) for node in base for each in node.output_tensors}
    taken = {id(each): each for node in head for each in node.input_tensors if id(each) in made}
    return next(iter(taken.values())) if len(taken) == 1 else None
