"""What a training needs, and about what it takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from hpsearch.estimate import Sizes, training_seconds
from hpsearch.plan import Summary, Trial, summarize, tally
from hpsearch.training import needs_tensorflow
from hpsearch.trial import InputSpec, Recipe, Target, Training

__all__ = ["Costs", "FunctionCosts", "ModelCosts", "NetworkCosts"]


class Costs(Protocol):
    """What the loop asks before it hands out work."""

    def needs_tensorflow(self, training: Training) -> bool:
        """Whether it needs a worker in which TensorFlow can be used."""
        ...

    def seconds(self, training: Training) -> float | None:
        """About how long it takes; None where nobody knows."""
        ...

    def summary(self, trials: Sequence[Trial], trainings: Sequence[Training]) -> Summary:
        """What they come to."""
        ...


@dataclass(frozen=True)
class NetworkCosts:
    """Of MLPs.

    Attributes:
        input, target: Of the data.
        sizes: Of the data.
    """

    recipe: Recipe
    input: InputSpec
    target: Target
    sizes: Sizes

    def needs_tensorflow(self, training: Training) -> bool:
        return needs_tensorflow(training.values, self.recipe, self.input, self.target)

    def seconds(self, training: Training) -> float | None:
        needed = self.needs_tensorflow(training)
        return training_seconds(training, self.sizes, tensorflow=needed)

    def summary(self, trials: Sequence[Trial], trainings: Sequence[Training]) -> Summary:
        return summarize(trials, trainings, self.sizes.features, self.sizes.outputs)


class FunctionCosts:
    """Of a function of the user's."""

    #: Whether it is called where TensorFlow can be used.
    tensorflow = False

    def needs_tensorflow(self, training: Training) -> bool:
        del training
        return self.tensorflow

    def seconds(self, training: Training) -> float | None:
        del training
        return None

    def summary(self, trials: Sequence[Trial], trainings: Sequence[Training]) -> Summary:
        return Summary(
            trials=len(trials),
            configs=len({trial.config.id for trial in trials}),
            trainings=len(trainings),
            epochs_asked=0,
            epochs_trained=0,
            weights=None,
        )


class ModelCosts(FunctionCosts):
    """Of models of the user's own, whose size nobody knows before they are built."""

    tensorflow = True

    def summary(self, trials: Sequence[Trial], trainings: Sequence[Training]) -> Summary:
        return tally(trials, trainings)
