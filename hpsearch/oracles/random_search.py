"""Random search: uniform points of the space, no config twice."""

from __future__ import annotations

from hpsearch.oracles.base import DrawingOracle
from hpsearch.sampling import random_draws
from hpsearch.space import Space

__all__ = ["RandomOracle"]


class RandomOracle(DrawingOracle):
    """Draw k derives from (seed, k), so draws are the same in any order of asking."""

    def __init__(self, space: Space, *, goal: str = "maximize", seed: int = 0) -> None:
        super().__init__(space, random_draws(space, seed), goal=goal, seed=seed)
