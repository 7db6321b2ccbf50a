"""A few timed steps of a few sizes, for `plan --measure`. Runs TensorFlow, on one thread."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from hpsearch import data
from hpsearch.estimate import Sizes, step_seconds
from hpsearch.hyperparameters import DEFAULTS
from hpsearch.sweep import Sweep
from hpsearch.trial import Arrays, Recipe, Training

__all__ = ["Measured", "measure"]

_STEPS = 50


@dataclass(frozen=True)
class Measured:
    """What was measured: the formula's steps are so many times too short, `factor`."""

    sizes: Sizes
    factor: float
    build_seconds: float

    def step_seconds(self, training: Training) -> float:
        """Seconds of one step."""
        return self.factor * step_seconds(training, self.sizes)


def measure(sweep: Sweep, trainings: Sequence[Training], sizes: Sizes) -> Measured:
    """Time steps of the smallest, the middle and the largest training."""
    import tensorflow as tf

    from hpsearch import preprocessing
    from hpsearch.driver.recipe import make_recipe

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    dataset = data.load(sweep.data)
    recipe = make_recipe(sweep, dataset.target.task)
    arrays = preprocessing.arrays(dataset)
    ordered = sorted(trainings, key=lambda training: step_seconds(training, sizes))
    chosen = {0: ordered[0], 1: ordered[len(ordered) // 2], 2: ordered[-1]}
    factors, builds = [], []
    for training in chosen.values():
        build, step = _time(training, recipe, dataset, arrays)
        builds.append(build)
        factors.append(step / step_seconds(training, sizes))
    return Measured(sizes, float(np.median(factors)), float(np.median(builds)))


def _time(
    training: Training, recipe: Recipe, dataset: data.Dataset, arrays: Arrays
) -> tuple[float, float]:
    """Seconds to build and trace, and of one step."""
    from hpsearch.training import make_trainer

    batch = int(training.values.get("batch_size", DEFAULTS["batch_size"]))
    rows = min(len(arrays.x_train), batch * _STEPS)
    part = replace(
        arrays,
        x_train=arrays.x_train[:rows],
        y_train=arrays.y_train[:rows],
        x_val=arrays.x_val[:1],
        y_val=arrays.y_val[:1],
    )
    began = time.perf_counter()
    trainer = make_trainer(
        training.values,
        training.seed,
        recipe,
        dataset.input,
        dataset.target,
        part,
    )
    trainer.run_epoch()
    traced = time.perf_counter()
    trainer.run_epoch()
    epoch = time.perf_counter() - traced
    return traced - began - epoch, epoch / max(1, rows // batch)
