"""Train custom models faster: run a frozen base once, and LSTM layers by one kernel."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from keras.src.models.functional import Functional
from keras.src.ops.node import Node

Tensor = Any

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
    fixed = next((n for n, node in enumerate(nodes) if not _is_fixed(node)), 0)
    for end in range(fixed, 0, -1):
        if not any(getattr(node.operation, "weights", ()) for node in nodes[:end]):
            return None
        tensor = _only_tensor_between(nodes[:end], nodes[end:])
        if tensor is not None:
            return tensor
    return None


def _in_order(model: Functional) -> Iterator[Node]:
    """Yield the nodes; each node follows those whose outputs it takes."""
    by_depth = model._nodes_by_depth
    for depth in sorted(by_depth, reverse=True):
        yield from by_depth[depth]


def _is_fixed(node: Node) -> bool:
    """Check if an operation maps equal inputs to equal outputs in all epochs."""
    operation = node.operation
    if not isinstance(operation, keras.layers.Layer):
        return not hasattr(operation, "seed_generator")
    if operation.trainable_variables or len(node.output_tensors) != 1:
        return False
    return all(map(_is_pure, operation._flatten_layers()))


def _is_pure(layer: Any) -> bool:
    if not type(layer).__module__.startswith("keras.") or "call" in vars(layer):
        return False
    if layer.activity_regularizer is not None or layer._seed_generators:
        return False
    if isinstance(layer, _IMPURE) or getattr(layer, "mask_zero", False):
        return False
    if isinstance(layer, keras.layers.BatchNormalization):
        # Even without trained weights, an unfrozen layer adapts to the batches.
        return not layer.trainable
    return not getattr(layer, "stateful", False)


def _only_tensor_between(base: Sequence[Node], head: Sequence[Node]) -> Any:
    """Return the only tensor that the head takes from the base; None if there are several."""
    made = {id(tensor) for node in base for tensor in node.output_tensors}
    taken = {
        id(tensor): tensor for node in head for tensor in node.input_tensors if id(tensor) in made
    }
    return next(iter(taken.values())) if len(taken) == 1 else None


@contextlib.contextmanager
def fused_lstms(model: keras.Model) -> Iterator[None]:
    """Within this context, graphs run the kernel for LSTM layers that have its formula."""
    fused = []
    if not tf.config.list_physical_devices("GPU"):  # On a GPU Keras calls cuDNN.
        fused = [layer for layer in model._flatten_layers() if _has_kernel(layer)]
    for layer in fused:
        layer.inner_loop = partial(_inner_loop, layer)
    try:
        yield
    finally:
        for layer in fused:
            del layer.inner_loop


def _has_kernel(layer: Any) -> bool:
    # Only the exact class: a subclass may have another formula.
    return (
        type(layer) is keras.layers.LSTM
        and not {"call", "inner_loop"} & vars(layer).keys()
        and layer.activation is keras.activations.tanh
        and layer.recurrent_activation is keras.activations.sigmoid
        and layer.dtype_policy.name == "float32"
        and not layer.recurrent_dropout
        and not layer.stateful
    )


def _inner_loop(
    layer: Any,
    sequences: Tensor,
    initial_state: Sequence[Tensor],
    mask: Tensor | None,
    training: bool = False,
) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Return the last output, all outputs `(rows, steps, units)`, and the state.

    Args:
        layer: The LSTM layer.
        sequences: `(rows, steps, features)`.
        initial_state: Two tensors `(rows, units)`.
        mask: A mask, with which Keras' `LSTM.inner_loop` runs, or None.
        training: Whether to apply the layer's dropout.
    """
    if mask is not None:
        whole: tuple[Tensor, Tensor, list[Tensor]] = keras.layers.LSTM.inner_loop(
            layer, sequences, initial_state, mask, training
        )
        return whole
    cell = layer.cell
    if training and layer.dropout:
        dropped = cell.get_dropout_mask(sequences[:, 0, :])
        sequences *= tf.expand_dims(dropped, axis=1)
    steps = tf.transpose(sequences, (1, 0, 2))
    kernels = tf.concat([cell.kernel.value, cell.recurrent_kernel.value], axis=0)
    unused = tf.zeros((layer.units,))
    run = tf.raw_ops.BlockLSTM(
        seq_len_max=tf.shape(steps, out_type=tf.int64)[0],
        x=tf.reverse(steps, axis=[0]) if layer.go_backwards else steps,
        h_prev=initial_state[0],
        cs_prev=initial_state[1],
        w=_in_the_kernels_order(kernels),
        b=tf.zeros((4 * layer.units,)) if cell.bias is None else _in_the_kernels_order(cell.bias),
        wci=unused,
        wcf=unused,
        wco=unused,
        forget_bias=0.0,
        cell_clip=-1.0,
        use_peephole=False,
    )
    outputs = tf.transpose(run.h, (1, 0, 2))
    return outputs[:, -1], outputs, [run.h[-1], run.cs[-1]]


def _in_the_kernels_order(gates: Tensor) -> Tensor:
    """Return gates `(..., 4 * units)` in the kernel's order: the cell before the forget gate."""
    at_input, forget, cell, at_output = tf.split(tf.convert_to_tensor(gates), 4, axis=-1)
    return tf.concat([at_input, cell, forget, at_output], axis=-1)
