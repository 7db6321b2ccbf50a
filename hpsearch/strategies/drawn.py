"""Strategies that learn nothing: the draws of `sampling`, the listed configs before them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hpsearch.proposal import Outcome
from hpsearch.sampling import Draw, Source, draws, listed_draws
from hpsearch.space import Config, Space

__all__ = ["Drawn"]


class Drawn(Source):
    """Proposes listed configs, then a method's draws, no config twice.

    Args:
        method: One of `sampling.METHODS`; of `configs`, `listed` is all there is.
        listed: Configs to try first.

    Raises:
        ValueError: The method depends on scores.
    """

    def __init__(self, method: str, space: Space, listed: Sequence[Config], seed: int) -> None:
        self._met: set[str] = set()
        super().__init__(self._once(listed, draws(method, space, listed, seed)))

    def _once(self, listed: Sequence[Config], drawn: Iterator[Draw]) -> Iterator[Draw]:
        for source in (listed_draws(listed), drawn):
            for draw in source:
                if draw[0].id not in self._met:
                    self._met.add(draw[0].id)
                    yield draw

    def restore(self, configs: Sequence[Config], outcomes: Sequence[Outcome]) -> None:
        """What was proposed before is passed over, wherever it stands now."""
        del outcomes
        self._met.update(config.id for config in configs)
