"""How long trainings take and how much memory: a formula, or a few measured steps."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from hpsearch.data.loading import load_dataset
from hpsearch.data.specs import Arrays
from hpsearch.models import preprocessing
from hpsearch.models.problem import Problem
from hpsearch.space.mlp import MLPConfig
from hpsearch.space.trial import Training, Trial
from hpsearch.spec.sweep import Sweep
from hpsearch.store.provenance import make_recipe
from hpsearch.training.kinds import needs_tensorflow
from hpsearch.training.make import make_trainer
from hpsearch.tuner.planning import Summary, summarize, tally

_START_SECONDS = 3.0
#: Forward, gradient of the weights, gradient of the inputs: a multiply and an add each.
_OPERATIONS_PER_WEIGHT_AND_ROW = 6
_DRIVER_BYTES = 150 * 2**20
_MOST_WEIGHT_COPIES = 6


@dataclass(frozen=True)
class _Costs:
    """Of a trainer, on one core: seconds, and bytes of a worker."""

    build: float
    step: float
    operation: float
    update_of_a_weight: float
    worker_bytes: int


_NATIVE = _Costs(0.002, 5e-6, 1 / 80e9, 0.2e-9, 60 * 2**20)
_TENSORFLOW = _Costs(0.15, 100e-6, 1 / 30e9, 0.5e-9, 500 * 2**20)
#: The process that imports TensorFlow, for the model that is written at the end.
_SERVER_BYTES = 500 * 2**20


@dataclass(frozen=True)
class DataSizes:
    """Of the data: rows of training and validation, features, outputs, bytes of all arrays."""

    rows: int
    validation_rows: int
    features: int
    outputs: int
    data_bytes: int


@dataclass(frozen=True)
class CostEstimate:
    """A range of wall seconds, and bytes of memory at most."""

    low_seconds: float
    high_seconds: float
    memory_bytes: int


def step_seconds(training: Training, sizes: DataSizes, *, tensorflow: bool = False) -> float:
    """About how long one training step takes, by the native trainer or by TensorFlow."""
    costs = _TENSORFLOW if tensorflow else _NATIVE
    batch = MLPConfig(training.values).batch_size
    weights = _weights(training, sizes)
    operations = _OPERATIONS_PER_WEIGHT_AND_ROW * weights * min(batch, sizes.rows)
    return costs.step + operations * costs.operation + weights * costs.update_of_a_weight


def training_seconds(
    training: Training, sizes: DataSizes, step: float | None = None, *, tensorflow: bool = False
) -> float:
    """About how long a training takes; `step` where a step's seconds were measured."""
    costs = _TENSORFLOW if tensorflow else _NATIVE
    step = step_seconds(training, sizes, tensorflow=tensorflow) if step is None else step
    batch = MLPConfig(training.values).batch_size
    steps = math.ceil(sizes.rows / batch)
    validation = 2 * _weights(training, sizes) * sizes.validation_rows * costs.operation
    return costs.build + training.epochs * (steps * step + validation)


def _weights(training: Training, sizes: DataSizes) -> int:
    count = MLPConfig(training.values).weight_count(sizes.features, sizes.outputs)
    return count or sizes.features * 100


def estimate_cost(
    trainings: Sequence[Training],
    sizes: DataSizes,
    workers: int,
    *,
    tensorflow: Callable[[Training], bool],
    step: Callable[[Training], float] | None = None,
    spread: float = 2.0,
) -> CostEstimate:
    """How long `trainings` take.

    Args:
        trainings: What is to be trained.
        sizes: Of the data.
        workers: How many trainings run at a time.
        tensorflow: Whether a training needs it.
        step: Seconds of one step of a training, where measured.
        spread: The range is from `1 / spread` to `spread` times the estimate.
    """
    need = [tensorflow(each) for each in trainings]
    seconds = [
        training_seconds(t, sizes, None if step is None else step(t), tensorflow=needs)
        for t, needs in zip(trainings, need, strict=True)
    ]
    # The longest training may start last.
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
        sizes: Of the data.
    """

    problem: Problem
    sizes: DataSizes

    def needs_tensorflow(self, training: Training) -> bool:
        return needs_tensorflow(self.problem, training.values)

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


_STEPS = 50


@dataclass(frozen=True)
class StepTimings:
    """What was measured: the formula's steps are so many times too short, `factor`."""

    sizes: DataSizes
    factor: float
    tensorflow: Callable[[Training], bool]

    def step_seconds(self, training: Training) -> float:
        """Seconds of one step."""
        formula = step_seconds(training, self.sizes, tensorflow=self.tensorflow(training))
        return self.factor * formula


def measure_steps(
    sweep: Sweep,
    trainings: Sequence[Training],
    sizes: DataSizes,
    tensorflow: Callable[[Training], bool],
) -> StepTimings:
    """Time steps of the smallest, the middle and the largest training."""
    if any(map(tensorflow, trainings)):
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    dataset = load_dataset(sweep.data)
    problem = Problem(make_recipe(sweep, dataset.target.task), dataset.input, dataset.target)
    arrays = preprocessing.arrays(dataset, sweep.class_weight)
    ordered = sorted(trainings, key=lambda training: step_seconds(training, sizes))
    chosen = {0: ordered[0], 1: ordered[len(ordered) // 2], 2: ordered[-1]}
    factors = [
        _step_seconds(each, problem, arrays)
        / step_seconds(each, sizes, tensorflow=tensorflow(each))
        for each in chosen.values()
    ]
    return StepTimings(sizes, float(np.median(factors)), tensorflow)


def _step_seconds(training: Training, problem: Problem, arrays: Arrays) -> float:
    batch = MLPConfig(training.values).batch_size
    rows = min(len(arrays.x_train), batch * _STEPS)
    part = replace(
        arrays,
        x_train=arrays.x_train[:rows],
        y_train=arrays.y_train[:rows],
        x_val=arrays.x_val[:1],
        y_val=arrays.y_val[:1],
        w_train=None if arrays.w_train is None else arrays.w_train[:rows],
        w_val=None if arrays.w_val is None else arrays.w_val[:1],
    )
    trainer = make_trainer(problem, training.values, training.seed, part)
    # The first one builds what the others use.
    trainer.run_epoch()
    began = time.perf_counter()
    trainer.run_epoch()
    return (time.perf_counter() - began) / max(1, rows // batch)
