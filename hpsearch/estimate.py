"""How long a plan takes and how much memory: a formula, or what a few measured steps say.

Pure; the constants are orders of magnitude of a current core, so the estimate comes as a range.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hpsearch.hyperparameters import DEFAULTS
from hpsearch.plan import weight_count
from hpsearch.trial import Training

__all__ = ["Estimate", "Sizes", "estimate", "step_seconds", "training_seconds"]

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
class Sizes:
    """Of the data: rows of training and validation, features, outputs, bytes of all arrays."""

    rows: int
    validation_rows: int
    features: int
    outputs: int
    data_bytes: int


@dataclass(frozen=True)
class Estimate:
    """A range of wall seconds, and bytes of memory at most."""

    low_seconds: float
    high_seconds: float
    memory_bytes: int


def step_seconds(training: Training, sizes: Sizes, *, tensorflow: bool = False) -> float:
    """About how long one training step takes, by the native trainer or by TensorFlow."""
    costs = _TENSORFLOW if tensorflow else _NATIVE
    batch = int(training.values.get("batch_size", DEFAULTS["batch_size"]))
    weights = _weights(training, sizes)
    operations = _OPERATIONS_PER_WEIGHT_AND_ROW * weights * min(batch, sizes.rows)
    return costs.step + operations * costs.operation + weights * costs.update_of_a_weight


def training_seconds(
    training: Training, sizes: Sizes, step: float | None = None, *, tensorflow: bool = False
) -> float:
    """About how long a training takes; `step` where a step's seconds were measured."""
    costs = _TENSORFLOW if tensorflow else _NATIVE
    step = step_seconds(training, sizes, tensorflow=tensorflow) if step is None else step
    batch = int(training.values.get("batch_size", DEFAULTS["batch_size"]))
    steps = math.ceil(sizes.rows / batch)
    validation = 2 * _weights(training, sizes) * sizes.validation_rows * costs.operation
    return costs.build + training.epochs * (steps * step + validation)


def _weights(training: Training, sizes: Sizes) -> int:
    count = weight_count(training.values, sizes.features, sizes.outputs)
    return count or sizes.features * 100


def estimate(
    trainings: Sequence[Training],
    sizes: Sizes,
    workers: int,
    *,
    tensorflow: Callable[[Training], bool],
    step: Callable[[Training], float] | None = None,
    spread: float = 2.0,
) -> Estimate:
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
    return Estimate(
        low_seconds=_START_SECONDS + wall / spread,
        high_seconds=_START_SECONDS + wall * spread,
        memory_bytes=_DRIVER_BYTES
        + _SERVER_BYTES
        + used * (worker + weights)
        + 2 * sizes.data_bytes,
    )
