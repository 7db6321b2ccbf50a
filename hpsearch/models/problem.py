"""The task of a training, except for config, seed and rows: loss, metric, early stopping, model."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hpsearch.data.specs import InputSpec, Target, Task
from hpsearch.models.embedding import Embedding
from hpsearch.space.mlp import MLPConfig

#: The name of an objective function's score.
METRIC = "objective"

Objective = Callable[[dict[str, Any]], Any]

TASK_METRICS = {
    Task.REGRESSION: ("loss", "mae", "val_loss", "val_mae"),
    Task.BINARY: ("loss", "accuracy", "val_loss", "val_accuracy"),
    Task.MULTICLASS: ("loss", "accuracy", "val_loss", "val_accuracy"),
    Task.OBJECTIVE: ("objective",),
    Task.OWN: ("loss", "val_loss"),
}

#: Metrics that an MLP reports, by its task.
_REPORTED = ("loss", "accuracy", "mae")


@dataclass(frozen=True)
class EarlyStopping:
    """Stop once the metric has not improved by more than `min_delta` for `patience` epochs."""

    patience: int
    min_delta: float = 0.0


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a score except the config, the seed and the data.

    Attributes:
        sweep_seed: With the execution's seed, the source of weights, shuffles and masks.
        loss, output_activation: Keras names.
        metric, goal, epoch: The score: a metric's name, `maximize` or `minimize`, and the epoch
            that counts, `last` or `best`.
        model: `package.module:name` of the function or class that builds the model; empty for MLPs.
        code: That function or class by cloudpickle, if it cannot be imported by its name.
        late: How to choose a hyperparameter that the model requests and the config lacks:
            `default`, or `drawn` from its range by the config and the sweep's seed.
        asked: The names among `epochs` and `batch_size` that the model requests itself; its own
            `fit` does not get them.
        weighted: Whether rows have weights in the loss.
        summed: Metrics with their signs, whose sum is the scored metric; empty if the model
            reports it itself.
        tolerant: As in KerasTuner, only a loss that is not finite ends a training, whose best
            epoch with a finite score then counts. If false, a training has diverged once any
            metric but those of `also` is not finite.
        alone: Whether only the scored metric can make a training diverge: a program reports other
            metrics only in some epochs.
        also: Metrics that an MLP reports beside the scored one, without `val_`.
    """

    sweep_seed: int
    loss: str
    output_activation: str
    metric: str
    goal: str
    epoch: str = "last"
    early_stopping: EarlyStopping | None = None
    model: str = ""
    code: bytes = field(default=b"", repr=False)
    late: str = "drawn"
    asked: tuple[str, ...] = ()
    weighted: bool = False
    tolerant: bool = False
    summed: tuple[tuple[str, int], ...] = ()
    alone: bool = False
    also: tuple[str, ...] = ()

    @property
    def more_metrics(self) -> tuple[str, ...]:
        """The metrics, without `val_`, that not every MLP reports: the scored one, and others."""
        names = () if self.model else (self.metric.removeprefix("val_"), *self.also)
        return tuple(name for name in dict.fromkeys(names) if name not in _REPORTED)

    def better(self, score: float, than: float) -> bool:
        """Check if `score` is strictly better than `than`."""
        return score > than if self.goal == "maximize" else score < than

    @property
    def required(self) -> tuple[str, ...]:
        """The metrics that every epoch must report."""
        return tuple(name for name, _ in self.summed) or (self.metric,)

    def with_sum(self, metrics: Mapping[str, float]) -> Mapping[str, float]:
        """Return an epoch's metrics, with the scored metric added if it is a sum of others.

        Source: `keras_tuner.src.engine.objective.MultiObjective.get_value`.
        """
        signs = dict(self.summed)
        if not signs or self.metric in metrics or not metrics.keys() >= signs.keys():
            return metrics
        parts = (signs[name] * value for name, value in metrics.items() if name in signs)
        return {**metrics, self.metric: sum(parts)}

    def ends(self, metrics: Mapping[str, float]) -> bool:
        """Check if an epoch with these metrics ends the training because one is not finite."""
        if self.alone:
            return not math.isfinite(metrics[self.metric])
        if self.tolerant:
            return not math.isfinite(metrics.get("loss", 0.0))
        beside = {*self.also} - {*_REPORTED}
        kept = [n for n in metrics if n == self.metric or n.removeprefix("val_") not in beside]
        return not all(math.isfinite(metrics[name]) for name in kept)


class Patience:
    """Early stopping on the recipe's metric; never exhausted if the recipe has none.

    An epoch improves if it is better than the best one by more than `min_delta`. The training
    stops at the `patience`-th epoch in a row without improvement (with patience 0 at the first).

    Source: `keras.callbacks.EarlyStopping`.
    """

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe
        self._best: float | None = None
        self._waited = 0
        self.exhausted = False

    def see(self, score: float) -> None:
        """Record the next epoch's score."""
        rule = self._recipe.early_stopping
        if rule is None:
            return
        delta = abs(rule.min_delta)
        margin = score - delta if self._recipe.goal == "maximize" else score + delta
        if self._best is None or self._recipe.better(margin, self._best):
            self._best, self._waited = score, 0
            return
        self._waited += 1
        self.exhausted = self._waited >= rule.patience


@dataclass(frozen=True)
class Problem:
    """The task of a model and its score, without the rows, which workers share."""

    recipe: Recipe
    input: InputSpec
    target: Target

    def embedding(self, config: MLPConfig) -> Embedding:
        """Return the bins in place of an MLP's features."""
        return Embedding.of(self.input, config.embedding)
