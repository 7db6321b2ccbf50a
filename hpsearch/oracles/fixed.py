"""The listed configs, in their order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hpsearch.oracles.base import SweepOracle, distinct
from hpsearch.space import Config, Space

__all__ = ["FixedOracle"]


class FixedOracle(SweepOracle):
    """Proposes exactly the configs it is given (`configs:` without a method)."""

    def __init__(
        self, space: Space, configs: Sequence[Config], *, goal: str = "maximize", seed: int = 0
    ) -> None:
        super().__init__(space, goal=goal, seed=seed)
        self._pending = distinct(configs)

    def next_config(self) -> tuple[Config, dict[str, Any]] | None:
        """The next of the list."""
        config = next(self._pending, None)
        return None if config is None else (config, {})
