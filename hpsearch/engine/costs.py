"""Estimate the time and memory of trainings by a formula, or by a few measured steps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from hpsearch.models.problem import Problem
from hpsearch.space.execution import Training
from hpsearch.space.mlp import MLPConfig
from hpsearch.training.trainer import needs_tensorflow

_START_SECONDS = 3.0
#: A multiplication and an addition for the outputs, the weights' and the inputs' gradients.
_OPERATIONS_PER_WEIGHT_AND_ROW = 6


@dataclass(frozen=True)
class _Costs:
    """A trainer's costs on one core, in seconds."""

    build: float
    step: float
    operation: float
    update_of_a_weight: float


_NATIVE = _Costs(0.002, 5e-6, 1 / 80e9, 0.2e-9)
_TENSORFLOW = _Costs(0.15, 100e-6, 1 / 30e9, 0.5e-9)


@dataclass(frozen=True)
class DataSizes:
    """Sizes of the data."""

    rows: int
    validation_rows: int
    features: int
    outputs: int


def step_seconds(training: Training, sizes: DataSizes, *, tensorflow: bool = False) -> float:
    """Estimate the time of one training step, by the native trainer or by TensorFlow."""
    costs = _TENSORFLOW if tensorflow else _NATIVE
    batch = MLPConfig(training.values).batch_size
    weights = _weights(training, sizes)
    operations = _OPERATIONS_PER_WEIGHT_AND_ROW * weights * min(batch, sizes.rows)
    return costs.step + operations * costs.operation + weights * costs.update_of_a_weight


def training_seconds(training: Training, sizes: DataSizes, *, tensorflow: bool = False) -> float:
    """Estimate the time of a training."""
    costs = _TENSORFLOW if tensorflow else _NATIVE
    step = step_seconds(training, sizes, tensorflow=tensorflow)
    batch = MLPConfig(training.values).batch_size
    steps = math.ceil(sizes.rows / batch)
    validation = 2 * _weights(training, sizes) * sizes.validation_rows * costs.operation
    return costs.build + training.epochs * (steps * step + validation)


def _weights(training: Training, sizes: DataSizes) -> int:
    count = MLPConfig(training.values).weight_count(sizes.features, sizes.outputs)
    return count or sizes.features * 100


@dataclass(frozen=True)
class NetworkCosts:
    """Estimates the time and memory that trainings of MLPs need."""

    problem: Problem
    sizes: DataSizes

    def needs_tensorflow(self, training: Training) -> bool:
        """Check if the training needs a worker with TensorFlow."""
        return needs_tensorflow(self.problem, training.values)

    def seconds(self, training: Training) -> float:
        """Estimate the seconds that the training takes."""
        needed = self.needs_tensorflow(training)
        return training_seconds(training, self.sizes, tensorflow=needed)


@dataclass(frozen=True)
class UnknownCosts:
    """Replaces `NetworkCosts` for functions and custom models, whose sizes are unknown."""

    tensorflow: bool

    def needs_tensorflow(self, training: Training) -> bool:
        del training
        return self.tensorflow

    def seconds(self, training: Training) -> float:
        del training
        return 0.0


Costs = NetworkCosts | UnknownCosts


def estimate_seconds(
    trainings: Sequence[Training], costs: NetworkCosts, workers: int, factor: float | None = None
) -> tuple[float, float]:
    """Estimate the wall time of all `trainings`, as its lower and upper end.

    Args:
        workers: Number of trainings at a time.
        factor: The ratio of measured to estimated seconds; None if nothing was measured.
    """
    seconds = [(factor or 1.0) * costs.seconds(training) for training in trainings]
    # In the worst case the longest training starts last.
    wall = max(sum(seconds) / workers, max(seconds, default=0.0))
    spread = 2.0 if factor is None else 1.4
    return _START_SECONDS + wall / spread, _START_SECONDS + wall * spread
