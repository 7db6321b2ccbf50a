"""LSTM layers run by one kernel."""

from contextlib import nullcontext

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from marks import slow_but

from hpsearch.training.compiled import fused_lstms

ROWS, STEPS, FEATURES, UNITS = 6, 5, 4, 3
VARIANTS = {
    "plain": lambda: layers.LSTM(UNITS),
    "sequences": lambda: layers.LSTM(UNITS, return_sequences=True),
    "backwards": lambda: layers.LSTM(UNITS, return_sequences=True, go_backwards=True),
    "no bias": lambda: layers.LSTM(UNITS, use_bias=False, unit_forget_bias=False),
    "both ways": lambda: layers.Bidirectional(layers.LSTM(UNITS, return_sequences=True)),
    "two": lambda: keras.Sequential([layers.LSTM(UNITS, return_sequences=True), layers.LSTM(2)]),
    # Their gates saturate, and their cells leave the range in which kernels of LSTMs are clipped.
    "large": lambda: layers.LSTM(UNITS, kernel_initializer=keras.initializers.Constant(5.0)),
}
NOT_FUSED = {
    "gru": lambda: layers.GRU(UNITS),
    "relu": lambda: layers.LSTM(UNITS, activation="relu"),
    "hard sigmoid": lambda: layers.LSTM(UNITS, recurrent_activation="hard_sigmoid"),
    "recurrent dropout": lambda: layers.LSTM(UNITS, recurrent_dropout=0.5),
    "own": lambda: type("Own", (layers.LSTM,), {})(UNITS),
    "stateful": lambda: layers.LSTM(UNITS, stateful=True),
    "mask": lambda: keras.Sequential([layers.Masking(), layers.LSTM(UNITS)]),
}


def graph_of(model, *, steps=STEPS):
    """The graph of a step, whose operations tell whether the kernel is in it."""
    rows = tf.TensorSpec((ROWS, steps, FEATURES))
    return tf.function(lambda x: model(x, training=True), autograph=False).get_concrete_function(
        rows
    )


def kernels(graph):
    return sum(each.type == "BlockLSTM" for each in graph.graph.get_operations())


def step(model, *inputs):
    """Outputs, and the gradients of their weighted sum."""

    @tf.function(autograph=False)
    def run(*inputs):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = tf.nest.flatten(model(*inputs, training=True))
            total = tf.add_n([tf.reduce_sum(each * tf.cos(each)) for each in outputs])
        weights = [each.value for each in model.trainable_variables]
        return [*outputs, *tape.gradient(total, [*weights, *inputs])]

    return run(*inputs)


def rows(seed=0):
    return tf.constant(np.random.default_rng(seed).normal(size=(ROWS, STEPS, FEATURES)), tf.float32)


def assert_close(ours, theirs, rtol=2e-5, atol=1e-6):
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, rtol=rtol, atol=atol)


@pytest.mark.parametrize("variant", slow_but(VARIANTS.keys() - {"two", "both ways"}, VARIANTS))
def test_numbers_and_gradients(variant):
    model = VARIANTS[variant]()
    expected = step(model, rows())
    with fused_lstms(model):
        found = step(model, rows())
        assert kernels(graph_of(model)) == (2 if variant in {"two", "both ways"} else 1)
    assert kernels(graph_of(model)) == 0
    assert_close(found, expected, atol=2e-6)


def test_a_state_goes_in_and_out():
    layer = layers.LSTM(UNITS, return_state=True)
    state = [rows(seed)[:, 0, :UNITS] for seed in (1, 2)]

    def run():
        return tf.function(lambda x: layer(x, initial_state=state), autograph=False)(rows())

    expected = run()
    with fused_lstms(layer):
        found = run()
    assert len(found) == 3
    assert_close(found, expected, rtol=1e-5, atol=1e-7)


def test_dropout_draws_the_same_mask():
    numbers = []
    for fused in (False, True):
        layer = layers.LSTM(UNITS, dropout=0.5, seed=3, kernel_initializer="ones")
        layer.build((ROWS, STEPS, FEATURES))
        layer.cell.recurrent_kernel.assign(tf.ones((UNITS, 4 * UNITS)))
        with fused_lstms(layer) if fused else nullcontext():
            numbers.append(step(layer, rows()))
    assert_close(*numbers)


def test_an_unknown_number_of_steps():
    layer = layers.LSTM(UNITS)
    layer.build((None, None, FEATURES))
    with fused_lstms(layer):
        assert kernels(graph_of(layer, steps=None)) == 1


@pytest.mark.parametrize("variant", NOT_FUSED)
def test_another_formula_keeps_its_loop(variant):
    layer = NOT_FUSED[variant]()
    with fused_lstms(layer):
        assert kernels(graph_of(layer)) == 0
