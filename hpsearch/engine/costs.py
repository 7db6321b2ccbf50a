"""Estimate the time and memory of trainings by a formula, or by a few measured steps."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hpsearch.engine.planning import Summary, summarize, tally
from hpsearch.models.problem import Problem
from hpsearch.space.execution import Execution, Training
from hpsearch.space.mlp import MLPConfig
from hpsearch.training.trainer import needs_tensorflow

_START_SECONDS = 3.0
#: A multiplication and an addition for the outputs, the weights' and the inputs' gradients.
_OPERATIONS_PER_WEIGHT_AND_ROW = 6
_DRIVER_BYTES = 150 * 2**20
_MOST_WEIGHT_COPIES = 6


@dataclass(frozen=True)
class _Costs:
    """A trainer's costs on one core, in seconds, and its worker's memory."""

    build: float
    step: float
    operation: float
    update_of_a_weight: float
    worker_bytes: int


_NATIVE = _Costs(0.002, 5e-6, 1 / 80e9, 0.2e-9, 60 * 2**20)
_TENSORFLOW = _Costs(0.15, 100e-6, 1 / 30e9, 0.5e-9, 500 * 2**20)
#: Memory of the process that imports TensorFlow, needed for best.keras at the end.
_SERVER_BYTES = 500 * 2**20


@dataclass(frozen=True)
class DataSizes:
    """Sizes of the data; `data_bytes` covers all arrays."""

    rows: int
    validation_rows: int
    features: int
    outputs: int
    data_bytes: int


@dataclass(frozen=True)
class CostEstimate:
    """A range of wall seconds, and an upper bound on bytes of memory."""

    low_seconds: float
    high_seconds: float
    memory_bytes: int


def step_seconds(training: Training, sizes: DataSizes, *, tensorflow: bool = False) -> float:
    """Estimate the time of one training step, by the native trainer or by TensorFlow."""
    costs = _TENSORFLOW if tensorflow else _NATIVE
    batch = MLPConfig(training.values).batch_size
    weights = _weights(training, sizes)
    operations = _OPERATIONS_PER_WEIGHT_AND_ROW * weights * min(batch, sizes.rows)
    return costs.step + operations * costs.operation + weights * costs.update_of_a_weight


def training_seconds(
    training: Training, sizes: DataSizes, step: float | None = None, *, tensorflow: bool = False
) -> float:
    """Estimate the time of a training.

    Args:
        step: A step's measured seconds; None estimates them.
    """
    costs = _TENSORFLOW if tensorflow else _NATIVE
    step = step_seconds(training, sizes, tensorflow=tensorflow) if step is None else step
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

    def seconds(self, training: Training) -> float | None:
        """Estimate the seconds that the training takes; None if unknown."""
        needed = self.needs_tensorflow(training)
        return training_seconds(training, self.sizes, tensorflow=needed)

    def summary(self, executions: Sequence[Execution], trainings: Sequence[Training]) -> Summary:
        """Count trials, executions, trainings and epochs."""
        return summarize(executions, trainings, self.sizes.features, self.sizes.outputs)


@dataclass(frozen=True)
class UnknownCosts:
    """Replaces `NetworkCosts` for functions and custom models, whose sizes are unknown."""

    tensorflow: bool

    def needs_tensorflow(self, training: Training) -> bool:
        del training
        return self.tensorflow

    def seconds(self, training: Training) -> float | None:
        del training
        return None

    def summary(self, executions: Sequence[Execution], trainings: Sequence[Training]) -> Summary:
        return tally(executions, trainings)


Costs = NetworkCosts | UnknownCosts


def estimate_cost(
    trainings: Sequence[Training],
    costs: NetworkCosts,
    workers: int,
    step: Callable[[Training], float] | None = None,
) -> CostEstimate:
    """Estimate the time and memory of all `trainings`.

    Args:
        workers: Number of trainings at a time.
        step: Returns the measured seconds of a training's step; None estimates them.
    """
    sizes, spread = costs.sizes, 2.0 if step is None else 1.4
    need = [costs.needs_tensorflow(training) for training in trainings]
    seconds = [
        training_seconds(t, sizes, None if step is None else step(t), tensorflow=needs)
        for t, needs in zip(trainings, need, strict=True)
    ]
    # In the worst case the longest training starts last.
    wall = max(sum(seconds) / workers, max(seconds, default=0.0))
    weights = 4 * _MOST_WEIGHT_COPIES * max((_weights(t, sizes) for t in trainings), default=0)
    worker = (_TENSORFLOW if any(need) else _NATIVE).worker_bytes
    used = min(workers, max(1, len(trainings)))
    return CostEstimate(
        low_seconds=_START_SECONDS + wall / spread,
        high_seconds=_START_SECONDS + wall * spread,
        memory_bytes=_DRIVER_BYTES
        + _SERVER_BYTES
        + used * (worker + weights)
        + 2 * sizes.data_bytes,
    )
