"""Describe a custom Keras model to the C extension, if it is a chain of Dense layers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import pairwise
from typing import Any, Final

import keras
import numpy as np
import numpy.typing as npt
from keras.src.metrics import ALL_OBJECTS_DICT
from keras.src.models.functional import Functional

from hpsearch.data.specs import Arrays
from hpsearch.native import metrics
from hpsearch.native.metrics import Measure
from hpsearch.native.network import (
    DenseLayer,
    DenseNetwork,
    NativeOptimizer,
    UnsupportedError,
    WeightArray,
    native_number,
    optimizer_of,
    require,
)
from hpsearch.space.keras_names import ACTIVATIONS, KERAS_METRICS, OPTIMIZERS
from hpsearch.training.compiled import FIT_METHODS

LINEAR = keras.activations.linear
#: Keras' class -> name.
_OPTIMIZERS: Final = {
    getattr(keras.optimizers, each.keras): each.name for each in OPTIMIZERS.values() if each.native
}
_ACTIVATIONS: Final = [
    (keras.activations.get(name), each.native) for name, each in ACTIVATIONS.items() if each.native
]


@dataclass(frozen=True)
class _Layer:
    """A Dense layer with the activation, BatchNormalization and Dropout that follow it."""

    dense: Any
    activation: Any
    norm: Any = None
    norm_is_behind: bool = False
    dropout: float = 0.0
    mask_seed: int = 0

    @property
    def width(self) -> int:
        """Number of units."""
        return int(self.dense.units)

    def described(self) -> DenseLayer:
        """Return the layer's description for the extension."""
        block = "BATCH_NORM_BEHIND" if self.norm_is_behind else "BATCH_NORM"
        norm, l2 = self.norm, self.dense.kernel_regularizer
        return DenseLayer(
            self.width,
            "DENSE" if norm is None else block,
            _native(self.activation),
            self.dropout,
            self.mask_seed,
            0.0 if l2 is None else float(l2.l2),
            **({} if norm is None else {"momentum": norm.momentum, "epsilon": norm.epsilon}),
        )

    def parts(self) -> list[str]:
        """Return the parts in the order of Keras' `get_weights`."""
        parts = ["KERNEL", *(["BIAS"] if self.dense.use_bias else [])]
        if self.norm is not None:
            parts += ["GAMMA"] if self.norm.scale else []
            parts += ["BETA"] if self.norm.center else []
            parts += ["MOVING_MEAN", "MOVING_VARIANCE"]
        return parts


def dense_model(
    model: keras.Model, arrays: Arrays, batch_size: int
) -> tuple[DenseNetwork, Arrays] | None:
    """Return the network of a built and compiled model, and its data, for the extension.

    The model holds the first weights. None if the extension cannot train the model.
    """
    try:
        require(type(model) in (keras.Sequential, Functional) and not model.run_eagerly)
        overridable = FIT_METHODS | {"call", "compute_loss"}
        require(not overridable & vars(model).keys())
        width, layers = _chain(model)
        loss = loss_of(model)
        layers[-1] = _before_the_loss(layers[-1], loss)
        outputs = layers[-1].width
        network = DenseNetwork(
            features=width,
            layers=tuple(layer.described() for layer in layers),
            parts=_parts(width, layers),
            batch_size=batch_size,
            loss=loss.kind,
            optimizer=_optimizer(model.optimizer),
            **_rows(arrays, width),
            measures=measures_of(model, loss, arrays, outputs),
            unit=() if loss.includes else (1.0,) * outputs,
            huber=loss.huber,
        )
        y_train, y_val = (loss.targets(y, outputs) for y in (arrays.y_train, arrays.y_val))
        return network, replace(arrays, y_train=y_train, y_val=y_val)
    except UnsupportedError:
        return None


def _chain(model: keras.Model) -> tuple[int, list[_Layer]]:
    """Return the width of a row, and the layers from the first Dense layer on."""
    require(len(model.inputs) == len(model.outputs) == 1)
    rows = model.inputs[0]
    require(rows.dtype == "float32" and model.trainable and None not in rows.shape[1:])
    require(len(rows.shape) == 2 or keras.layers.Flatten in map(type, model.layers))
    chain: list[_Layer] = []
    for layer in _in_order(model):
        require(layer.dtype_policy.name == "float32" and layer.trainable)
        require(layer.activity_regularizer is None and "call" not in vars(layer))
        chain = _extended(chain, layer)
    require(0 < len(chain) <= native_number("MAX_LAYERS"))
    penalties = [link.dense for link in chain if link.dense.kernel_regularizer is not None]
    require(len(model.losses) == len(penalties))
    return math.prod(rows.shape[1:]), chain


def _in_order(model: keras.Model) -> list[Any]:
    """Return the layers if each layer takes the output of the one before."""
    layers = list(model.layers)
    if isinstance(model, keras.Sequential):
        return layers
    require(len(model.operations) == len(layers))
    require(type(layers[0]) is keras.layers.InputLayer and layers[0].output is model.inputs[0])
    for before, layer in pairwise(layers):
        (node, *others) = layer._inbound_nodes
        require(not others and len(node.input_tensors) == 1)
        require(node.input_tensors[0] is before.output)
        # Keras records `training=False` if a call leaves it out, and sets it later.
        require(len(node.arguments.args) == 1 and not any(node.arguments.kwargs.values()))
    require(layers[-1].output is model.outputs[0])
    return layers[1:]


def _extended(chain: list[_Layer], layer: Any) -> list[_Layer]:
    """Return the chain with a layer added."""
    kind = type(layer)
    if kind is keras.layers.Flatten:
        require(not chain and layer.data_format == "channels_last")
        return chain
    if kind is keras.layers.Dense:
        return [*chain, _dense(layer)]
    # Any other layer must follow a Dense layer.
    require(chain)
    *others, last = chain
    if kind is keras.layers.Activation or kind is keras.layers.ReLU:
        require(last.activation is LINEAR and not last.norm_is_behind and not last.dropout)
        return [*others, replace(last, activation=_activation(layer))]
    if kind is keras.layers.BatchNormalization:
        require(last.norm is None and not last.dropout and _is_plain(layer))
        behind = last.activation is not LINEAR
        return [*others, replace(last, norm=layer, norm_is_behind=behind)]
    require(kind is keras.layers.Dropout and layer.noise_shape is None)
    if not layer.rate:
        return chain
    require(layer.rate < 1 and not last.dropout)
    seed, drawn = layer.seed_generator.state.numpy()
    require(not drawn)
    # Source of the modulus: keras.src.backend.tensorflow.random.
    return [*others, replace(last, dropout=float(layer.rate), mask_seed=int(seed) % (2**31 - 2))]


def _dense(layer: Any) -> _Layer:
    require(not layer.lora_enabled and layer.quantization_mode is None)
    unsupported = ("bias_regularizer", "kernel_constraint", "bias_constraint")
    require(all(getattr(layer, name) is None for name in unsupported))
    require(type(layer.kernel_regularizer) in (type(None), keras.regularizers.L2))
    return _Layer(layer, layer.activation)


def _is_plain(norm: Any) -> bool:
    """Check if the extension supports a BatchNormalization."""
    unsupported = ("beta_regularizer", "gamma_regularizer", "beta_constraint", "gamma_constraint")
    return (
        norm.axis in (-1, 1)
        and not norm.synchronized
        and not getattr(norm, "renorm", False)
        and all(getattr(norm, name) is None for name in unsupported)
    )


def _activation(layer: Any) -> Any:
    if type(layer) is keras.layers.Activation:
        return layer.activation
    require(layer.max_value is None and not layer.negative_slope and not layer.threshold)
    return keras.activations.relu


def _before_the_loss(last: _Layer, loss: Loss) -> _Layer:
    """Return the output layer, without its activation if the loss includes it."""
    require(last.norm is None and not last.dropout)
    require(last.width > 1 or loss.kind != "SOFTMAX_CROSSENTROPY")
    if loss.activation is None:
        return last
    require(last.activation is loss.activation)
    return replace(last, activation=LINEAR)


def _native(activation: Any) -> str:
    return require(next((name for function, name in _ACTIVATIONS if function is activation), None))


def _parts(width: int, layers: list[_Layer]) -> tuple[WeightArray, ...]:
    parts = []
    for number, layer in enumerate(layers):
        for part in layer.parts():
            shape = (width, layer.width) if part == "KERNEL" else (layer.width,)
            parts.append(WeightArray(number, part, shape, None))
        width = layer.width
    return tuple(parts)


def _optimizer(optimizer: Any) -> NativeOptimizer:
    name = require(_OPTIMIZERS.get(type(optimizer)))
    # Refuse learning rate schedules, which are no variables.
    require(isinstance(optimizer._learning_rate, keras.Variable))
    require(not int(optimizer.iterations.numpy()))
    excluded = ("_exclude_from_weight_decay", "_exclude_from_weight_decay_pattern")
    require(not any(getattr(optimizer, attribute, None) for attribute in excluded))
    settings = optimizer.get_config()
    del settings["name"]
    return optimizer_of(name, settings)


def _rows(arrays: Arrays, width: int) -> dict[str, Any]:
    """Return the description of x, which the extension reads unchanged."""
    x = arrays.x_train
    require(math.prod(x.shape[1:]) == width and x.dtype == arrays.x_val.dtype)
    if x.dtype == np.uint8:
        return {"rows": "SCALED_BYTES", "shift": (0.0,) * width, "scale": (1.0,) * width}
    require(x.dtype == np.float32)
    return {"rows": "FLOAT_ROWS"}


# Losses and metrics


@dataclass(frozen=True)
class Loss:
    """A loss of the extension, with Keras' classes and functions for it.

    Attributes:
        kind: The extension's name.
        function, loss: The loss as Keras' function and class.
        metric: The class of the metric that the extension sums up.
        includes: The output layer's activation, if it is part of the loss; else None.
        sparse: Whether targets are classes.
        from_logits: Whether the loss takes logits.
        huber: The error above which Huber's loss is linear.
    """

    kind: str
    function: Any
    loss: Any
    metric: Any
    includes: Any = None
    sparse: bool = False
    from_logits: bool = False
    huber: float = 1.0

    @property
    def activation(self) -> Any:
        """The activation that the output layer must have; None for any."""
        return LINEAR if self.from_logits else self.includes

    def targets(self, y: npt.NDArray[Any], outputs: int) -> npt.NDArray[Any]:
        """Return targets in the extension's form."""
        if self.sparse or outputs == 1:
            require(y.shape in ((len(y),), (len(y), 1)))
            y = y.reshape(-1)
        else:
            require(y.shape == (len(y), outputs))
        if self.sparse:
            whole = y.astype(np.int32)
            require(np.array_equal(whole, y) and np.all((whole >= 0) & (whole < outputs)))
            return whole
        numbers = np.ascontiguousarray(y, np.float32)
        if self.kind == "SIGMOID_CROSSENTROPY":
            require(np.all((numbers >= 0) & (numbers <= 1)))
        if self.kind != "SOFTMAX_CROSSENTROPY":
            return numbers
        # The extension has no partial classes, that is targets between 0 and 1.
        require(np.all((numbers == 0) | (numbers == 1)) and np.all(numbers.sum(axis=1) == 1))
        classes: npt.NDArray[Any] = numbers.argmax(axis=1).astype(np.int32)
        return classes


_LOSSES: Final = (
    Loss(
        "SOFTMAX_CROSSENTROPY",
        keras.losses.sparse_categorical_crossentropy,
        keras.losses.SparseCategoricalCrossentropy,
        keras.metrics.SparseCategoricalAccuracy,
        keras.activations.softmax,
        sparse=True,
    ),
    Loss(
        "SOFTMAX_CROSSENTROPY",
        keras.losses.categorical_crossentropy,
        keras.losses.CategoricalCrossentropy,
        keras.metrics.CategoricalAccuracy,
        keras.activations.softmax,
    ),
    Loss(
        "SIGMOID_CROSSENTROPY",
        keras.losses.binary_crossentropy,
        keras.losses.BinaryCrossentropy,
        keras.metrics.BinaryAccuracy,
        keras.activations.sigmoid,
    ),
    *(
        Loss(kind, function, loss, keras.metrics.MeanAbsoluteError)
        for kind, function, loss in (
            ("SQUARED_ERROR", keras.losses.mean_squared_error, keras.losses.MeanSquaredError),
            ("ABSOLUTE_ERROR", keras.losses.mean_absolute_error, keras.losses.MeanAbsoluteError),
            ("HUBER", keras.losses.huber, keras.losses.Huber),
        )
    ),
)


def loss_of(model: keras.Model) -> Loss:
    """Return a model's loss."""
    compiled = model._compile_config.config  # the public form is JSON
    require(compiled["loss_weights"] is None)
    given = compiled["loss"]
    if isinstance(given, str):
        try:
            given = keras.losses.get(given)
        except ValueError:
            raise UnsupportedError from None
    for kind in _LOSSES:
        if given is kind.function:
            return kind
        if type(given) is kind.loss and given.dtype == "float32":
            require(_settings(given, "from_logits") == _settings(kind.loss(), "from_logits"))
            # Huber's loss does not have it in its config.
            delta = given._fn_kwargs.get("delta", 1.0)
            logits = bool(given.get_config().get("from_logits"))
            return replace(kind, from_logits=logits, huber=float(delta))
    raise UnsupportedError


def _settings(loss_or_metric: Any, *but: str) -> dict[str, Any]:
    settings = loss_or_metric.get_config()
    return {key: value for key, value in settings.items() if key not in ("name", *but)}


#: Keras' arguments for which the metrics' functions have none of the same form.
_WITHOUT_ARGUMENT: Final = {"from_logits", "thresholds"}
#: Keras' class -> metric.
_METRICS: Final = {
    getattr(keras.metrics, metric.keras): metric
    for metric in KERAS_METRICS.values()
    if metric.native and metric.keras
}


def measures_of(
    model: keras.Model, loss: Loss, arrays: Arrays, outputs: int
) -> tuple[Measure, ...]:
    """Return the model's metrics, named as in `fit`, for targets as `fit` would get them."""
    compiled = model._compile_config.config
    are_weighted = arrays.w_train is not None or arrays.w_val is not None
    measures: list[Measure] = []
    for argument in ("metrics", "weighted_metrics"):
        given = compiled[argument] or []
        require(isinstance(given, list | tuple))
        for metric in given:
            name, kind, settings = _identified(metric, arrays.y_train.shape[1:], outputs)
            arguments = _arguments(kind, settings, loss, arrays.y_train.shape[1:], outputs)
            weighted = argument == "weighted_metrics" and are_weighted
            of = None
            if kind is not loss.metric or weighted or arguments:
                of = partial(getattr(metrics, _METRICS[kind].native), **arguments)
            sparse = _METRICS[kind].sparse
            measures.append(Measure(name, of, sparse=sparse, weighted=weighted))
    # Keras renames metrics of the same name.
    require(len({"loss", *(measure.name for measure in measures)}) == len(measures) + 1)
    return tuple(measures)


def _identified(
    metric: Any, row: tuple[int, ...], outputs: int
) -> tuple[str, Any, Mapping[str, Any]]:
    """Return a metric's name, class and settings, for the shape of a row of targets."""
    if isinstance(metric, str):
        if metric.lower() in ("accuracy", "acc"):
            kind = _accuracy(row, outputs)
        else:
            kind = ALL_OBJECTS_DICT.get(metric)
        require(kind in _METRICS)
        return metric, kind, _defaults(kind)
    kind = type(metric)
    require(kind in _METRICS)
    return str(metric.name), kind, _settings(metric)


def _accuracy(row: tuple[int, ...], outputs: int) -> Any:
    """Return the metric class that `accuracy` means here."""
    if outputs == 1:
        return keras.metrics.BinaryAccuracy
    if not row or row[-1] == 1:
        return keras.metrics.SparseCategoricalAccuracy
    return keras.metrics.CategoricalAccuracy


@cache
def _defaults(kind: Any) -> Mapping[str, Any]:
    # Named, because an unnamed metric would number the next one of its class.
    return _settings(kind(name="any"))


def _arguments(
    kind: Any, settings: Mapping[str, Any], loss: Loss, row: tuple[int, ...], outputs: int
) -> dict[str, Any]:
    """Return the arguments of a metric's function; check that they suit the data."""
    metric, defaults = _METRICS[kind], _defaults(kind)
    require(settings.keys() == defaults.keys() and metric.sparse is loss.sparse)
    require(outputs > 1 or not metric.of_several)
    # The extension returns probabilities, which order the classes of a row as logits do.
    require(metric.of_several or not loss.from_logits)
    given = {name: value for name, value in settings.items() if value != defaults[name]}
    require(given.keys() <= {*metric.arguments} - _WITHOUT_ARGUMENT)
    require(given.get("curve", "PR") == "PR")
    if "average" in metric.arguments:
        require(len(row) == 1 and "average" in given)
    return given
