"""Rows in memory: several targets in one array of columns, and datasets of TensorFlow's."""

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from datasets import made

from hpsearch.data import loading
from hpsearch.data.dataset import are_several, packed, unpacked
from hpsearch.data.loading import collect, read_memory
from hpsearch.data.specs import ArrayPart
from hpsearch.errors import DataError
from hpsearch.spec.data import DataSpec

ROWS = np.zeros((4, 1))
CLASSES = np.array([2, 0, 1, 2])
NUMBERS = np.linspace(0, 1, 8, dtype="f4").reshape(4, 2)
PARTS = (ArrayPart("class", (), whole=True), ArrayPart("numbers", (2,), whole=False))


def test_there_and_back():
    columns, parts = packed({"class": CLASSES, "numbers": NUMBERS}, "y")
    assert columns.shape == (4, 3)
    assert parts == PARTS
    back = unpacked(columns.astype("f4"), parts)
    np.testing.assert_array_equal(back["class"], CLASSES)
    np.testing.assert_array_equal(back["numbers"], NUMBERS)
    assert back["class"].dtype == np.int32
    columns, parts = packed([pd.Series(CLASSES), NUMBERS[:, None]], "y")
    first, second = unpacked(columns.astype("f4"), parts)
    assert first.shape == (4,)
    assert second.shape == (4, 1, 2)


def test_what_several_are():
    assert are_several({"a": CLASSES}, ROWS)
    assert are_several([CLASSES, NUMBERS], ROWS)
    assert not are_several(CLASSES, ROWS)
    assert not are_several([0, 1, 1, 0], ROWS)
    assert not are_several([[0, 1], [1, 0]], ROWS)
    # As many rows of numbers as rows of x.
    assert not are_several(list(np.zeros((4, 4))), ROWS)
    assert not are_several([CLASSES, NUMBERS[:3]], ROWS)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (
            {"a": np.array(["x", "y"])},
            r"y\['a'\]: must be an array of numbers.*classes and texts are whole",
        ),
        ({"a": 3}, r"y\['a'\]: must be an array of numbers"),
        ({"a": CLASSES, "b": NUMBERS[:2]}, "y: its targets have 4, 2 rows"),
        ([np.full(4, 2**24)], r"y\[0\]: has whole numbers beyond"),
    ],
)
def test_what_they_are_not(y, message):
    with pytest.raises(DataError, match=message):
        packed(y, "y")


def test_other_parts_must_have_the_same():
    x, y = np.zeros((4, 1)), {"class": CLASSES, "numbers": NUMBERS}
    read = read_memory(x, y, None, (x, y, np.ones(4)), None)
    assert read.validation[1].shape == (4, 3)
    assert read.described["y"] == "(4, 3) float64"
    with pytest.raises(DataError, match="validation_data: must have the targets that y has, 2"):
        read_memory(x, y, None, (x, CLASSES), None)
    with pytest.raises(DataError, match="test's y: its targets are"):
        read_memory(x, y, None, None, (x, {"class": CLASSES}))


@pytest.mark.parametrize("y", [{"class": CLASSES}, 3, iter([1])], ids=["dict", "int", "iterator"])
def test_elsewhere_they_are_refused(y):
    with pytest.raises(DataError, match=r"y has the type \w+ and the shape \(\)"):
        made(np.zeros((4, 1)), y)


def test_several_inputs_are_not_validated_against_one():
    x = pd.DataFrame(np.arange(30.0).reshape(10, 3), columns=[*"abc"])
    several = {"a": np.zeros((10, 2)), "b": np.zeros(10)}
    with pytest.raises(DataError, match="x has several inputs, and the training part's x is one"):
        made(x, np.arange(10) % 2, validation_data=(several, np.arange(10) % 2))


def test_they_are_no_task():
    read = read_memory(np.zeros((4, 1)), {"class": CLASSES}, None, None, None)
    with pytest.raises(DataError, match="task: several targets have each its own"):
        read.load(DataSpec(task="classification"))


X = np.arange(20, dtype=np.float32).reshape(10, 2)
Y = np.arange(10) % 2


def test_batches_and_single_rows_give_the_rows():
    dataset = tf.data.Dataset.from_tensor_slices((X, Y))
    for each in (dataset, dataset.batch(4), dataset.batch(10)):
        x, y = collect(each, "x")
        np.testing.assert_array_equal(x, X)
        np.testing.assert_array_equal(y, Y)
    read = read_memory(dataset.batch(4), None, None, None, None)
    np.testing.assert_array_equal(read.x, X)
    np.testing.assert_array_equal(read.y, Y)
    with pytest.raises(DataError, match=r"^y: .* brings its own"):
        read_memory(dataset, Y, None, None, None)


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
