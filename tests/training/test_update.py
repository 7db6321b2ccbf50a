"""Fused kernels do what Keras' optimizers do, on Keras' own variables."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from hpsearch.training.update import Update, is_fused

OTHERS = {
    "amsgrad": lambda: keras.optimizers.Adam(amsgrad=True),
    "centered": lambda: keras.optimizers.RMSprop(centered=True),
    "lion": keras.optimizers.Lion,
    "subclass": type("Own", (keras.optimizers.SGD,), {}),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_formulas_stay_keras(name):
    assert not is_fused(OTHERS[name]())


def test_fused_update_is_one_kernel_a_weight():
    """Keras still calls the method that `Update` replaces; were it renamed, nothing would."""
    optimizer = keras.optimizers.Adam(0.01)
    variable = keras.Variable(np.ones(3, np.float32))
    optimizer.build([variable])
    optimizer.update_step = None
    Update(optimizer).apply([keras.ops.ones(3)], [variable])
    assert optimizer.iterations.numpy() == 1
