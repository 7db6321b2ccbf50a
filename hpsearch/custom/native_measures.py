"""Describe a compiled Keras model's loss and metrics to the native trainer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from types import FunctionType
from typing import Any, Final

import keras
import numpy as np
import numpy.typing as npt
from keras.src.metrics import ALL_OBJECTS_DICT

from hpsearch.data.specs import Arrays
from hpsearch.native import metrics
from hpsearch.native.metrics import Measure
from hpsearch.native.network import UnsupportedError, require
from hpsearch.space.keras_names import KERAS_METRICS

LINEAR = keras.activations.linear


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
        """Return targets in the extension's form.

        Raises:
            UnsupportedError: The extension does not take their form or their values.
        """
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
    """Return a model's loss.

    Raises:
        UnsupportedError: The extension lacks the loss.
    """
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


#: Keras' class -> metric.
_METRICS: Final = {
    getattr(keras.metrics, each.keras): each for each in KERAS_METRICS.values() if each.native
}
#: Metrics that can take logits in place of probabilities.
_OF_SUMS: Final = {keras.metrics.AUC, keras.metrics.BinaryAccuracy}
#: Keras' function -> the class that averages it.
_FUNCTIONS: Final = {
    getattr(keras.metrics, name): getattr(keras.metrics, metric.keras)
    for name, metric in KERAS_METRICS.items()
    if metric.native and "k" not in metric.arguments and hasattr(keras.metrics, name)
}


def measures_of(
    model: keras.Model, loss: Loss, arrays: Arrays, outputs: int
) -> tuple[Measure, ...]:
    """Return the model's metrics, named as in `fit`.

    Args:
        arrays: The data; targets are as `fit` would get them.
        outputs: Width of the output layer.

    Raises:
        UnsupportedError: A metric is not supported.
    """
    compiled = model._compile_config.config
    are_weighted = arrays.w_train is not None or arrays.w_val is not None
    measures: list[Measure] = []
    # Source of the names: keras.src.trainers.compile_utils.CompileMetrics.
    seen: Counter[str] = Counter()
    for argument in ("metrics", "weighted_metrics"):
        given = compiled[argument] or []
        require(isinstance(given, list | tuple))
        for metric in given:
            name, kind, settings = _identified(metric, arrays.y_train.shape[1:], outputs)
            if argument == "weighted_metrics" and seen[name]:
                name = f"weighted_{name}"
            seen[name] += 1
            if seen[name] > 1:
                name = f"{name}_{seen[name] - 1}"
            require(name != "loss")
            arguments = _arguments(kind, settings, loss, arrays.y_train.shape[1:], outputs)
            weighted = argument == "weighted_metrics" and are_weighted
            of = None
            if kind is not loss.metric or weighted or arguments not in _SUMMED:
                of = partial(getattr(metrics, _METRICS[kind].native), **arguments)
            sparse = _METRICS[kind].sparse
            measures.append(Measure(name, of, sparse=sparse, weighted=weighted))
    return tuple(measures)


#: Arguments of the metrics that the extension sums up.
_SUMMED: Final[tuple[dict[str, Any], ...]] = ({}, {"threshold": 0.5})


def _identified(
    metric: Any, row: tuple[int, ...], outputs: int
) -> tuple[str, Any, Mapping[str, Any]]:
    """Return a metric's name, class and settings.

    Args:
        row: Shape of a row of targets.
    """
    if isinstance(metric, str):
        if metric.lower() in ("accuracy", "acc"):
            kind = _accuracy(row, outputs)
        else:
            kind = ALL_OBJECTS_DICT.get(metric)
        require(kind in _METRICS)
        return metric, kind, _defaults(kind)
    if isinstance(metric, FunctionType):
        kind = _FUNCTIONS.get(metric)
        require(kind is not None)
        return metric.__name__, kind, _defaults(kind)
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
    names = metric.arguments
    require(settings.keys() == defaults.keys())
    require(all(settings[name] == defaults[name] for name in settings.keys() - set(names)))
    require(metric.sparse is loss.sparse)
    require(not metric.of_several or outputs > 1)
    given = {name: settings[name] for name in names if name in settings}
    if loss.from_logits:
        # The extension returns probabilities, which order the rows as logits do.
        sums = loss.kind == "SIGMOID_CROSSENTROPY" and kind in _OF_SUMS
        require(sums or metric.of_several)
    if "from_logits" in given:
        require(given.pop("from_logits") is loss.from_logits)
    if kind is keras.metrics.BinaryAccuracy and loss.from_logits:
        require(given["threshold"] == 0)
        given["threshold"] = 0.5
    if "thresholds" in given:
        threshold = given.pop("thresholds")
        require(threshold is None or isinstance(threshold, int | float))
        given["threshold"] = 0.5 if threshold is None else threshold
    require(given.get("curve", "ROC") in ("ROC", "PR"))
    if "average" in names:
        require(len(row) == 1 and given["average"] is not None)
        given.setdefault("beta", 1.0)
    return given
