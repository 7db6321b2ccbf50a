"""A Keras metric over the rows of an epoch: what is scored where neither loss nor accuracy is."""

from __future__ import annotations

import re
from typing import Any

import keras
import tensorflow as tf

from hpsearch.keras_names import METRIC_CLASSES
from hpsearch.trial import Target, Task

__all__ = ["KerasMetric"]

Tensor = Any


class KerasMetric:
    """One metric object, of which a graph has one, too.

    Of several classes, metrics that are no `sparse_...` see one-hot targets, F-scores are the
    mean over classes (`average="macro"`), and the others are as Keras has them: `auc`, `precision`
    and `recall` count each class of a row as a row of its own.

    Args:
        name: Of the table `METRIC_CLASSES`.
    """

    def __init__(self, name: str, target: Target) -> None:
        self.name = name
        self._target = target
        self._sparse = name.startswith("sparse_")
        self._metric = getattr(keras.metrics, METRIC_CLASSES[name])(**_arguments(name, target))

    def reset(self) -> None:
        """Begin with no rows."""
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
        """Of all rows so far, a scalar."""
        return tf.cast(self._metric.result(), tf.float32)


def _arguments(name: str, target: Target) -> dict[str, Any]:
    if found := re.fullmatch(r"top_(\d+)_accuracy", name):
        return {"k": int(found[1])}
    if METRIC_CLASSES[name] not in ("F1Score", "FBetaScore"):
        return {}
    # Without a threshold, the most probable class counts, and one column has no other.
    one = {"threshold": 0.5} if target.outputs == 1 else {}
    return {"average": "macro", **one}
