"""A training to run, and the protocol of what is tried in it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from hpsearch.data.specs import TrainingData
from hpsearch.models.problem import Recipe
from hpsearch.space.execution import ExecutionResult, ResumePoint, Training
from hpsearch.training.follow import follow

if TYPE_CHECKING:
    # It imports NumPy, which the driver loads only once its workers are on their way.
    from hpsearch.training.trainer import Trainer

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
class Job:
    """A training to run.

    Attributes:
        recipe: Everything that decides the score besides config, seed and data.
        subject: The kind of trial.
        keep_better_than: Send back the weights of executions that score better; None sends back
            the weights of every scored execution.
        keep: Whether to send back any weights.
        tensorflow: Whether the training needs a worker that can use TensorFlow.
        past: The point to resume from; None starts from the beginning.
        snapshot: Whether to send back the state at the last epoch.
    """

    training: Training
    recipe: Recipe
    subject: Subject
    keep_better_than: float | None = None
    keep: bool = True
    tensorflow: bool = True
    past: ResumePoint | None = None
    snapshot: bool = False

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
