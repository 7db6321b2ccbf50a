"""Fused kernels do what Keras' optimizers do, on Keras' own variables."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from hpsearch.training.update import Update, is_fused

STEPS = 200

OPTIMIZERS = {
    "sgd": lambda: keras.optimizers.SGD(0.05),
    "momentum": lambda: keras.optimizers.SGD(0.05, momentum=0.9),
    "nesterov": lambda: keras.optimizers.SGD(0.05, momentum=0.9, nesterov=True),
    "adam": lambda: keras.optimizers.Adam(0.01),
    "adam-clipped": lambda: keras.optimizers.Adam(0.01, clipnorm=0.5),
    "adamw": lambda: keras.optimizers.AdamW(0.01, weight_decay=0.1),
    "adam-schedule": lambda: keras.optimizers.Adam(
        keras.optimizers.schedules.ExponentialDecay(0.01, 50, 0.5)
    ),
    "rmsprop": lambda: keras.optimizers.RMSprop(0.01),
    "rmsprop-momentum": lambda: keras.optimizers.RMSprop(0.01, momentum=0.9),
    "adagrad": lambda: keras.optimizers.Adagrad(0.1),
    "adagrad-from-nothing": lambda: keras.optimizers.Adagrad(0.1, initial_accumulator_value=1e-6),
}


def run(optimizer, *, fused, decaying):
    """Weights, slots and the iteration after STEPS updates with given gradients."""
    generator = np.random.default_rng(0)
    variables = [
        keras.Variable(generator.normal(size=shape).astype(np.float32)) for shape in [(5, 7), (7,)]
    ]
    optimizer.build(variables)
    assert is_fused(optimizer)
    apply = Update(optimizer).apply if fused else optimizer.apply
    step_graph = tf.function(lambda *gradients: apply(gradients, variables), autograph=False)
    for step in range(STEPS):
        size = 0.3 / (1 + step / 10) if decaying else 0.3
        gradients = [
            keras.ops.convert_to_tensor(
                (generator.normal(size=variable.shape) * size).astype(np.float32)
            )
            for variable in variables
        ]
        step_graph(*gradients)
    return variables, optimizer.variables


def difference(ours, theirs):
    """Relative, over a whole variable."""
    ours, theirs = ours.numpy(), theirs.numpy()
    return np.linalg.norm(ours - theirs) / np.linalg.norm(theirs)


@pytest.mark.parametrize("decaying", [False, True], ids=["", "decaying"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_fused_equals_keras(name, decaying):
    weights, slots = run(OPTIMIZERS[name](), fused=True, decaying=decaying)
    expected_weights, expected_slots = run(OPTIMIZERS[name](), fused=False, decaying=decaying)
    for ours, theirs in zip(weights, expected_weights, strict=True):
        assert difference(ours, theirs) <= 1e-6
    for ours, theirs in zip(slots, expected_slots, strict=True):
        # The kernel rounds 1 - beta_2; the learning rate makes up for it.
        is_adams = "adam" in name and "velocity" in ours.name
        assert difference(ours, theirs) <= (1.5e-5 if is_adams else 2e-6)


OTHERS = {
    "amsgrad": lambda: keras.optimizers.Adam(amsgrad=True),
    "centered": lambda: keras.optimizers.RMSprop(centered=True),
    "lion": keras.optimizers.Lion,
    "subclass": type("Own", (keras.optimizers.SGD,), {}),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_formulas_stay_keras(name):
    assert not is_fused(OTHERS[name]())


def test_fused_update_is_one_kernel_a_weight():
    """Keras still calls the method that `Update` replaces; were it renamed, nothing would."""
    optimizer = keras.optimizers.Adam(0.01)
    variable = keras.Variable(np.ones(3, np.float32))
    optimizer.build([variable])
    optimizer.update_step = None
    Update(optimizer).apply([keras.ops.ones(3)], [variable])
    assert optimizer.iterations.numpy() == 1
