"""The problems of search_quality.py: their scores are looked up or computed.

Every score is a loss. Regret is the distance of the best loss from the space's least loss, divided
by that of the median loss: 0 is the optimum, 1 the median of random configs. The median is that of
the whole table, or of 10,000 uniform draws with a seed of their own.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pandas as pd
from report import HERE

from hpsearch.search.draws import random_draws
from hpsearch.space.space import Choices, Config, Parameter, Range, Space
from hpsearch.spec.sweep import load_sweep

__all__ = ["PROBLEMS", "Problem", "make_problem"]

_DRAWS = 10_000
#: Seed of the draws for the median; no search has it.
_MEDIAN_SEED = 2**31


@dataclass(frozen=True)
class Problem:
    """A space and the loss of each config.

    Attributes:
        loss: The loss of a config; None if its training has diverged.
        least: The least loss of the space.
        curves: Config id -> loss after each epoch; empty without such a table.
        losses: Every loss of a table without epochs.
    """

    name: str
    space: Space
    loss: Callable[[Config], float | None]
    least: float
    curves: Mapping[str, Sequence[float]] = field(default_factory=dict, repr=False)
    losses: Sequence[float] = field(default=(), repr=False)

    @cached_property
    def median(self) -> float:
        """The median loss of random configs."""
        if self.curves:
            every = [_finite(curve[-1]) for curve in self.curves.values()]
        elif self.losses:
            every = list(self.losses)
        else:
            drawn = itertools.islice(random_draws(self.space, _MEDIAN_SEED), _DRAWS)
            every = [self.loss(config) for config in drawn]
        # A diverged training is worse than any.
        return statistics.median(math.inf if loss is None else loss for loss in every)

    @property
    def epochs(self) -> int | None:
        """Epochs of a training; None without curves."""
        return len(next(iter(self.curves.values()))) if self.curves else None

    def loss_after(self, config: Config, epochs: int | None) -> float | None:
        """The loss after so many epochs of a table; None for all of them."""
        if epochs is None:
            return self.loss(config)
        return _finite(self.curves[config.id][epochs - 1])

    def regret(self, loss: float) -> float:
        """The normalized regret of a loss."""
        return (loss - self.least) / (self.median - self.least)


def _finite(loss: float) -> float | None:
    return loss if math.isfinite(loss) else None


def _table(name: str) -> Problem:
    """The configs of tabulated_NAME.yaml with the losses that tabulate.py wrote."""
    space = load_sweep(HERE / f"tabulated_{name}.yaml").space
    table = pd.read_csv(HERE / f"tabulated_{name}.csv.gz", index_col="config")
    epochs = [column for column in table.columns if column.isdecimal()]
    losses = table[epochs].to_numpy(dtype=float)
    curves = dict(zip(table.index, map(tuple, losses.tolist()), strict=True))
    least = min(curve[-1] for curve in curves.values() if math.isfinite(curve[-1]))
    return Problem(
        name, space, lambda config: _finite(curves[config.id][-1]), least=least, curves=curves
    )


def _numbers(config: Config, names: Sequence[str]) -> list[float]:
    values = config.values  # noqa: PD011 - a mapping
    return [float(values[name]) for name in names]


def _branin() -> Problem:
    """Two dimensions, three equal minima.

    Source: L. C. W. Dixon, G. P. Szego, Towards Global Optimisation 2 (1978).
    """

    def loss(config: Config) -> float:
        x, y = _numbers(config, ("x", "y"))
        bowl = y - 5.1 / (4 * math.pi**2) * x**2 + 5 / math.pi * x - 6
        return bowl**2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10

    space = Space((Parameter("x", Range(-5.0, 10.0)), Parameter("y", Range(0.0, 15.0))))
    return Problem("branin", space, loss, least=10 / (8 * math.pi))


_HARTMANN_WEIGHTS = (1.0, 1.2, 3.0, 3.2)
_HARTMANN_WIDTHS = (
    (10, 3, 17, 3.5, 1.7, 8),
    (0.05, 10, 17, 0.1, 8, 14),
    (3, 3.5, 1.7, 10, 17, 8),
    (17, 8, 0.05, 10, 0.1, 14),
)
_HARTMANN_CENTRES = (
    (0.1312, 0.1696, 0.5569, 0.0124, 0.8283, 0.5886),
    (0.2329, 0.4135, 0.8307, 0.3736, 0.1004, 0.9991),
    (0.2348, 0.1451, 0.3522, 0.2883, 0.3047, 0.6650),
    (0.4047, 0.8828, 0.8732, 0.5743, 0.1091, 0.0381),
)


def _hartmann6() -> Problem:
    """Six dimensions, six local minima.

    Source: J. K. Hartman, Naval Research Logistics Quarterly 20 (1973); constants of Dixon, Szego.
    """
    names = tuple(f"x{number}" for number in range(1, 7))

    def loss(config: Config) -> float:
        point = _numbers(config, names)
        return -sum(
            weight * math.exp(-sum(w * (x - c) ** 2 for w, x, c in zip(ws, point, cs, strict=True)))
            for weight, ws, cs in zip(
                _HARTMANN_WEIGHTS, _HARTMANN_WIDTHS, _HARTMANN_CENTRES, strict=True
            )
        )

    space = Space(tuple(Parameter(name, Range(0.0, 1.0)) for name in names))
    return Problem("hartmann6", space, loss, least=-3.32236801)


_PENALTY, _RATE, _INERTIA = Range(1e-6, 1e2, log=True), Range(1e-5, 1.0, log=True), Range(0.0, 0.99)
_WIDTH, _LEAF = Range(4, 512, log=True, integer=True), Range(2, 512, log=True, integer=True)
_DEPTH, _FEATURES = Range(1, 12, integer=True), Range(2, 30, integer=True)
_HIDDEN = (1, 2, 3, 4)


def _position(value: float, domain: Range) -> float:
    """The position of a value on its scale, from 0 at min to 1 at max."""
    if domain.log:
        return math.log(value / domain.min) / math.log(domain.max / domain.min)
    return (value - domain.min) / (domain.max - domain.min)


def _linear(values: Mapping[str, Any]) -> float:
    return 0.30 + 0.25 * (_position(values["penalty"], _PENALTY) - 0.6) ** 2


def _trees(values: Mapping[str, Any]) -> float:
    depth, leaf = _position(values["depth"], _DEPTH), _position(values["leaf"], _LEAF)
    # The best leaf size grows with depth.
    return 0.18 + 0.3 * (depth - 0.55) ** 2 + 0.3 * (leaf - 0.4 - 0.3 * (depth - 0.5)) ** 2


def _network(values: Mapping[str, Any]) -> float:
    width, rate = _position(values["width"], _WIDTH), _position(values["rate"], _RATE)
    if rate > 0.85:
        # Nothing is learned with a high rate.
        return 0.6
    best_rate = 0.55 - 0.1 * (values["hidden"] - 2) - 0.1 * (width - 0.7)
    loss = 0.08 + 0.5 * (rate - best_rate) ** 2 + 0.15 * (width - 0.7) ** 2
    loss += 0.1 * (_position(values["penalty"], _PENALTY) - 0.35) ** 2
    loss += 0.03 * abs(values["hidden"] - 2)
    if values["solver"] == "sgd":
        return float(loss + 0.01 + 0.2 * (_position(values["inertia"], _INERTIA) - 0.9) ** 2)
    return float(loss + (0.02 if values["solver"] == "rms" else 0.0))


def _mixed() -> Problem:
    """Three learners with hyperparameters of their own, one of which has two conditions.

    The losses are bowls in the positions of numbers on their scales. The best learner has the most
    hyperparameters, and is the worst with a high rate. The problem was made for this study before
    any search was run on it.
    """
    space = Space(
        (
            Parameter("learner", Choices(("linear", "trees", "network"))),
            Parameter("penalty", _PENALTY, {"learner": ("linear", "network")}),
            Parameter("depth", _DEPTH, {"learner": ("trees",)}),
            Parameter("leaf", _LEAF, {"learner": ("trees",)}),
            Parameter("hidden", Choices(_HIDDEN), {"learner": ("network",)}),
            Parameter("width", _WIDTH, {"learner": ("network",)}),
            Parameter("rate", _RATE, {"learner": ("network",)}),
            Parameter("solver", Choices(("sgd", "adam", "rms")), {"learner": ("network",)}),
            Parameter("inertia", _INERTIA, {"solver": ("sgd",)}),
            Parameter("features", _FEATURES),
            Parameter("transform", Choices(("none", "standard", "ranks"))),
        )
    )
    learners = {"linear": _linear, "trees": _trees, "network": _network}
    transforms = {"none": 0.05, "standard": 0.0, "ranks": 0.01}

    def common(features: int) -> float:
        return 0.1 * (_position(features, _FEATURES) - 0.7) ** 2

    def loss(config: Config) -> float:
        values = config.values  # noqa: PD011 - a mapping
        own = learners[values["learner"]](values)
        # Trees ignore the transform.
        offset = 0.0 if values["learner"] == "trees" else transforms[values["transform"]]
        return own + offset + common(values["features"])

    # Rate and penalty reach their optima exactly, width and features only the nearest integers.
    least = 0.08 + min(
        0.15 * (_position(width, _WIDTH) - 0.7) ** 2
        for width in range(int(_WIDTH.min), int(_WIDTH.max) + 1)
    )
    least += min(map(common, range(int(_FEATURES.min), int(_FEATURES.max) + 1)))
    return Problem("mixed", space, loss, least=least)


_MAKERS: dict[str, Callable[[], Problem]] = {
    "digits": lambda: _table("digits"),
    "diabetes": lambda: _table("diabetes"),
    "branin": _branin,
    "hartmann6": _hartmann6,
    "mixed": _mixed,
}
#: Two tables of MLPs, two functions of numbers, and a space with conditions.
PROBLEMS = tuple(_MAKERS)


def make_problem(name: str) -> Problem:
    """The problem with a name from PROBLEMS."""
    return _MAKERS[name]()
