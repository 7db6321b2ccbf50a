"""The second question: the best config of each table, where the tables share none.

The interval inverts a permutation test whose statistic is the difference of the two bests, so
each permutation repeats the choice: were both tables draws from one distribution of config
means, but for a shift, every share-out of the pooled configs would be as likely. Of that
distribution nothing is assumed, and config and seed noise are in it alike. Permuting needs no
sampling: how many configs of one table beat the best of the other is hypergeometric.
Source: Rosenbaum (1954), Tables for a nonparametric test of location; linear interpolation
between ranks: Beran and Hall (1993), Interpolated nonparametric prediction intervals and
confidence intervals.

Why no bootstrap over configs and seeds: of a maximum it covers too little with one seed, and too
much with several, whose noise it counts twice (experiments/compare_simulations.md).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from hpsearch.comparison.estimate import ALPHA, ROUNDING, Estimate, Floats, settled

__all__ = ["best_difference", "optimism"]

#: Spreads differ for all we know where Levene's test gives less. Not 0.05: to miss a difference
#: costs coverage, to see one that is none only some width.
_SPREADS_DIFFER = 0.2


@lru_cache(maxsize=256)
def _tails(count: int, others: int) -> Floats:
    """Chances that the r best of the pooled configs all come from the table of `count` of them.

    Returns:
        `(count,)`, for r = 1, 2, ..., strictly falling.
    """
    from scipy import stats

    ranks = np.arange(1, count + 1)
    tails: Floats = stats.hypergeom.pmf(ranks, count + others, count, ranks)
    tails.flags.writeable = False
    return tails


@dataclass(frozen=True)
class _Side:
    """One table's configs: how far each lies below the best, `(n,)`, rising from 0."""

    gaps: Floats
    tails: Floats

    def depth(self, level: float) -> float:
        """How far below its best a table's expected best may lie, at a one-sided level."""
        if level >= self.tails[0]:
            return 0.0
        if level < self.tails[-1]:
            return math.inf
        return float(np.interp(level, self.tails[::-1], self.gaps[::-1]))

    def tail(self, depth: float) -> float:
        """The level at which `depth` is reached: the inverse of `depth`."""
        above = int(np.searchsorted(self.gaps, depth, side="left"))
        if above == len(self.gaps):
            return float(self.tails[-1])
        if above == 0:
            return 1.0
        low, high = self.gaps[above - 1], self.gaps[above]
        share = (depth - low) / (high - low)
        return float((1 - share) * self.tails[above - 1] + share * self.tails[above])


def best_difference(first: Floats, second: Floats, scale: float = 1.0) -> Estimate:
    """The difference of the two tables' best config means, with interval and test.

    Where the tables' means spread differently (Levene's test), the wider of the two sides serves
    as both.

    Args:
        first, second: Mean score of each config, larger is better, `(n_configs,)`; of configs
            that shared trainings, only the best. Means of equally many seeds.
        scale: Size of the scores, against which rounding is told from a difference.
    """
    if not len(first) or not len(second):
        return Estimate()
    difference = settled(float(first.max() - second.max()), scale)
    sides = (_side(first, len(second), scale), _side(second, len(first), scale))
    down, up = sides
    alike = _spread_alike(first, second)
    depths = [side.depth(ALPHA / 2) for side in sides]
    below, above = depths if alike else [max(depths)] * 2
    if not difference:
        p_value = 1.0
    elif alike:
        p_value = 2 * (down if difference > 0 else up).tail(abs(difference))
    else:
        p_value = 2 * max(side.tail(abs(difference)) for side in sides)
    return Estimate(
        difference,
        settled(difference - below, scale),
        settled(difference + above, scale),
        min(1.0, p_value),
    )


def _side(means: Floats, others: int, scale: float) -> _Side:
    gaps = means.max() - np.sort(means)[::-1]
    gaps[np.abs(gaps) <= ROUNDING * scale] = 0.0
    return _Side(gaps, _tails(len(means), others))


def _spread_alike(first: Floats, second: Floats) -> bool:
    from scipy import stats

    if min(len(first), len(second)) < 2:
        return True
    # Where all deviations of a table are equal, it divides by zero: no doubt, or 0 / 0, no test.
    with np.errstate(divide="ignore", invalid="ignore"):
        return not stats.levene(first, second).pvalue < _SPREADS_DIFFER


def optimism(scores: Floats) -> float | None:
    """How much better the best config looks than it is, for having been chosen as the best.

    The best by all seeds but one, as the others have it less as the one left out has it; the
    mean over the seeds.

    Args:
        scores: `(n_configs, n_seeds)`, larger is better, NaN nowhere.

    Returns:
        None for one seed, which cannot tell.
    """
    count, seeds = scores.shape
    if seeds < 2 or not count:
        return None
    others = (scores.sum(axis=1, keepdims=True) - scores) / (seeds - 1)
    chosen = others.argmax(axis=0)
    each = np.arange(seeds)
    return float((others[chosen, each] - scores[chosen, each]).mean())
