"""Choose models whose outputs to average, and write these as one model; called in a worker."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from hpsearch.data.dataset import Split
from hpsearch.data.targets import in_own_units
from hpsearch.models.model_file import ModelFile
from hpsearch.models.problem import Problem
from hpsearch.training.mlps import REGULARISATION, ROWS_A_STEP, MLPs
from hpsearch.training.subjects import TrainedModel

Outputs = npt.NDArray[np.float32]
Measured = dict[str, npt.NDArray[np.float64]]


@dataclass(frozen=True)
class Candidate:
    """A model to choose, or one for each fold, which are chosen together.

    Attributes:
        name: In words, for the file.
    """

    name: str
    trained: Sequence[TrainedModel]


@dataclass(frozen=True)
class Average:
    """An average of models' outputs.

    Attributes:
        votes: Candidate's index -> how often it was chosen.
        score, first_score: The metric on the validation rows, of the average and of the first
            candidate.
        test, first_test: What `MLPs.measure` returns for the test rows; empty without these.
    """

    votes: Mapping[int, int]
    score: float
    first_score: float
    test: Measured
    first_test: Measured


def write_average(
    path: Path,
    candidates: Sequence[Candidate],
    validation: Sequence[Split],
    test: Split | None,
    size: int,
) -> Average:
    """Choose among candidates, and write a Keras model that averages those that were chosen.

    Args:
        path: The file, written in place; Keras requires the suffix `.keras`.
        candidates: MLPs, for each fold or without folds.
        validation: The raw validation rows of each fold.
        size: The number of choices.
    """
    library = _Library.of(candidates, validation)
    maximize = library.problems[0].recipe.goal == "maximize"
    chosen = choose(len(candidates), library.score, size, maximize=maximize)
    votes = Counter(chosen)
    shares = {index: count / len(chosen) for index, count in votes.items()}
    average = library.average(shares)
    members = tuple(f"{candidates[index].name}: {share:.4g}" for index, share in shares.items())
    replace(library.described(), members=members).save(average, path)
    alone = {0: 1.0}
    measured: list[Measured] = [{}, {}]
    if test is not None:
        models = (average, shares), (library.average(alone), alone)
        measured = [library.measure(model, of, test) for model, of in models]
    return Average(votes, library.score(chosen), library.score([0]), *measured)


@dataclass(frozen=True)
class _Library:
    """The candidates' models and their outputs, which are averaged by index.

    Attributes:
        problems, validation: Of each fold.
        models: Of each candidate and fold, for raw rows.
        outputs: Of these, for the validation rows, `(n_samples, outputs)`.
        penalties: Of each candidate, the mean penalty of its models' weights.
    """

    problems: Sequence[Problem]
    validation: Sequence[Split]
    models: Sequence[Sequence[Any]]
    outputs: Sequence[Sequence[Outputs]]
    penalties: Sequence[float]

    @classmethod
    def of(cls, candidates: Sequence[Candidate], validation: Sequence[Split]) -> Self:
        """Build and run the candidates' models."""
        problems = [trained.problem for trained in candidates[0].trained]
        models = [[trained.full() for trained in candidate.trained] for candidate in candidates]
        outputs = [list(map(outputs_of, of_folds, validation)) for of_folds in models]
        penalties = [float(np.mean(list(map(_penalty, of_folds)))) for of_folds in models]
        return cls(problems, validation, models, outputs, penalties)

    def score(self, chosen: Sequence[int]) -> float:
        """Return the mean of the folds' scores of the average of candidates."""
        of_folds = zip(*(self.outputs[index] for index in chosen), strict=True)
        means = [np.mean(of_fold, axis=0) for of_fold in of_folds]
        score = float(np.mean(list(map(_score, self.problems, means, self.validation))))
        if self.problems[0].recipe.metric == "val_loss":
            score += float(np.mean([self.penalties[index] for index in chosen]))
        return score

    def average(self, shares: Mapping[int, float]) -> Any:
        """Return a Keras model that averages candidates by their shares."""
        return _average({index: self.models[index] for index in shares}, shares)

    def measure(self, model: Any, shares: Mapping[int, float], rows: Split) -> Measured:
        """Return what `MLPs.measure` returns of an average, with the mean penalty of weights."""
        penalty = sum(self.penalties[index] * share for index, share in shares.items())
        measured = _measure(self.problems[0], outputs_of(model, rows), rows)
        return {**measured, REGULARISATION: np.asarray(penalty)}

    def described(self) -> ModelFile:
        """Describe the rows and the target of an average."""
        described = ModelFile.of(self.problems[0])
        return replace(described, fills=all(problem.input.fill for problem in self.problems))


def choose(
    count: int, score: Callable[[Sequence[int]], float], size: int, *, maximize: bool
) -> list[int]:
    """Choose candidates, each time the one with which the average of the chosen scores best.

    A candidate may be chosen again. Of the averages on the way the best counts, so that it scores
    at least as well as any candidate; of equal ones the first.

    Source: R. Caruana, A. Niculescu-Mizil, G. Crew, A. Ksikes, Ensemble selection from libraries
    of models, ICML 2004.

    Args:
        count: The number of candidates.
        score: Returns the score of the average of candidates, given their indices.

    Returns:
        The candidates' indices in the order of choice.
    """
    sign = 1 if maximize else -1
    chosen: list[int] = []
    best, best_score = [0], -np.inf
    for _ in range(size):
        scores = np.array([sign * score([*chosen, index]) for index in range(count)])
        scores = np.where(np.isnan(scores), -np.inf, scores)
        chosen.append(int(np.argmax(scores)))
        if scores.max() > best_score:
            best, best_score = list(chosen), scores.max()
    return best


class _Given:
    """Outputs in a model's place, to be measured like those of a model."""

    losses = ()

    @staticmethod
    def predict(outputs: Outputs, **_: Any) -> Outputs:
        """Return the outputs."""
        return outputs


def _measure(problem: Problem, outputs: Outputs, rows: Split) -> Measured:
    """Return loss, metrics and predictions of raw rows' outputs; see `MLPs.measure`."""
    y = in_own_units(rows.y, problem.target)
    measured = MLPs().measure(_Given, problem, outputs, y)
    return {name: np.asarray(values, np.float64) for name, values in measured.items()}


def _score(problem: Problem, outputs: Outputs, rows: Split) -> float:
    """Return the sweep's metric of raw rows' outputs, without a penalty of weights."""
    name = problem.recipe.metric.removeprefix("val_")
    values = _measure(problem, outputs, rows)[name]
    # A training weighs the loss alone, and divides by the number of rows.
    if name == "loss" and rows.weights is not None:
        values = values * rows.weights
    return float(np.mean(values))


def _penalty(model: Any) -> float:
    return sum(float(np.sum(loss)) for loss in model.losses)


def outputs_of(model: Any, rows: Split) -> Outputs:
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


def free_name(name: str, model: Any) -> str:
    """Return a name that no layer has; inputs are named after columns."""
    taken = {layer.name for layer in model.layers}
    while name in taken:
        name += "_"
    return name


def _average(models: Mapping[int, Sequence[Any]], shares: Mapping[int, float]) -> Any:
    """Return a compiled Keras model that takes raw rows, and averages the candidates' models."""
    import keras

    from hpsearch.models.mlp import compiled_like

    first = next(iter(models.values()))[0]
    parts = []
    for index, of_folds in models.items():
        for fold, model in enumerate(of_folds, 1):
            number = f"{index + 1}_{fold}"
            named = keras.Model(model.input, model.output, name=free_name(f"model_{number}", first))
            share = shares[index] / len(of_folds)
            scaled = keras.layers.Rescaling(share, name=free_name(f"share_{number}", first))
            parts.append(scaled(named(first.input)))
    outputs = keras.layers.Add(name=free_name("mean", first))(parts) if len(parts) > 1 else parts[0]
    return compiled_like(first, keras.Model(first.input, outputs, name="ensemble"))
