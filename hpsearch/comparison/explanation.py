"""Which hyperparameters explain a difference, and which configs moved most."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hpsearch.comparison.estimate import LEVEL, Estimate, Floats, holm
from hpsearch.comparison.paired import mean_difference
from hpsearch.comparison.table import Table
from hpsearch.values import groups, in_order, text_of

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Change", "Effect", "Move", "between_bests", "moves", "within_pairs"]

_MOST_MOVES = 5


@dataclass(frozen=True)
class Effect:
    """How the paired difference depends on one hyperparameter.

    Attributes:
        share: Of the differences' variance, what its values explain (eta squared), 0 to 1.
        p_value: Of no dependence (Alexander and Govern's test, which lets variances differ), by
            Holm's for all hyperparameters; NaN where no two values have several configs each.
        by_value: Value -> its configs' mean difference, and how many there are.
    """

    name: str
    share: float
    p_value: float
    by_value: dict[str, tuple[Estimate, int]]


@dataclass(frozen=True)
class Change:
    """A hyperparameter that the two best configs have otherwise.

    Attributes:
        first, second: Its value in the best config of each table; a range where values are many.
        estimate: Mean score of all configs with the first value less that of those with the
            second, positive where the first is better, with Welch's interval and test.
        counts: How many configs have the one and the other.
    """

    name: str
    first: str
    second: str
    estimate: Estimate
    counts: tuple[int, int]


@dataclass(frozen=True)
class Move:
    """One config's mean scores, their difference (positive: the first is better), its ranks."""

    config: str
    values: dict[str, str]
    first: float
    second: float
    difference: float
    ranks: tuple[int, int]


def within_pairs(first: Table, differences: pd.DataFrame) -> list[Effect]:
    """What the paired differences depend on, the most telling hyperparameter first.

    Args:
        first: A table that has all the configs.
        differences: As `config_differences` gives them.
    """
    cells = first.firsts.loc[differences.index]
    each = differences["difference"].to_numpy(dtype=np.float64)
    effects = [_effect(str(name), groups(cells[name]), each) for name in cells]
    effects = [effect for effect in effects if len(effect.by_value) > 1]
    adjusted = holm([effect.p_value for effect in effects])
    effects = [
        Effect(effect.name, effect.share, p_value, effect.by_value)
        for effect, p_value in zip(effects, adjusted, strict=True)
    ]
    return sorted(effects, key=lambda effect: -effect.share)


def _effect(name: str, texts: pd.Series[Any], differences: Floats) -> Effect:
    from scipy import stats

    members = {value: differences[(texts == value).to_numpy()] for value in in_order(texts)}
    total = float(differences.var())
    between = sum(len(m) * (m.mean() - differences.mean()) ** 2 for m in members.values())
    share = float(between / len(differences) / total) if total > 0 else 0.0
    tested = [m for m in members.values() if len(m) > 1 and np.ptp(m) > 0]
    several = len(tested) > 1 and len(tested) == len(members)
    p_value = float(stats.alexandergovern(*tested).pvalue) if several else math.nan
    by_value = {value: (mean_difference(m), len(m)) for value, m in members.items()}
    return Effect(name, share, p_value, by_value)


def between_bests(first: Table, second: Table) -> list[Change]:
    """How the best configs differ, and what each value is worth over all configs of both."""
    import pandas as pd

    if first.best is None or second.best is None:
        return []
    cells = pd.concat([_of_scored(first), _of_scored(second)], keys=[0, 1])
    scores = first.sign * pd.concat([first.means["mean"], second.means["mean"]], keys=[0, 1])
    changes = []
    for name in cells:
        texts = groups(cells[name].infer_objects())
        one, two = str(texts[(0, first.best)]), str(texts[(1, second.best)])
        if one != two:
            with_one = scores[texts == one].to_numpy(dtype=np.float64)
            with_two = scores[texts == two].to_numpy(dtype=np.float64)
            counts = (len(with_one), len(with_two))
            changes.append(Change(str(name), one, two, _welch(with_one, with_two), counts))
    return sorted(changes, key=lambda change: -abs(change.estimate.difference or 0.0))


def _of_scored(table: Table) -> pd.DataFrame:
    return table.firsts.loc[table.means.index].astype(object)


def _welch(first: Floats, second: Floats) -> Estimate:
    from scipy import stats

    difference = float(first.mean() - second.mean())
    if min(len(first), len(second)) < 2 or not (np.ptp(first) > 0 and np.ptp(second) > 0):
        return Estimate(difference)
    test = stats.ttest_ind(first, second, equal_var=False)
    low, high = test.confidence_interval(LEVEL)
    return Estimate(difference, float(low), float(high), float(test.pvalue))


def moves(first: Table, differences: pd.DataFrame, most: int = _MOST_MOVES) -> list[Move]:
    """The configs with the largest differences, and their ranks (from 1) among the paired."""
    better = first.sign * differences[["first", "second"]]
    ranks = better.rank(ascending=False, method="min").astype(int)
    size = differences["difference"].abs().sort_values(ascending=False, kind="stable")
    cells = first.firsts
    varying = [str(name) for name in cells if cells[name].astype(str).nunique() > 1]
    return [
        Move(
            config=str(config),
            values={name: text_of(cells[name][config]) for name in varying},
            first=float(differences["first"][config]),
            second=float(differences["second"][config]),
            difference=float(differences["difference"][config]),
            ranks=(int(ranks["first"][config]), int(ranks["second"][config])),
        )
        for config in size.index[:most]
        if size[config] > 0
    ]
