"""Two tables and a question: what is compared with what, and what comes out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import numpy as np

from hpsearch.comparison.best import best_difference, optimism
from hpsearch.comparison.estimate import Estimate, Floats
from hpsearch.comparison.paired import mean_difference
from hpsearch.comparison.table import Table, training_units

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Answer", "Fresh", "Question", "answer", "answer_rescored", "config_differences"]

#: Seed -> score of one config.
Fresh = Mapping[int, float]


class Question(StrEnum):
    """What was asked of two tables."""

    PAIRED = "paired"
    BEST = "best"
    RESCORED = "rescored"


@dataclass(frozen=True)
class Answer:
    """What a question about two tables came to.

    Attributes:
        estimate: The first minus the second, positive where the first is better.
        n_pairs: Configs that were paired; rescored: seeds. 0 where nothing was.
        n_configs: Configs of each table that took part.
        n_units: Of each table, or of the pairs, how many shared no training with another.
        n_seeds: Scores of each config that took part, at most.
        n_lost: Configs that both tables tried, but of which one has no score, or halted it at
            another epoch.
        corrected: The difference of the bests less what luck is estimated to have in it; None
            where it cannot be told.
    """

    question: Question
    estimate: Estimate
    n_pairs: int
    n_configs: tuple[int, int]
    n_units: tuple[int, int]
    n_seeds: int
    n_lost: int = 0
    corrected: float | None = None

    @property
    def count(self) -> int:
        """How many pairs, or configs on the smaller side, stand behind it."""
        return min(self.n_configs) if self.question is Question.BEST else self.n_pairs


def answer(first: Table, second: Table) -> Answer:
    """Pair the configs that both tables have; where they share none, compare their bests."""
    differences = config_differences(first, second)
    return _best(first, second) if differences.empty else _paired(first, second, differences)


def config_differences(first: Table, second: Table) -> pd.DataFrame:
    """The configs that have a score in both tables, in the first one's order.

    Not those that the method halted in one of them, or at other epochs: their scores are of
    trainings of another length.

    Returns:
        By config: the means `first` and `second`, their `difference` (positive where the first
        is better; seed by seed where they share seeds) and the `seeds` behind it.
    """
    sides = ("_first", "_second")
    means = first.means.merge(second.means, left_index=True, right_index=True, suffixes=sides)
    means = means[means["stopped_first"] == means["stopped_second"]]
    table = means[["mean_first", "mean_second"]].set_axis(["first", "second"], axis=1)
    table["difference"] = table["first"] - table["second"]
    table["seeds"] = means[["seeds_first", "seeds_second"]].min(axis=1)
    seeded = [each.scored[each.scored["seed"].notna()] for each in (first, second)]
    same = seeded[0].merge(seeded[1], on=["config", "draw"], suffixes=sides)
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
    return len(set(first.trials["config"]) & set(second.trials["config"]))


def _best(first: Table, second: Table) -> Answer:
    tables = (first, second)
    most = min((int(table.eligible["seeds"].max()) for table in tables if table.best), default=0)
    common = frozenset(first.scored["draw"]) & frozenset(second.scored["draw"])
    scores = [
        table.sign * table.draws(table.eligible.index, most, common) if most else np.empty((0, 0))
        for table in tables
    ]
    bests = [_of_units(table, each) for table, each in zip(tables, scores, strict=True)]
    estimate = best_difference(bests[0], bests[1], _scale(*bests))
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
        n_lost=_tried_by_both(first, second),
        corrected=corrected,
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
        first, second: The tables whose bests were trained again.
        fresh: Label -> the fresh scores of that table's best.
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
