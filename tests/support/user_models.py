"""Models that users build: what KerasTuner's `hp` gives, in every shape that hpsearch trains."""

import keras
import keras_tuner
import numpy as np
from keras import layers


def _compiled(model, hp=None, metrics=("accuracy",)):
    rate = 1e-3 if hp is None else hp.Float("lr", 1e-3, 1e-2, sampling="log")
    model.compile(
        keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=list(metrics)
    )
    return model


def dense(hp):
    """As in KerasTuner's first guide: as many layers as asked for, each with units of its own."""
    model = keras.Sequential([layers.Flatten()])
    for layer in range(hp.Int("num_layers", 1, 3)):
        model.add(layers.Dense(hp.Int(f"units_{layer}", 8, 24, step=8), activation="relu"))
    if hp.Boolean("dropout"):
        model.add(layers.Dropout(0.25))
    model.add(layers.Dense(10, activation="softmax"))
    return _compiled(model, hp)


def small(hp):
    """Finite, so that a grid can be tried."""
    model = keras.Sequential(
        [
            keras.Input((64,)),
            layers.Dense(hp.Choice("units", [4, 8]), activation=hp.Choice("f", ["relu", "tanh"])),
            layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def convolutional(hp):
    """Takes images with a channel."""
    inputs = keras.Input((8, 8, 1))
    x = layers.Conv2D(hp.Int("filters", 2, 4), 3, activation="relu", padding="same")(inputs)
    x = layers.BatchNormalization()(x)
    if hp.Choice("pooling", ["max", "average"]) == "max":
        x = layers.MaxPooling2D(2)(x)
    else:
        x = layers.AveragePooling2D(2)(x)
    x = layers.Dropout(0.1)(layers.Flatten()(x))
    return _compiled(keras.Model(inputs, layers.Dense(10, activation="softmax")(x)), hp)


def recurrent(hp):
    """Reads an image row by row."""
    cell = layers.LSTM if hp.Choice("cell", ["lstm", "gru"]) == "lstm" else layers.GRU
    inputs = keras.Input((8, 8))
    x = cell(hp.Fixed("units", 6))(inputs)
    return _compiled(keras.Model(inputs, layers.Dense(10, activation="softmax")(x)))


def conditional(hp):
    """Two kinds of network, each with hyperparameters that live under it alone."""
    kind = hp.Choice("kind", ["mlp", "cnn"])
    inputs = x = keras.Input((8, 8))
    with hp.conditional_scope("kind", ["mlp"]):
        if kind == "mlp":
            x = layers.Dense(hp.Int("units", 4, 12, step=4), activation="relu")(layers.Flatten()(x))
    with hp.conditional_scope("kind", ["cnn"]):
        if kind == "cnn":
            x = layers.Reshape((8, 8, 1))(x)
            x = layers.Conv2D(hp.Int("filters", 2, 3), 3, activation="relu")(x)
            norm = hp.Boolean("norm")
            with hp.conditional_scope("norm", [True]):
                momentum = hp.Float("momentum", 0.5, 0.9, step=0.2)
            if norm:
                x = layers.BatchNormalization(momentum=momentum)(x)
            x = layers.Flatten()(x)
    rate = hp.Choice("rate", [0.1, 0.2], parent_name="kind", parent_values=["mlp"])
    if rate is not None:
        x = layers.Dropout(rate)(x)
    return _compiled(keras.Model(inputs, layers.Dense(10, activation="softmax")(x)))


def late(hp):
    """Asks for `hidden` where no build before a run looks: at a value in the middle."""
    units = hp.Int("units", 4, 12)
    model = keras.Sequential([layers.Flatten(), layers.Dense(units, activation="relu")])
    if 5 < units < 11:
        model.add(layers.Dropout(hp.Float("hidden", 0.1, 0.3)))
    model.add(layers.Dense(10, activation="softmax"))
    return _compiled(model)


def unnamed_metric(hp):
    """Its metric has the name that Keras gives it."""
    model = keras.Sequential([layers.Flatten(), layers.Dense(hp.Choice("units", [4, 8]))])
    model.add(layers.Dense(10, activation="softmax"))
    return _compiled(model, metrics=[keras.metrics.SparseTopKCategoricalAccuracy(2)])


def regressor(hp):
    """Not compiled: hpsearch does that."""
    return keras.Sequential(
        [keras.Input((10,)), layers.Dense(hp.Choice("units", [4, 8])), layers.Dense(1)]
    )


class OwnStep(keras.Model):
    """A training step of its own."""

    steps = 0

    def train_step(self, data):
        type(self).steps += 1
        return super().train_step(data)


def own_step(hp):
    inputs = keras.Input((64,))
    x = layers.Dense(hp.Choice("units", [4, 8]), activation="relu")(inputs)
    return _compiled(OwnStep(inputs, layers.Dense(10, activation="softmax")(x)))


class Fitted(keras_tuner.HyperModel):
    """Tunes its training, too."""

    def build(self, hp):
        model = keras.Sequential([layers.Flatten(), layers.Dense(hp.Choice("units", [4, 8]))])
        model.add(layers.Dense(10, activation="softmax"))
        return _compiled(model)

    def fit(self, hp, model, x, y, validation_data=None, **kwargs):
        if hp.Boolean("normalize"):
            x = (x - x.mean()) / x.std()
        return model.fit(
            x,
            y,
            validation_data=validation_data,
            batch_size=hp.Choice("batch_size", [32, 64]),
            epochs=hp.Int("epochs", 1, 2),
            verbose=0,
            **kwargs,
        )


class Scored(keras_tuner.HyperModel):
    """Gives its score itself."""

    def build(self, hp):
        model = keras.Sequential([layers.Dense(hp.Choice("units", [4, 8])), layers.Dense(1)])
        model.compile("adam", "mean_squared_error")
        return model

    def fit(self, hp, model, x, y, validation_data, **kwargs):
        assert hp.get("units") in (4, 8)
        model.fit(x, y, verbose=0, **kwargs)
        x_val, y_val = validation_data
        error = np.abs(model.predict(x_val, verbose=0)[:, 0] - y_val.reshape(-1))
        return {"val_error": float(np.mean(error)), "val_worst": float(np.max(error))}


#: An instance, in place of its class.
fitted = Fitted()


def fails(hp):
    raise ValueError("no such luck: " + hp.Choice("why", ["weather"]))


def no_model(hp):
    return hp.Int("units", 1, 2)


def two_outputs(hp):
    """The digit, and whether it is odd."""
    inputs = keras.Input((8, 8))
    x = layers.Dense(hp.Choice("units", [8, 16]), activation="relu")(layers.Flatten()(inputs))
    digit = layers.Dense(10, activation="softmax", name="digit")(x)
    odd = layers.Dense(1, activation="sigmoid", name="odd")(x)
    model = keras.Model(inputs, {"digit": digit, "odd": odd})
    model.compile(
        "adam",
        {"digit": "sparse_categorical_crossentropy", "odd": "binary_crossentropy"},
        loss_weights={"digit": 1.0, "odd": 0.5},
        metrics={"digit": ["accuracy"], "odd": ["accuracy"]},
    )
    return model


def transfer(hp):
    """A head on a base with a shortcut, which is not trained."""
    image = keras.Input((8, 8, 1))
    x = layers.Conv2D(4, 3, padding="same")(image)
    x = layers.BatchNormalization()(x)
    x = layers.Add()([x, layers.Conv2D(4, 1)(x)])
    base = keras.Model(image, layers.GlobalAveragePooling2D()(x))
    base.trainable = False
    inputs = keras.Input((8, 8, 1))
    x = layers.Dropout(0.1)(base(layers.Rescaling(2.0)(inputs)))
    return _compiled(keras.Model(inputs, layers.Dense(10, activation="softmax")(x)), hp)
