"""Compute losses and metrics inside the compiled trainer's graph."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from hpsearch.data.dataset import unpacked
from hpsearch.data.specs import ArrayPart, Target, Task
from hpsearch.models.problem import Recipe
from hpsearch.native import metrics
from hpsearch.space.keras_names import KERAS_METRICS

if TYPE_CHECKING:
    from collections.abc import Callable

Tensor = Any
#: TensorFlow shares memory only if aligned for Eigen's vector instructions.
_ALIGNMENT_BYTES = 64
_HALF = 0.5


class KerasMetric:
    """A Keras metric of an MLP's predictions.

    With several classes, all metrics except `sparse_...` get one-hot targets. F-scores average over
    classes (`average="macro"`). `auc`, `precision` and `recall` count each class of a row as a
    separate row, as Keras does by default.
    """

    def __init__(self, name: str, target: Target) -> None:
        self.name = name
        self._target = target
        self._sparse = KERAS_METRICS[name].sparse
        self._metric = _keras_metric(name, target.outputs)

    def reset(self) -> None:
        """Forget all rows."""
        self._metric.reset_state()

    def add(self, y: Tensor, prediction: Tensor) -> None:
        """Add rows.

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
        """Return the metric of all rows so far, as a scalar."""
        return tf.cast(self._metric.result(), tf.float32)


def _keras_metric(name: str, outputs: int) -> Any:
    metric = KERAS_METRICS[name]
    if metric.keras:
        return getattr(keras.metrics, metric.keras)(**metric.settings(outputs))
    if metric.native == "of_counts":
        return _MetricOfCounts(metrics.OF_COUNTS[name], max(2, outputs))
    return keras.metrics.MeanMetricWrapper(_squared_error)


def _squared_error(y: Tensor, prediction: Tensor) -> Tensor:
    return tf.reduce_sum(tf.square(tf.cast(y, tf.float32) - prediction), axis=-1)


class _MetricOfCounts:
    """A metric of `native.metrics.OF_COUNTS`, with the methods of Keras' metrics."""

    def __init__(self, of: Callable[[Any], float], classes: int) -> None:
        self._of, self._classes = of, classes
        self._counts = tf.Variable(tf.zeros((classes, classes), tf.float64))

    def reset_state(self) -> None:
        """Forget all rows."""
        self._counts.assign(tf.zeros_like(self._counts))

    def update_state(self, y: Tensor, prediction: Tensor) -> None:
        """Count rows, of targets and predictions `(rows, outputs)`."""
        true, said = (
            tf.argmax(values, axis=-1) if values.shape[-1] > 1 else values[:, 0] > _HALF
            for values in (y, prediction)
        )
        classes = (tf.cast(true, tf.int32), tf.cast(said, tf.int32))
        counts = tf.math.confusion_matrix(*classes, self._classes, dtype=tf.float64)
        self._counts.assign_add(counts)

    def result(self) -> Tensor:
        """Return the metric of the rows so far, a scalar."""
        return tf.ensure_shape(tf.numpy_function(self._of, [self._counts], tf.float64), ())


Sums = tuple[Tensor, ...]
#: x, y, prediction, and weights of the rows.
Batch = tuple[Tensor, Tensor, Tensor, Tensor | None]

#: Losses that depend on the error only, where adding the target's mean would only cost precision.
_SHIFT_INVARIANT = frozenset(
    {"huber", "log_cosh", "mae", "mean_absolute_error", "mean_squared_error", "mse"}
)


class Measures:
    """The part of an epoch's graph that computes loss and metrics, as a model was compiled.

    The calls are `start`, `add` for each batch, and `result`. The loop carries the sums, of which
    the first is the loss.
    """

    def __init__(self, model: keras.Model, recipe: Recipe, target: Target) -> None:
        self._model, self._recipe, self._target = model, recipe, target
        self._std = np.asarray(target.std, np.float32)
        self._mean = np.asarray(target.mean, np.float32)
        if recipe.loss in _SHIFT_INVARIANT:
            self._mean = np.zeros_like(self._mean)
        self._standardised = target.task is Task.REGRESSION and bool(
            np.any(self._std != 1) or np.any(self._mean)
        )

    def build(self, x: Tensor, y: Tensor) -> None:
        """Create all variables, from a row `(1, ...)` of the data."""
        batch = (x, y, self._model(x), None)
        self.objective(batch)
        self._add_metrics((), batch)

    def prepare(self, y: Tensor) -> Tensor:
        """Return targets `(rows, ...)` in the loss's form; called once an epoch."""
        return y

    def objective(self, batch: Batch) -> Tensor:
        """Return the scalar to minimise on a batch, including regularisation.

        As in Keras, a weighted sum is divided by the number of rows.
        """
        x, y, prediction, weights = batch
        y = self._targets(y)
        return self._model.compute_loss(x=x, y=y, y_pred=prediction, sample_weight=weights)

    def start(self) -> Sums:
        """Return the sums before any row."""
        self._model.reset_metrics()
        return (tf.constant(0.0),)

    def add(self, sums: Sums, batch: Batch, objective: Tensor) -> Sums:
        """Return the sums with a batch added."""
        x, y, prediction, weights = batch
        rows = tf.cast(tf.shape(y)[0], tf.float32)
        if self._standardised:
            batch = (x, self._in_own_units(y), self._in_own_units(prediction), weights)
            objective = self.objective(batch)
        return (sums[0] + objective * rows, *self._add_metrics(sums[1:], batch))

    def _add_metrics(self, sums: Sums, batch: Batch) -> Sums:
        x, y, prediction, weights = batch
        self._model.compute_metrics(x, self._targets(y), prediction, sample_weight=weights)
        return sums

    def result(self, sums: Sums, rows: int) -> dict[str, Tensor]:
        """Return means over `rows` samples, by name."""
        return {**self._model.get_metrics_result(), "loss": _mean(sums[0], rows)}

    def _targets(self, y: Tensor) -> Any:
        return unpacked(y, self._target.parts, as_tensor)

    def _in_own_units(self, tensor: Tensor) -> Tensor:
        return tensor * self._std + self._mean if self._standardised else tensor


def metric_of(recipe: Recipe, target: Target) -> tuple[str, Callable[[Tensor, Tensor], Tensor]]:
    """Return the name of an MLP's metric, and its function of targets and predictions.

    Source of the kind of accuracy: `keras.src.trainers.compile_utils`.
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


class MLPMeasures(Measures):
    """Computes a Keras loss, and accuracy or mae without Keras' metric objects."""

    def __init__(self, model: keras.Model, recipe: Recipe, target: Target) -> None:
        super().__init__(model, recipe, target)
        self._loss = keras.losses.get(recipe.loss)
        self._name, self._metric = metric_of(recipe, target)
        self._more = [KerasMetric(name, target) for name in recipe.more_metrics]
        # The targets' mean costs a metric of the error alone precision; others need it.
        mean = np.asarray(target.mean, np.float32)
        of_errors = [KERAS_METRICS[metric.name].of_errors for metric in self._more]
        self._shifts = [(0 if alone else mean) - self._mean for alone in of_errors]

    def build(self, x: Tensor, y: Tensor) -> None:
        for metric in self._more:
            metric.add(self._in_own_units(self.prepare(y)), self._model(x))

    def prepare(self, y: Tensor) -> Tensor:
        return prepared(y, self._recipe, self._target)

    def objective(self, batch: Batch) -> Tensor:
        _, y, prediction, weights = batch
        values, penalties = self._loss(y, prediction), self._model.losses
        loss = tf.reduce_mean(values if weights is None else values * weights)
        return loss + (tf.add_n(list(map(tf.reduce_sum, penalties))) if penalties else 0.0)

    def start(self) -> Sums:
        for metric in self._more:
            metric.reset()
        return tf.constant(0.0), tf.constant(0.0)

    def _add_metrics(self, sums: Sums, batch: Batch) -> Sums:
        _, y, prediction, _ = batch
        for metric, shift in zip(self._more, self._shifts, strict=True):
            if self._target.task is Task.REGRESSION:
                metric.add(y + shift, prediction + shift)
            else:
                metric.add(y, prediction)
        values = self._metric(y, prediction)
        if len(values.shape) > 1:
            values = tf.reduce_mean(values, axis=tuple(range(1, len(values.shape))))
        return (sums[0] + tf.reduce_sum(values),)

    def result(self, sums: Sums, rows: int) -> dict[str, Tensor]:
        numbers = {"loss": _mean(sums[0], rows), self._name: _mean(sums[1], rows)}
        return numbers | {metric.name: metric.result() for metric in self._more}


def tensor_of(array: npt.NDArray[Any]) -> Any:
    """Return an array as a tensor, if possible over the same memory."""
    # DLPack does not support read-only arrays.
    shareable = array.size and array.flags.writeable and array.flags.c_contiguous
    if shareable and array.ctypes.data % _ALIGNMENT_BYTES == 0:
        return tf.experimental.dlpack.from_dlpack(array.__dlpack__())
    return tf.constant(array)


def as_tensor(columns: Tensor, part: ArrayPart) -> Tensor:
    """Return one of several inputs or targets as a tensor, as `data.dataset` does for arrays."""
    shaped = tf.reshape(columns, (-1, *part.shape))
    return tf.cast(shaped, tf.int32 if part.whole else tf.float32)


def _mean(total: Tensor, rows: int) -> Tensor:
    """Divide as Keras' metrics do; TensorFlow turns `/` by a constant into a less exact product."""
    return tf.math.divide_no_nan(total, float(rows))
