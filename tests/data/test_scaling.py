"""Scaling is fitted on training rows, and on nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from datasets import made

X = np.random.default_rng(0).normal(5, 3, size=(50, 3))
Y = np.arange(50) % 2


def test_standard_is_the_training_splits():
    dataset = made(X, Y)
    train = dataset.train.x.astype(np.float64)
    np.testing.assert_allclose(dataset.input.mean, train.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(dataset.input.variance, train.var(axis=0), rtol=1e-12)
    assert not np.allclose(dataset.input.mean, X.mean(axis=0), rtol=1e-4)


@pytest.mark.parametrize("value", [0.1, 7.0, 1e6 + 0.1])
def test_a_constant_feature_has_variance_one(value):
    x = X.copy()
    x[:, 1] = value
    assert made(x, Y).input.variance[1] == 1.0


def test_unit_is_the_training_range():
    dataset = made(X, Y, scale="unit")
    x = dataset.train.x * np.array(dataset.input.scale) + np.array(dataset.input.offset)
    np.testing.assert_allclose(x.min(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(x.max(axis=0), 1, atol=1e-6)


def test_unit_of_a_constant_is_zero_and_none_is_empty():
    dataset = made(np.full((50, 1), 3.0), Y, scale="unit")
    assert (dataset.input.scale, dataset.input.offset) == ((1.0,), (-3.0,))
    spec = made(X, Y, scale="none").input
    assert spec.mean == spec.variance == spec.scale == spec.offset == ()
