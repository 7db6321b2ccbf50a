"""Data from a user's function: what it may return, and how its failures read."""

import sys

import pytest
from datasets import load

from hpsearch.errors import DataError

MODULE = """
import numpy as np
import pandas as pd

x = np.arange(40.0).reshape(20, 2)
y = np.array(["p", "q"] * 10)
constant = 3

def pair(): return x, y
def lists(): return x.tolist(), y.tolist()
def two(): return (x, y), (x[:4] + 9, y[:4])
def three(): return (x, y), (x[:4] + 9, y[:4]), [x[:2] + 5, y[:2]]
table = pd.DataFrame({"n": range(20), "t": ["u", "v"] * 10})

def frames(): return table, pd.Series([1.5, 2.5] * 10)
def frame_parts():
    return (table, y), (table[["t", "n"]][:4].assign(t="new"), y[:4])
def category(): return x, pd.Series(y).astype("category")
def booleans(): return x, y == "p"
def objects(): return np.array([[1, "u"], [2, "v"]] * 10, dtype=object), y
def nothing(): return None
def unequal(): return {"a": x[:, 0], "b": x[1:, 0]}, y
def three_arrays(): return x, y, x
def fails(): return 1 / 0
def gap(): return x, pd.Series([None, *y[1:]])
def spans(): return pd.DataFrame({"d": pd.to_timedelta(range(20), unit="h")}), y
def scalar(): return x, 3
def half(): return x.astype("float16"), y
def half_infinite(): return np.where(x > 30, np.inf, x).astype("float16"), y
def numbers_after_text():
    return (np.array([[1, "u"], [2, "v"]] * 10, dtype=object), y), (x[:4], y[:4])
def other_columns(): return (pd.DataFrame({"t": list(y)}), y), (pd.DataFrame({"u": list(y)}), y)
"""


@pytest.fixture
def call(tmp_path, monkeypatch):
    """Load from a function of the module above."""
    (tmp_path / "my_data.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "my_data", raising=False)

    return lambda name: load(python=f"my_data:{name}")


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("pair", (16, 4, 0)),
        ("lists", (16, 4, 0)),
        ("two", (20, 4, 0)),
        ("three", (20, 4, 2)),
        ("frames", (16, 4, 0)),
        ("category", (16, 4, 0)),
        ("objects", (16, 4, 0)),
        ("half", (16, 4, 0)),
    ],
)
def test_returned_shapes(call, name, sizes):
    dataset = call(name)
    test = 0 if dataset.test is None else len(dataset.test)
    assert (len(dataset.train), len(dataset.validation), test) == sizes


def test_columns_follow_the_training_frame(call):
    dataset = call("frame_parts")
    assert list(dataset.validation.x) == ["n", "t"]
    assert set(dataset.validation.x["t"]) == {"new"}
    assert call("booleans").target.classes == ("False", "True")


def test_numbers_are_columns_of_the_training_table(call):
    validation = call("numbers_after_text").validation.x
    assert validation["0"].tolist() == [0, 2, 4, 6]
    assert validation["1"].tolist() == ["1", "3", "5", "7"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("unequal", "my_data:unequal: is no table: "),
        ("nothing", r"returned a NoneType; return \(x, y\)"),
        ("three_arrays", r"returned a tuple; return \(x, y\)"),
        ("fails", r"failed: ZeroDivisionError: division by zero \(.*my_data.py:\d+\)"),
        ("gap", r"row 0 \(from 0\): the target '' is missing or not"),
        ("spans", "column 'd': cells of type timedelta64"),
        ("half_infinite", r"row 15 \(from 0\): column 1: inf is not a finite float32"),
        ("scalar", r"y has the type int64 and the shape \(\)"),
        ("other_columns", r"my_data:other_columns: validation: the training part: no column 't'"),
        ("pairs", "AttributeError: module 'my_data' has no attribute 'pairs'"),
        ("constant", "'int' object is not callable"),
    ],
)
def test_failures_are_explained(call, name, message):
    with pytest.raises(DataError, match=message):
        call(name)


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("no_such_module:f", r"failed: ModuleNotFoundError: .*'no_such_module'"),
        ("bad_data:f", r"AttributeError.*bad_data.py:2"),
    ],
)
def test_modules_that_cannot_be_loaded(tmp_path, monkeypatch, reference, message):
    (tmp_path / "bad_data.py").write_text("import math\nmath.nothing\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(DataError, match=message):
        load(python=reference)
