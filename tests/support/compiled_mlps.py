"""MLPs of the user's own by what they are compiled with, and by their layers."""

import keras
from keras import layers, metrics

ADAM = "adam"


def _mlp(width, outputs, activation, *hidden):
    rest = hidden or [layers.Dense(12, "relu")]
    return keras.Sequential(
        [keras.Input((width,)), *rest, layers.Dense(outputs, activation=activation)]
    )


def _compiled(model, loss, metrics, weighted=None, optimizer=ADAM):
    model.compile(optimizer, loss, metrics=metrics, weighted_metrics=weighted)
    return model


def one_hot(_):
    """Metrics of one-hot classes, by name and as objects."""
    measured = [
        "AUC",
        "accuracy",
        metrics.TopKCategoricalAccuracy(3),
        metrics.Precision(),
        metrics.Recall(name="found"),
        metrics.F1Score("macro"),
        metrics.FBetaScore("weighted", beta=2.0, threshold=0.4, name="f2"),
        "mse",
        "categorical_accuracy",
    ]
    weighted = ["acc", metrics.AUC(name="area"), metrics.F1Score("micro", name="micro")]
    return _compiled(_mlp(64, 10, "softmax"), "categorical_crossentropy", measured, weighted)


def sparse(_):
    """Metrics of classes."""
    measured = ["sparse_top_k_categorical_accuracy", "acc"]
    weighted, sgd = ["sparse_categorical_accuracy"], keras.optimizers.SGD(0.05)
    loss = "sparse_categorical_crossentropy"
    return _compiled(_mlp(64, 10, "softmax"), loss, measured, weighted, sgd)


def binary(_):
    """Metrics of two classes."""
    measured = [
        metrics.AUC(),
        metrics.AUC(curve="PR", name="pr"),
        metrics.Precision(),
        "Recall",
        metrics.BinaryAccuracy(threshold=0.4),
        "root_mean_squared_error",
        "mean_absolute_error",
    ]
    weighted = ["accuracy", "AUC", "Precision"]
    return _compiled(_mlp(30, 1, "sigmoid"), "binary_crossentropy", measured, weighted)


def squared(_):
    """Numbers, with metrics."""
    return _compiled(_mlp(10, 1, "softplus"), "mse", ["RootMeanSquaredError", "mse"], ["mae"])


def absolute(_):
    """Numbers, by their absolute error."""
    return _compiled(_mlp(10, 1, None), "mae", ["mse"], optimizer=keras.optimizers.SGD(0.01))


def huber(_):
    """Numbers, by Huber's loss."""
    return _compiled(_mlp(10, 1, None), keras.losses.Huber(delta=0.7), ["mae"])


def autoencoder(_):
    """Rows from themselves, as numbers."""
    return _compiled(_mlp(64, 64, "sigmoid"), "mse", ["mae", "accuracy"])


def shares(_):
    """Rows from themselves, as shares of one."""
    measured = ["accuracy", "binary_accuracy", "AUC"]
    return _compiled(_mlp(64, 64, "sigmoid"), "binary_crossentropy", measured)


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
