"""Trainings run, halted, continued and compared."""

import io

import numpy as np
import pytest


def trained(trainer, epochs=None):
    """The numbers of the next epochs; by default of all that are left."""
    if epochs is None:
        return list(iter(trainer.run_epoch, None))
    return [trainer.run_epoch() for _ in range(epochs)]


def assert_agree(ours, theirs, rel=1e-5):
    for epoch, (mine, other) in enumerate(zip(ours, theirs, strict=True), start=1):
        assert mine == pytest.approx(other, rel=rel), f"epoch {epoch}"


def assert_equal_arrays(ours, theirs):
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(mine, other)


def stored(state):
    """As a file keeps it: no object, only numbers."""
    file = io.BytesIO()
    np.savez(file, *state)
    file.seek(0)
    with np.load(file, allow_pickle=False) as arrays:
        return tuple(arrays.values())


def whole(trainer, epochs):
    """The curve, and the state after each epoch from 0 on."""
    states, curve = [stored(trainer.state())], []
    for _ in range(epochs):
        curve.append(trainer.run_epoch())
        states.append(stored(trainer.state()))
    return curve, states


def assert_continues(continued, left_alone, *, halts, epochs):
    """From the state at each halt, one trainer goes on to the bit as the other did.

    Returns:
        The curve and the states of the one that was left alone.
    """
    curve, states = whole(left_alone, epochs)
    for halt in halts:
        continued.resume(halt, states[halt])
        assert trained(continued, epochs - halt) == curve[halt:]
        assert_equal_arrays(continued.weights(), left_alone.weights())
        assert_equal_arrays(continued.state(), states[epochs])
    return curve, states
