"""Compare two tables, by paired configs or by their bests, with an interval and a test."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hpsearch.comparison.table import Floats, Table, training_units

if TYPE_CHECKING:
    import pandas as pd

#: The level of all intervals.
LEVEL = 0.95
#: The level of all tests.
ALPHA = 0.05
#: No winner is named with fewer pairs or configs, which do not show how scores vary.
LEAST = 5
#: Configs are paired if they are at least this share of the smaller table's.
_LEAST_SHARE = 0.1
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
    def excludes_zero(self) -> bool:
        """True if the interval lies on one side of zero."""
        return self.low > 0 or self.high < 0


def settled(value: float, scale: float) -> float:
    """Return zero if `value` is within rounding of scores of size `scale`, else `value`."""
    return 0.0 if abs(value) <= _ROUNDING * scale else value


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p-values for their number; NaN, the result of no test, does not count.

    Source: Holm (1979), A simple sequentially rejective multiple test procedure.
    """
    p = np.asarray(p_values, dtype=np.float64)
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    adjusted = p.copy()
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(factors * p[order]))
    return [float(value) for value in adjusted]


def mean_difference(
    differences: Floats, units: npt.NDArray[Any] | None = None, scale: float = 1.0
) -> Estimate:
    """Estimate the mean of paired differences, with Student's interval and test over clusters.

    Args:
        differences: The difference of each config, `(n_configs,)`.
        units: The cluster of each config, `(n_configs,)`: configs that shared a training share its
            noise. None if each config is a cluster.
        scale: The size of the scores, which decides what is rounding.

    Source: the mean is a ratio of cluster sums. Its linearised cluster values (Cochran 1977,
    Sampling Techniques, chapter 9A) have the same mean and variance, so that the test is
    `scipy.stats.ttest_1samp` of them. For clusters of one they are the differences.
    """
    from scipy import stats  # slow to import

    if not len(differences):
        return Estimate()
    mean = settled(float(differences.mean()), scale)
    values = _cluster_values(differences, units)
    if len(values) < 2:
        return Estimate(mean)
    if not settled(float(np.ptp(values)), scale):
        return Estimate(mean, mean, mean, 0.0 if mean else 1.0)
    test = stats.ttest_1samp(values, 0.0)
    low, high = test.confidence_interval(LEVEL)
    return Estimate(mean, float(low), float(high), float(test.pvalue))


def _cluster_values(differences: Floats, units: npt.NDArray[Any] | None) -> Floats:
    if units is None:
        return differences
    _, codes = np.unique(units, return_inverse=True)
    mean = differences.mean()
    residuals = np.bincount(codes, weights=differences - mean)
    return np.asarray(mean + residuals * len(residuals) / len(differences))


#: Spreads count as different if Levene's p-value is below. It is above 0.05 because missing a
#: difference costs coverage, while a false one costs only some width.
_SPREADS_DIFFER = 0.2


@lru_cache(maxsize=256)
def _tails(count: int, others: int) -> Floats:
    """Probabilities that the r best of all configs are from the table of `count` of them.

    Returns:
        `(count,)`, for r = 1, 2, ..., strictly falling.
    """
    from scipy import stats  # slow to import

    ranks = np.arange(1, count + 1)
    tails: Floats = stats.hypergeom.pmf(ranks, count + others, count, ranks)
    tails.flags.writeable = False
    return tails


@dataclass(frozen=True)
class _Side:
    """One table's configs.

    Attributes:
        gaps: The distance of each config below the best, `(n,)`, rising from 0.
        tails: The result of `_tails`, `(n,)`.
    """

    gaps: Floats
    tails: Floats

    def depth(self, level: float) -> float:
        """The distance that the expected best may lie below the best, at a one-sided level."""
        if level >= self.tails[0]:
            return 0.0
        if level < self.tails[-1]:
            return math.inf
        return float(np.interp(level, self.tails[::-1], self.gaps[::-1]))

    def tail(self, depth: float) -> float:
        """The level at which `depth` is reached; the inverse of `self.depth`."""
        above = int(np.searchsorted(self.gaps, depth, side="left"))
        if above == len(self.gaps):
            return float(self.tails[-1])
        if above == 0:
            return 1.0
        low, high = self.gaps[above - 1], self.gaps[above]
        share = (depth - low) / (high - low)
        return float((1 - share) * self.tails[above - 1] + share * self.tails[above])


def best_difference(first: Floats, second: Floats, scale: float = 1.0) -> Estimate:
    """Estimate the difference of the tables' best config means, with interval and test.

    If the means of the two tables spread differently (Levene's test), the wider side is used for
    both.

    Args:
        first, second: The mean score of each config over equally many seeds, larger is better,
            `(n_configs,)`; of configs that shared a training, only the best.
        scale: The size of the scores, which decides what is rounding.
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
    gaps[np.abs(gaps) <= _ROUNDING * scale] = 0.0
    return _Side(gaps, _tails(len(means), others))


def _spread_alike(first: Floats, second: Floats) -> bool:
    from scipy import stats  # slow to import

    if min(len(first), len(second)) < 2:
        return True
    # If all deviations of a table are equal, Levene's test divides by zero; 0 / 0 is no test.
    with np.errstate(divide="ignore", invalid="ignore"):
        return not stats.levene(first, second).pvalue < _SPREADS_DIFFER


def optimism(scores: Floats) -> float | None:
    """Estimate the part of the best config's mean score that is luck of having been chosen.

    Leave out each seed in turn: choose the best config by the other seeds, and take its mean over
    them less its score with the seed left out. Return the mean over the seeds.

    Args:
        scores: `(n_configs, n_seeds)`, larger is better, without NaN.

    Returns:
        None with a single seed, which cannot tell.
    """
    count, seeds = scores.shape
    if seeds < 2 or not count:
        return None
    others = (scores.sum(axis=1, keepdims=True) - scores) / (seeds - 1)
    chosen = others.argmax(axis=0)
    each = np.arange(seeds)
    return float((others[chosen, each] - scores[chosen, each]).mean())


#: Seed -> score of one config.
Fresh = Mapping[int, float]


class Question(StrEnum):
    """The question that a comparison of two tables answers."""

    PAIRED = "paired"
    BEST = "best"
    RESCORED = "rescored"


@dataclass(frozen=True)
class Answer:
    """The answer to a question about two tables.

    Attributes:
        estimate: The first minus the second, positive if the first is better.
        n_pairs: The number of paired configs, or of paired fresh seeds; else 0.
        n_configs: The number of configs used from each table.
        n_units: The number of groups of configs, from each table, that shared no training.
        n_seeds: The largest number of scores used of a config.
        n_shared: The number of configs that could be paired, but are too few to be asked about.
        n_lost: The number of configs that both tables tried, but that have no score in one of them
            or were stopped at different epochs.
        corrected: The difference of the bests less the estimated luck in them; None if unknown.
        learned: If bests are compared: the methods that chose configs by others' scores, for which
            there is no interval and no test.
    """

    question: Question
    estimate: Estimate
    n_pairs: int
    n_configs: tuple[int, int]
    n_units: tuple[int, int]
    n_seeds: int
    n_shared: int = 0
    n_lost: int = 0
    corrected: float | None = None
    learned: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        """The number of pairs, or of configs in the smaller table."""
        return min(self.n_configs) if self.question is Question.BEST else self.n_pairs


def answer(first: Table, second: Table) -> Answer:
    """Pair the configs that both tables have, or compare the bests if they have few in common.

    A verdict on few configs would say nothing about the tables.
    """
    differences = config_differences(first, second)
    shared = len(differences)
    # Of those that both tried, some cannot be compared.
    smaller = min(len(first.means), len(second.means)) - (_tried_by_both(first, second) - shared)
    few = shared < _LEAST_SHARE * smaller or (shared < LEAST and smaller >= 2 * LEAST)
    if few or not shared:
        return _best(first, second, shared)
    return _paired(first, second, differences)


def config_differences(first: Table, second: Table) -> pd.DataFrame:
    """Return the differences of the configs that have a score in both tables.

    Configs that the method stopped in one of them, or at different epochs, are left out: their
    scores are from trainings of different lengths.

    Returns:
        By config, in the first table's order: the means `first` and `second`, of the seeds that
        they share if there are any, their `difference` (positive if the first is better; seed by
        seed then) and the number of `seeds` used.
    """
    sides = ("_first", "_second")
    means = first.means.merge(second.means, left_index=True, right_index=True, suffixes=sides)
    means = means[means["stopped_first"] == means["stopped_second"]]
    table = means[["mean_first", "mean_second"]].set_axis(["first", "second"], axis=1)
    table["difference"] = table["first"] - table["second"]
    table["seeds"] = means[["seeds_first", "seeds_second"]].min(axis=1)
    seeded = [each.scored[each.scored["seed"].notna()] for each in (first, second)]
    same = seeded[0].merge(seeded[1], on=["config", "draw"], suffixes=sides)
    means = same.groupby("config")[["score_first", "score_second"]].mean().reindex(table.index)
    for name in ("first", "second"):
        table[name] = means[f"score_{name}"].fillna(table[name])
    groups = (same["score_first"] - same["score_second"]).groupby(same["config"])
    by_seed = groups.agg(["mean", "size"]).reindex(table.index)
    table["difference"] = first.sign * by_seed["mean"].fillna(table["difference"])
    table["seeds"] = by_seed["size"].fillna(table["seeds"]).astype(int)
    return table


def _scale(*scores: Floats | pd.Series[Any]) -> float:
    return max((float(np.abs(each).max()) for each in scores if len(each)), default=1.0)


def _paired(first: Table, second: Table, table: pd.DataFrame) -> Answer:
    tables = {each.label: each for each in (first, second)}
    units = training_units(tables, table.index)
    estimate = mean_difference(
        table["difference"].to_numpy(dtype=np.float64),
        units,
        _scale(table["first"], table["second"]),
    )
    count, groups = len(table), len(np.unique(units))
    return Answer(
        question=Question.PAIRED,
        estimate=estimate,
        n_pairs=count,
        n_configs=(count, count),
        n_units=(groups, groups),
        n_seeds=int(table["seeds"].max()),
        n_lost=_tried_by_both(first, second) - count,
    )


def _tried_by_both(first: Table, second: Table) -> int:
    return len(set(first.executions["config"]) & set(second.executions["config"]))


def _best(first: Table, second: Table, shared: int = 0) -> Answer:
    tables = (first, second)
    most = min((int(table.eligible["seeds"].max()) for table in tables if table.best), default=0)
    common = frozenset(first.scored["draw"]) & frozenset(second.scored["draw"])
    scores = [
        table.sign * table.draws(table.eligible.index, most, common) if most else np.empty((0, 0))
        for table in tables
    ]
    bests = [_of_units(table, each) for table, each in zip(tables, scores, strict=True)]
    estimate = best_difference(bests[0], bests[1], _scale(*bests))
    learned = tuple(dict.fromkeys((*first.learned, *second.learned)))
    if learned:
        # Permutations take configs for a random sample. These crowd around the best.
        estimate = Estimate(estimate.difference)
    luck = [optimism(each) for each in scores]
    corrected = None
    if estimate.difference is not None and luck[0] is not None and luck[1] is not None:
        corrected = estimate.difference - (luck[0] - luck[1])
    return Answer(
        question=Question.BEST,
        estimate=estimate,
        n_pairs=0,
        n_configs=(len(scores[0]), len(scores[1])),
        n_units=(len(bests[0]), len(bests[1])),
        n_seeds=most,
        n_shared=shared,
        n_lost=_tried_by_both(first, second) - shared,
        corrected=corrected,
        learned=learned,
    )


def _of_units(table: Table, scores: Floats) -> Floats:
    """The best mean of each group of configs that shared trainings, `(n_units,)`."""
    if not len(scores):
        return np.empty(0)
    units = training_units({table.label: table}, table.eligible.index)
    best = np.full(units.max() + 1, -np.inf)
    np.maximum.at(best, units, scores.mean(axis=1))
    return best


def answer_rescored(first: Table, second: Table, fresh: Mapping[str, Fresh]) -> Answer:
    """Compare the tables' best configs by fresh seeds, seed by seed.

    Args:
        first, second: The tables whose best configs were trained again.
        fresh: Label -> the fresh scores of that table's best config.
    """
    one, two = fresh[first.label], fresh[second.label]
    seeds = sorted(one.keys() & two.keys())
    scores = np.array([[one[seed] for seed in seeds], [two[seed] for seed in seeds]])
    differences = first.sign * (scores[0] - scores[1])
    return Answer(
        question=Question.RESCORED,
        estimate=mean_difference(differences, scale=_scale(scores.ravel())),
        n_pairs=len(seeds),
        n_configs=(1, 1),
        n_units=(1, 1),
        n_seeds=len(seeds),
    )
