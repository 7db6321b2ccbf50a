"""The verdict on each pair of tables, its explanation, and the best config of each table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from hpsearch.comparison.estimates import ALPHA, Estimate, holm, selection_luck
from hpsearch.comparison.questions import LEAST, Answer, Fresh, PairedScores, whole_scores
from hpsearch.comparison.table import Table, plain_index
from hpsearch.errors import RefusedError
from hpsearch.store.columns import groups, in_order, text_of, varies

if TYPE_CHECKING:
    import pandas as pd

_MOST_MOVES = 5


@dataclass(frozen=True)
class Dependence:
    """The dependence of the paired difference on one hyperparameter.

    Attributes:
        share: The share of the differences' variance that the hyperparameter's values explain
            beyond chance. Source: Kelley (1935), An unbiased correlation ratio measure (epsilon
            squared).
        by_value: Value -> the mean difference of its configs, and their number.
    """

    name: str
    share: float
    by_value: dict[str, tuple[Estimate, int]]


@dataclass(frozen=True)
class Move:
    """A config's mean score and rank in each table; `difference` is positive if the first wins."""

    config: str
    values: dict[str, str]
    first: float
    second: float
    difference: float
    ranks: tuple[int, int]


def dependences(scores: PairedScores) -> list[Dependence]:
    """Return the hyperparameters that explain some of the paired differences, the largest first."""
    cells = scores.table.firsts.loc[list(scores.configs)]
    candidates = [_dependence(str(name), groups(cells[name]), scores) for name in cells]
    return sorted((one for one in candidates if one.share > 0), key=lambda one: -one.share)


def _dependence(name: str, texts: pd.Series[Any], scores: PairedScores) -> Dependence:
    gains, values = scores.gains, in_order(texts)
    codes = plain_index(values).get_indexer(plain_index(texts))
    rows = {value: np.flatnonzero(codes == code) for code, value in enumerate(values)}
    freedom, share = len(gains) - len(values), 0.0
    if len(values) > 1 and freedom > 0 and np.ptp(gains) > 0:
        within = sum(float(((gains[row] - gains[row].mean()) ** 2).sum()) for row in rows.values())
        total = float(((gains - gains.mean()) ** 2).sum())
        share = 1 - (within / freedom) / (total / (len(gains) - 1))
    if share <= 0:
        return Dependence(name, 0.0, {})
    by_value = {value: (scores.estimate(row), len(row)) for value, row in rows.items()}
    return Dependence(name, share, by_value)


def moves(scores: PairedScores) -> list[Move]:
    """Return the configs with the largest differences; ranks are among paired configs, from 1."""
    import pandas as pd  # slow to import

    table, (first, second) = scores.table, scores.means
    ranks = [pd.Series(-table.sign * means).rank(method="min") for means in (first, second)]
    order = np.argsort(-np.abs(scores.gains), kind="stable")[:_MOST_MOVES]
    cells = table.firsts
    varying = [str(name) for name in cells if varies(cells[name])]
    return [
        Move(
            config=scores.configs[row],
            values={name: text_of(cells[name][scores.configs[row]]) for name in varying},
            first=float(first[row]),
            second=float(second[row]),
            difference=float(scores.gains[row]),
            ranks=(int(ranks[0][row]), int(ranks[1][row])),
        )
        for row in order
        if scores.gains[row]
    ]


@dataclass(frozen=True)
class Pair:
    """The verdict on two tables, by their labels.

    Attributes:
        p_value: The p-value of `answer`, adjusted for the number of pairs (Holm).
        winner: A label, or None for a tie.
        reason: Why there is no winner; empty if there is one.
        effects: If configs were paired: the hyperparameters that explain the differences.
        moves: If configs were paired: the configs with the largest differences.
    """

    first: str
    second: str
    answer: Answer
    p_value: float
    winner: str | None
    reason: str
    effects: Sequence[Dependence] = field(default=(), repr=False)
    moves: Sequence[Move] = field(default=(), repr=False)

    @property
    def loser(self) -> str:
        """The label of the other table, if there is a winner."""
        return self.second if self.winner == self.first else self.first

    @property
    def estimate(self) -> Estimate:
        """The difference with interval and test, for this pair alone."""
        return self.answer.estimate


def verdicts(answers: Sequence[tuple[str, str, Answer]]) -> list[Pair]:
    """Return the verdict on each pair of labels and its answer, at a joint level of 5% (Holm)."""
    adjusted = holm([answer.estimate.p_value for _, _, answer in answers])
    pairs = []
    for (first, second, answer), p_value in zip(answers, adjusted, strict=True):
        reason = _no_winner(answer, p_value)
        better = first if (answer.estimate.difference or 0.0) > 0 else second
        pairs.append(Pair(first, second, answer, p_value, None if reason else better, reason))
    return pairs


def _no_winner(answer: Answer, p_value: float) -> str:
    """The reason why there is no winner; empty if there is one."""
    estimate, corrected = answer.estimate, answer.corrected
    lucky = corrected is not None and corrected * (estimate.difference or 0.0) <= 0
    reasons = (
        (estimate.difference is None, "a table has no score"),
        (
            answer.learned,
            f"the configs were chosen by the scores of others ({' and '.join(answer.learned)}), "
            "so that the best of them are no random draws",
        ),
        (
            answer.count < LEAST,
            f"too few configs or fresh seeds: {answer.count}, and it takes {LEAST}",
        ),
        (
            not estimate.bounded and min(answer.n_draws) < 2,
            "one seed: it moves all configs of a table together, and does not show what another "
            "seed would change",
        ),
        (
            not estimate.bounded,
            "the differences do not vary, so that nothing shows how sure they are",
        ),
        (not estimate.excludes_zero, "the interval includes zero"),
        (
            not p_value <= ALPHA,
            f"p is above {ALPHA:.2f} once it is adjusted for the number of pairs (Holm)",
        ),
        (lucky, "nothing is left of the difference without what luck has in the bests"),
    )
    return next((reason for applies, reason in reasons if applies), "")


_UNITS = ("trials", "epochs", "seconds")
#: Shares of the budget of the table that spent least.
_SHARES = (0.25, 0.5, 1.0)


@dataclass(frozen=True)
class EqualBudget:
    """The best mean score of each table within a budget, by label; None if it had none."""

    unit: str
    budget: float
    best: dict[str, float | None]


def best_so_far(table: Table) -> pd.DataFrame:
    """Return the budget spent and the best trial's mean score so far, after each execution.

    A trial counts once its last execution is done. Epochs of a shared training count once. Seconds
    are those of training, whether or not other trainings ran at the same time.

    Returns:
        `trials`, `epochs`, `seconds` (NaN if unknown) and `best`, a row for each execution.
    """
    import pandas as pd  # slow to import

    rows = table.executions
    longest = rows.groupby("training")["epochs"].cummax()
    epochs = longest - longest.groupby(rows["training"]).shift(fill_value=0.0)
    scored = rows[rows["score"].notna() & rows["config"].isin(table.eligible.index)]
    last = scored[~scored["config"].duplicated(keep="last")]
    means = table.means["mean"].reindex(last["config"]).set_axis(last.index)
    means = means.reindex(rows.index)
    return pd.DataFrame(
        {
            "trials": (~rows["config"].duplicated()).cumsum().astype(np.float64),
            "epochs": _total(epochs),
            "seconds": _total(rows["seconds"]),
            "best": (means.cummin() if table.sign < 0 else means.cummax()).ffill(),
        }
    )


def _total(numbers: pd.Series[float]) -> pd.Series[float] | float:
    """Return the running sum, or NaN if all numbers are unknown."""
    return numbers.fillna(0.0).cumsum() if numbers.notna().any() else np.nan


def equal_budgets(tables: Sequence[Table]) -> list[EqualBudget]:
    """Compare the bests at shares of the budget of the table that spent least."""
    curves = {table.label: best_so_far(table) for table in tables}
    budgets = {}
    for unit in _UNITS:
        spent = [float(curve[unit].max()) for curve in curves.values() if len(curve)]
        if len(spent) < len(curves) or not all(most > 0 for most in spent):
            continue
        for share in _SHARES:
            budget = share * min(spent)
            if unit != "seconds":
                budget = float(np.ceil(budget))
            best = {label: _best_within(curve, unit, budget) for label, curve in curves.items()}
            # With few trials, two shares may be the same number of trials.
            budgets[unit, budget] = EqualBudget(unit, budget, best)
    return list(budgets.values())


def _best_within(curve: pd.DataFrame, unit: str, budget: float) -> float | None:
    within = curve.loc[curve[unit] <= budget, "best"].dropna()
    return float(within.iloc[-1]) if len(within) else None


@dataclass(frozen=True)
class Best:
    """A table's best config, and the numbers of all trials, scored trials and executions.

    Attributes:
        config: The best config's id, None if none has a score.
        trial: Its trial, None if the table has no trials.
        values: Its hyperparameters, as text.
        mean, sd, seeds: Mean, standard deviation and number of its scores; no `sd` with one seed.
        luck: The estimated part of its mean that is luck (see `selection_luck`).
        fresh: Its mean score over fresh seeds.
        scores: The mean scores of the table's configs.
    """

    label: str
    trials: int
    scored: int
    executions: int
    config: str | None = None
    trial: int | None = None
    values: Mapping[str, str] | None = None
    mean: float | None = None
    sd: float | None = None
    seeds: int = 0
    luck: float | None = None
    fresh: float | None = None
    scores: Sequence[float] = field(default=(), repr=False)


@dataclass(frozen=True)
class Findings:
    """The findings about two or more results tables.

    Attributes:
        labels: The tables' names.
        differences: The differences that make them not comparable; empty if they are.
        assumed: Assumptions made where the tables say nothing.
        notes: Other differences, which may be the reason of a result.
        metric: `name:goal:epoch` of the first table.
        bests: The best config of each table.
        pairs: The verdict on each pair of tables, in their order.
        budgets: The best scores at equal budgets.
        advice: Commands that lead to a verdict where it is missing.
    """

    labels: tuple[str, ...]
    differences: tuple[str, ...]
    assumed: tuple[str, ...]
    notes: tuple[str, ...]
    metric: str
    bests: tuple[Best, ...]
    pairs: tuple[Pair, ...]
    budgets: tuple[EqualBudget, ...]
    advice: tuple[str, ...] = ()

    @property
    def comparable(self) -> bool:
        """True if data, split and metric are the same, as far as the tables say."""
        return not self.differences

    @property
    def decisive(self) -> Pair:
        """The pair of the winner and its closest rival; without a winner, the first pair."""
        won = [pair for pair in self.pairs if self.winner in (pair.first, pair.second)]
        return max(won, key=lambda pair: pair.p_value) if won else self.pairs[0]

    @property
    def winner(self) -> str | None:
        """The label of the table that is better than each of the others; None for a tie."""
        for label in self.labels:
            own = [pair for pair in self.pairs if label in (pair.first, pair.second)]
            if all(pair.winner == label for pair in own):
                return label
        return None

    @property
    def difference(self) -> float | None:
        """The difference of `decisive`; positive if its first table is better."""
        return self.decisive.estimate.difference

    @property
    def interval(self) -> tuple[float, float]:
        """The difference's 95% interval; an end that the data do not bound is infinite."""
        return self.decisive.estimate.low, self.decisive.estimate.high

    @property
    def p_value(self) -> float:
        """The p-value of no difference, adjusted for the number of pairs."""
        return self.decisive.p_value

    @property
    def n_pairs(self) -> int:
        """The number of paired configs, or of fresh seeds, of `decisive`; else 0."""
        return self.decisive.answer.n_pairs

    def worse_than_first(self) -> bool:
        """Check if a table is worse than the first one, by the interval of their difference.

        With several, all at 5% together (Holm).

        Raises:
            RefusedError: There is no interval to decide it.
        """
        pairs = [pair for pair in self.pairs if pair.first == self.labels[0]]
        p_values = holm([pair.estimate.p_value for pair in pairs])
        for pair, p_value in zip(pairs, p_values, strict=True):
            if pair.estimate.low > 0 and p_value <= ALPHA and pair.answer.count >= LEAST:
                return True
        for pair in pairs:
            if not pair.estimate.bounded or pair.answer.count < LEAST:
                raise RefusedError(
                    f"{pair.second}: nothing tells whether it is worse than {pair.first}: "
                    f"{pair.reason}\n" + "\n".join(self.advice)
                )
        return False


def best_of_table(table: Table, fresh: Fresh | None) -> Best:
    """Return a table's best config, with its mean score over `fresh` seeds if there are any."""
    rows = table.executions
    counts = Best(table.label, rows["config"].nunique(), len(table.means), len(rows))
    if table.best is None:
        return counts
    mean, sd, seeds = (float(table.means[name][table.best]) for name in ("mean", "sd", "seeds"))
    return replace(
        counts,
        config=table.best,
        trial=table.trial(table.best),
        values={name: text_of(cell) for name, cell in table.values(table.best).items()},
        mean=mean,
        sd=sd if seeds > 1 else None,
        seeds=int(seeds),
        luck=selection_luck(table.sign * whole_scores(table)),
        fresh=float(np.nanmean([*fresh.values()])) if fresh else None,
        scores=tuple(map(float, table.means["mean"])),
    )
