"""The verdict on each pair of tables, what explains it, and the best of each table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hpsearch.comparison.questions import (
    ALPHA,
    LEAST,
    LEVEL,
    Answer,
    Estimate,
    Fresh,
    Question,
    config_differences,
    holm,
    mean_difference,
    optimism,
)
from hpsearch.comparison.table import Floats, Table
from hpsearch.store.cells import groups, in_order, text_of, varies

if TYPE_CHECKING:
    import pandas as pd

_MOST_MOVES = 5
#: If the others predict a value up to this variance, its effect cannot be separated from theirs.
_COLLINEAR = 1e-9


@dataclass(frozen=True)
class Dependence:
    """The dependence of the paired difference on one hyperparameter.

    Attributes:
        share: The share of the differences' variance that its values explain (eta squared).
        p_value: Of no dependence, by Alexander and Govern's test, which allows unequal variances;
            adjusted for all hyperparameters (Holm). NaN unless every value has several configs.
        by_value: Value -> the mean difference of its configs, and their number.
    """

    name: str
    share: float
    p_value: float
    by_value: dict[str, tuple[Estimate, int]]


@dataclass(frozen=True)
class Change:
    """A hyperparameter in which the two best configs differ.

    Attributes:
        first, second: Its value in the best config of each table; a range if there are many.
        estimate: The gain of the first value over the second, all other hyperparameters equal;
            empty if the data cannot separate it from the effect of others.
        counts: The number of configs with the first value and with the second.
    """

    name: str
    first: str
    second: str
    estimate: Estimate
    counts: tuple[int, int]


@dataclass(frozen=True)
class Move:
    """A config's mean score and rank in each table; `difference` is positive if the first wins."""

    config: str
    values: dict[str, str]
    first: float
    second: float
    difference: float
    ranks: tuple[int, int]


def within_pairs(first: Table, differences: pd.DataFrame) -> list[Dependence]:
    """Return the dependence of the paired differences on each hyperparameter, largest share first.

    Args:
        first: A table that has all the configs.
        differences: The result of `config_differences`.
    """
    cells = first.firsts.loc[differences.index]
    each = differences["difference"].to_numpy(dtype=np.float64)
    effects = [_effect(str(name), groups(cells[name]), each) for name in cells]
    effects = [effect for effect in effects if len(effect.by_value) > 1 and np.ptp(each) > 0]
    adjusted = holm([effect.p_value for effect in effects])
    effects = [replace(e, p_value=p_value) for e, p_value in zip(effects, adjusted, strict=True)]
    return sorted(effects, key=lambda effect: -effect.share)


def _effect(name: str, texts: pd.Series[Any], differences: Floats) -> Dependence:
    from scipy import stats  # slow to import

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
    """Return the hyperparameters in which the best configs differ, largest gain first."""
    import pandas as pd  # slow to import

    if first.best is None or second.best is None:
        return []
    scored = [table.firsts.loc[table.means.index].astype(object) for table in (first, second)]
    cells = pd.concat(scored, keys=[0, 1])
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


def _all_else_equal(
    scores: Floats, has_first: npt.NDArray[np.bool_], others: pd.DataFrame
) -> Estimate:
    """Estimate a value's gain in an additive model of all hyperparameters (Student's interval).

    Args:
        scores: The scores of the configs with either value, `(n_configs,)`.
        has_first: Whether a config has the first value, `(n_configs,)`.
        others: The other hyperparameters' values, a row for each config.

    Source: Frisch and Waugh (1933): take what the other hyperparameters explain away from both
    `scores` and `has_first`; the slope of the rests is the coefficient of the regression on all.
    """
    import pandas as pd  # slow to import, as SciPy is
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
    # linregress assumes two coefficients; there are rank + 1.
    error = line.stderr * math.sqrt((len(scores) - 2) / freedom)
    low, high = stats.t.interval(LEVEL, freedom, line.slope, error)
    p_value = 2 * stats.t.sf(abs(line.slope) / error, freedom)
    return Estimate(float(line.slope), float(low), float(high), float(p_value))


def moves(first: Table, differences: pd.DataFrame) -> list[Move]:
    """Return the configs with the largest differences; ranks are among paired configs, from 1."""
    better = first.sign * differences[["first", "second"]]
    ranks = better.rank(ascending=False, method="min").astype(int)
    size = differences["difference"].abs().sort_values(ascending=False, kind="stable")
    cells = first.firsts
    varying = [str(name) for name in cells if varies(cells[name])]
    return [
        Move(
            config=str(config),
            values={name: text_of(cells[name][config]) for name in varying},
            first=float(differences["first"][config]),
            second=float(differences["second"][config]),
            difference=float(differences["difference"][config]),
            ranks=(int(ranks["first"][config]), int(ranks["second"][config])),
        )
        for config in size.index[:_MOST_MOVES]
        if size[config] > 0
    ]


_COUNTED = {
    Question.PAIRED: "configs to pair",
    Question.BEST: "configs in one table",
    Question.RESCORED: "fresh seeds",
}


@dataclass(frozen=True)
class Pair:
    """The verdict on two tables.

    Attributes:
        first, second: The tables' labels.
        p_value: The p-value of `answer`, adjusted for the number of pairs (Holm).
        winner: A label, or None for a tie.
        reason: Why there is no winner; empty if there is one.
        effects: If configs were paired: the hyperparameters that explain the differences.
        changes: If bests were compared: the hyperparameters in which they differ.
        moves: If configs were paired: those with the largest differences.
        shared: If configs were paired: the mean score of each in both tables, and its gain.
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
    shared: Sequence[tuple[float, float, float]] = field(default=(), repr=False)

    @property
    def estimate(self) -> Estimate:
        """The difference with interval and test, for this pair alone."""
        return self.answer.estimate


def verdicts(answers: Sequence[tuple[str, str, Answer]]) -> list[Pair]:
    """Return the verdict on each pair of labels and its answer, all at 5% together (Holm)."""
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
            f"{' and '.join(answer.learned)} may choose configs by the scores of others: an "
            "interval for the best of them could be too short (--rescore K gives one by fresh "
            "seeds)",
        ),
        (
            answer.count < LEAST,
            f"{_COUNTED[answer.question]}: {answer.count}, and it takes {LEAST}",
        ),
        (not estimate.excludes_zero, "the interval includes zero"),
        (
            not p_value <= ALPHA,
            f"p is above {ALPHA:.2f} once it is adjusted for the number of pairs (Holm)",
        ),
        (lucky, "nothing is left of the difference without what luck has in the bests"),
    )
    return next((reason for applies, reason in reasons if applies), "")


def deciding(pairs: Sequence[Pair]) -> Pair:
    """Return the pair of the overall winner and its closest rival; without a winner, the first."""
    winner = overall_winner(pairs)
    won = [pair for pair in pairs if winner in (pair.first, pair.second)]
    return max(won, key=lambda pair: pair.p_value) if won else pairs[0]


def overall_winner(pairs: Sequence[Pair]) -> str | None:
    """Return the table that is better than each of the others; None if none is."""
    labels = dict.fromkeys(label for pair in pairs for label in (pair.first, pair.second))
    wins = {
        label: all(pair.winner == label for pair in pairs if label in (pair.first, pair.second))
        for label in labels
    }
    return next((label for label, won in wins.items() if won), None)


_UNITS = ("trials", "epochs", "seconds")
#: Shares of the budget of the table that spent least.
_SHARES = (0.25, 0.5, 1.0)


@dataclass(frozen=True)
class EqualBudget:
    """The best mean score of each table within a budget.

    Attributes:
        unit: `trials`, `epochs` or `seconds`.
        best: Label -> score; None if the table had none within the budget.
    """

    unit: str
    budget: float
    best: dict[str, float | None]


def best_so_far(table: Table) -> pd.DataFrame:
    """Return the budget spent and the best trial's mean score so far, after each execution.

    A trial counts from its last execution on. Epochs of a shared training count once. Seconds are
    those of training, whatever ran at the same time.

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
    """The running sum, or NaN if all numbers are unknown."""
    return numbers.fillna(0.0).cumsum() if numbers.notna().any() else np.nan


def equal_budgets(tables: Sequence[Table]) -> list[EqualBudget]:
    """Compare the bests at shares of the budget of the table that spent least."""
    curves = {table.label: best_so_far(table) for table in tables}
    found = {}
    for unit in _UNITS:
        spent = [float(curve[unit].max()) for curve in curves.values() if len(curve)]
        if len(spent) < len(curves) or not min(spent) > 0:
            continue
        for share in _SHARES:
            budget = share * min(spent)
            if unit != "seconds":
                budget = float(np.ceil(budget))
            best = {label: _best_within(curve, unit, budget) for label, curve in curves.items()}
            # Two shares of few trials may be the same number of trials.
            found[unit, budget] = EqualBudget(unit, budget, best)
    return list(found.values())


def _best_within(curve: pd.DataFrame, unit: str, budget: float) -> float | None:
    within = curve.loc[curve[unit] <= budget, "best"]
    best = within.iloc[-1] if len(within) else np.nan
    return None if np.isnan(best) else float(best)


@dataclass(frozen=True)
class Best:
    """A table's best config.

    Attributes:
        trials: The number of trials, that is of configs.
        scored: The number of trials with a score.
        executions: The number of rows: one for each trial, seed and fold.
        config: The best config's id, None if none has a score.
        trial: Its trial, None if the table has no trials.
        values: Its hyperparameters, as text.
        mean, sd, seeds: Mean, standard deviation and number of its scores; no sd with one seed.
        optimism: The estimated part of its mean that is luck (see `optimism`).
        fresh: Its mean score over fresh seeds; None if it was not trained again.
        scores: The mean score of each of the table's configs.
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
    optimism: float | None = None
    fresh: float | None = None
    scores: Sequence[float] = field(default=(), repr=False)


@dataclass(frozen=True)
class Findings:
    """The findings about two or more results tables.

    Attributes:
        labels: The tables' names.
        differences: The differences that make them not comparable; empty if they are.
        assumed: Assumptions where the tables say nothing.
        notes: Other differences, which may be the reason of a result.
        metric: `name:goal:epoch` of the first table.
        bests: The best config of each table.
        pairs: The verdict on each two tables, in their order.
        budgets: The best scores at equal budgets.
    """

    labels: tuple[str, ...]
    differences: tuple[str, ...]
    assumed: tuple[str, ...]
    notes: tuple[str, ...]
    metric: str
    bests: tuple[Best, ...]
    pairs: tuple[Pair, ...]
    budgets: tuple[EqualBudget, ...]

    @property
    def comparable(self) -> bool:
        """True if data, split and metric are the same, as far as the tables say."""
        return not self.differences

    @property
    def decisive(self) -> Pair:
        """The pair that decides the verdict; with two tables, the only one."""
        return deciding(self.pairs)

    @property
    def winner(self) -> str | None:
        """The label of the table that is better than each of the others; None for a tie."""
        return overall_winner(self.pairs)

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


def best_of_table(table: Table, fresh: Fresh | None) -> Best:
    """Return a table's best config, with its mean score over `fresh` seeds if there are any."""
    rows = table.executions
    counts = Best(table.label, rows["config"].nunique(), len(table.means), len(rows))
    if table.best is None:
        return counts
    mean, sd, seeds = (float(table.means[name][table.best]) for name in ("mean", "sd", "seeds"))
    scores = table.draws(table.eligible.index, int(seeds), frozenset())
    return replace(
        counts,
        config=table.best,
        trial=table.trial(table.best),
        values={name: text_of(cell) for name, cell in table.values(table.best).items()},
        mean=mean,
        sd=sd if seeds > 1 else None,
        seeds=int(seeds),
        optimism=optimism(table.sign * scores),
        fresh=sum(fresh.values()) / len(fresh) if fresh else None,
        scores=tuple(map(float, table.means["mean"])),
    )


def explained(pair: Pair, tables: Mapping[str, Table]) -> Pair:
    """Add the hyperparameters that explain a pair's difference; `tables` is by label."""
    first, second = tables[pair.first], tables[pair.second]
    if pair.answer.question is not Question.PAIRED:
        return replace(pair, changes=between_bests(first, second))
    differences = config_differences(first, second)
    return replace(
        pair,
        effects=within_pairs(first, differences),
        moves=moves(first, differences),
        shared=tuple(
            differences[["first", "second", "difference"]].itertuples(index=False, name=None)
        ),
    )
