"""Grid search: every config of the space, in file order."""

from __future__ import annotations

from typing import Any

from hpsearch.oracles.base import SweepOracle, indices_of
from hpsearch.sampling import grid_draws
from hpsearch.space import Config, Space

__all__ = ["GridOracle"]


class GridOracle(SweepOracle):
    """Enumerates the space; the last parameter of the file varies fastest.

    Resuming needs no state: it enumerates again, and the plan knows what has a row.
    """

    def __init__(self, space: Space, *, goal: str = "maximize", seed: int = 0) -> None:
        super().__init__(space, goal=goal, seed=seed)
        self._draws = grid_draws(space)

    def next_config(self) -> tuple[Config, dict[str, Any]] | None:
        """The next point of the grid that is a config not met before."""
        drawn = next(self._draws, None)
        return drawn and (drawn[0], indices_of(self.space, drawn[1]))
