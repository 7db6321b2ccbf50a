"""Models of a user's own."""

import os
import sys

import keras


def compiled(hp):
    """With its own optimizer, loss and metrics."""
    model = keras.Sequential(
        [
            keras.Input((64,)),
            keras.layers.Dense(hp.get("units"), activation="relu"),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    top = keras.metrics.SparseTopKCategoricalAccuracy(2, name="top")
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy", top])
    return model


def plain(hp):
    """Compiled by hpsearch."""
    layers = [keras.Input((10,)), keras.layers.Dense(hp.get("units")), keras.layers.Dense(1)]
    return keras.Sequential(layers)


def leaving(hp):
    if hp.Choice("units", [1, 2]) == 2:
        sys.exit(4)
    return plain(hp)


def doubling(hp):
    """Forks; the child returns as the parent does."""
    hp.Choice("units", [1, 2])
    os.fork()
    return plain(hp)
