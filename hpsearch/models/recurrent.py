"""Run LSTM layers by TensorFlow's kernel for whole sequences instead of a loop over time steps."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import keras
import tensorflow as tf

Tensor = Any


@contextlib.contextmanager
def fused_lstms(model: keras.Model) -> Iterator[None]:
    """Within this context, graphs run the kernel for LSTM layers that have its formula."""
    fused = []
    if not tf.config.list_physical_devices("GPU"):  # On a GPU Keras calls cuDNN.
        fused = [each for each in model._flatten_layers() if _has_kernel(each)]  # noqa: SLF001
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
