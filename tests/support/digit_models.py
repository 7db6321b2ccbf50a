"""Models of digits for every trainer: one that the extension knows, one that it does not."""

import keras


def dense(_):
    """A model of the extension's."""
    return compiled(keras.Input((64,)))


def convolutional(_):
    """No model of the extension's."""
    inputs = keras.Input((8, 8, 1))
    return compiled(inputs, keras.layers.Conv2D(4, 3, activation="relu"), keras.layers.Flatten())


def compiled(inputs, *others):
    """No dropout: `fit` draws other masks."""
    made = [*others, keras.layers.Dense(12, "relu"), keras.layers.Dense(10, "softmax")]
    model = keras.Sequential([inputs, *made])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


MODELS = {"native": dense, "graph": convolutional}
