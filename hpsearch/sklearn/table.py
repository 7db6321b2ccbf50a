"""A results table in the columns of scikit-learn's searches."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from hpsearch import results

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["cv_results"]


def cv_results(table: pd.DataFrame) -> pd.DataFrame:
    """One row a config, in the order in which they were first tried.

    Columns: `mean_fit_time`; `param_NAME` a hyperparameter; `params`, all of these in one mapping;
    `mean_test_score` over seeds and folds, `std_test_score`, `rank_test_score` (the best is 1; a
    config of which a trial failed has no score and the last rank); `status`: completed, or that of
    the first of its trials that is not.

    A score that is to be minimised has its sign turned, as scikit-learn's `neg_` scores.
    """
    import pandas as pd

    sign = -1.0 if results.goal_of(table) == "minimize" else 1.0
    names = results.hyperparameter_columns(table)
    rows = []
    for _, trials in table.groupby("config", sort=False):
        params = {results.hyperparameter_of(name): _plain(trials[name].iloc[0]) for name in names}
        scores = sign * trials["score"].astype("float64")
        known = bool(scores.notna().all())
        statuses = trials["status"].astype(str)
        rows.append(
            {
                "mean_fit_time": trials["seconds"].mean(),
                **{f"param_{name}": value for name, value in params.items()},
                "params": {name: value for name, value in params.items() if value is not None},
                "mean_test_score": scores.mean() if known else math.nan,
                "std_test_score": scores.std(ddof=0) if known else math.nan,
                "status": next((s for s in statuses if s != "completed"), "completed"),
            }
        )
    frame = pd.DataFrame(rows)
    ranks = frame["mean_test_score"].rank(ascending=False, method="min", na_option="bottom")
    frame.insert(len(frame.columns) - 1, "rank_test_score", ranks.astype("int32"))
    return frame


def _plain(value: Any) -> Any:
    """A cell as Python has it; None where it is empty."""
    if isinstance(value, list | dict):
        return value
    import pandas as pd

    if pd.isna(value):
        return None
    return value.item() if hasattr(value, "item") else value
