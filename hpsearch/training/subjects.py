"""A training to run, and what is tried in it: models here, a function or a program elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from hpsearch.data.specs import TrainingData
from hpsearch.models.problem import Problem, Recipe
from hpsearch.space.execution import ExecutionResult, ResumePoint, Training
from hpsearch.training.follow import follow
from hpsearch.training.make import make_trainer
from hpsearch.training.programs import Programs
from hpsearch.training.trainer import Trainer

#: The programs that this process has compiled; it runs one training at a time.
_PROGRAMS = Programs()

#: Called with an epoch (from 1) and its metrics.
OnEpoch = Callable[[int, Mapping[str, float]], None]
#: Called with a line of warning.
Say = Callable[[str], None]


class Subject(Protocol):
    """A kind of trial, as plain data."""

    def results(
        self, job: Job, dataset: TrainingData, on_epoch: OnEpoch, say: Say
    ) -> Iterator[ExecutionResult]:
        """Train, and yield the result of each of the job's executions as soon as it is there."""
        ...


@dataclass(frozen=True)
class Models:
    """Keras models: hpsearch's MLPs, or those that the recipe's function builds."""

    def results(
        self, job: Job, dataset: TrainingData, on_epoch: OnEpoch, say: Say
    ) -> Iterator[ExecutionResult]:
        """Train the model of the job's config on the dataset, or on one of its folds."""
        del say
        started, training = time.monotonic(), job.training
        dataset = dataset.of_fold(training.fold)
        trainer = make_trainer(
            Problem(job.recipe, dataset.input, dataset.target),
            training.values,
            training.seed,
            dataset.arrays,
            programs=_PROGRAMS,
            epochs=training.epochs,
        )
        for result in job.follow(trainer, started, on_epoch):
            late = _late_hyperparameters(trainer) if job.recipe.model else {}
            yield replace(result, late=late) if late else result


def _late_hyperparameters(trainer: Trainer) -> Mapping[str, Any]:
    """Return the values that a custom model requested beyond its config."""
    # Imports Keras.
    from hpsearch.models.custom import built_with

    values = built_with(trainer.model)
    return dict(values.late) if values is not None else {}


@dataclass(frozen=True)
class Job:
    """A training to run.

    Attributes:
        recipe: Everything that decides the score besides config, seed and data.
        keep_better_than: Send back the weights of executions that score better; None sends back
            the weights of every scored execution.
        keep: Whether to send back any weights.
        tensorflow: Whether the training needs a worker that can use TensorFlow.
        past: The point to resume from; None starts from the beginning.
        snapshot: Whether to send back the state at the last epoch.
        subject: What is tried.
    """

    training: Training
    recipe: Recipe
    keep_better_than: float | None = None
    keep: bool = True
    tensorflow: bool = True
    past: ResumePoint | None = None
    snapshot: bool = False
    subject: Subject = Models()

    def wants(self, score: float) -> bool:
        """Check if the weights of an execution with this score are to be sent back."""
        if not self.keep:
            return False
        return self.keep_better_than is None or self.recipe.better(score, self.keep_better_than)

    def follow(
        self, trainer: Trainer, started: float, on_epoch: OnEpoch
    ) -> Iterator[ExecutionResult]:
        """Train with a trainer; see `follow`."""
        return follow(
            self.training,
            self.recipe,
            trainer,
            clock=time.monotonic,
            started=started,
            on_epoch=on_epoch,
            keep=self.wants,
            past=self.past,
            snapshot=self.snapshot,
        )
