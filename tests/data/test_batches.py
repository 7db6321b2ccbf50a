"""Datasets of TensorFlow's as arrays."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from hpsearch.data import loading
from hpsearch.data.loading import collect
from hpsearch.errors import DataError

X = np.arange(20, dtype=np.float32).reshape(10, 2)
Y = np.arange(10) % 2


def test_batches_and_single_rows_give_the_rows():
    dataset = tf.data.Dataset.from_tensor_slices((X, Y))
    for each in (dataset, dataset.batch(4), dataset.batch(10)):
        x, y = collect(each, "x")
        np.testing.assert_array_equal(x, X)
        np.testing.assert_array_equal(y, Y)


def test_weights_mappings_and_texts():
    columns = {"n": X[:, 0], "word": np.array(["a", "ä"] * 5)}
    dataset = tf.data.Dataset.from_tensor_slices((columns, Y, X[:, 1])).batch(3)
    x, y, weights = collect(dataset, "x")
    np.testing.assert_array_equal(x["n"], X[:, 0])
    assert x["word"].tolist() == ["a", "ä"] * 5
    assert len(y) == 10
    np.testing.assert_array_equal(weights, X[:, 1])


def test_what_cannot_be_collect_is_told(monkeypatch):
    dataset = tf.data.Dataset.from_tensor_slices((X, Y))
    with pytest.raises(DataError, match=r"x: the tf.data.Dataset is endless; .*take"):
        collect(dataset.repeat(), "x")
    with pytest.raises(DataError, match=r"not \(x, y\)"):
        collect(tf.data.Dataset.range(3), "x")
    with pytest.raises(DataError, match="holds no rows"):
        collect(dataset.take(0), "x")
    monkeypatch.setattr(loading, "available_bytes", lambda: 120)
    with pytest.raises(DataError, match="larger than a quarter of the free memory"):
        collect(dataset, "x")
