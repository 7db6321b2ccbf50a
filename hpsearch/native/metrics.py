"""Compute Keras' metrics of an epoch's predictions in NumPy, and some that Keras lacks.

In all functions, `y` and `p` are targets and predictions `(n_samples, outputs)`, float32, unless
stated otherwise, and `w` the weights of the rows `(n_samples,)`, or None.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Counts = npt.NDArray[np.float64]
Weights = Floats | None
#: Function of targets, predictions and weights.
MetricOf = Callable[[npt.NDArray[Any], Floats, Weights], float]

#: `keras.config.epsilon()`.
_EPSILON = 1e-7
_HALF = 0.5


@dataclass(frozen=True)
class Measure:
    """A metric that a training reports.

    Attributes:
        of: Computes the metric; None if the extension sums it up.
        sparse: Whether `of` takes classes `(n_samples,)` as targets.
    """

    name: str
    of: MetricOf | None = None
    sparse: bool = False
    weighted: bool = False


def squared_error(y: Floats, p: Floats, w: Weights) -> float:
    """Return the mean squared error."""
    return _mean(np.square(p - y), w)


def root_of_squared_error(y: Floats, p: Floats, w: Weights) -> float:
    """Return the square root of the mean squared error."""
    return math.sqrt(squared_error(y, p, w))


def absolute_error(y: Floats, p: Floats, w: Weights) -> float:
    """Return the mean absolute error."""
    return _mean(np.abs(p - y), w)


def r2_score(y: Floats, p: Floats, w: Weights) -> float:
    """Return the mean R squared of the outputs: 0 for constant targets, NaN if they are predicted.

    Source: `keras.metrics.R2Score`.
    """
    weights = np.ones(len(y)) if w is None else w.astype(np.float64)
    y, p = y.astype(np.float64), p.astype(np.float64)
    errors = weights @ np.square(y - p)
    with np.errstate(divide="ignore", invalid="ignore"):
        spreads = weights @ np.square(y - weights @ y / weights.sum())
        scores = 1 - errors / spreads
    return float(np.mean(np.where(np.isinf(scores), 0.0, scores)))


def brier(y: Floats, p: Floats, w: Weights) -> float:
    """Return the mean over rows of the squared error, summed over outputs.

    Source: Brier, Verification of forecasts expressed in terms of probability (1950); with one
    output half of it, as in `sklearn.metrics.brier_score_loss`.
    """
    return float(y.shape[1] * squared_error(y, p, w))


def binary_accuracy(y: Floats, p: Floats, w: Weights, *, threshold: float = 0.5) -> float:
    """Return the share of predictions on the same side of the threshold as their target."""
    return _mean(y == (p > threshold), w)


def categorical_accuracy(y: Floats, p: Floats, w: Weights) -> float:
    """Return the share of rows whose largest prediction and largest target coincide."""
    return sparse_accuracy(y.argmax(axis=1), p, w)


def sparse_accuracy(y: npt.NDArray[Any], p: Floats, w: Weights) -> float:
    """Return the share of rows whose largest prediction is at the class `y`."""
    return _mean(p.argmax(axis=1) == y, w)


def top_k_accuracy(y: Floats, p: Floats, w: Weights, *, k: int = 5) -> float:
    """Return the share of rows whose largest target is among the `k` largest predictions."""
    return sparse_top_k_accuracy(y.argmax(axis=1), p, w, k=k)


def sparse_top_k_accuracy(y: npt.NDArray[Any], p: Floats, w: Weights, *, k: int = 5) -> float:
    """Return the share of rows whose class `y` is among the `k` largest predictions.

    Source: `tf.math.in_top_k`, which counts no row with a prediction that is not finite.
    """
    prediction = np.take_along_axis(p, y.astype(np.intp)[:, None], axis=1)
    hits = (np.count_nonzero(p > prediction, axis=1) < k) & np.isfinite(p).all(axis=1)
    return _mean(hits, w)


def precision(y: Floats, p: Floats, w: Weights, *, threshold: float = 0.5) -> float:
    """Return the share of positive targets among positive predictions, over all outputs."""
    said = p > np.float32(threshold)
    return _ratio(_count(said & (y != 0), w), _count(said, w))


def recall(y: Floats, p: Floats, w: Weights, *, threshold: float = 0.5) -> float:
    """Return the share of positive predictions among positive targets, over all outputs."""
    true = y != 0
    return _ratio(_count((p > np.float32(threshold)) & true, w), _count(true, w))


def f_score(
    y: Floats,
    p: Floats,
    w: Weights,
    *,
    average: str,
    beta: float = 1.0,
    threshold: float | None = None,
) -> float:
    """Return the mean F-score over the outputs.

    Args:
        threshold: Predictions above it are positive; None takes each row's largest prediction.
        average: `micro`, `macro` or `weighted`.

    Source: `keras.metrics.FBetaScore`.
    """
    if threshold is None:
        said = (p >= p.max(axis=1, keepdims=True)) & (np.abs(p) > 1e-9)
    else:
        said = p > np.float32(threshold)
    axis = None if average == "micro" else 0

    def total(values: npt.NDArray[Any]) -> Any:
        return (values if w is None else values * w[:, None]).sum(axis=axis, dtype=np.float64)

    positive, true = total(said * y), total(y)
    precisions = positive / (positive + total(said * (1 - y)) + _EPSILON)
    recalls = positive / (positive + total(~said * y) + _EPSILON)
    both = precisions * recalls / (beta**2 * precisions + recalls + _EPSILON)
    scores = both * (1 + beta**2)
    if average == "weighted":
        return float(np.sum(scores * true / (np.sum(true) + _EPSILON)))
    return float(np.mean(scores))


def auc(
    y: Floats, p: Floats, w: Weights, *, curve: str = "ROC", num_thresholds: int = 200
) -> float:
    """Return the area under the curve of all outputs, `ROC` or `PR`, like `keras.metrics.AUC`."""
    true, false = _above_thresholds(y, p, w, num_thresholds)
    if curve == "PR":
        return _precision_recall_area(true, true + false)
    recalls, alarms = true / (true[0] or 1.0), false / (false[0] or 1.0)
    return float(np.sum((alarms[:-1] - alarms[1:]) * (recalls[:-1] + recalls[1:]) / 2))


def _above_thresholds(
    y: Floats, p: Floats, w: Weights, thresholds: int
) -> list[npt.NDArray[np.float64]]:
    """Return the weight of true and false positives above each threshold.

    The first threshold is below all predictions. Source: `keras.src.metrics.metrics_utils`.
    """
    steps = np.ceil(np.clip(p, 0, 1) * np.float32(thresholds - 1)) - 1
    # NaN falls into the first bin; the loss is NaN, too.
    bins = np.nan_to_num(np.maximum(steps, 0)).astype(np.intp).ravel()
    weights = None if w is None else np.repeat(w.astype(np.float64), p.shape[1])
    true = (y != 0).ravel()
    above = []
    for mask in (true, ~true):
        chosen = None if weights is None else weights[mask]
        counts = np.bincount(bins[mask], weights=chosen, minlength=thresholds)
        above.append(counts[::-1].cumsum()[::-1].astype(np.float64))
    return above


def _precision_recall_area(true: npt.NDArray[np.float64], said: npt.NDArray[np.float64]) -> float:
    """Return the area under a curve of precision and recall.

    Args:
        true, said: Weights of true positives and of all predicted positives at each threshold.

    Source: Davis and Goadrich 2006, as in Keras' `AUC.interpolate_pr_auc`.
    """
    gained, more = true[:-1] - true[1:], said[:-1] - said[1:]
    slope = np.divide(gained, more, out=np.zeros_like(gained), where=more > 0)
    intercept = true[1:] - slope * said[1:]
    both = (said[:-1] > 0) & (said[1:] > 0)
    ratio = np.divide(said[:-1], said[1:], out=np.ones_like(slope), where=both)
    return _ratio(float(np.sum(slope * (gained + intercept * np.log(ratio)))), float(true[0]))


def of_counts(y: Floats, p: Floats, w: Weights, *, metric: str) -> float:
    """Return a metric of `OF_COUNTS`."""
    classes = max(2, y.shape[1])
    true, said = (
        values.argmax(axis=1) if values.shape[1] > 1 else (values[:, 0] > _HALF).astype(np.intp)
        for values in (y, p)
    )
    counts = np.bincount(true * classes + said, weights=w, minlength=classes**2)
    return OF_COUNTS[metric](counts.reshape(classes, classes).astype(np.float64))


def _balanced_accuracy(counts: Counts) -> float:
    """Return the mean recall of the classes that occur."""
    rows = counts.sum(axis=1)
    return float(np.mean((np.diag(counts) / np.maximum(rows, _EPSILON))[rows > 0]))


def _cohen_kappa(counts: Counts) -> float:
    """Source: Cohen, A coefficient of agreement for nominal scales (1960)."""
    true, said, rows = counts.sum(axis=1), counts.sum(axis=0), counts.sum()
    return _ratio(float(np.trace(counts) * rows - true @ said), float(rows**2 - true @ said))


def _matthews_correlation(counts: Counts) -> float:
    """Source: Gorodkin, Comparing two K-category assignments (2004)."""
    true, said, rows = counts.sum(axis=1), counts.sum(axis=0), counts.sum()
    spread = math.sqrt((rows**2 - said @ said) * (rows**2 - true @ true))
    return _ratio(float(np.trace(counts) * rows - true @ said), spread)


#: Metric -> its function of the rows of each class (row) and predicted class (column), `(k, k)`;
#: 0 where it is 0 / 0. The predicted class is that of the largest output, or of an only one by 0.5.
OF_COUNTS: Final[Mapping[str, Callable[[Counts], float]]] = {
    "balanced_accuracy": _balanced_accuracy,
    "cohen_kappa": _cohen_kappa,
    "mcc": _matthews_correlation,
}


def _mean(values: npt.NDArray[Any], w: Weights) -> float:
    """Return the mean over rows of the mean over outputs."""
    if w is None:
        return float(np.mean(values, dtype=np.float64))
    rows = values if values.ndim == 1 else values.mean(axis=1, dtype=np.float64)
    return _ratio(float(np.dot(rows, w.astype(np.float64))), float(np.sum(w, dtype=np.float64)))


def _count(true: npt.NDArray[np.bool_], w: Weights) -> float:
    if w is None:
        return float(np.count_nonzero(true))
    return float(np.dot(np.count_nonzero(true, axis=1), w.astype(np.float64)))


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0
