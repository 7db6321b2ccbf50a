"""Datasets that `fit` would read: once, if their rows never change."""

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from user_models import dense

import hpsearch.tuners as kt
from hpsearch.custom.fit_arguments import NotOnEngine, request_of
from hpsearch.errors import DataError

X = np.random.default_rng(0).normal(size=(50, 4)).astype("float32")
Y = (X[:, 0] > 0).astype("int64")
W = np.arange(1, 51).astype("float32")


def batched(*arrays, size=8):
    return tf.data.Dataset.from_tensor_slices(arrays).batch(size)


def rows(array):
    return sorted(map(tuple, array.tolist()))


@pytest.mark.parametrize("kind", ["float64", "bool", "Float64", "Int64", "boolean"])
def test_booleans_and_nullable_types_are_numbers(kind):
    """As `pd.get_dummies` gives them, beside numbers."""
    given = {"a": X[:, 0], "b": pd.Series(Y, dtype=kind), "c": ["x", "y"] * 25}
    frame = pd.get_dummies(pd.DataFrame(given))
    arrays = request_of((frame, frame["b"]), {"validation_data": (frame, frame["b"])}).arrays
    expected = np.column_stack([X[:, 0], Y, frame["c_x"], frame["c_y"]]).astype("float32")
    for x, y in ((arrays.x_train, arrays.y_train), (arrays.x_val, arrays.y_val)):
        np.testing.assert_array_equal(x, expected, strict=True)
        np.testing.assert_array_equal(y, Y)
    frame["b"] = frame["b"].astype("Int64").mask(frame["a"] > 0)
    with pytest.raises(DataError, match="x: column 'b' lacks values"):
        request_of((frame, Y), {})


@pytest.mark.parametrize(
    "dataset",
    [
        batched(X, Y),
        batched(X, Y).shuffle(7, seed=1),
        tf.data.Dataset.from_tensor_slices((X, Y)).shuffle(50).batch(8),
    ],
    ids=["in order", "shuffled batches", "shuffled rows"],
)
def test_finite_ones_are_read_once(dataset):
    request = request_of((dataset,), {"validation_data": batched(X, Y), "epochs": 3})
    assert rows(request.arrays.x_train) == rows(X)
    np.testing.assert_array_equal(request.arrays.x_train[:, 0] > 0, request.arrays.y_train)
    np.testing.assert_array_equal(request.arrays.x_val, X)
    assert request.batch_size == (8)
    assert request.epochs == 3


def test_weights_and_several_inputs():
    inputs = {"a": X[:, :1], "b": X[:, 1:]}
    request = request_of((batched(inputs, Y, W),), {"validation_data": batched(inputs, Y, W)})
    assert [part.name for part in request.inputs] == ["a", "b"]
    np.testing.assert_array_equal(request.arrays.w_train, W)
    np.testing.assert_array_equal(request.arrays.w_val, W)


def test_inputs_by_their_names_and_targets_in_a_list():
    rows = ({"a": X, "b": X[:, :1]}, [Y, X[:, 0]])
    request = request_of(rows, {"validation_data": rows})
    assert [(part.name, part.shape) for part in request.inputs] == [("a", (4,)), ("b", (1,))]
    assert len(request.parts) == 2


def test_arrays_may_be_validated_on_a_dataset():
    request = request_of((X, Y), {"validation_data": batched(X, Y), "batch_size": 16})
    assert request.batch_size == 16
    np.testing.assert_array_equal(request.arrays.y_val, Y)


@pytest.mark.parametrize(
    ("dataset", "more", "why"),
    [
        (batched(X, Y).repeat(), {}, "endless"),
        (
            batched(X, Y).map(lambda x, y: (x + tf.random.uniform(()), y)),
            {},
            "other rows in each epoch",
        ),
        (batched(X, Y), {"steps_per_epoch": 2}, "steps_per_epoch counts batches"),
        (batched(X, Y), {"y": Y}, "y or sample_weight are given"),
        (batched(X), {}, r"not \(x, y\)"),
        (batched(X, Y.astype(str)), {}, "no batches of numbers"),
        (batched(X[:0], Y[:0]), {}, "no rows"),
        (tf.data.Dataset.from_tensor_slices((X, Y)), {}, r"no batches.*\.batch"),
    ],
)
def test_others_are_not(dataset, more, why):
    with pytest.raises(NotOnEngine, match=why):
        request_of((dataset,), {"validation_data": (X, Y), **more})


@pytest.mark.usefixtures("place")
def test_a_search_with_one_trains_on_the_engine():
    tuner = kt.RandomSearch(dense, "val_loss", 2, seed=1, directory="d", project_name="p")
    stop = keras.callbacks.EarlyStopping("val_loss", patience=2)
    tuner.search(
        batched(X, Y), epochs=3, validation_data=batched(X, Y), callbacks=[stop], verbose=0
    )
    table = pd.read_csv("d/p/results.csv")
    assert set(table["trainer"]) <= {"native", "graph"}
    assert set(table["batch_size"]) == {8}
    assert tuner.get_best_models()[0].predict(X, verbose=0).shape == (50, 10)
