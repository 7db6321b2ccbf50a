"""Grid search: every config of the space, in file order."""

from __future__ import annotations

from hpsearch.oracles.base import DrawingOracle
from hpsearch.sampling import grid_draws
from hpsearch.space import Space

__all__ = ["GridOracle"]


class GridOracle(DrawingOracle):
    """Enumerates the space; the last parameter of the file varies fastest.

    Resuming needs no state: it enumerates again, and the plan knows what has a row.
    """

    def __init__(self, space: Space, *, goal: str = "maximize", seed: int = 0) -> None:
        super().__init__(space, grid_draws(space), goal=goal, seed=seed)
