"""The listed configs, in their order."""

from __future__ import annotations

from collections.abc import Sequence

from hpsearch.oracles.base import DrawingOracle
from hpsearch.sampling import listed_draws
from hpsearch.space import Config, Space

__all__ = ["FixedOracle"]


class FixedOracle(DrawingOracle):
    """Proposes exactly the configs it is given (`configs:` without a method)."""

    def __init__(
        self, space: Space, configs: Sequence[Config], *, goal: str = "maximize", seed: int = 0
    ) -> None:
        super().__init__(space, listed_draws(configs), goal=goal, seed=seed)
