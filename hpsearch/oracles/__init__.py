"""Methods: each proposes configs by `ask(count)` and learns by `tell(outcomes)`.

Imports KerasTuner, and with it TensorFlow.
"""

from __future__ import annotations

from collections.abc import Sequence

from hpsearch.errors import NotSupportedError
from hpsearch.oracles.base import SweepOracle
from hpsearch.oracles.fixed import FixedOracle
from hpsearch.oracles.grid import GridOracle
from hpsearch.oracles.random_search import RandomOracle
from hpsearch.space import Config, Space

__all__ = [
    "METHODS",
    "FixedOracle",
    "GridOracle",
    "RandomOracle",
    "SweepOracle",
    "make_oracle",
]

METHODS: dict[str, type[SweepOracle]] = {"grid": GridOracle, "random": RandomOracle}


def make_oracle(
    method: str, space: Space, configs: Sequence[Config], *, goal: str, seed: int
) -> SweepOracle:
    """The oracle of a method's name; of no method (`configs`), one that lists `configs`.

    Raises:
        NotSupportedError: The method has no execution in this version.
    """
    if method == "configs":
        return FixedOracle(space, configs, goal=goal, seed=seed)
    if method not in METHODS:
        raise NotSupportedError(
            f"method: {method} is not there yet in this version of hpsearch; "
            f"what runs today: {', '.join(METHODS)}"
        )
    return METHODS[method](space, goal=goal, seed=seed)
