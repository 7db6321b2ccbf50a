"""A layer type: from a tensor to a tensor."""

import keras


def gated(x, units, activation, expansion=2):
    """A gated block: one half of a wide layer decides how much of the other passes.

    Args:
        x: Symbolic tensor `(batch, width)`.
        units, activation: Of the block, as the sweep has them.
        expansion: A hyperparameter of its own: how much wider the halves are than the block.
    """
    gate = keras.layers.Dense(units * expansion, activation=activation)(x)
    value = keras.layers.Dense(units * expansion)(x)
    return keras.layers.Dense(units)(keras.layers.Multiply()([gate, value]))
