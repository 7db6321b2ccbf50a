"""Spaces of every kind, and scores that derive from a config alone."""

from __future__ import annotations

import hashlib
import math

from hpsearch.search.draws import grid_draws
from hpsearch.space.constraints import parse
from hpsearch.space.space import Choices, Config, Kind, Parameter, Range, Space

#: Inactive keys, conditions, lists, mappings, a constraint, one value for epochs.
FINITE = Space(
    (
        Parameter("hidden_layers", Choices((0, 1, 2))),
        Parameter("units", Choices((10, [20, 5], [10, 10]))),
        Parameter("layer_type", Choices(("dense", "dropout"))),
        Parameter("dropout", Choices((0.1, 0.3)), {"layer_type": ("dropout",)}),
        Parameter("optimizer", Choices(("adam", {"name": "sgd", "momentum": 0.9}))),
        Parameter("learning_rate", Range(0.1, 0.2, 0.1), {"optimizer": ("adam",)}),
        Parameter("epochs", Choices((9,))),
    ),
    (parse("hidden_layers * units <= 40"),),
)
CONFIGS = list(grid_draws(FINITE))

#: Every kind of domain, with conditions and a constraint.
MIXED = Space(
    (
        Parameter("hidden_layers", Choices((0, 1, 2, 3))),
        Parameter("units", Range(4, 512, log=True, integer=True)),
        Parameter("units_2", Choices((8, 64)), {"hidden_layers": (2, 3)}),
        Parameter("activation", Choices(("relu", "tanh", "selu"))),
        Parameter("layer_type", Choices(("dense", "dropout"))),
        Parameter("dropout", Range(0.0, 0.8), {"layer_type": ("dropout",)}),
        Parameter("batch_size", Range(16, 128, 16, integer=True)),
        Parameter("l2", Range(1e-6, 1e-2, log=True)),
        Parameter("optimizer", Choices(("adam", {"name": "sgd", "momentum": 0.9}))),
        Parameter("learning_rate", Range(1e-4, 0.1, log=True), {"optimizer": ("adam",)}),
        Parameter("epochs", Choices((9,))),
    ),
    (parse("hidden_layers * units <= 600"), parse("batch_size <= units * 16")),
)

#: Continuous ranges only.
CONTINUOUS = Space(
    (
        Parameter("units", Range(1, 500, integer=True)),
        Parameter("learning_rate", Range(1e-4, 0.1, log=True)),
        Parameter("epochs", Choices((9,))),
    )
)

#: The space of a user's function.
FUNCTION = Space(
    (
        Parameter("kind", Choices(("a", "b"))),
        Parameter("x", Range(-5.0, 5.0), {"kind": ("a",)}),
        Parameter("y", Range(0, 20, integer=True), {"kind": ("b",)}),
        Parameter("flag", Choices((True, False, None))),
        Parameter("epochs", Choices((9,))),
    ),
    kind=Kind.STEPWISE,
)


def score_of(config: Config, epochs: int | None = None) -> float | None:
    """Return a config's own score, which improves with epochs; None for one config in seven."""
    number = int(hashlib.sha256(config.id.encode()).hexdigest()[:8], 16)
    if number % 7 == 0:
        return None
    return number / 2**32 - 0.5 / (epochs or 100)


def smooth(config: Config) -> float:
    """Return a score that a model can learn: best at 0.003, 64 units and relu."""
    values = config.values
    rate = math.log10(values.get("learning_rate", 0.01)) + 2.5
    width = math.log2(values.get("units", 1)) - 6 if "units" in values else -4
    return -(rate**2) - 0.2 * width**2 - (values.get("activation", "relu") != "relu")
