"""Calibrate the probabilities of a classifier to write, and choose the threshold of its labels."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from hpsearch.data.dataset import Split
from hpsearch.data.specs import Target, Task
from hpsearch.errors import InputError
from hpsearch.models.model_file import ModelFile
from hpsearch.models.problem import Recipe
from hpsearch.native.metrics import OF_COUNTS
from hpsearch.runs.averaging import free_name, outputs_of
from hpsearch.training.subjects import TrainedModel
from hpsearch.wording import number

Floats = npt.NDArray[np.float64]
Classes = npt.NDArray[np.intp]

_HALF = 0.5
#: About the distance of float32 numbers from 1.
_LEAST = 1e-7
_TEMPERATURES = (1e-3, 1e3)
#: The most rows of a class between which thresholds are tried.
_MOST_ROWS = 5_000


def _f1(counts: Floats) -> float:
    """Return the harmonic mean of precision and recall of the second class."""
    return float(2 * counts[1, 1] / max(1.0, counts[1].sum() + counts[:, 1].sum()))


#: Metric to choose a threshold by -> its function of the rows of each class (row) and label.
THRESHOLD_METRICS: Final[Mapping[str, Callable[[Floats], float]]] = {
    "accuracy": lambda counts: float(np.trace(counts) / counts.sum()),
    "f1": _f1,
    **OF_COUNTS,
}


@dataclass(frozen=True)
class Decision:
    """A temperature and a threshold, chosen on the validation rows.

    Attributes:
        rows: The number of these rows.
        temperature: Divides the logarithms of the probabilities, which are then normalised again;
            above 1 if the model was too sure.
        threshold: A probability above it gives the second class's label.
        scores: `crossentropy`, and the metric of the threshold -> its value before and after, on
            the rows that chose, for which the second value is too good.
    """

    rows: int
    temperature: float = 1.0
    threshold: float = _HALF
    scores: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def in_words(self) -> Iterator[str]:
        """Yield a line for the temperature, and one for the threshold."""
        for name, scores in self.scores.items():
            before, after = map(number, scores)
            chosen = f"threshold {self.threshold:.4g}"
            if name == "crossentropy":
                chosen = f"temperature {self.temperature:.4g}"
            yield (
                f"{chosen}: {name} {before} -> {after}, which is too good: these {self.rows:,} "
                "validation rows chose it"
            )


def require_metric(threshold: str | None) -> None:
    """Check the name of the metric to choose a threshold by."""
    if threshold not in (None, *THRESHOLD_METRICS):
        names = ", ".join(THRESHOLD_METRICS)
        raise InputError(f"threshold: must be one of {names}, not {threshold!r}")


def require_decidable(recipe: Recipe, target: Target, threshold: str | None) -> None:
    """Check that a model's outputs are probabilities, to which a threshold may apply."""
    if not target.classes:
        raise InputError(f"there are no classes to decide on: the task is {target.task}")
    if threshold and target.task is not Task.BINARY:
        count = len(target.classes)
        raise InputError(f"threshold: is for two classes; of {count} the most probable is chosen")
    needed = "sigmoid" if target.outputs == 1 else "softmax"
    if recipe.output_activation != needed:
        given = recipe.output_activation
        raise InputError(f"output_activation: must be {needed} to decide on, not {given}")


def write_calibrated(
    path: Path, trained: TrainedModel, rows: Split, threshold: str | None, calibrate: bool
) -> Decision:
    """Write a model, in a worker, with a temperature and a threshold.

    Args:
        rows: Raw rows that the model was not trained on.
        threshold: The metric to choose a threshold by; None for 0.5.
    """
    model, problem = trained.full(), trained.problem
    y = rows.y.reshape(len(rows)).astype(np.intp)
    outputs, decision = outputs_of(model, rows), Decision(len(rows))
    scores: dict[str, tuple[float, float]] = {}
    if calibrate:
        temperature, scores["crossentropy"] = _temperature(outputs, y, rows.weights)
        decision = replace(decision, temperature=temperature)
        model = _cooled(model, temperature)
        outputs = outputs_of(model, rows)
    if threshold:
        if len(np.unique(y)) == 1:
            raise InputError("threshold: the validation rows are all of one class")
        metric = THRESHOLD_METRICS[threshold]
        chosen, scores[threshold] = best_threshold(outputs[:, 0], y, metric)
        decision = replace(decision, threshold=chosen)
    described = ModelFile.of(problem)
    replace(described, threshold=decision.threshold).save(model, path)
    return replace(decision, scores=scores)


def _temperature(
    outputs: npt.NDArray[Any], y: Classes, weights: npt.NDArray[Any] | None
) -> tuple[float, tuple[float, float]]:
    """Return the temperature of the least crossentropy, and this without and with it.

    Source: C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger, On calibration of modern neural networks,
    ICML 2017.
    """
    from scipy.optimize import minimize_scalar  # slow to import
    from scipy.special import log_softmax

    chances = np.clip(outputs.astype(np.float64), _LEAST, 1 - _LEAST)
    if chances.shape[1] == 1:
        chances = np.hstack([1 - chances, chances])

    def loss(exponent: float) -> float:
        likely = log_softmax(np.log(chances) / np.exp(exponent), axis=1)
        return -float(np.average(likely[np.arange(len(y)), y], weights=weights))

    low, high = np.log(_TEMPERATURES)
    least = minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-6})
    if min(least.x - low, high - least.x) < 1e-3:
        raise InputError(
            f"calibrate: no temperature fits the {len(y):,} validation rows: the model is right "
            "about all of them, or no better than guessing"
        )
    return float(np.exp(least.x)), (loss(0.0), float(least.fun))


def _cooled(model: Any, temperature: float) -> Any:
    """Return the model with its probabilities at a temperature."""
    import keras

    from hpsearch.models.mlp import compiled_like

    # A nested model, since a column may be called `log` or `clip`, too.
    given = keras.Input(model.output.shape[1:])
    chances = keras.ops.clip(given, _LEAST, 1 - _LEAST)
    if chances.shape[-1] == 1:
        odds = keras.ops.log(chances) - keras.ops.log(1 - chances)
        outputs = keras.ops.sigmoid(odds / temperature)
    else:
        outputs = keras.ops.softmax(keras.ops.log(chances) / temperature)
    scale = keras.Model(given, outputs, name=free_name("temperature", model))
    return compiled_like(model, keras.Model(model.input, scale(model.output), name=model.name))


def best_threshold(
    chances: npt.NDArray[Any], y: Classes, metric: Callable[[Floats], float]
) -> tuple[float, tuple[float, float]]:
    """Return the threshold of the best score, and the scores by 0.5 and by it.

    Thresholds are 0, 1 and the middles of neighbouring probabilities; of equally good ones the
    nearest to 0.5 is chosen.

    Args:
        chances: Probabilities of the second class, float32 `(n_samples,)`.
        metric: One of `THRESHOLD_METRICS`.
    """
    ranked = [np.sort(chances[y == label]) for label in (0, 1)]
    # By the ranks of each class, so that a rare one counts.
    places = (np.linspace(0, len(c) - 1, min(len(c), _MOST_ROWS)).round() for c in ranked)
    some = [c[at.astype(int)] for c, at in zip(ranked, places, strict=True)]
    distinct = np.unique(np.concatenate(some))
    middles = distinct[:-1] + np.diff(distinct) / 2
    # Neighbouring float32 numbers have no middle.
    middles = np.where(middles >= distinct[1:], distinct[:-1], middles)
    thresholds = np.array([_HALF, 0, 1, *middles], chances.dtype)
    # The rows of each class that get the first label, and the second.
    first = np.stack([np.searchsorted(c, thresholds, side="right") for c in ranked], axis=1)
    counts = np.stack([first, [len(c) for c in ranked] - first], axis=2).astype(np.float64)
    scores = np.array(list(map(metric, counts)))
    best = np.lexsort((np.abs(thresholds - _HALF), -scores))[0]
    return float(thresholds[best]), (float(scores[0]), float(scores[best]))
