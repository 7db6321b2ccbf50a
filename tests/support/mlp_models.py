"""Models of the user's own that are MLPs in substance, in the ways that people write them."""

import keras
from keras import layers

ONE_HOT, SPARSE = "categorical_crossentropy", "sparse_categorical_crossentropy"


def _stack(*hidden, rows=(8, 8), outputs=10, activation="softmax"):
    return keras.Sequential(
        [keras.Input(rows), layers.Flatten(), *hidden, layers.Dense(outputs, activation=activation)]
    )


def guide(hp):
    """KerasTuner's: no shape of a row, several layers, Dropout at the end."""
    model = keras.Sequential()
    model.add(layers.Flatten())
    for units in (24, 17):
        model.add(layers.Dense(units, activation="relu"))
    model.add(layers.Dropout(0.25))
    model.add(layers.Dense(10, activation="softmax"))
    model.compile(keras.optimizers.Adam(hp.Fixed("lr", 3e-3)), ONE_HOT, metrics=["accuracy"])
    return model


def functional(_):
    """With Dropout between, activations as layers, and losses as objects."""
    inputs = keras.Input((8, 8, 1))
    x = layers.Dense(20)(layers.Flatten()(inputs))
    x = layers.Dropout(0.4)(layers.ReLU()(x))
    x = layers.Activation("tanh")(layers.Dense(12, kernel_initializer="orthogonal")(x))
    x = layers.Dropout(0.1)(x)
    x = layers.Dropout(0.0)(x)
    model = keras.Model(inputs, layers.Dense(10, activation="softmax")(x))
    model.compile(
        keras.optimizers.RMSprop(1e-3, momentum=0.5),
        keras.losses.SparseCategoricalCrossentropy(),
        metrics=[keras.metrics.SparseCategoricalAccuracy("right")],
    )
    return model


def logits(_):
    """A loss that takes the sums, and a bias that does not begin at zero."""
    model = _stack(layers.Dense(16, activation=keras.activations.gelu, bias_initializer="ones"))
    model.pop()
    model.add(layers.Dense(10))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True), loss, metrics=["acc"])
    return model


def separate_softmax(_):
    """Softmax as a layer of its own, AdamW, a function for a loss."""
    model = _stack(layers.Dense(16, activation="elu"), activation=None)
    model.add(layers.Activation("softmax"))
    model.compile(
        keras.optimizers.AdamW(weight_decay=0.01),
        keras.losses.sparse_categorical_crossentropy,
        metrics=["accuracy"],
    )
    return model


def without_metrics(_):
    """Logistic regression."""
    model = _stack()
    model.compile(keras.optimizers.Adagrad(0.05), SPARSE)
    return model


def binary(_):
    """One probability."""
    model = _stack(layers.Dense(8, activation="silu"), rows=(30,), outputs=1, activation="sigmoid")
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    return model


def regressor(_):
    """Numbers."""
    model = _stack(layers.Dense(8, activation="softplus"), rows=(10,), outputs=1, activation=None)
    model.compile("adam", "mse", metrics=["mae"])
    return model


def plain(hidden=1):
    """A model that the native trainer knows; each of `UNKNOWN` differs from it in one thing."""
    return _compiled(_stack(*[layers.Dense(8) for _ in range(hidden)]))


def _changed(change):
    model = _stack(layers.Dense(8, activation="relu"))
    optimizer, loss, metrics = change(model) or (None, None, None)
    model.compile(optimizer or "adam", loss or SPARSE, metrics=metrics or ["accuracy"])
    return model


class OwnDense(layers.Dense):
    """A subclass may do anything."""


def _own_step(model):
    model.train_step = lambda data: keras.Sequential.train_step(model, data)


#: What the extension does not know: how a model is made that has it.
UNKNOWN = {
    "schedule": lambda: _changed(
        lambda _: (keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.01, 99)), 0, 0)
    ),
    "clipping": lambda: _changed(lambda _: (keras.optimizers.Adam(clipnorm=1.0), 0, 0)),
    "optimizer": lambda: _changed(lambda _: ("lion", 0, 0)),
    "smoothing": lambda: _changed(
        lambda _: (0, keras.losses.CategoricalCrossentropy(label_smoothing=0.1), 0)
    ),
    "loss": lambda: _changed(lambda _: (0, keras.losses.categorical_hinge, 0)),
    "metrics": lambda: _changed(lambda _: (0, 0, ["accuracy", "AUC"])),
    "metric": lambda: _changed(lambda _: (0, 0, ["hinge"])),
    "layer": lambda: _compiled(_stack(OwnDense(8))),
    "regularizer": lambda: _compiled(_stack(layers.Dense(8, kernel_regularizer="l1"))),
    "activity": lambda: _compiled(_stack(layers.Dense(8, activity_regularizer="l2"))),
    "constraint": lambda: _compiled(_stack(layers.Dense(8, kernel_constraint="non_neg"))),
    "frozen": lambda: _compiled(_stack(layers.Dense(8, trainable=False))),
    "half": lambda: _compiled(_stack(layers.Dense(8, dtype="mixed_bfloat16"))),
    "activation": lambda: _compiled(_stack(layers.Dense(8, activation="softmax"))),
    "normalised": lambda: _compiled(_stack(layers.Dense(8), layers.LayerNormalization())),
    "masked rows": lambda: _compiled(_stack(layers.Dropout(0.1))),
    "masked twice": lambda: _compiled(
        _stack(layers.Dense(8), layers.Dropout(0.1), layers.Dropout(0.1))
    ),
    "masked before": lambda: _compiled(_stack(layers.Dense(8), layers.Dropout(0.1), layers.ReLU())),
    "masked sums": lambda: _compiled(_with(_stack(), layers.Dropout(0.1))),
    "noise": lambda: _compiled(_stack(layers.Dense(8), layers.GaussianNoise(0.1))),
    "step": lambda: _compiled(_changed(_own_step)),
    "class": lambda: _compiled(_OwnModel([keras.Input((8, 8)), *_stack().layers])),
    "branches": lambda: _compiled(_branches()),
    "always masked": lambda: _compiled(_called_in_training()),
    "deep": lambda: _compiled(_stack(*[layers.Dense(2) for _ in range(64)])),
    "twice": lambda: _compiled(_twice()),
    "sums": lambda: _compiled(_stack(activation=None)),
    "eager": lambda: _compiled(_stack(layers.Dense(8)), run_eagerly=True),
}


class _OwnModel(keras.Sequential):
    """A subclass may do anything."""


def _with(model, layer):
    model.add(layer)
    return model


def _branches():
    inputs = keras.Input((64,))
    both = layers.add([layers.Dense(8)(inputs), layers.Dense(8)(inputs)])
    return keras.Model(inputs, layers.Dense(10, activation="softmax")(both))


def _called_in_training():
    inputs = keras.Input((64,))
    x = layers.Dropout(0.2)(layers.Dense(8)(inputs), training=True)
    return keras.Model(inputs, layers.Dense(10, activation="softmax")(x))


def _twice():
    inputs = keras.Input((64,))
    square = layers.Dense(10, activation="relu")
    x = layers.Dense(10)(inputs)
    return keras.Model(inputs, layers.Dense(10, activation="softmax")(square(square(x))))


def _compiled(model, **more):
    if not model.compiled:
        model.compile("adam", SPARSE, metrics=["accuracy"], **more)
    return model
