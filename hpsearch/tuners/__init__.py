"""KerasTuner's tuners on hpsearch's engine: replace `import keras_tuner`, and change nothing else.

>>> import hpsearch.tuners as keras_tuner  # doctest: +SKIP
>>> tuner = keras_tuner.RandomSearch(build_model, objective="val_accuracy")  # doctest: +SKIP

`GridSearch`, `RandomSearch`, `BayesianOptimization` and `Hyperband` subclass KerasTuner's classes
and take the same arguments. Every other name is KerasTuner's: `HyperModel`, `Objective`, ...
"""

from __future__ import annotations

from typing import Any

import keras_tuner

from hpsearch.tuners.engine import BayesianOptimization, GridSearch, Hyperband, RandomSearch, Tuner

__all__ = ["BayesianOptimization", "GridSearch", "Hyperband", "RandomSearch", "Tuner"]


def __getattr__(name: str) -> Any:
    """Return KerasTuner's object of that name."""
    return getattr(keras_tuner, name)


def __dir__() -> list[str]:
    return sorted({*__all__, *dir(keras_tuner)})
