"""Differences between two tables of scores, with intervals and tests."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

#: The level of all intervals.
LEVEL = 0.95
#: The level of all tests.
ALPHA = 0.05
#: Relative size of a sum of scores below which it is rounding.
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Estimate:
    """A difference between two tables, with its 95% interval and its test.

    Attributes:
        difference: The first minus the second, positive if the first is better; None without
            scores.
        low, high: The ends of the interval; infinite if the data do not bound them.
        p_value: The two-sided p-value of no difference; NaN without a test.
    """

    difference: float | None = None
    low: float = -math.inf
    high: float = math.inf
    p_value: float = math.nan

    @property
    def bounded(self) -> bool:
        """True if there is an interval."""
        return math.isfinite(self.low) or math.isfinite(self.high)

    @property
    def excludes_zero(self) -> bool:
        """True if the interval lies on one side of zero."""
        return self.low > 0 or self.high < 0


def zero_if_rounding(value: float, scale: float) -> float:
    """Return zero if `value` is within rounding of scores of size `scale`, else `value`."""
    return 0.0 if abs(value) <= _ROUNDING * scale else value


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p-values for their number; a NaN, where there was no test, does not count.

    Source: Holm (1979), A simple sequentially rejective multiple test procedure.
    """
    p = np.asarray(p_values, dtype=np.float64)
    tested = np.flatnonzero(~np.isnan(p))
    order = tested[np.argsort(p[tested], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    adjusted = p.copy()
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(factors * p[order]))
    return [float(value) for value in adjusted]


@dataclass(frozen=True)
class Variance:
    """The part of a mean's variance due to one kind of unit, and its degrees of freedom."""

    value: float
    freedom: float

    def __add__(self, other: Variance) -> Variance:
        """Add the variance of an independent sample; source of the freedom: Welch (1947)."""
        total = self.value + other.value
        if not total:
            return Variance(0.0, self.freedom + other.freedom)
        parts = (self, other)
        return Variance(total, 1 / sum((p.value / total) ** 2 / p.freedom for p in parts))


def draw_variance(scores: Floats, overlap: float = 0.0) -> Variance:
    """Return the variance of the mean score that is due to the draws.

    A draw is a seed, or a seed and a fold. It moves all configs of a table together, since they
    share its weights and the order of its rows, so that more configs do not average it out.

    Args:
        scores: `(n_configs, n_draws)`, two draws or more; NaN for a missing score. Nearly all
            configs have a score of each draw.
        overlap: The rows of a fold's validation part over those of its training part, 0 without
            folds. Source: Nadeau and Bengio (2003), Inference for the generalization error.
    """
    count = scores.shape[1]
    weights = 1 / ((~np.isnan(scores)).sum(axis=1, keepdims=True) * len(scores))
    residuals = np.nan_to_num(scores - np.nanmean(scores, axis=1, keepdims=True))
    shifts = (weights * residuals).sum(axis=0)
    value = float((shifts**2).sum()) * count / (count - 1)
    return Variance(value * (1 + count * overlap), count - 1)


def draw_effect(
    first: Floats, second: Floats, overlap: float = 0.0, *, same: bool
) -> Variance | None:
    """Return the variance of the difference of two tables' means that is due to the draws.

    None if a table has one draw, because it does not show the effect of another.

    Args:
        same: Whether the columns of both are the same draws.
    """
    parts = [first - second] if same else [first, second]
    # A few configs may lack a draw that nearly all of the table have.
    parts = [part[:, ~np.isnan(part).all(axis=0)] for part in parts]
    if min(part.shape[1] for part in parts) < 2:
        return None
    variances = [draw_variance(part, overlap) for part in parts]
    return sum(variances[1:], variances[0])


def config_variance(means: Floats, clusters: npt.NDArray[Any] | None = None) -> Variance:
    """Return the variance of the mean over configs that is due to the configs.

    Args:
        means: The mean of each config, `(n_configs,)`.
        clusters: The cluster of each config, `(n_configs,)`: configs that shared a training share
            its noise. None if each config is a cluster.

    Source: Cochran (1977), Sampling Techniques, chapter 9A: the mean is a ratio of cluster sums.
    """
    codes = np.arange(len(means))
    if clusters is not None:
        codes = np.unique(clusters, return_inverse=True)[1]
    sums = np.bincount(codes, weights=means - means.mean()) / len(means)
    count = len(sums)
    return Variance(float((sums**2).sum()) * count / (count - 1), count - 1)


def _half(level: float, parts: Sequence[Variance]) -> float:
    """Return half of the interval at a two-sided level.

    Each part has Student's quantile for its degrees of freedom. One quantile for their sum, with
    Satterthwaite's freedom, is too small when the variance of few draws is small by chance. Source:
    Cochran (1964), Approximate significance levels of the Behrens-Fisher test, which weights the
    quantiles.
    """
    from scipy import special  # slow to import

    squares = (float(special.stdtrit(p.freedom, 1 - level / 2)) ** 2 * p.value for p in parts)
    return math.sqrt(sum(squares))


def _level_of(reach: Callable[[float], float], distance: float) -> float:
    """Find by bisection the level at which a falling `reach` equals `distance`."""
    low, high = 0.0, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if reach(middle) >= distance else (low, middle)
    return high


def _interval(difference: float, parts: Sequence[Variance], scale: float) -> Estimate:
    """Estimate a difference whose variance is the sum of independent parts."""
    difference = zero_if_rounding(difference, scale)
    half = zero_if_rounding(_half(ALPHA, parts), scale)
    if not half:
        # Differences that do not vary do not show how sure they are, unless there are none.
        return Estimate(difference) if difference else Estimate(0.0, 0.0, 0.0, 1.0)
    p_value = _level_of(lambda level: _half(level, parts), abs(difference))
    return Estimate(difference, difference - half, difference + half, p_value)


def mean_difference(
    gains: Floats,
    draws: Variance | None,
    clusters: npt.NDArray[Any] | None = None,
    scale: float = 1.0,
) -> Estimate:
    """Estimate the mean difference of configs that both tables have.

    Source: Cameron, Gelbach and Miller (2011), Robust inference with multiway clustering. Their
    third term, the variance of the intersection, is not subtracted: with few draws the difference
    is often too small.

    Args:
        gains: The difference of each config, `(n_configs,)`.
        draws: The result of `draw_effect`; without it there is no interval.
        scale: The size of the scores, which decides how much is rounding.
    """
    if not len(gains):
        return Estimate()
    mean, alike = float(gains.mean()), clusters is not None and not np.ptp(clusters)
    if draws is None or (len(gains) > 1 and alike):
        return Estimate(zero_if_rounding(mean, scale))
    # A single config stands for itself.
    parts = (draws,) if len(gains) == 1 else (config_variance(gains, clusters), draws)
    return _interval(mean, parts, scale)


def mean_interval(scores: Floats, overlap: float = 0.0, *, scale: float | None = None) -> Estimate:
    """Estimate the mean of one config's scores over its draws, with Student's interval."""
    if len(scores) < 2:
        return Estimate(float(scores.mean()) if len(scores) else None)
    size = float(np.abs(scores).max()) if scale is None else scale
    return _interval(float(scores.mean()), (draw_variance(scores[None, :], overlap),), size)


def selection_luck(scores: Floats) -> float | None:
    """Estimate the part of the best config's mean score that is due to the luck of being chosen.

    Leave out each draw in turn: choose the best config by the others, and take its mean over
    them less its score with the draw left out. Return the mean of these, or None for one draw.

    Args:
        scores: `(n_configs, n_draws)`, larger is better, without NaN.
    """
    count, draws = scores.shape
    if draws < 2 or not count:
        return None
    others = (scores.sum(axis=1, keepdims=True) - scores) / (draws - 1)
    chosen = others.argmax(axis=0)
    order = np.arange(draws)
    luck = float((others[chosen, order] - scores[chosen, order]).mean())
    return zero_if_rounding(luck, float(np.abs(scores).max()))


#: Spreads count as different if Levene's p-value is below. It is above 0.05 because missing a
#: difference costs coverage, while a false one costs only some width.
_SPREADS_DIFFER = 0.2


def _depth(means: Floats, others: int, scale: float) -> Callable[[float], float]:
    """Return how far the expected best may lie below the best, by the one-sided level.

    Args:
        others: The number of the other table's configs.
    """
    from scipy import stats  # slow to import

    gaps = means.max() - np.sort(means)[::-1]
    gaps[np.abs(gaps) <= _ROUNDING * scale] = 0.0
    count, ranks = len(means), np.arange(1, len(means) + 1)
    # The probabilities that the r best of all configs are all of this table, strictly falling.
    tails: Floats = stats.hypergeom.pmf(ranks, count + others, count, ranks)

    def depth(level: float) -> float:
        if level >= tails[0]:
            return 0.0
        return float(np.interp(level, tails[::-1], gaps[::-1])) if level >= tails[-1] else math.inf

    return depth


def best_difference(
    first: Floats, second: Floats, draws: Variance | None, scale: float = 1.0
) -> Estimate:
    """Estimate the difference of the tables' best config means, for configs drawn at random.

    The interval has two parts, added as independent ones: which configs were drawn, by an exact
    permutation test that chooses the best config anew in each permutation, and which seeds, by
    Student's distribution. If the means of the two tables spread differently (Levene's test), the
    wider side is used for both.

    Args:
        first, second: The mean score of each config over equally many draws, larger is better,
            `(n_configs,)`; only the best of configs that shared a training.
        draws: The result of `draw_effect`; without it there is no interval.
    """
    if not len(first) or not len(second):
        return Estimate()
    difference = zero_if_rounding(float(first.max() - second.max()), scale)
    if draws is None:
        return Estimate(difference)
    sides = (_depth(first, len(second), scale), _depth(second, len(first), scale))
    alike = _spread_alike(first, second)

    def reach(level: float) -> tuple[float, float]:
        """How far the interval of a two-sided level reaches below and above."""
        depths = [depth(level / 2) for depth in sides]
        below, above = depths if alike else [max(depths)] * 2
        half = _half(level, (draws,))
        return math.hypot(below, half), math.hypot(above, half)

    below, above = reach(ALPHA)
    p_value = 1.0
    if difference:
        end = 0 if difference > 0 else 1
        p_value = _level_of(lambda level: reach(level)[end], abs(difference))
    low, high = difference - below, difference + above
    return Estimate(
        difference, zero_if_rounding(low, scale), zero_if_rounding(high, scale), p_value
    )


def _spread_alike(first: Floats, second: Floats) -> bool:
    from scipy import stats  # slow to import

    if min(len(first), len(second)) < 2:
        return True
    # If all deviations of a table are equal, Levene's test divides by zero; a NaN means no test.
    with np.errstate(divide="ignore", invalid="ignore"):
        return not stats.levene(first, second).pvalue < _SPREADS_DIFFER
