"""Repeatability, the choice of a trainer, and custom models."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from trainings import assert_equal_arrays, trained

from hpsearch.training.compiled import as_tensors
from hpsearch.training.trainer import choose

VALUES = {"hidden_layers": 1, "units": 16, "layer_type": "dropout", "optimizer": "adam"}


@pytest.mark.parametrize("kind", ["graph", pytest.param("xla", marks=pytest.mark.slow), "fit"])
def test_same_seed_gives_the_same_bits(digits, kind):
    first, second = (digits.trainer(VALUES, 4, kind=kind) for _ in range(2))
    assert trained(first, 2) == trained(second, 2)
    assert_equal_arrays(first.weights(), second.weights())


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
    assert tensors[0].numpy()[0, 0] == 5.0
    np.testing.assert_array_equal(tensors[2].numpy(), readonly)
    assert as_tensors(arrays) is tensors
    assert as_tensors(dataclasses.replace(arrays)) is not tensors


def test_a_training_step_of_ones_own_is_left_to_fit(digits):
    own = digits.replace(model="user_models:own_step")
    trainer = own.trainer({"units": 8}, 0)
    assert trainer.kind == "fit"
    first, second = trained(trainer, 2)
    assert set(first) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert second["loss"] < first["loss"]
