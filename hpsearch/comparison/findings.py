"""What tables say about each other: the best of each, verdicts a pair, bests at equal budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from hpsearch.comparison.questions import (
    Fresh,
    Question,
    config_differences,
    optimism,
)
from hpsearch.comparison.table import Table
from hpsearch.comparison.verdict import (
    Pair,
    between_bests,
    deciding,
    moves,
    overall_winner,
    within_pairs,
)
from hpsearch.store.cells import text_of

if TYPE_CHECKING:
    import pandas as pd

UNITS = ("trials", "epochs", "seconds")
#: Of what the cheapest table spent.
_SHARES = (0.25, 0.5, 1.0)


@dataclass(frozen=True)
class EqualBudget:
    """The best mean score of each table once so much was spent; None where it had none yet."""

    unit: str
    budget: float
    best: dict[str, float | None]


def best_so_far(table: Table) -> pd.DataFrame:
    """What was spent, and the best config mean so far, after each trial in their order.

    A config counts once all its seeds have come. Epochs are those trained: trials that share a
    training share its epochs. Seconds are those of training, whatever ran at the same time.

    Returns:
        `trials`, `epochs`, `seconds` (NaN where unknown) and `best`, one row a trial.
    """
    import pandas as pd

    trials = table.trials
    longest = trials.groupby("training")["epochs"].cummax()
    before = longest.groupby(trials["training"]).shift(fill_value=0.0)
    return pd.DataFrame(
        {
            "trials": np.arange(1, len(trials) + 1, dtype=np.float64),
            "epochs": (longest - before).fillna(0.0).cumsum() if _known(longest) else np.nan,
            "seconds": trials["seconds"].fillna(0.0).cumsum()
            if _known(trials["seconds"])
            else np.nan,
            "best": _best_until(table),
        }
    )


def _known(numbers: pd.Series[float]) -> bool:
    return bool(numbers.notna().any())


def _best_until(table: Table) -> pd.Series[float]:
    trials = table.trials
    scored = trials[trials["score"].notna() & trials["config"].isin(table.eligible.index)]
    last = scored[~scored["config"].duplicated(keep="last")]
    means = table.means["mean"].reindex(last["config"]).set_axis(last.index)
    means = means.reindex(trials.index)
    best = means.cummin() if table.sign < 0 else means.cummax()
    return best.ffill()


def equal_budgets(tables: Sequence[Table]) -> list[EqualBudget]:
    """The best of each table at shares of what the table that spent least has spent."""
    curves = {table.label: best_so_far(table) for table in tables}
    found = []
    for unit in UNITS:
        spent = [float(curve[unit].max()) for curve in curves.values() if len(curve)]
        if len(spent) < len(curves) or not min(spent) > 0:
            continue
        for share in _SHARES:
            budget = share * min(spent)
            if unit != "seconds":
                budget = float(np.ceil(budget))
            at = {label: _at(curve, unit, budget) for label, curve in curves.items()}
            found.append(EqualBudget(unit, budget, at))
    return _distinct(found)


def _distinct(found: Sequence[EqualBudget]) -> list[EqualBudget]:
    """Shares of a few trials may be the same number of them."""
    return list({(each.unit, each.budget): each for each in found}.values())


def _at(curve: pd.DataFrame, unit: str, budget: float) -> float | None:
    within = curve.loc[curve[unit] <= budget, "best"]
    best = within.iloc[-1] if len(within) else np.nan
    return None if np.isnan(best) else float(best)


@dataclass(frozen=True)
class Best:
    """A table and its best config.

    Attributes:
        trials, scored, configs: How many it has, have a score, and have one between them.
        config: The best one's id, None where none has a score.
        values: Its hyperparameters.
        mean, sd, seeds: Of its scores; sd None for one seed.
        optimism: How much better than it is it looks for being the best; None where one seed
            cannot tell.
        fresh: Its mean over fresh seeds, None where it was not trained again.
    """

    label: str
    trials: int
    scored: int
    configs: int
    config: str | None = None
    values: Mapping[str, str] | None = None
    mean: float | None = None
    sd: float | None = None
    seeds: int = 0
    optimism: float | None = None
    fresh: float | None = None


@dataclass(frozen=True)
class Findings:
    """What two or more results tables say about each other.

    Attributes:
        differences: What makes them not comparable; empty where they are.
        assumed: What the tables do not say and was taken to be so.
        notes: What else differs and may be the reason.
        metric: `name:goal:epoch` of the first table.
        pairs: Each two tables, in their order.
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
        """Whether data, split and metric are the same, as far as the tables say."""
        return not self.differences

    @property
    def decisive(self) -> Pair:
        """The pair that the verdict rests on: with two tables, the only one."""
        return deciding(self.pairs)

    @property
    def winner(self) -> str | None:
        """The label of the table that is better than each other one; None for a tie."""
        return overall_winner(self.pairs)

    @property
    def difference(self) -> float | None:
        """The first less the second of `decisive`, positive where the first is better."""
        return self.decisive.estimate.difference

    @property
    def interval(self) -> tuple[float, float]:
        """The difference's 95% interval; infinite ends where the data do not bound it."""
        return self.decisive.estimate.low, self.decisive.estimate.high

    @property
    def p_value(self) -> float:
        """Of no difference, adjusted for the number of pairs."""
        return self.decisive.p_value

    @property
    def n_pairs(self) -> int:
        """How many configs of `decisive` were paired; of fresh seeds, these; else 0."""
        return self.decisive.answer.n_pairs


def best_of_table(table: Table, fresh: Fresh | None) -> Best:
    """A table's best config; its mean over `fresh` seeds beside that of its own."""
    counts = Best(table.label, len(table.trials), len(table.scored), len(table.means))
    if table.best is None:
        return counts
    mean, sd, seeds = (float(table.means[name][table.best]) for name in ("mean", "sd", "seeds"))
    scores = table.draws(table.eligible.index, int(seeds), frozenset())
    return replace(
        counts,
        config=table.best,
        values={name: text_of(cell) for name, cell in table.values(table.best).items()},
        mean=mean,
        sd=sd if seeds > 1 else None,
        seeds=int(seeds),
        optimism=optimism(table.sign * scores),
        fresh=sum(fresh.values()) / len(fresh) if fresh else None,
    )


def explained(pair: Pair, tables: Mapping[str, Table]) -> Pair:
    """A pair with the hyperparameters that explain its difference; `tables` by label."""
    first, second = tables[pair.first], tables[pair.second]
    if pair.answer.question is not Question.PAIRED:
        return replace(pair, changes=between_bests(first, second))
    differences = config_differences(first, second)
    return replace(pair, effects=within_pairs(first, differences), moves=moves(first, differences))
