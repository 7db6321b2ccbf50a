"""From answers to verdicts: who wins, why nobody does, and which hyperparameters explain it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hpsearch.comparison.questions import (
    ALPHA,
    LEVEL,
    Answer,
    Estimate,
    Question,
    holm,
    mean_difference,
)
from hpsearch.comparison.table import Floats, Table
from hpsearch.store.cells import groups, in_order, text_of

if TYPE_CHECKING:
    import pandas as pd

_MOST_MOVES = 5
#: A value that others foretell so well has no effect that could be told from theirs.
_COLLINEAR = 1e-9


@dataclass(frozen=True)
class Dependence:
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
        estimate: What the first value adds to a score over the second, all other
            hyperparameters equal, with interval and test; nothing where the two values were only
            tried together with others.
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


def within_pairs(first: Table, differences: pd.DataFrame) -> list[Dependence]:
    """What the paired differences depend on, the most telling hyperparameter first.

    Args:
        first: A table that has all the configs.
        differences: As `config_differences` gives them.
    """
    cells = first.firsts.loc[differences.index]
    each = differences["difference"].to_numpy(dtype=np.float64)
    effects = [_effect(str(name), groups(cells[name]), each) for name in cells]
    effects = [effect for effect in effects if len(effect.by_value) > 1 and np.ptp(each) > 0]
    adjusted = holm([effect.p_value for effect in effects])
    effects = [
        Dependence(effect.name, effect.share, p_value, effect.by_value)
        for effect, p_value in zip(effects, adjusted, strict=True)
    ]
    return sorted(effects, key=lambda effect: -effect.share)


def _effect(name: str, texts: pd.Series[Any], differences: Floats) -> Dependence:
    from scipy import stats

    members = {value: differences[(texts == value).to_numpy()] for value in in_order(texts)}
    total = float(differences.var())
    between = sum(len(m) * (m.mean() - differences.mean()) ** 2 for m in members.values())
    share = float(between / len(differences) / total) if total > 0 else 0.0
    tested = [m for m in members.values() if len(m) > 1 and np.ptp(m) > 0]
    several = len(tested) > 1 and len(tested) == len(members)
    p_value = float(stats.alexandergovern(*tested).pvalue) if several else math.nan
    by_value = {value: (mean_difference(m), len(m)) for value, m in members.items()}
    return Dependence(name, share, p_value, by_value)


def between_bests(first: Table, second: Table) -> list[Change]:
    """How the best configs differ, and what each value is worth over the configs of both."""
    import pandas as pd

    if first.best is None or second.best is None:
        return []
    cells = pd.concat([_of_scored(first), _of_scored(second)], keys=[0, 1])
    texts = cells.apply(lambda column: groups(column.infer_objects()))
    scores = first.sign * pd.concat([first.means["mean"], second.means["mean"]], keys=[0, 1])
    changes = []
    for name, column in texts.items():
        one, two = str(column[(0, first.best)]), str(column[(1, second.best)])
        if one != two:
            rows = column.isin([one, two])
            has_first = (column[rows] == one).to_numpy(dtype=np.bool_)
            estimate = _all_else_equal(
                scores[rows].to_numpy(dtype=np.float64), has_first, texts[rows].drop(columns=name)
            )
            counts = (int(has_first.sum()), int((~has_first).sum()))
            changes.append(Change(str(name), one, two, estimate, counts))
    return sorted(changes, key=lambda change: -abs(change.estimate.difference or 0.0))


def _of_scored(table: Table) -> pd.DataFrame:
    return table.firsts.loc[table.means.index].astype(object)


def _all_else_equal(
    scores: Floats, has_first: npt.NDArray[np.bool_], others: pd.DataFrame
) -> Estimate:
    """What a value is worth in an additive model of all hyperparameters, with Student's interval.

    Source: Frisch and Waugh (1933): the slope of `scores` on `has_first`, both less what the
    other hyperparameters explain of them, is the coefficient of the regression on all.
    """
    import pandas as pd
    from scipy import stats

    dummies = pd.get_dummies(others.astype(str), dtype=np.float64).to_numpy()
    design = np.column_stack([np.ones(len(scores)), dummies])
    both = np.column_stack([has_first.astype(np.float64), scores])
    fit, _, rank, _ = np.linalg.lstsq(design, both, rcond=None)
    x, y = (both - design @ fit).T
    if np.square(x).mean() < _COLLINEAR:
        return Estimate()
    line = stats.linregress(x, y)
    freedom = len(scores) - int(rank) - 1
    if freedom < 1 or not line.stderr > 0:
        return Estimate(float(line.slope))
    # linregress counts two coefficients, where there are rank + 1.
    error = line.stderr * math.sqrt((len(scores) - 2) / freedom)
    low, high = stats.t.interval(LEVEL, freedom, line.slope, error)
    p_value = 2 * stats.t.sf(abs(line.slope) / error, freedom)
    return Estimate(float(line.slope), float(low), float(high), float(p_value))


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


#: With fewer pairs or configs no winner is named: so few tell nothing of how scores spread.
LEAST = 5

_COUNTED = {
    Question.PAIRED: "configs to pair",
    Question.BEST: "configs in one table",
    Question.RESCORED: "fresh seeds",
}


@dataclass(frozen=True)
class Pair:
    """Two tables, the answer and the verdict.

    Attributes:
        p_value: The answer's, by Holm's for all pairs.
        winner: A label, or None for a tie.
        reason: Why there is no winner; empty where there is.
        effects: Paired: what the differences depend on.
        changes: Bests: how the best configs differ.
        moves: Paired: the configs that moved most.
    """

    first: str
    second: str
    answer: Answer
    p_value: float
    winner: str | None
    reason: str
    effects: Sequence[Dependence] = field(default=(), repr=False)
    changes: Sequence[Change] = field(default=(), repr=False)
    moves: Sequence[Move] = field(default=(), repr=False)

    @property
    def estimate(self) -> Estimate:
        """The difference, its interval and the test of this pair alone."""
        return self.answer.estimate


def verdicts(answers: Sequence[tuple[str, str, Answer]]) -> list[Pair]:
    """A verdict for each pair of labels and its answer, all at the same 5% together (Holm)."""
    adjusted = holm([answer.estimate.p_value for _, _, answer in answers])
    pairs = []
    for (first, second, answer), p_value in zip(answers, adjusted, strict=True):
        reason = _no_winner(answer, p_value)
        better = first if (answer.estimate.difference or 0.0) > 0 else second
        pairs.append(Pair(first, second, answer, p_value, None if reason else better, reason))
    return pairs


def _no_winner(answer: Answer, p_value: float) -> str:
    """Why there is no winner; empty where there is one."""
    estimate, corrected = answer.estimate, answer.corrected
    if estimate.difference is None:
        return "a table has no score"
    if answer.count < LEAST:
        return f"{_COUNTED[answer.question]}: {answer.count}, and it takes {LEAST}"
    if not estimate.excludes_zero:
        return "the interval includes zero"
    if not p_value <= ALPHA:
        return f"p is above {ALPHA:.2f} once it is adjusted for the number of pairs (Holm)"
    if corrected is not None and corrected * estimate.difference <= 0:
        return "nothing is left of the difference without what luck has in the bests"
    return ""


def deciding(pairs: Sequence[Pair]) -> Pair:
    """The pair that the verdict over all tables rests on: the winner and its closest rival.

    Without a winner, the first pair.
    """
    winner = overall_winner(pairs)
    won = [pair for pair in pairs if winner in (pair.first, pair.second)]
    return max(won, key=lambda pair: pair.p_value) if won else pairs[0]


def overall_winner(pairs: Sequence[Pair]) -> str | None:
    """The table that wins against each other one; None where none does."""
    labels = dict.fromkeys(label for pair in pairs for label in (pair.first, pair.second))
    wins = {
        label: all(pair.winner == label for pair in pairs if label in (pair.first, pair.second))
        for label in labels
    }
    return next((label for label, won in wins.items() if won), None)
