"""A user's Keras model as the C extension takes it, where it is in substance an MLP."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Final

import keras
import numpy as np
import numpy.typing as npt
from keras.src.models.functional import Functional

from hpsearch.data.specs import Arrays
from hpsearch.native.network import (
    ACTIVATIONS,
    BIAS,
    FLOATS,
    KERNEL,
    SCALED_BYTES,
    SIGMOID_LOSS,
    SOFTMAX_LOSS,
    SQUARED_LOSS,
    DenseNetwork,
    Optimizer,
    WeightArray,
    optimizer_of,
)

#: What `fit` calls, and an instance may have one of its own of.
_METHODS: Final = frozenset(
    {
        "call",
        "compute_loss",
        "compute_metrics",
        "evaluate",
        "fit",
        "make_test_function",
        "make_train_function",
        "test_step",
        "train_step",
    }
)
_OPTIMIZERS: Final = {
    keras.optimizers.SGD: "sgd",
    keras.optimizers.Adam: "adam",
    keras.optimizers.AdamW: "adamw",
    keras.optimizers.RMSprop: "rmsprop",
    keras.optimizers.Adagrad: "adagrad",
}
_CODES: Final = [(keras.activations.get(name), code) for name, code in ACTIVATIONS.items()]
_LINEAR, _SIGMOID = keras.activations.linear, keras.activations.sigmoid
#: `csrc/network.h`.
_MOST_LAYERS = 64

_SPARSE, _ONE_HOT, _BINARY, _SQUARED = "sparse", "one-hot", "binary", "squared"
#: The extension's code of each kind of loss.
_LOSSES: Final = {
    _SPARSE: SOFTMAX_LOSS,
    _ONE_HOT: SOFTMAX_LOSS,
    _BINARY: SIGMOID_LOSS,
    _SQUARED: SQUARED_LOSS,
}
#: Which kind each of Keras' losses is.
_KINDS: Final = {
    keras.losses.SparseCategoricalCrossentropy: _SPARSE,
    keras.losses.CategoricalCrossentropy: _ONE_HOT,
    keras.losses.BinaryCrossentropy: _BINARY,
    keras.losses.MeanSquaredError: _SQUARED,
}
_FUNCTIONS: Final = {
    keras.losses.sparse_categorical_crossentropy: _SPARSE,
    keras.losses.categorical_crossentropy: _ONE_HOT,
    keras.losses.binary_crossentropy: _BINARY,
    keras.losses.mean_squared_error: _SQUARED,
}
#: What the extension reports beside each kind of loss.
_METRICS: Final = {
    _SPARSE: keras.metrics.SparseCategoricalAccuracy,
    _ONE_HOT: keras.metrics.CategoricalAccuracy,
    _BINARY: keras.metrics.BinaryAccuracy,
    _SQUARED: keras.metrics.MeanAbsoluteError,
}
#: The same by the names that people compile a model with.
_NAMES: Final = {
    _SPARSE: ("accuracy", "acc", "sparse_categorical_accuracy"),
    _ONE_HOT: ("accuracy", "acc", "categorical_accuracy"),
    _BINARY: ("accuracy", "acc", "binary_accuracy"),
    _SQUARED: ("mae", "mean_absolute_error"),
}


class _UnknownError(Exception):
    """The extension has no such thing."""


@dataclass(frozen=True)
class _Layer:
    """A Dense layer with its activation and the Dropout after it."""

    width: int
    activation: Any
    dropout: float = 0.0
    mask_seed: int = 0


def dense_model(
    model: keras.Model, arrays: Arrays, batch_size: int
) -> tuple[DenseNetwork, Arrays] | None:
    """The network that a built and compiled model is, and the data as the extension takes it.

    Its first weights are the model's. None where the extension has no such thing.
    """
    try:
        _require(arrays.w_train is None and arrays.w_val is None)
        _require(type(model) in (keras.Sequential, Functional) and not model.run_eagerly)
        _require(not _METHODS & vars(model).keys() and not model.losses)
        width, layers = _chain(model)
        loss, from_logits = _loss(model)
        layers[-1] = _before_the_loss(layers[-1], loss, from_logits=from_logits)
        network = DenseNetwork(
            widths=(width, *(layer.width for layer in layers)),
            blocks=(0,) * len(layers),
            activations=tuple(_code(layer.activation) for layer in layers),
            dropouts=tuple(layer.dropout for layer in layers),
            mask_seeds=tuple(layer.mask_seed for layer in layers),
            parts=_parts(width, layers),
            batch_size=batch_size,
            loss=_LOSSES[loss],
            optimizer=_optimizer(model.optimizer),
            l2=0.0,
            **_rows(arrays, width),
            metric=_metric(model, loss),
            unit=(1.0,) * layers[-1].width if loss == _SQUARED else (),
        )
        return network, _targets(arrays, loss, layers[-1].width)
    except _UnknownError:
        return None


def _require(known: object) -> None:
    if not known:
        raise _UnknownError


def _chain(model: keras.Model) -> tuple[int, list[_Layer]]:
    """The width of a row, and the layers from the first one that is Dense."""
    _require(len(model.inputs) == len(model.outputs) == 1)
    rows = model.inputs[0]
    _require(rows.dtype == "float32" and model.trainable and None not in rows.shape[1:])
    _require(len(rows.shape) == 2 or keras.layers.Flatten in map(type, model.layers))
    made: list[_Layer] = []
    for layer in _in_order(model):
        _require(layer.dtype_policy.name == "float32" and layer.trainable)
        _require(layer.activity_regularizer is None and "call" not in vars(layer))
        made = _taken_in(layer, made)
    _require(0 < len(made) <= _MOST_LAYERS)
    return math.prod(rows.shape[1:]), made


def _in_order(model: keras.Model) -> list[Any]:
    """The layers, each of which takes what the one before gives.

    Of a Sequential model they are that; of another its tensors say so.
    """
    layers = list(model.layers)
    if isinstance(model, keras.Sequential):
        return layers
    _require(len(model.operations) == len(layers))
    _require(type(layers[0]) is keras.layers.InputLayer and layers[0].output is model.inputs[0])
    for before, layer in pairwise(layers):
        (node, *others) = layer._inbound_nodes  # noqa: SLF001 - nothing else tells
        _require(not others and len(node.input_tensors) == 1)
        _require(node.input_tensors[0] is before.output)
        # `training=False` is what Keras notes of a call without it, and sets anew.
        _require(len(node.arguments.args) == 1 and not any(node.arguments.kwargs.values()))
    _require(layers[-1].output is model.outputs[0])
    return layers[1:]


def _taken_in(layer: Any, made: list[_Layer]) -> list[_Layer]:
    """The layers so far and this one."""
    kind = type(layer)
    if kind is keras.layers.Flatten:
        _require(not made and layer.data_format == "channels_last")
        return made
    if kind is keras.layers.Dense:
        return [*made, _dense(layer)]
    # What else there is changes what a Dense layer gives.
    _require(made)
    *others, last = made
    if kind is keras.layers.Activation or kind is keras.layers.ReLU:
        _require(last.activation is _LINEAR and not last.dropout)
        return [*others, replace(last, activation=_activation(layer))]
    _require(kind is keras.layers.Dropout and layer.noise_shape is None)
    if not layer.rate:
        return made
    _require(layer.rate < 1 and not last.dropout)
    seed, drawn = layer.seed_generator.state.numpy()
    _require(not drawn)
    # As TensorFlow's backend of Keras takes a seed: keras.src.backend.tensorflow.random.
    return [*others, replace(last, dropout=float(layer.rate), mask_seed=int(seed) % (2**31 - 2))]


def _dense(layer: Any) -> _Layer:
    _require(layer.use_bias and not layer.lora_enabled and layer.quantization_mode is None)
    apart = ("kernel_regularizer", "bias_regularizer", "kernel_constraint", "bias_constraint")
    _require(all(getattr(layer, name) is None for name in apart))
    return _Layer(int(layer.units), layer.activation)


def _activation(layer: Any) -> Any:
    if type(layer) is keras.layers.Activation:
        return layer.activation
    _require(layer.max_value is None and not layer.negative_slope and not layer.threshold)
    return keras.activations.relu


def _before_the_loss(last: _Layer, loss: str, *, from_logits: bool) -> _Layer:
    """The output layer, whose sums the extension's loss takes."""
    wanted = {_BINARY: _SIGMOID, _SQUARED: _LINEAR}.get(loss, keras.activations.softmax)
    if from_logits:
        # Keras' accuracy of two classes would be of the sums.
        _require(loss in (_SPARSE, _ONE_HOT))
        wanted = _LINEAR
    _require(last.activation is wanted and not last.dropout)
    _require((last.width == 1) if loss == _BINARY else (last.width > 1 or loss == _SQUARED))
    return replace(last, activation=_LINEAR)


def _code(activation: Any) -> int:
    code = next((code for function, code in _CODES if function is activation), None)
    if code is None:
        raise _UnknownError
    return code


def _parts(width: int, layers: list[_Layer]) -> tuple[WeightArray, ...]:
    parts = []
    for number, layer in enumerate(layers):
        parts.append(WeightArray(number, KERNEL, (width, layer.width), None))
        parts.append(WeightArray(number, BIAS, (layer.width,), None))
        width = layer.width
    return tuple(parts)


def _loss(model: keras.Model) -> tuple[str, bool]:
    """Its kind, and whether it takes sums in place of probabilities."""
    compiled = model._compile_config.config  # noqa: SLF001 - Keras gives it as JSON only
    _require(compiled["loss_weights"] is None and compiled["weighted_metrics"] is None)
    loss = compiled["loss"]
    if isinstance(loss, str):
        try:
            loss = keras.losses.get(loss)
        except ValueError:
            raise _UnknownError from None
    kind = next((kind for function, kind in _FUNCTIONS.items() if function is loss), None)
    if kind is not None:
        return kind, False
    _require(type(loss) in _KINDS and loss.dtype == "float32")
    settings = loss.get_config()
    from_logits = bool(settings.get("from_logits"))
    _require(_settings(loss, "from_logits") == _settings(type(loss)(), "from_logits"))
    return _KINDS[type(loss)], from_logits


def _settings(loss_or_metric: Any, *but: str) -> dict[str, Any]:
    settings = loss_or_metric.get_config()
    return {key: value for key, value in settings.items() if key not in ("name", *but)}


def _metric(model: keras.Model, loss: str) -> str:
    """The name of the one metric; empty where there is none."""
    metrics = model._compile_config.config["metrics"]  # noqa: SLF001
    if not metrics:
        return ""
    _require(isinstance(metrics, list | tuple) and len(metrics) == 1)
    (metric,) = metrics
    if isinstance(metric, str):
        _require(metric in _NAMES[loss])
        return metric
    known = _METRICS[loss]
    _require(type(metric) is known and metric.name != "loss")
    _require(_settings(metric) == _settings(known()))
    return str(metric.name)


def _optimizer(optimizer: Any) -> Optimizer:
    name = _OPTIMIZERS.get(type(optimizer))
    if name is None:
        raise _UnknownError
    # A schedule is none.
    _require(isinstance(optimizer._learning_rate, keras.Variable))  # noqa: SLF001
    _require(not int(optimizer.iterations.numpy()))
    excluded = ("_exclude_from_weight_decay", "_exclude_from_weight_decay_pattern")
    _require(not any(getattr(optimizer, each, None) for each in excluded))
    settings = optimizer.get_config()
    del settings["name"]
    known = optimizer_of(name, settings)
    if known is None:
        raise _UnknownError
    return known


def _rows(arrays: Arrays, width: int) -> dict[str, Any]:
    """How the extension reads x: as it is."""
    x = arrays.x_train
    _require(math.prod(x.shape[1:]) == width and x.dtype == arrays.x_val.dtype)
    if x.dtype == np.uint8:
        return {"rows": SCALED_BYTES, "shift": (0.0,) * width, "scale": (1.0,) * width}
    _require(x.dtype == np.float32)
    return {"rows": FLOATS}


def _targets(arrays: Arrays, loss: str, outputs: int) -> Arrays:
    """The data with targets as the extension reads them."""
    y_train, y_val = (_read(y, loss, outputs) for y in (arrays.y_train, arrays.y_val))
    return replace(arrays, y_train=y_train, y_val=y_val)


def _read(y: npt.NDArray[Any], loss: str, outputs: int) -> npt.NDArray[Any]:
    if loss in (_SPARSE, _BINARY) or outputs == 1:
        _require(y.shape in ((len(y),), (len(y), 1)))
        y = y.reshape(-1)
    else:
        _require(y.shape == (len(y), outputs))
    if loss == _SPARSE:
        whole = y.astype(np.int32)
        _require(np.array_equal(whole, y) and whole.min() >= 0 and whole.max() < outputs)
        return whole
    numbers = np.ascontiguousarray(y, np.float32)
    if loss == _SQUARED:
        return numbers
    # Anything between 0 and 1 would be a class in part.
    _require(np.all((numbers == 0) | (numbers == 1)))
    if loss == _BINARY:
        return numbers
    _require(np.all(numbers.sum(axis=1) == 1))
    classes: npt.NDArray[Any] = numbers.argmax(axis=1).astype(np.int32)
    return classes
