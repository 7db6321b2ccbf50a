"""KerasTuner's tuners on hpsearch's engine: replace `import keras_tuner`, and change nothing else.

>>> import hpsearch.tuners as keras_tuner  # doctest: +SKIP
>>> tuner = keras_tuner.RandomSearch(build_model, objective="val_accuracy")  # doctest: +SKIP

`Tuner`, `GridSearch`, `RandomSearch`, `BayesianOptimization` and `Hyperband` subclass KerasTuner's
and take the same arguments. Every other name is KerasTuner's, also in its modules, such as
`hpsearch.tuners.engine.hypermodel`.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import keras_tuner

from hpsearch.kerastuner.classes import (
    BayesianOptimization,
    GridSearch,
    Hyperband,
    RandomSearch,
    Tuner,
)

#: The names that `from keras_tuner import *` imports.
__all__ = [name for name in vars(keras_tuner) if name[0] != "_" and name != "src"]
_OURS = {
    getattr(keras_tuner, ours.__name__): ours
    for ours in (BayesianOptimization, GridSearch, Hyperband, RandomSearch, Tuner)
}


def _mirrored(theirs: ModuleType) -> ModuleType:
    """Return a public module of KerasTuner, under hpsearch's name and with hpsearch's classes."""
    name = theirs.__name__.replace("keras_tuner", __name__, 1)
    ours = ModuleType(name, theirs.__doc__)
    for key, value in vars(theirs).items():
        if key.startswith("_"):
            continue
        is_part = isinstance(value, ModuleType) and value.__name__ == f"{theirs.__name__}.{key}"
        replaced = _OURS.get(value, value) if isinstance(value, type) else value
        setattr(ours, key, _mirrored(value) if is_part else replaced)
    # An import statement looks in `sys.modules` first.
    sys.modules[name] = ours
    return ours


applications, engine, errors, oracles, tuners = (
    _mirrored(getattr(keras_tuner, name))
    for name in ("applications", "engine", "errors", "oracles", "tuners")
)


def __getattr__(name: str) -> Any:
    """Return KerasTuner's object of that name."""
    return getattr(keras_tuner, name)


def __dir__() -> list[str]:
    return sorted({*__all__, *dir(keras_tuner)})
