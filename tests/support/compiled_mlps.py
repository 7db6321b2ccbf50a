"""MLPs of the user's own by what they are compiled with, and by their layers."""

import keras
from keras import layers, metrics

ADAM = "adam"


def _mlp(width, outputs, activation, *hidden, units=12):
    rest = hidden or [layers.Dense(units, "relu")]
    return keras.Sequential(
        [keras.Input((width,)), *rest, layers.Dense(outputs, activation=activation)]
    )


def one_hot(_):
    """Metrics of one-hot classes, by name and as objects."""
    model = _mlp(64, 10, "softmax")
    model.compile(
        ADAM,
        "categorical_crossentropy",
        metrics=[
            "AUC",
            "accuracy",
            metrics.AUC(),
            metrics.TopKCategoricalAccuracy(3),
            metrics.Precision(),
            metrics.Recall(thresholds=0.3, name="found"),
            metrics.F1Score("macro"),
            metrics.FBetaScore("weighted", beta=2.0, threshold=0.4, name="f2"),
            "mse",
            "categorical_accuracy",
        ],
        weighted_metrics=["accuracy", metrics.AUC(name="area"), metrics.F1Score("micro")],
    )
    return model


def sparse(_):
    """Metrics of classes, twice under one name."""
    model = _mlp(64, 10, "softmax")
    model.compile(
        keras.optimizers.SGD(0.05),
        "sparse_categorical_crossentropy",
        metrics=["sparse_top_k_categorical_accuracy", "acc", "acc"],
        weighted_metrics=["acc", "sparse_categorical_accuracy"],
    )
    return model


def binary(_):
    """Metrics of two classes."""
    model = _mlp(30, 1, "sigmoid")
    model.compile(
        ADAM,
        "binary_crossentropy",
        metrics=[
            metrics.AUC(),
            metrics.AUC(curve="PR", name="pr"),
            metrics.Precision(0.3),
            "Recall",
            metrics.BinaryAccuracy(threshold=0.4),
            "root_mean_squared_error",
            metrics.mean_absolute_error,
        ],
        weighted_metrics=["accuracy", "AUC", "Precision"],
    )
    return model


def logits(_):
    """A loss and metrics of sums."""
    model = _mlp(30, 1, None)
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    own = [metrics.AUC(from_logits=True), metrics.BinaryAccuracy(threshold=0.0)]
    model.compile(ADAM, loss, metrics=own)
    return model


def squared(_):
    """Numbers, with metrics."""
    model = _mlp(10, 1, "softplus")
    model.compile(
        ADAM, "mse", metrics=["RootMeanSquaredError", "mae", "mse"], weighted_metrics=["mae"]
    )
    return model


def absolute(_):
    """Numbers, by their absolute error."""
    model = _mlp(10, 1, None)
    model.compile(keras.optimizers.SGD(0.01), "mae", metrics=["mse"])
    return model


def huber(_):
    """Numbers, by Huber's loss."""
    model = _mlp(10, 1, None)
    model.compile(ADAM, keras.losses.Huber(delta=0.7), metrics=["mae"])
    return model


def autoencoder(_):
    """Rows from themselves, as numbers."""
    model = _mlp(64, 64, "sigmoid")
    model.compile(ADAM, "mse", metrics=["mae", "accuracy"])
    return model


def shares(_):
    """Rows from themselves, as shares of one."""
    model = _mlp(64, 64, "sigmoid")
    model.compile(ADAM, "binary_crossentropy", metrics=["accuracy", "binary_accuracy", "AUC"])
    return model


def _of_digits(*hidden, optimizer=ADAM, **last):
    model = _mlp(64, 10, "softmax", *hidden)
    if last:
        model.pop()
        model.add(layers.Dense(10, "softmax", **last))
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def normed(_):
    """Normalisation before the activation."""
    return _of_digits(
        layers.Dense(20, use_bias=False),
        layers.BatchNormalization(momentum=0.8, epsilon=1e-2),
        layers.Activation("tanh"),
        layers.Dropout(0.2),
        layers.Dense(17),
        layers.BatchNormalization(center=False),
        layers.ReLU(),
        layers.Dense(9, use_bias=False),
        layers.BatchNormalization(scale=False),
        optimizer=keras.optimizers.SGD(0.1, momentum=0.9),
    )


def normed_behind(_):
    """Normalisation behind the activation."""
    return _of_digits(
        layers.Dense(20, "relu"),
        layers.BatchNormalization(momentum=0.9),
        layers.Dropout(0.3),
        layers.Dense(17),
        layers.Activation("gelu"),
        layers.BatchNormalization(center=False, scale=False),
    )


def normed_by_adam(_):
    """A bias before the normalisation: its gradient is what rounding leaves of zero."""
    return _of_digits(
        layers.Dense(20), layers.BatchNormalization(), layers.ReLU(), layers.Dropout(0.2)
    )


def without_biases(_):
    """Kernels alone."""
    return _of_digits(layers.Dense(20, "relu", use_bias=False), use_bias=False)


def penalised(_):
    """A penalty of each layer's own."""
    return _of_digits(
        layers.Dense(20, "relu", kernel_regularizer=keras.regularizers.L2(0.02)),
        layers.Dense(20, "elu"),
        kernel_regularizer=keras.regularizers.L2(0.003),
    )
