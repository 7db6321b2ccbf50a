"""Choose models whose outputs to average, and write these as one model; called in a worker."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hpsearch.data.dataset import Split
from hpsearch.data.targets import in_own_units
from hpsearch.errors import HpsearchError
from hpsearch.models.model_file import ModelFile
from hpsearch.models.problem import Problem
from hpsearch.training.mlps import ROWS_A_STEP, MLPs
from hpsearch.training.subjects import TrainedModel

Outputs = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Average:
    """An average of models' outputs.

    Attributes:
        votes: Candidate's index -> how often it was chosen.
        score, single: The metric on the validation rows, of the average and of the first candidate.
        test: What `MLPs.measure` returns for the test rows; empty without these.
    """

    votes: Mapping[int, int]
    score: float
    single: float
    test: Mapping[str, Any]


def write_average(
    path: Path,
    candidates: Sequence[Sequence[TrainedModel]],
    validation: Sequence[Split],
    test: Split | None,
    size: int,
) -> Average:
    """Choose among candidates, and write a Keras model that averages those that were chosen.

    Args:
        path: The file, written in place; Keras requires the suffix `.keras`.
        candidates: The MLPs of each candidate, one for each fold.
        validation: The raw validation rows of each fold.
        size: The number of choices.
    """
    problems = [trained.problem for trained in candidates[0]]
    recipe = problems[0].recipe
    metric = recipe.metric.removeprefix("val_")

    def score(outputs: Sequence[Outputs]) -> float:
        """Return the mean of the folds' scores."""
        measured = map(_measure, problems, outputs, (rows.y for rows in validation))
        return float(np.mean([np.mean(values[metric]) for values in measured]))

    models = [[trained.full() for trained in candidate] for candidate in candidates]
    outputs = [list(map(_outputs, of_folds, validation)) for of_folds in models]
    chosen = choose(outputs, score, size, maximize=recipe.goal == "maximize")
    votes = Counter(chosen)
    average = _average({index: models[index] for index in votes}, votes)
    try:
        average.save(path)
        described = ModelFile.of(problems[0].input, problems[0].target)
        fills = all(problem.input.fill for problem in problems)
        replace(described, fills=fills).add_to(path)
    except OSError as error:
        raise HpsearchError(error.strerror or str(error)) from error
    measured = {} if test is None else _measure(problems[0], _outputs(average, test), test.y)
    return Average(votes, score(_mean(outputs, chosen)), score(outputs[0]), measured)


def choose(
    outputs: Sequence[Sequence[Outputs]],
    score: Callable[[Sequence[Outputs]], float],
    size: int,
    *,
    maximize: bool,
) -> list[int]:
    """Choose candidates, each time the one with which the average of the chosen scores best.

    A candidate may be chosen again. Of the averages on the way the best counts, so that it scores
    at least as well as any candidate; of equal ones the first.

    Source: R. Caruana, A. Niculescu-Mizil, G. Crew, A. Ksikes, Ensemble selection from libraries
    of models, ICML 2004.

    Args:
        outputs: Of each candidate, for the validation rows of each fold, `(n_samples, outputs)`.

    Returns:
        The candidates' indices in the order of choice.
    """
    sign = 1 if maximize else -1
    chosen: list[int] = []
    best, best_score = [0], -np.inf
    for _ in range(size):
        averages = (_mean(outputs, [*chosen, index]) for index in range(len(outputs)))
        scores = np.array([sign * score(average) for average in averages])
        scores = np.where(np.isnan(scores), -np.inf, scores)
        chosen.append(int(np.argmax(scores)))
        if scores.max() > best_score:
            best, best_score = list(chosen), scores.max()
    return best


def _mean(outputs: Sequence[Sequence[Outputs]], chosen: Sequence[int]) -> list[Outputs]:
    """Return the mean of the chosen candidates' outputs, for each fold."""
    of_folds = zip(*(outputs[index] for index in chosen), strict=True)
    return [np.mean(of_fold, axis=0) for of_fold in of_folds]


class _Given:
    """Outputs in a model's place, to be measured like those of a model."""

    losses = ()

    @staticmethod
    def predict(outputs: Outputs, **_: Any) -> Outputs:
        """Return the outputs."""
        return outputs


def _measure(problem: Problem, outputs: Outputs, y: npt.NDArray[Any]) -> Mapping[str, Any]:
    """Return loss, metrics and predictions of raw rows' outputs; see `MLPs.measure`."""
    measured = MLPs().measure(_Given, problem, outputs, in_own_units(y, problem.target))
    return {name: np.asarray(values, np.float64) for name, values in measured.items()}


def _outputs(model: Any, rows: Split) -> Outputs:
    """Return a model's outputs for raw rows, `(n_samples, outputs)`."""
    import tensorflow as tf

    def tensors(part: Split) -> Any:
        if isinstance(part.x, Mapping):
            return {name: tf.constant(column) for name, column in part.x.items()}
        return part.x

    indices = np.arange(len(rows))
    parts = (indices[at : at + ROWS_A_STEP] for at in range(0, len(rows), ROWS_A_STEP))
    # Keras' predict would trace a graph, which takes longer than predicting so few rows.
    steps = (model(tensors(rows.take(part)), training=False) for part in parts)
    return np.concatenate(list(map(np.asarray, steps)))


def _average(models: Mapping[int, Sequence[Any]], votes: Mapping[int, int]) -> Any:
    """Return a compiled Keras model that takes raw rows, and averages the candidates' models."""
    import keras

    from hpsearch.models.mlp import compiled_like

    count = sum(votes.values())
    first = next(iter(models.values()))[0]
    parts = []
    for index, of_folds in models.items():
        for fold, model in enumerate(of_folds, 1):
            # Keras requires that layers have different names.
            named = keras.Model(model.input, model.output, name=f"model_{index + 1}_{fold}")
            share = votes[index] / (count * len(of_folds))
            parts.append(keras.layers.Rescaling(share)(named(first.input)))
    outputs = keras.layers.Add()(parts) if len(parts) > 1 else parts[0]
    return compiled_like(first, keras.Model(first.input, outputs, name="ensemble"))
