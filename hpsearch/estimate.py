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

_START_SECONDS = 6.0
_BUILD_SECONDS = 0.15
_STEP_SECONDS = 100e-6
_SECONDS_PER_OPERATION = 1 / 30e9
#: Forward, gradient of the weights, gradient of the inputs: a multiply and an add each.
_OPERATIONS_PER_WEIGHT_AND_ROW = 6
_UPDATE_SECONDS_PER_WEIGHT = 0.5e-9
_DRIVER_BYTES = 650 * 2**20
_WORKER_BYTES = 500 * 2**20
_MOST_WEIGHT_COPIES = 6


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


def step_seconds(training: Training, sizes: Sizes) -> float:
    """About how long one training step takes."""
    batch = int(training.values.get("batch_size", DEFAULTS["batch_size"]))
    weights = weight_count(training.values, sizes.features, sizes.outputs) or sizes.features * 100
    operations = _OPERATIONS_PER_WEIGHT_AND_ROW * weights * min(batch, sizes.rows)
    return (
        _STEP_SECONDS + operations * _SECONDS_PER_OPERATION + weights * _UPDATE_SECONDS_PER_WEIGHT
    )


def training_seconds(training: Training, sizes: Sizes, step: float | None = None) -> float:
    """About how long a training's epochs take; `step` where a step's seconds were measured."""
    step = step_seconds(training, sizes) if step is None else step
    batch = int(training.values.get("batch_size", DEFAULTS["batch_size"]))
    steps = math.ceil(sizes.rows / batch)
    weights = weight_count(training.values, sizes.features, sizes.outputs) or sizes.features * 100
    validation = 2 * weights * sizes.validation_rows * _SECONDS_PER_OPERATION
    return training.epochs * (steps * step + validation)


def estimate(
    trainings: Sequence[Training],
    sizes: Sizes,
    workers: int,
    *,
    step: Callable[[Training], float] | None = None,
    build_seconds: float = _BUILD_SECONDS,
    spread: float = 2.0,
) -> Estimate:
    """How long `trainings` take.

    Args:
        trainings: What is to be trained.
        sizes: Of the data.
        workers: How many trainings run at a time.
        step: Seconds of one step of a training, where measured.
        build_seconds: Of building and tracing a model.
        spread: The range is from `1 / spread` to `spread` times the estimate.
    """
    seconds = [
        build_seconds + training_seconds(t, sizes, None if step is None else step(t))
        for t in trainings
    ]
    # The longest training may start last.
    wall = max(sum(seconds) / workers, max(seconds, default=0.0))
    counts = [weight_count(t.values, sizes.features, sizes.outputs) or 0 for t in trainings]
    weights = 4 * _MOST_WEIGHT_COPIES * max(counts, default=0)
    used = min(workers, max(1, len(trainings)))
    return Estimate(
        low_seconds=_START_SECONDS + wall / spread,
        high_seconds=_START_SECONDS + wall * spread,
        memory_bytes=_DRIVER_BYTES + used * (_WORKER_BYTES + weights) + 2 * sizes.data_bytes,
    )
