"""Describe a custom Keras model to the C extension, if it is a chain of Dense layers."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Final, NamedTuple

import keras
import numpy as np
import numpy.typing as npt
from keras.src.models.functional import Functional

from hpsearch.data.specs import Arrays
from hpsearch.models.custom import FIT_METHODS
from hpsearch.native.network import (
    ACTIVATIONS,
    BIAS,
    FLOATS,
    KERNEL,
    OPTIMIZERS,
    SCALED_BYTES,
    SIGMOID_LOSS,
    SOFTMAX_LOSS,
    SQUARED_LOSS,
    DenseNetwork,
    Optimizer,
    WeightArray,
    optimizer_of,
)
from hpsearch.space.keras_names import OPTIMIZER_CLASSES

_OPTIMIZERS: Final = {
    getattr(keras.optimizers, OPTIMIZER_CLASSES[name]): name for name in OPTIMIZERS
}
_CODES: Final = [(keras.activations.get(name), code) for name, code in ACTIVATIONS.items()]
_LINEAR = keras.activations.linear
#: `MAX_LAYERS` in `hpsearch/native/src/network.h`.
_MOST_LAYERS = 64


class _Loss(NamedTuple):
    """A loss of the extension in Keras' terms.

    Attributes:
        code: The extension's code.
        function, loss: Keras' forms of the loss.
        activation: The output layer's activation.
        metric, names: The metric that the extension reports, and its names for `compile`.
    """

    code: int
    function: Any
    loss: Any
    activation: Any
    metric: Any
    names: tuple[str, ...]


_SPARSE: Final = _Loss(
    SOFTMAX_LOSS,
    keras.losses.sparse_categorical_crossentropy,
    keras.losses.SparseCategoricalCrossentropy,
    keras.activations.softmax,
    keras.metrics.SparseCategoricalAccuracy,
    ("accuracy", "acc", "sparse_categorical_accuracy"),
)
_ONE_HOT: Final = _Loss(
    SOFTMAX_LOSS,
    keras.losses.categorical_crossentropy,
    keras.losses.CategoricalCrossentropy,
    keras.activations.softmax,
    keras.metrics.CategoricalAccuracy,
    ("accuracy", "acc", "categorical_accuracy"),
)
_BINARY: Final = _Loss(
    SIGMOID_LOSS,
    keras.losses.binary_crossentropy,
    keras.losses.BinaryCrossentropy,
    keras.activations.sigmoid,
    keras.metrics.BinaryAccuracy,
    ("accuracy", "acc", "binary_accuracy"),
)
_SQUARED: Final = _Loss(
    SQUARED_LOSS,
    keras.losses.mean_squared_error,
    keras.losses.MeanSquaredError,
    _LINEAR,
    keras.metrics.MeanAbsoluteError,
    ("mae", "mean_absolute_error"),
)
_LOSSES: Final = (_SPARSE, _ONE_HOT, _BINARY, _SQUARED)


class _UnsupportedError(Exception):
    """The extension cannot train the model."""


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
    """Return the network of a built and compiled model, and the data for the extension.

    The first weights are the model's. None if the extension cannot train the model.
    """
    try:
        _require(arrays.w_train is None and arrays.w_val is None)
        _require(type(model) in (keras.Sequential, Functional) and not model.run_eagerly)
        overridable = FIT_METHODS | {"call", "compute_loss"}
        _require(not overridable & vars(model).keys() and not model.losses)
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
            loss=loss.code,
            optimizer=_optimizer(model.optimizer),
            l2=0.0,
            **_rows(arrays, width),
            metric=_metric(model, loss),
            unit=(1.0,) * layers[-1].width if loss is _SQUARED else (),
        )
        return network, _targets(arrays, loss, layers[-1].width)
    except _UnsupportedError:
        return None


def _require(supported: object) -> None:
    if not supported:
        raise _UnsupportedError


def _chain(model: keras.Model) -> tuple[int, list[_Layer]]:
    """Return the width of a row, and the layers from the first Dense one."""
    _require(len(model.inputs) == len(model.outputs) == 1)
    rows = model.inputs[0]
    _require(rows.dtype == "float32" and model.trainable and None not in rows.shape[1:])
    _require(len(rows.shape) == 2 or keras.layers.Flatten in map(type, model.layers))
    chain: list[_Layer] = []
    for layer in _in_order(model):
        _require(layer.dtype_policy.name == "float32" and layer.trainable)
        _require(layer.activity_regularizer is None and "call" not in vars(layer))
        chain = _extended(chain, layer)
    _require(0 < len(chain) <= _MOST_LAYERS)
    return math.prod(rows.shape[1:]), chain


def _in_order(model: keras.Model) -> list[Any]:
    """Return the layers if each takes the output of the one before.

    In a Sequential model they do; in a functional model the tensors tell.
    """
    layers = list(model.layers)
    if isinstance(model, keras.Sequential):
        return layers
    _require(len(model.operations) == len(layers))
    _require(type(layers[0]) is keras.layers.InputLayer and layers[0].output is model.inputs[0])
    for before, layer in pairwise(layers):
        (node, *others) = layer._inbound_nodes  # noqa: SLF001 - Keras has no public form
        _require(not others and len(node.input_tensors) == 1)
        _require(node.input_tensors[0] is before.output)
        # Keras records `training=False` for a call without it, and sets it later.
        _require(len(node.arguments.args) == 1 and not any(node.arguments.kwargs.values()))
    _require(layers[-1].output is model.outputs[0])
    return layers[1:]


def _extended(chain: list[_Layer], layer: Any) -> list[_Layer]:
    """Return the chain with a layer added."""
    kind = type(layer)
    if kind is keras.layers.Flatten:
        _require(not chain and layer.data_format == "channels_last")
        return chain
    if kind is keras.layers.Dense:
        return [*chain, _dense(layer)]
    # Any other layer changes the output of a Dense layer.
    _require(chain)
    *others, last = chain
    if kind is keras.layers.Activation or kind is keras.layers.ReLU:
        _require(last.activation is _LINEAR and not last.dropout)
        return [*others, replace(last, activation=_activation(layer))]
    _require(kind is keras.layers.Dropout and layer.noise_shape is None)
    if not layer.rate:
        return chain
    _require(layer.rate < 1 and not last.dropout)
    seed, drawn = layer.seed_generator.state.numpy()
    _require(not drawn)
    # Source of the modulus: keras.src.backend.tensorflow.random.
    return [*others, replace(last, dropout=float(layer.rate), mask_seed=int(seed) % (2**31 - 2))]


def _dense(layer: Any) -> _Layer:
    _require(layer.use_bias and not layer.lora_enabled and layer.quantization_mode is None)
    unsupported = ("kernel_regularizer", "bias_regularizer", "kernel_constraint", "bias_constraint")
    _require(all(getattr(layer, name) is None for name in unsupported))
    return _Layer(int(layer.units), layer.activation)


def _activation(layer: Any) -> Any:
    if type(layer) is keras.layers.Activation:
        return layer.activation
    _require(layer.max_value is None and not layer.negative_slope and not layer.threshold)
    return keras.activations.relu


def _before_the_loss(last: _Layer, loss: _Loss, *, from_logits: bool) -> _Layer:
    """Return the output layer without its activation, since the loss takes its sums."""
    wanted = loss.activation
    if from_logits:
        # Keras would compute the accuracy of two classes from the sums.
        _require(loss.code == SOFTMAX_LOSS)
        wanted = _LINEAR
    _require(last.activation is wanted and not last.dropout)
    _require((last.width == 1) if loss is _BINARY else (last.width > 1 or loss is _SQUARED))
    return replace(last, activation=_LINEAR)


def _code(activation: Any) -> int:
    code = next((code for function, code in _CODES if function is activation), None)
    if code is None:
        raise _UnsupportedError
    return code


def _parts(width: int, layers: list[_Layer]) -> tuple[WeightArray, ...]:
    parts = []
    for number, layer in enumerate(layers):
        parts.append(WeightArray(number, KERNEL, (width, layer.width), None))
        parts.append(WeightArray(number, BIAS, (layer.width,), None))
        width = layer.width
    return tuple(parts)


def _loss(model: keras.Model) -> tuple[_Loss, bool]:
    """Return the loss, and whether it takes sums in place of probabilities."""
    compiled = model._compile_config.config  # noqa: SLF001 - the public form is JSON
    _require(compiled["loss_weights"] is None and compiled["weighted_metrics"] is None)
    given = compiled["loss"]
    if isinstance(given, str):
        try:
            given = keras.losses.get(given)
        except ValueError:
            raise _UnsupportedError from None
    for loss in _LOSSES:
        if given is loss.function:
            return loss, False
        if type(given) is loss.loss and given.dtype == "float32":
            _require(_settings(given, "from_logits") == _settings(loss.loss(), "from_logits"))
            return loss, bool(given.get_config().get("from_logits"))
    raise _UnsupportedError


def _settings(loss_or_metric: Any, *but: str) -> dict[str, Any]:
    settings = loss_or_metric.get_config()
    return {key: value for key, value in settings.items() if key not in ("name", *but)}


def _metric(model: keras.Model, loss: _Loss) -> str:
    """Return the name of the only metric; empty if there is none."""
    metrics = model._compile_config.config["metrics"]  # noqa: SLF001
    if not metrics:
        return ""
    _require(isinstance(metrics, list | tuple) and len(metrics) == 1)
    (metric,) = metrics
    if isinstance(metric, str):
        _require(metric in loss.names)
        return metric
    _require(type(metric) is loss.metric and metric.name != "loss")
    _require(_settings(metric) == _settings(loss.metric()))
    return str(metric.name)


def _optimizer(optimizer: Any) -> Optimizer:
    name = _OPTIMIZERS.get(type(optimizer))
    if name is None:
        raise _UnsupportedError
    # A learning rate schedule is not a variable.
    _require(isinstance(optimizer._learning_rate, keras.Variable))  # noqa: SLF001
    _require(not int(optimizer.iterations.numpy()))
    excluded = ("_exclude_from_weight_decay", "_exclude_from_weight_decay_pattern")
    _require(not any(getattr(optimizer, each, None) for each in excluded))
    settings = optimizer.get_config()
    del settings["name"]
    known = optimizer_of(name, settings)
    if known is None:
        raise _UnsupportedError
    return known


def _rows(arrays: Arrays, width: int) -> dict[str, Any]:
    """Return the description of x, which the extension reads as it is."""
    x = arrays.x_train
    _require(math.prod(x.shape[1:]) == width and x.dtype == arrays.x_val.dtype)
    if x.dtype == np.uint8:
        return {"rows": SCALED_BYTES, "shift": (0.0,) * width, "scale": (1.0,) * width}
    _require(x.dtype == np.float32)
    return {"rows": FLOATS}


def _targets(arrays: Arrays, loss: _Loss, outputs: int) -> Arrays:
    """Return the data with targets in the extension's form."""
    y_train, y_val = (_converted(y, loss, outputs) for y in (arrays.y_train, arrays.y_val))
    return replace(arrays, y_train=y_train, y_val=y_val)


def _converted(y: npt.NDArray[Any], loss: _Loss, outputs: int) -> npt.NDArray[Any]:
    if loss in (_SPARSE, _BINARY) or outputs == 1:
        _require(y.shape in ((len(y),), (len(y), 1)))
        y = y.reshape(-1)
    else:
        _require(y.shape == (len(y), outputs))
    if loss is _SPARSE:
        whole = y.astype(np.int32)
        _require(np.array_equal(whole, y) and np.all((whole >= 0) & (whole < outputs)))
        return whole
    numbers = np.ascontiguousarray(y, np.float32)
    if loss is _SQUARED:
        return numbers
    # Numbers between 0 and 1 would be partial classes.
    _require(np.all((numbers == 0) | (numbers == 1)))
    if loss is _BINARY:
        return numbers
    _require(np.all(numbers.sum(axis=1) == 1))
    classes: npt.NDArray[Any] = numbers.argmax(axis=1).astype(np.int32)
    return classes
