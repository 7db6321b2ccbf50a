"""Random search: uniform points of the space, no config twice."""

from __future__ import annotations

from typing import Any

from hpsearch.oracles.base import SweepOracle, indices_of
from hpsearch.sampling import random_draws
from hpsearch.space import Config, Space

__all__ = ["RandomOracle"]


class RandomOracle(SweepOracle):
    """Draw k derives from (seed, k), so draws are the same in any order of asking."""

    def __init__(self, space: Space, *, goal: str = "maximize", seed: int = 0) -> None:
        super().__init__(space, goal=goal, seed=seed)
        self._draws = random_draws(space, seed)

    def next_config(self) -> tuple[Config, dict[str, Any]] | None:
        """The next draw that is a new config; None once there is none left."""
        drawn = next(self._draws, None)
        return drawn and (drawn[0], indices_of(self.space, drawn[1]))
