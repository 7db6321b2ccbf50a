"""KerasTuner's tuners by their names, on hpsearch's engine: code for them needs another import.

>>> import hpsearch.tuners as keras_tuner  # doctest: +SKIP
>>> tuner = keras_tuner.RandomSearch(build_model, objective="val_accuracy")  # doctest: +SKIP

`GridSearch`, `RandomSearch`, `BayesianOptimization` and `Hyperband` subclass KerasTuner's and take
the same arguments. All else here is KerasTuner's own: `HyperModel`, `Objective`, `oracles`, ...
"""

from __future__ import annotations

from typing import Any

import keras_tuner

from hpsearch.tuners.engine import BayesianOptimization, GridSearch, Hyperband, RandomSearch

__all__ = ["BayesianOptimization", "GridSearch", "Hyperband", "RandomSearch"]


def __getattr__(name: str) -> Any:
    """What KerasTuner has under that name."""
    return getattr(keras_tuner, name)


def __dir__() -> list[str]:
    return sorted({*__all__, *dir(keras_tuner)})
