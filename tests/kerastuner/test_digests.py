"""What makes the data of a search others, and what does not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from hpsearch.kerastuner.sweeps import digest_of


def digest(value):
    return digest_of([value], {})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([1, 11], [11, 1]),
        (np.array([1, 23], object), np.array([12, 3], object)),
        ([[1], 2], [[1, 2]]),
        (["a", "b"], ["a'b"]),
    ],
)
def test_other_lists_are_other_data(one, other):
    assert digest(one) != digest(other)
    assert digest(one) == digest(one.copy())


ONE, OTHER = np.eye(4, dtype="float32"), np.ones((4, 4), "float32")


@pytest.mark.parametrize(
    "make",
    [
        tf.constant,
        lambda x: x.tobytes(),
        lambda x: pd.Series(x[:, 1]),
        lambda x: pd.DataFrame(np.zeros((1, 2)), columns=["a", f"b{x[0, 1]}"]),
        lambda x: pd.DataFrame({"a": ["b", str(x[0, 1])]}),
        lambda x: pd.DataFrame({"a": pd.to_datetime(["2020", str(2020 + int(x[0, 1]))])}),
        lambda x: {"a": [x], 3: "b"},
        lambda x: tf.data.Dataset.from_tensor_slices(x[: 1 + int(x[0, 1])]),
    ],
)
def test_values_are_found_where_they_are(make):
    assert digest(make(ONE)) == digest(make(ONE))
    assert digest(make(ONE)) != digest(make(OTHER))


def test_names_of_arguments_are_data_but_not_their_order():
    both = digest_of([], {"a": 1, "b": 2})
    assert digest_of([], {"b": 2, "a": 1}) == both
    assert digest_of([], {"b": 1, "a": 2}) != both
    assert digest_of([], {"b": 2, "a": 1, "verbose": 1, "epochs": 3}) == both
