"""The question of a comparison of two tables, the configs to pair, and the answer with a test."""

from __future__ import annotations

import math
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
    draw_effect,
    mean_difference,
    mean_interval,
    selection_luck,
)
from hpsearch.comparison.table import (
    UNSEEDED,
    Table,
    exact_texts,
    joined,
    plain_index,
    training_units,
)
from hpsearch.store.columns import text_of

if TYPE_CHECKING:
    import pandas as pd

#: Fewest pairs or configs for a winner; fewer do not show how much scores vary.
LEAST = 5
#: Configs are paired if the pairs are at least this share of the smaller table.
_LEAST_SHARE = 0.1
#: A draw counts if this share of the configs has a score of it.
_MOST_CONFIGS = 0.8

#: Draw (seed and fold) -> score, for one config.
Fresh = Mapping[str, float]


@dataclass(frozen=True)
class Change:
    """A setting's value in the first table and in the second; empty where a table has none."""

    name: str
    first: str
    second: str


@dataclass(frozen=True)
class Pairing:
    """The configs that two tables have in common.

    Attributes:
        configs: The first table's config -> the second's, in the first's order.
        changes: The hyperparameters that distinguish the tables; the configs of a pair are equal
            in all others.
        n_equal: With `changes`: the number of configs that both tables have unchanged, such as
            networks without hidden layers if the layer type changes. They are not paired.
    """

    configs: Mapping[str, str]
    changes: tuple[Change, ...] = ()
    n_equal: int = 0


def pair_configs(first: Table, second: Table) -> Pairing:
    """Pair the configs of two tables that agree in all hyperparameters that vary within a table.

    A hyperparameter with a single value in each table, but not the same one, is left out: the
    tables were made to compare it.
    """
    shared = first.firsts.index.intersection(second.firsts.index, sort=False)
    equal = Pairing({config: config for config in shared})
    names = list(dict.fromkeys(str(n) for table in (first, second) for n in table.firsts))
    one, two = (exact_texts(table.firsts.reindex(columns=names)) for table in (first, second))
    if changed := _distinguishing(one, two):
        # A config's id does not depend on how its values are spelt.
        spelt = one.loc[shared, changed].ne(two.loc[shared, changed]).any()
        changed = [name for name in changed if not spelt[name]]
    if not changed:
        return equal
    frames = [table.drop(index=shared).drop(columns=changed) for table in (one, two)]
    pairs = _equal_rows(*frames)
    if len(pairs) < len(shared):
        return equal
    changes = (Change(name, _value(first, name), _value(second, name)) for name in changed)
    return Pairing(pairs, tuple(changes), len(shared))


def _distinguishing(first: pd.DataFrame, second: pd.DataFrame) -> list[str]:
    """The hyperparameters with one value in each table, and not the same one.

    One that only one table sets is among them if it has a value in all of its configs, or wherever
    another one of them has one.
    """
    sides = [{str(n): set(table[n]) - {""} for n in table} for table in (first, second)]
    values = {name: (sides[0][name], sides[1][name]) for name in sides[0]}
    both = [n for n, (a, b) in values.items() if len(a) == len(b) == 1 and a != b]
    single = [n for n, (a, b) in values.items() if sorted((len(a), len(b))) == [0, 1]]
    for name in single:
        table = first if values[name][0] else second
        alive = table[name] != ""
        if alive.all() or any(alive.equals(table[other] != "") for other in both):
            both.append(name)
    return [name for name in values if name in both]


def _equal_rows(first: pd.DataFrame, second: pd.DataFrame) -> dict[str, str]:
    """The rows of both tables that are equal, and of which each table has one."""
    import pandas as pd  # slow to import

    one, two = (joined(table) for table in (first, second))
    one, two = (texts[~texts.duplicated(keep=False)] for texts in (one, two))
    partners = pd.Series(two.index, index=two)
    paired = one[one.isin(two)]
    return dict(zip(paired.index, partners[paired], strict=True))


def _value(table: Table, name: str) -> str:
    """Return the text of a hyperparameter's only value; empty if the table does not set it."""
    cells = list(table.firsts[name].dropna()) if name in table.firsts else []
    if not cells:
        return ""
    return f"{cells[0]:.15g}" if isinstance(cells[0], float) else text_of(cells[0])


class Question(StrEnum):
    """The question that a comparison of two tables answers."""

    PAIRED = "paired"
    BEST = "best"
    SETTLED = "settled"


@dataclass(frozen=True)
class Answer:
    """The answer to a question about two tables.

    Attributes:
        n_pairs: The number of paired configs, or of paired fresh seeds; else 0.
        n_configs: The number of configs used from each table.
        n_units: The number of groups of configs, from each table, that shared no training.
        n_draws: The number of seeds, times folds, used from each table.
        same_draws: Whether both tables have the same seeds, and therefore the same random numbers.
        n_lost: The number of configs that both tables tried, but that have no score in one of them
            or were stopped at different epochs; or of fresh seeds without a score in one of them.
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
    n_lost: int = 0
    n_equal: int = 0
    changes: tuple[Change, ...] = ()
    corrected: float | None = None
    learned: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        """The number of pairs, or of configs in the smaller table; of draws of a single config."""
        if self.question is Question.BEST:
            return min(self.n_configs)
        return min(self.n_draws) if self.n_pairs == 1 else self.n_pairs


@dataclass(frozen=True, eq=False)
class PairedScores:
    """The scores of the configs that two tables have in common.

    Attributes:
        table: The first table.
        configs: Their ids in the first table.
        first, second: `(n_configs, n_draws)`, NaN where a score is missing.
        same_draws: Whether the columns of both are the same draws.
        clusters: Equal for configs that shared a training, `(n_configs,)`.
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
        first, second, gains = self.first[rows], self.second[rows], self.gains[rows]
        if self.independent:
            draws = Variance(0.0, math.inf) if len(gains) > 1 else None
        else:
            draws = draw_effect(first, second, self.overlap, same=self.same_draws)
        return mean_difference(gains, draws, self.clusters[rows], _scale(self.first, self.second))


def _scale(*scores: Floats) -> float:
    return max((float(np.nanmax(np.abs(part))) for part in scores if part.size), default=1.0)


def paired_scores(first: Table, second: Table, pairing: Pairing) -> PairedScores:
    """Return the scores of the pairs with a score in both tables.

    Configs that the method stopped in one of them, or at different epochs, are left out: their
    scores are from trainings of different lengths.
    """
    import pandas as pd  # slow to import

    ours, theirs = list(pairing.configs), list(pairing.configs.values())
    pairs = pd.Series(theirs, index=plain_index(ours), dtype=object)
    stops = [
        table.means["stopped"].reindex(configs).to_numpy(dtype=np.float64)
        for table, configs in ((first, pairs.index), (second, pairs))
    ]
    pairs = pairs[stops[0] == stops[1]]
    same, one, two = _matrices(first, list(pairs.index), second, list(pairs))
    parts = (one - two,) if same else (one, two)
    usable = ~np.any([np.isnan(part).all(axis=1) for part in parts], axis=0)
    pairs, one, two = pairs[usable], one[usable], two[usable]
    return PairedScores(
        first,
        list(pairs.index),
        one,
        two,
        same,
        training_units((first.executions, second.executions), (pairs.index, plain_index(pairs))),
        max(first.overlap, second.overlap),
        len(pairing.configs) - len(pairs),
        first.independent and second.independent,
    )


def _matrices(
    first: Table, ours: Sequence[str], second: Table, theirs: Sequence[str]
) -> tuple[bool, Floats, Floats]:
    """Return if the draws are the same, and the scores of both, each `(n_configs, n_draws)`.

    Draws that few configs have, such as those of a race, or of a run that was interrupted, say
    nothing about a table. If there are no others, the only column is the mean of each config.
    """
    one, two = first.matrix(ours), second.matrix(theirs)
    draws = [list(table.scores) for table in (first, second)]
    common = [n for n in draws[0] if n in draws[1] and not str(n).startswith(UNSEEDED)]
    if common and _same_streams(first, second) and not first.independent:
        ours_in, theirs_in = (
            scores[:, [names.index(name) for name in common]]
            for scores, names in ((one, draws[0]), (two, draws[1]))
        )
        often = _frequent(ours_in) & _frequent(theirs_in)
        several = min(_frequent(one).sum(), _frequent(two).sum()) > 1
        if often.sum() > 1 or (often.any() and not several):
            return True, ours_in[:, often], theirs_in[:, often]
    return False, _by_frequent_draws(one), _by_frequent_draws(two)


def whole_scores(table: Table) -> Floats:
    """Return the scores of the draws that nearly all configs have, `(n_configs, n_draws)`.

    Configs that lack one of these draws are left out.
    """
    scores = _by_frequent_draws(table.matrix(list(table.means.index)))
    return scores[~np.isnan(scores).any(axis=1)]


def _frequent(scores: Floats) -> npt.NDArray[np.bool_]:
    """Check for each draw if nearly all configs have a score of it."""
    configs = (~np.isnan(scores)).any(axis=1).sum()
    often = (~np.isnan(scores)).sum(axis=0) >= _MOST_CONFIGS * configs
    return np.asarray(often & (configs > 0))


def _by_frequent_draws(scores: Floats) -> Floats:
    often = _frequent(scores)
    if often.any():
        return scores[:, often]
    means = np.full((len(scores), 1), np.nan)
    scored = ~np.isnan(scores).all(axis=1)
    means[scored, 0] = np.nanmean(scores[scored], axis=1)
    return means


def _same_streams(first: Table, second: Table) -> bool:
    """Check if a seed gives both tables the same random numbers, as far as is known."""
    recipes = [table.provenance.get("recipe") for table in (first, second)]
    if recipes[0] == recipes[1]:
        return True
    seeds = [table.sweep_seed for table in (first, second)]
    return None in seeds or seeds[0] == seeds[1]


def answer(first: Table, second: Table) -> tuple[Answer, PairedScores | None]:
    """Return the answer by the configs that both tables have, and these configs' scores.

    If they have few in common, return that by their bests, and None: a verdict on few configs would
    say nothing about the tables. So would one on trainings that both have, if a table has others.
    """
    pairing = pair_configs(first, second)
    scores = paired_scores(first, second, pairing)
    shared, lost = len(scores.configs), scores.n_lost
    # Leave out configs that both tables tried but that cannot be compared.
    smaller = min(len(first.means), len(second.means)) - pairing.n_equal - lost
    few = not shared or shared < _LEAST_SHARE * smaller or (shared < LEAST <= smaller)
    further = shared + lost < max(len(first.means), len(second.means))
    if few or (further and not pairing.changes and _are_repeated(scores)):
        return _best(first, second, lost), None
    groups = len(np.unique(scores.clusters))
    outcome = Answer(
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
    return outcome, scores


def _are_repeated(scores: PairedScores) -> bool:
    """Check if the pairs are the same trainings in both tables."""
    return scores.same_draws and np.array_equal(scores.first, scores.second, equal_nan=True)


def _best(first: Table, second: Table, lost: int) -> Answer:
    configs = [list(table.means.index) for table in (first, second)]
    same, one, two = _matrices(first, configs[0], second, configs[1])
    # A mean of fewer scores is more easily good by luck.
    most = min(one.shape[1], two.shape[1])
    scores, bests = [], []
    for table, part in ((first, one[:, :most]), (second, two[:, :most])):
        whole = np.flatnonzero(~np.isnan(part).any(axis=1))
        scores.append(table.sign * part[whole])
        bests.append(_of_units(table, table.means.index[whole], scores[-1]))
    learned = tuple(dict.fromkeys((*first.learned, *second.learned)))
    variance = None
    if first.independent and second.independent:
        variance = Variance(0.0, 1.0)
    elif not learned and most > 1 and all(len(part) for part in scores):
        ours, theirs = (part.mean(axis=0)[None, :] for part in scores)
        variance = draw_effect(ours, theirs, max(first.overlap, second.overlap), same=same)
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
        n_lost=lost,
        corrected=corrected,
        learned=learned,
    )


def _of_units(table: Table, configs: pd.Index[str], scores: Floats) -> Floats:
    """The best mean of each group of configs that shared trainings, `(n_units,)`."""
    if not len(scores):
        return np.empty(0)
    units = training_units((table.executions,), (configs,))
    best = np.full(units.max() + 1, -np.inf)
    np.maximum.at(best, units, scores.mean(axis=1))
    return best


def answer_settled(first: Table, second: Table, fresh: Mapping[str, Fresh]) -> Answer:
    """Compare the tables' best configs by fresh scores, which `fresh` has by label."""
    one, two = fresh[first.label], fresh[second.label]
    both = sorted(one.keys() & two.keys())
    draws = [draw for draw in both if math.isfinite(one[draw] + two[draw])]
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
        n_lost=len(one.keys() | two.keys()) - len(draws),
    )
