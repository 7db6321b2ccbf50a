"""A few timed steps of a few sizes, for `plan --measure`, on one thread."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
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
    tensorflow: Callable[[Training], bool]

    def step_seconds(self, training: Training) -> float:
        """Seconds of one step."""
        formula = step_seconds(training, self.sizes, tensorflow=self.tensorflow(training))
        return self.factor * formula


def measure(
    sweep: Sweep,
    trainings: Sequence[Training],
    sizes: Sizes,
    tensorflow: Callable[[Training], bool],
) -> Measured:
    """Time steps of the smallest, the middle and the largest training."""
    from hpsearch import preprocessing
    from hpsearch.driver.recipe import make_recipe

    if any(map(tensorflow, trainings)):
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    dataset = data.load(sweep.data)
    recipe = make_recipe(sweep, dataset.target.task)
    arrays = preprocessing.arrays(dataset, sweep.class_weight)
    ordered = sorted(trainings, key=lambda training: step_seconds(training, sizes))
    chosen = {0: ordered[0], 1: ordered[len(ordered) // 2], 2: ordered[-1]}
    factors = [
        _step_seconds(each, recipe, dataset, arrays)
        / step_seconds(each, sizes, tensorflow=tensorflow(each))
        for each in chosen.values()
    ]
    return Measured(sizes, float(np.median(factors)), tensorflow)


def _step_seconds(
    training: Training, recipe: Recipe, dataset: data.Dataset, arrays: Arrays
) -> float:
    from hpsearch.training import make_trainer

    batch = int(training.values.get("batch_size", DEFAULTS["batch_size"]))
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
    trainer = make_trainer(
        training.values, training.seed, recipe, dataset.input, dataset.target, part
    )
    # The first one builds what the others use.
    trainer.run_epoch()
    began = time.perf_counter()
    trainer.run_epoch()
    return (time.perf_counter() - began) / max(1, rows // batch)
