"""The best so far against what it cost: trials, epochs and seconds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hpsearch.comparison.table import Table

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["UNITS", "EqualBudget", "best_so_far", "equal_budgets"]

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
            "best": _best(table),
        }
    )


def _known(numbers: pd.Series[float]) -> bool:
    return bool(numbers.notna().any())


def _best(table: Table) -> pd.Series[float]:
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
