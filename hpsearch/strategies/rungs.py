"""Rungs of successive halving: at which epochs trainings halt, and who is best at one."""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterator

from hpsearch.space import Config

__all__ = ["Rung", "rungs_below", "rungs_of"]


def rungs_of(top: int, first: int, factor: float) -> tuple[int, ...]:
    """Epochs at which trainings halt: `first`, then `factor` times more each, and at last `top`.

    Source: Li et al., A System for Massively Parallel Hyperparameter Tuning (2020).
    """
    rungs = []
    epochs = float(first)
    while round(epochs) < top:
        rungs.append(round(epochs))
        epochs *= factor
    return (*rungs, top)


def rungs_below(top: int, factor: float, halvings: int) -> tuple[int, ...]:
    """Epochs at which trainings halt: `top`, and `factor` times less each, `halvings` times."""
    below = (max(1, round(top / factor**halving)) for halving in range(1, halvings + 1))
    return tuple(sorted({top, *below}))


class Rung:
    """The scores at one rung, best first; of equal ones, the config that was proposed first."""

    def __init__(self, *, maximize: bool) -> None:
        self._sign = -1.0 if maximize else 1.0
        self._ranked: list[tuple[float, int, str]] = []
        self._entries: dict[str, tuple[float, int, str]] = {}
        self._configs: dict[str, Config] = {}

    def __len__(self) -> int:
        return len(self._ranked)

    def __contains__(self, config: Config) -> bool:
        return config.id in self._entries

    def enter(self, config: Config, order: int, score: float | None) -> None:
        """Take down a score, or that there is none, which is the worst; over an earlier one."""
        known = self._entries.get(config.id)
        if known is not None:
            del self._ranked[bisect.bisect_left(self._ranked, known)]
        finite = score is not None and math.isfinite(score)
        entry = (self._sign * score if finite and score is not None else math.inf, order, config.id)
        bisect.insort(self._ranked, entry)
        self._entries[config.id] = entry
        self._configs[config.id] = config

    def best(self, count: int) -> Iterator[Config]:
        """The best `count`, without those that failed."""
        for key, _, config in self._ranked[:count]:
            if key < math.inf:
                yield self._configs[config]
