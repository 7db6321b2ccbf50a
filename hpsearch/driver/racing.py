"""Further seeds for the leaders only."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache

__all__ = ["Race"]

_CONFIDENCE = 0.95
#: Below, two scores that are close by chance would end a race before it began.
_FEWEST_DEGREES = 5


class Race:
    """Which config gets another seed: one whose interval overlaps the leader's.

    The interval is Student's, of the config's mean, with the variance within configs pooled over
    all that have several seeds (as in an analysis of variance: it takes configs to be equally
    noisy); before it has a few degrees of freedom, everything overlaps. The leader has the best
    mean; it gets another seed, too, while anyone overlaps it.

    Source: Maron and Moore, Hoeffding Races (1994), with Student's intervals.

    Args:
        most: Seeds of a config at most.
    """

    def __init__(self, most: int, *, maximize: bool) -> None:
        self._most = most
        self._sign = 1 if maximize else -1

    def next(self, scores: Mapping[str, Sequence[float]]) -> str | None:
        """The config that gets another seed: with the fewest, then the best; None for none.

        Args:
            scores: Of each config, one a seed.
        """
        if len(scores) < 2:  # nobody to overlap with
            return None
        means = {config: self._sign * sum(s) / len(s) for config, s in scores.items()}
        leader = max(means, key=means.__getitem__)
        spread, freedom = _pooled(scores)
        half = {c: _half_width(spread, freedom, len(s)) for c, s in scores.items()}
        floor = means[leader] - half[leader]
        close = [c for c in scores if c != leader and means[c] + half[c] >= floor]
        racing = [c for c in (leader, *close) if close and len(scores[c]) < self._most]
        return min(racing, key=lambda c: (len(scores[c]), -means[c]), default=None)


def _pooled(scores: Mapping[str, Sequence[float]]) -> tuple[float, int]:
    """Standard deviation within configs, and its degrees of freedom."""
    squares, freedom = 0.0, 0
    for each in scores.values():
        if len(each) > 1:
            mean = sum(each) / len(each)
            squares += sum((score - mean) ** 2 for score in each)
            freedom += len(each) - 1
    return (math.sqrt(squares / freedom) if freedom else math.inf), freedom


def _half_width(spread: float, freedom: int, seeds: int) -> float:
    if freedom < _FEWEST_DEGREES:
        return math.inf
    return _quantile(freedom) * spread / math.sqrt(seeds)


@cache
def _quantile(freedom: int) -> float:
    from scipy.stats import t

    return float(t.ppf((1 + _CONFIDENCE) / 2, freedom))
