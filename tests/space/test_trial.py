"""Frozen data: curves."""

import math
import pickle
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpsearch.space.execution import Curve, ExecutionResult, Status

EPOCHS = ({"loss": 0.5, "mae": 1.0}, {"loss": -0.0, "mae": math.inf}, {"loss": 2.5, "mae": 1e-300})


@given(st.lists(st.tuples(st.floats(allow_nan=False), st.floats(allow_nan=False)), max_size=5))
def test_a_curve_is_the_epochs_that_it_was_made_of(numbers):
    epochs = [{"loss": loss, "accuracy": accuracy} for loss, accuracy in numbers]
    curve = Curve(epochs)
    assert list(curve) == epochs
    assert len(curve) == len(epochs)
    assert curve == epochs
    assert curve == tuple(epochs)
    assert pickle.loads(pickle.dumps(curve)) == curve


def test_indices_and_slices_are_a_tuples():
    curve = Curve(EPOCHS)
    for index in range(-3, 3):
        assert curve[index] == EPOCHS[index]
    for index in (3, -4):
        with pytest.raises(IndexError):
            curve[index]
    assert curve[1:] == EPOCHS[1:]
    assert curve[::-1] == EPOCHS[::-1]
    assert list(curve[0]) == ["loss", "mae"]
    assert math.copysign(1, curve[1]["loss"]) == -1


def test_curves_differ_by_names_numbers_and_length():
    curve = Curve(EPOCHS)
    others = (Curve({"loss": e["loss"], "mse": e["mae"]} for e in EPOCHS), EPOCHS[::-1], "curve")
    assert all(curve != each for each in (Curve(EPOCHS[:2]), *others))
    assert Curve() == ()
    first = ExecutionResult(1, Status.COMPLETED, 0.5, EPOCHS)
    assert first == ExecutionResult(1, Status.COMPLETED, 0.5, curve)


def test_a_curve_takes_eight_bytes_a_number():
    curve = Curve([{"loss": 1 / n, "accuracy": 1 / n} for n in range(1, 1001)])
    assert sys.getsizeof(curve._numbers) < 2 * 8 * 1000 * 1.2
