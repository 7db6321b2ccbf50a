"""The question of a comparison of two tables, and its answer with an interval and a test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hpsearch.comparison.estimates import (
    Estimate,
    Floats,
    Variance,
    best_difference,
    config_difference,
    draw_variance,
    mean_interval,
    paired_difference,
    selection_luck,
    unpaired_difference,
)
from hpsearch.comparison.pairing import Change, Pairing, pair_configs
from hpsearch.comparison.table import UNSEEDED, Table, training_units

if TYPE_CHECKING:
    import pandas as pd

#: Fewest pairs or configs for a winner; fewer do not show how much scores vary.
LEAST = 5
#: Configs are paired if the pairs are at least this share of the smaller table.
_LEAST_SHARE = 0.1

#: Draw (seed and fold) -> score, for one config.
Fresh = Mapping[str, float]


class Question(StrEnum):
    """The question that a comparison of two tables answers."""

    PAIRED = "paired"
    BEST = "best"
    SETTLED = "settled"


@dataclass(frozen=True)
class Answer:
    """The answer to a question about two tables.

    Attributes:
        estimate: The first table minus the second, positive if the first is better.
        n_pairs: The number of paired configs, or of paired fresh seeds; else 0.
        n_configs: The number of configs used from each table.
        n_units: The number of groups of configs, from each table, that shared no training.
        n_draws: The number of seeds, times folds, used from each table.
        same_draws: Whether both tables have the same seeds, and therefore the same random numbers.
        n_shared: The number of configs that could be paired, but are too few for a verdict.
        n_lost: The number of configs that both tables tried, but that have no score in one of them
            or were stopped at different epochs.
        n_equal: The number of configs left out because both tables have them unchanged.
        changes: If configs were paired: the hyperparameters that distinguish the tables.
        corrected: The difference of the bests without the estimated luck in them; None if unknown.
        learned: If bests are compared: the methods that chose configs by other configs' scores.
            With these there is no interval and no test.
    """

    question: Question
    estimate: Estimate
    n_pairs: int
    n_configs: tuple[int, int]
    n_units: tuple[int, int]
    n_draws: tuple[int, int]
    same_draws: bool = True
    n_shared: int = 0
    n_lost: int = 0
    n_equal: int = 0
    changes: tuple[Change, ...] = ()
    corrected: float | None = None
    learned: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        """The number of pairs, or of configs in the smaller table."""
        return min(self.n_configs) if self.question is Question.BEST else self.n_pairs


@dataclass(frozen=True, eq=False)
class PairedScores:
    """The scores of the configs that two tables have in common.

    Attributes:
        table: The first table.
        configs: Their ids in the first table.
        first, second: `(n_configs, n_draws)`, NaN where a score is missing.
        same_draws: Whether the columns of both are the same draws.
        clusters: Equal for configs that shared a training, `(n_configs,)`.
        overlap: As for `draw_variance`.
        n_lost: As in `Answer`.
        independent: As in `Table`, for both.
    """

    table: Table
    configs: Sequence[str]
    first: Floats
    second: Floats
    same_draws: bool
    clusters: npt.NDArray[Any]
    overlap: float
    n_lost: int
    independent: bool = False

    @cached_property
    def means(self) -> tuple[Floats, Floats]:
        """The mean score of each config in each table, over the draws that both have."""
        if not self.same_draws:
            return np.nanmean(self.first, axis=1), np.nanmean(self.second, axis=1)
        both = ~np.isnan(self.first - self.second)
        one, two = (np.where(both, scores, np.nan) for scores in (self.first, self.second))
        return np.nanmean(one, axis=1), np.nanmean(two, axis=1)

    @cached_property
    def gains(self) -> Floats:
        """The difference of each config's means, positive if the first is better."""
        return self.table.sign * (self.means[0] - self.means[1])

    def estimate(self, rows: npt.NDArray[Any] | slice = slice(None)) -> Estimate:
        """Estimate the mean gain of these configs."""
        first, second = self.table.sign * self.first[rows], self.table.sign * self.second[rows]
        clusters, scale = self.clusters[rows], _scale(self.first, self.second)
        if self.independent:
            return config_difference(self.gains[rows], clusters, scale=scale)
        if self.same_draws:
            return paired_difference(first - second, clusters, overlap=self.overlap, scale=scale)
        return unpaired_difference(first, second, clusters, overlap=self.overlap, scale=scale)


def _scale(*scores: Floats) -> float:
    return max((float(np.nanmax(np.abs(part))) for part in scores if part.size), default=1.0)


def paired_scores(first: Table, second: Table, pairing: Pairing) -> PairedScores:
    """Return the scores of the pairs with a score in both tables.

    Configs that the method stopped in one of them, or at different epochs, are left out: their
    scores are from trainings of different lengths.
    """
    import pandas as pd  # slow to import

    pairs = pd.Series(pairing.configs, dtype=object)
    stops = [
        table.means["stopped"].reindex(configs).to_numpy(dtype=np.float64)
        for table, configs in ((first, pairs.index), (second, pairs))
    ]
    pairs = pairs[stops[0] == stops[1]]
    same, draws = _draws_of(first, second)
    one = first.matrix(list(pairs.index), draws[0])
    two = second.matrix(list(pairs), draws[1])
    kept = ~np.isnan(one - two).all(axis=1) if same else np.full(len(pairs), fill_value=True)
    if not same:
        kept = ~(np.isnan(one).all(axis=1) | np.isnan(two).all(axis=1))
    pairs, one, two = pairs[kept], one[kept], two[kept]
    return PairedScores(
        first,
        list(pairs.index),
        one,
        two,
        same,
        _clusters(first, second, pairs),
        max(first.overlap, second.overlap),
        len(pairing.configs) - len(pairs),
        first.independent and second.independent,
    )


def _clusters(first: Table, second: Table, pairs: pd.Series[str]) -> npt.NDArray[np.intp]:
    """Number the pairs so that pairs whose configs shared a training in either table are equal."""
    names = dict(zip(pairs, pairs.index, strict=True))
    renamed = second.executions.assign(config=second.executions["config"].map(names))
    rows = {first.label: first.executions, second.label: renamed}
    return training_units(rows, pairs.index)


def _draws_of(first: Table, second: Table) -> tuple[bool, tuple[list[str], list[str]]]:
    """Return whether both tables have the same draws, and the draws to use of each.

    Seeds mean the same random numbers in two sweeps with the same `seed`. Two draws are needed to
    estimate the effect of others, so a single common draw is not used if there are more.
    """
    one, two = (sorted(set(table.scored["draw"])) for table in (first, second))
    common = [draw for draw in one if draw in set(two) and not draw.startswith(UNSEEDED)]
    if not common or not _same_streams(first, second):
        return False, (one, two)
    if len(common) < 2 <= min(len(one), len(two)):
        return False, (one, two)
    return True, (common, common)


def _same_streams(first: Table, second: Table) -> bool:
    """Check if a seed gives both tables the same random numbers, as far as is known."""
    recipes = [table.provenance.get("recipe") for table in (first, second)]
    if recipes[0] == recipes[1]:
        return True
    seeds = [table.sweep_seed for table in (first, second)]
    return None in seeds or seeds[0] == seeds[1]


def answer(first: Table, second: Table) -> tuple[Answer, PairedScores | None]:
    """Pair the configs that both tables have, or compare the bests if they have few in common.

    A verdict on few configs would say nothing about the tables.

    Returns:
        The answer, and the paired scores if it is of them.
    """
    pairing = pair_configs(first, second)
    scores = paired_scores(first, second, pairing)
    shared, lost = len(scores.configs), scores.n_lost
    # Leave out configs that both tables tried but that cannot be compared.
    smaller = min(len(first.means), len(second.means)) - pairing.n_equal - lost
    few = shared < _LEAST_SHARE * smaller or (shared < LEAST and smaller >= 2 * LEAST)
    if few or not shared:
        return _best(first, second, shared, lost), None
    groups = len(np.unique(scores.clusters))
    found = Answer(
        question=Question.PAIRED,
        estimate=scores.estimate(),
        n_pairs=shared,
        n_configs=(shared, shared),
        n_units=(groups, groups),
        n_draws=(scores.first.shape[1], scores.second.shape[1]),
        same_draws=scores.same_draws,
        n_lost=lost,
        n_equal=pairing.n_equal,
        changes=pairing.changes,
    )
    return found, scores


def _best(first: Table, second: Table, shared: int, lost: int) -> Answer:
    tables = (first, second)
    most = min((int(table.eligible["seeds"].max()) for table in tables if table.best), default=0)
    same, draws = _draws_of(first, second)
    common = frozenset(draws[0] if same else ())
    scores = [
        table.sign * table.draws(table.eligible.index, most, common) if most else np.empty((0, 0))
        for table in tables
    ]
    bests = [_of_units(table, part) for table, part in zip(tables, scores, strict=True)]
    learned = tuple(dict.fromkeys((*first.learned, *second.learned)))
    variance = None if learned or not most else _variance_of_draws(first, second)
    estimate = best_difference(bests[0], bests[1], variance, _scale(*scores))
    luck = [selection_luck(part) for part in scores]
    corrected = None
    if estimate.difference is not None and luck[0] is not None and luck[1] is not None:
        corrected = estimate.difference - (luck[0] - luck[1])
    return Answer(
        question=Question.BEST,
        estimate=estimate,
        n_pairs=0,
        n_configs=(len(scores[0]), len(scores[1])),
        n_units=(len(bests[0]), len(bests[1])),
        n_draws=(most, most),
        same_draws=same,
        n_shared=shared,
        n_lost=lost,
        corrected=corrected,
        learned=learned,
    )


def _variance_of_draws(first: Table, second: Table) -> Variance | None:
    """Return the variance that draws give the difference of two tables; None if unknown."""
    if first.independent and second.independent:
        return Variance(0.0, 1.0)
    same, draws = _draws_of(first, second)
    if min(map(len, draws)) < 2:
        return None
    one, two = (
        table.matrix(list(table.eligible.index), used)
        for table, used in zip((first, second), draws, strict=True)
    )
    overlap = max(first.overlap, second.overlap)
    if same:
        shifts = np.nanmean(one, axis=0) - np.nanmean(two, axis=0)
        return draw_variance(shifts[None, :], overlap)
    return draw_variance(one, overlap) + draw_variance(two, overlap)


def _of_units(table: Table, scores: Floats) -> Floats:
    """Return the best mean of each group of configs that shared trainings, `(n_units,)`."""
    if not len(scores):
        return np.empty(0)
    units = training_units({table.label: table.executions}, table.eligible.index)
    best = np.full(units.max() + 1, -np.inf)
    np.maximum.at(best, units, scores.mean(axis=1))
    return best


def answer_settled(first: Table, second: Table, fresh: Mapping[str, Fresh]) -> Answer:
    """Compare the tables' best configs by fresh draws, paired by draw.

    Args:
        first, second: The tables whose best configs were trained again.
        fresh: Label -> the fresh scores of that table's best config.
    """
    one, two = fresh[first.label], fresh[second.label]
    draws = sorted(one.keys() & two.keys())
    scores = np.array([[one[draw] for draw in draws], [two[draw] for draw in draws]])
    differences = first.sign * (scores[0] - scores[1])
    overlap = max(first.overlap, second.overlap)
    return Answer(
        question=Question.SETTLED,
        estimate=mean_interval(differences, overlap, scale=_scale(scores)),
        n_pairs=len(draws),
        n_configs=(1, 1),
        n_units=(1, 1),
        n_draws=(len(draws), len(draws)),
    )
