"""Sharing, repeatability, the choice of a trainer, and custom models."""

from __future__ import annotations

import dataclasses

import keras
import numpy as np
import pytest
from commands import python

from hpsearch.training.compiled import as_tensors
from hpsearch.training.trainer import choose

VALUES = {"hidden_layers": 1, "units": 16, "layer_type": "dropout", "optimizer": "adam"}


def curve(trainer, epochs):
    return [trainer.run_epoch() for _ in range(epochs)]


@pytest.mark.parametrize("kind", ["graph", pytest.param("xla", marks=pytest.mark.slow)])
def test_prefix_of_a_training_is_the_shorter_training(digits, kind):
    whole = curve(digits.trainer(VALUES, 0, kind=kind), 20)
    for epochs in (5, 10):
        alone = curve(digits.trainer(VALUES, 0, kind=kind), epochs)
        assert whole[:epochs] == alone


@pytest.mark.parametrize("kind", ["graph", pytest.param("xla", marks=pytest.mark.slow), "fit"])
def test_same_seed_gives_the_same_bits(digits, kind):
    first, second = (digits.trainer(VALUES, 4, kind=kind) for _ in range(2))
    assert curve(first, 2) == curve(second, 2)
    for ours, theirs in zip(first.weights(), second.weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_choice_does_not_import_tensorflow():
    code = (
        "import sys, hpsearch.training.mlps; "
        "assert 'tensorflow' not in sys.modules and 'keras' not in sys.modules"
    )
    python(code)


def test_choice():
    assert choose((64, 100, 10), 32, 1_437, fused=True) == "graph"
    assert choose((64, 100, 10), 32, 1_437, fused=False) == "graph"
    assert choose((784, 100, 10), 32, 48_000, fused=False) == "xla"
    assert choose((784, 100, 10), 32, 48_000, fused=True) == "graph"
    assert choose((784, 100, 10), 32, 480_000, fused=True) == "xla"
    assert choose((784, 500, 500), 128, 480_000, fused=False) == "graph", "products dominate"
    assert choose((784, 10), 128, 100, fused=True) == "graph"


def test_tensors_share_memory_where_they_can(digits):
    aligned = np.zeros(4096 + 64, np.uint8)
    start = -aligned.ctypes.data % 64
    x = aligned[start : start + 4096].view(np.float32).reshape(16, 64)
    readonly = np.ones((3, 4), np.float32)
    readonly.flags.writeable = False
    arrays = dataclasses.replace(digits.arrays, x_train=x, x_val=readonly)
    tensors = as_tensors(arrays)
    x[0, 0] = 5.0
    assert tensors.x_train.numpy()[0, 0] == 5.0
    np.testing.assert_array_equal(tensors.x_val.numpy(), readonly)
    assert as_tensors(arrays) is tensors
    assert as_tensors(dataclasses.replace(arrays)) is not tensors


class OwnStep(keras.Model):
    """Trains as Keras does, but in a step of its own."""

    def __init__(self, units, outputs):
        super().__init__()
        self.hidden = keras.layers.Dense(units, activation="relu")
        self.last = keras.layers.Dense(outputs)

    def call(self, x):
        return self.last(self.hidden(x))

    def train_step(self, data):
        return super().train_step(data)


def own_step(hp):
    return OwnStep(hp.values["units"], 1)


def test_own_training_step_falls_back_to_fit(diabetes):
    target = dataclasses.replace(diabetes.target, mean=(0.0,), std=(1.0,))
    given = dataclasses.replace(diabetes, target=target).replace(model=f"{__name__}:own_step")
    trainer = given.trainer({"units": 8, "optimizer": "adam"}, 0)
    assert trainer.kind == "fit"
    first, second = curve(trainer, 2)
    assert set(first) == {"loss", "mae", "val_loss", "val_mae"}
    assert second["loss"] < first["loss"]
    with pytest.raises(ValueError, match="own training step"):
        given.trainer({"units": 8}, 0, kind="graph")


def test_unknown_kind(digits):
    with pytest.raises(ValueError, match="graph, xla, fit"):
        digits.trainer(VALUES, 0, kind="jax")
