"""Losses and metrics inside the compiled trainer's graph."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Protocol

import keras
import numpy as np
import tensorflow as tf

from hpsearch.data.dataset import unpacked
from hpsearch.data.specs import Target, TargetPart, Task
from hpsearch.models.problem import Recipe
from hpsearch.space.keras_names import METRIC_CLASSES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Tensor = Any


class KerasMetric:
    """A Keras metric of an MLP's predictions.

    With several classes, all metrics except `sparse_...` get one-hot targets. F-scores are the
    mean over classes (`average="macro"`). `auc`, `precision` and `recall` count each class of a
    row as a separate row, which is Keras' default.

    Args:
        name: A name in `METRIC_CLASSES`.
    """

    def __init__(self, name: str, target: Target) -> None:
        self.name = name
        self._target = target
        self._sparse = name.startswith("sparse_")
        self._metric = getattr(keras.metrics, METRIC_CLASSES[name])(**_arguments(name, target))

    def reset(self) -> None:
        """Forget all rows."""
        self._metric.reset_state()

    def add(self, y: Tensor, prediction: Tensor) -> None:
        """Count rows.

        Args:
            y: Classes `(rows,)`, one-hot classes or targets `(rows, outputs)`.
            prediction: `(rows, outputs)`.
        """
        if self._target.task is Task.MULTICLASS:
            if self._sparse and len(y.shape) > 1:
                y = tf.argmax(y, axis=-1)
            elif not self._sparse and len(y.shape) == 1:
                y = tf.one_hot(y, self._target.outputs)
        self._metric.update_state(y, prediction)

    def result(self) -> Tensor:
        """Return the metric of all rows so far, a scalar."""
        return tf.cast(self._metric.result(), tf.float32)


def _arguments(name: str, target: Target) -> dict[str, Any]:
    if found := re.fullmatch(r"top_(\d+)_accuracy", name):
        return {"k": int(found[1])}
    if METRIC_CLASSES[name] not in ("F1Score", "FBetaScore"):
        return {}
    # Without a threshold Keras takes the most probable column, and binary targets have only one.
    threshold = {"threshold": 0.5} if target.outputs == 1 else {}
    return {"average": "macro", **threshold}


Sums = tuple[Tensor, ...]
#: x, y, prediction, and weights of the rows.
Batch = tuple[Tensor, Tensor, Tensor, Tensor | None]

#: Losses that depend on the error only: adding the target's mean would only cost precision.
_SHIFT_INVARIANT = frozenset(
    {"huber", "log_cosh", "mae", "mean_absolute_error", "mean_squared_error", "mse"}
)


class Measures(Protocol):
    """The part of an epoch's graph that judges predictions.

    Calls are `start`, `add` for each batch, and `result`; the loop carries the sums.
    """

    def build(self, x: Tensor, y: Tensor) -> None:
        """Make all variables, given a row `(1, ...)` of the data."""
        ...

    def prepare(self, y: Tensor) -> Tensor:
        """Return targets `(rows, ...)` in the form that the loss takes; called once an epoch."""
        ...

    def objective(
        self, x: Tensor, y: Tensor, prediction: Tensor, weights: Tensor | None = None
    ) -> Tensor:
        """Return the scalar to minimise on a batch, regularisation included.

        Args:
            weights: Weights of the rows, `(rows,)`; as in Keras, the sum is divided by the number
                of rows.
        """
        ...

    def start(self) -> Sums:
        """Return sums over no rows."""
        ...

    def add(self, sums: Sums, batch: Batch, objective: Tensor) -> Sums:
        """Return the sums with a batch added."""
        ...

    def result(self, sums: Sums, rows: int) -> dict[str, Tensor]:
        """Return the mean over `rows` samples by name."""
        ...


def make_measures(model: keras.Model, recipe: Recipe, target: Target) -> Measures:
    """Return the fast form for MLPs, the general one for custom models."""
    units = _Units(target, recipe.loss)
    if recipe.model:
        return _Compiled(model, units, target.parts)
    return _Plain(model, recipe, target, units)


def metric_of(recipe: Recipe, target: Target) -> tuple[str, Callable[[Tensor, Tensor], Tensor]]:
    """Return the name of an MLP's metric, and its function of targets and predictions.

    Source of the choice of accuracy: `keras.src.trainers.compile_utils`.
    """
    if target.task is Task.REGRESSION:
        return "mae", keras.metrics.mean_absolute_error
    if _is_sparse(recipe):
        return "accuracy", keras.metrics.sparse_categorical_accuracy
    if target.outputs == 1:
        return "accuracy", keras.metrics.binary_accuracy
    return "accuracy", keras.metrics.categorical_accuracy


def prepared(y: Tensor, recipe: Recipe, target: Target) -> Tensor:
    """Return targets `(rows, ...)` in the form that the loss and the metric take."""
    if _is_sparse(recipe):
        return y
    if target.task is Task.MULTICLASS:
        return tf.one_hot(y, target.outputs)
    return tf.reshape(y, (-1, target.outputs))


def _is_sparse(recipe: Recipe) -> bool:
    return "sparse" in recipe.loss.lower()


class _Units:
    """Converts standardised numbers to the target's own units."""

    def __init__(self, target: Target, loss: str) -> None:
        self._std = np.asarray(target.std, np.float32)
        self._mean = np.asarray(target.mean, np.float32)
        if loss in _SHIFT_INVARIANT:
            self._mean = np.zeros_like(self._mean)
        self.standardised = target.task is Task.REGRESSION and bool(
            np.any(self._std != 1) or np.any(self._mean)
        )

    def restore(self, tensor: Tensor) -> Tensor:
        """Convert `(rows, outputs)`; targets that are not standardised stay as they are."""
        return tensor * self._std + self._mean if self.standardised else tensor


class _Plain:
    """A Keras loss by name, and accuracy or mae without Keras' metric objects."""

    def __init__(self, model: keras.Model, recipe: Recipe, target: Target, units: _Units) -> None:
        self._model = model
        self._recipe = recipe
        self._target = target
        self._units = units
        self._loss = keras.losses.get(recipe.loss)
        self._name, self._metric = metric_of(recipe, target)
        scored = recipe.keras_metric
        self._scored = KerasMetric(scored, target) if scored else None

    def build(self, x: Tensor, y: Tensor) -> None:
        if self._scored is not None:
            self._scored.add(self._units.restore(self.prepare(y)), self._model(x))

    def prepare(self, y: Tensor) -> Tensor:
        return prepared(y, self._recipe, self._target)

    def objective(
        self, x: Tensor, y: Tensor, prediction: Tensor, weights: Tensor | None = None
    ) -> Tensor:
        del x
        return self._mean_loss(y, prediction, weights) + self._regularisation()

    def start(self) -> Sums:
        if self._scored is not None:
            self._scored.reset()
        return tf.constant(0.0), tf.constant(0.0)

    def add(self, sums: Sums, batch: Batch, objective: Tensor) -> Sums:
        _, y, prediction, weights = batch
        rows = tf.cast(tf.shape(prediction)[0], tf.float32)
        if self._units.standardised:
            y, prediction = self._units.restore(y), self._units.restore(prediction)
            objective = self._mean_loss(y, prediction, weights) + self._regularisation()
        if self._scored is not None:
            self._scored.add(y, prediction)
        values = self._metric(y, prediction)
        if len(values.shape) > 1:
            values = tf.reduce_mean(values, axis=tuple(range(1, len(values.shape))))
        return sums[0] + objective * rows, sums[1] + tf.reduce_sum(values)

    def result(self, sums: Sums, rows: int) -> dict[str, Tensor]:
        numbers = {"loss": _mean(sums[0], rows), self._name: _mean(sums[1], rows)}
        if self._scored is not None:
            numbers[self._scored.name] = self._scored.result()
        return numbers

    def _mean_loss(self, y: Tensor, prediction: Tensor, weights: Tensor | None) -> Tensor:
        values = self._loss(y, prediction)
        return tf.reduce_mean(values if weights is None else values * weights)

    def _regularisation(self) -> Tensor:
        losses = self._model.losses
        return tf.add_n([tf.reduce_sum(loss) for loss in losses]) if losses else tf.constant(0.0)


class _Compiled:
    """The loss and metric objects that a model was compiled with."""

    def __init__(self, model: keras.Model, units: _Units, parts: Sequence[TargetPart] = ()) -> None:
        self._model = model
        self._units = units
        self._parts = parts

    def build(self, x: Tensor, y: Tensor) -> None:
        prediction = self._model(x)
        self.objective(x, y, prediction)
        self._model.compute_metrics(x, self._targets(y), prediction)

    def prepare(self, y: Tensor) -> Tensor:
        return y

    def objective(
        self, x: Tensor, y: Tensor, prediction: Tensor, weights: Tensor | None = None
    ) -> Tensor:
        y = self._targets(y)
        return self._model.compute_loss(x=x, y=y, y_pred=prediction, sample_weight=weights)

    def start(self) -> Sums:
        self._model.reset_metrics()
        return (tf.constant(0.0),)

    def add(self, sums: Sums, batch: Batch, objective: Tensor) -> Sums:
        x, y, prediction, weights = batch
        rows = tf.cast(tf.shape(y)[0], tf.float32)
        if self._units.standardised:
            y, prediction = self._units.restore(y), self._units.restore(prediction)
            objective = self.objective(x, y, prediction, weights)
        self._model.compute_metrics(x, self._targets(y), prediction, sample_weight=weights)
        return (sums[0] + objective * rows,)

    def result(self, sums: Sums, rows: int) -> dict[str, Tensor]:
        return {**self._model.get_metrics_result(), "loss": _mean(sums[0], rows)}

    def _targets(self, y: Tensor) -> Any:
        return unpacked(y, self._parts, _as_tensor) if self._parts else y


def _as_tensor(columns: Tensor, part: TargetPart) -> Tensor:
    """Return one of several targets; `data.dataset` does the same for arrays."""
    shaped = tf.reshape(columns, (-1, *part.shape))
    return tf.cast(shaped, tf.int32 if part.whole else tf.float32)


def _mean(total: Tensor, rows: int) -> Tensor:
    """Divide as Keras' metrics do: TensorFlow turns `/` by a constant into a less exact product."""
    return tf.math.divide_no_nan(total, float(rows))
