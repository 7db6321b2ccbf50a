"""Several targets in one array of columns, and back."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from datasets import made

from hpsearch.data.dataset import are_several, packed, unpacked
from hpsearch.data.loading import read_memory
from hpsearch.data.specs import ArrayPart
from hpsearch.errors import DataError
from hpsearch.spec.data import DataSpec

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
    assert are_several({"a": CLASSES}, 4)
    assert are_several([CLASSES, NUMBERS], 4)
    assert not are_several(CLASSES, 4)
    assert not are_several([0, 1, 1, 0], 4)
    assert not are_several([[0, 1], [1, 0]], 4)
    # As many rows of numbers as rows of x.
    assert not are_several(list(np.zeros((4, 4))), 4)
    assert not are_several([CLASSES, NUMBERS[:3]], 4)


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


def test_elsewhere_they_are_refused():
    with pytest.raises(DataError, match=r"y has the type object and the shape \(\)"):
        made(np.zeros((4, 1)), {"class": CLASSES})


def test_they_are_no_task():
    read = read_memory(np.zeros((4, 1)), {"class": CLASSES}, None, None, None)
    with pytest.raises(DataError, match="task: several targets have each its own"):
        read.load(DataSpec(task="classification"))
