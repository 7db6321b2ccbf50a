"""The strategies behind KerasTuner's `Oracle` interface.

Imports KerasTuner, and with it TensorFlow.
"""

from __future__ import annotations

from collections.abc import Sequence

from hpsearch.oracles.base import SweepOracle, config_from, hyperparameters_of
from hpsearch.oracles.strategy import StrategyOracle
from hpsearch.space import Config, Space
from hpsearch.strategies import METHODS, make_strategy
from hpsearch.sweep.method import MethodSpec

__all__ = [
    "METHODS",
    "StrategyOracle",
    "SweepOracle",
    "config_from",
    "hyperparameters_of",
    "make_oracle",
]


def make_oracle(
    method: MethodSpec,
    space: Space,
    listed: Sequence[Config] = (),
    *,
    goal: str = "maximize",
    seed: int = 0,
    trials: int | None = None,
) -> StrategyOracle:
    """KerasTuner's oracle of a method; arguments as of `strategies.make_strategy`.

    Raises:
        NotSupportedError: The method has no execution in this version.
        ValueError: A grid's parameter is continuous.
    """
    strategy = make_strategy(method, space, listed, goal=goal, seed=seed, trials=trials)
    return StrategyOracle(strategy, space, goal=goal, seed=seed)
