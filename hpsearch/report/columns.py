"""The trials of a table, column by column, best first, as the page's table reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpsearch.report.dimensions import Dimension
from hpsearch.report.text import rounded
from hpsearch.results import hyperparameter_columns
from hpsearch.values import text_of

if TYPE_CHECKING:
    import pandas as pd

    from hpsearch.report.source import Source

__all__ = ["columns_of", "constants_of"]

#: Beside the hyperparameters that vary: column -> what the page calls it.
_AFTER = {
    "status": "status",
    "seed": "seed",
    "fold": "fold",
    "epochs_trained": "epochs trained",
    "weights": "weights",
    "seconds": "seconds",
    "best_epoch": "best epoch",
    "shared_with": "shared with",
    "trainer": "trainer",
}
#: Only shown with the rest of a chosen trial.
_DETAILS = frozenset({"best_epoch", "shared_with", "trainer"})


def columns_of(source: Source, most: int) -> list[dict[str, Any]]:
    """Each column's values, for at most `most` rows: best first, those without a score last.

    A number is itself, a category the index of its text in `levels`, an empty cell null.
    """
    import pandas as pd

    rest = source.table[~source.table["trial"].isin(source.ranked["trial"])]
    rows = pd.concat([source.ranked, rest]) if len(rest) else source.ranked
    if len(rows) > most:
        # Some failures stay, or the page would know only what went well.
        failed = min(len(rest), most // 10)
        rows = pd.concat([source.ranked.iloc[: most - failed], rest.iloc[:failed]])
    found = [_numbers("trial", rows["trial"], "trial"), _score(source, rows)]
    found += [_hyperparameter(d, rows) for d in source.dimensions.values()]
    for name, label in _AFTER.items():
        if name == "seed" and source.table[name].nunique() < 2:
            continue
        if source.table[name].isna().all():
            continue
        make = _texts if isinstance(rows[name].dtype, pd.StringDtype) else _numbers
        found.append(make(name, rows[name], label) | {"detail": name in _DETAILS})
    return found


def _numbers(name: str, column: pd.Series[Any], label: str) -> dict[str, Any]:
    import pandas as pd

    digits = 3 if name == "seconds" else 6
    values = [
        None if pd.isna(v) else rounded(float(f"{float(v):.{digits}g}") if digits < 6 else v)
        for v in column
    ]
    return {"name": name, "label": label, "values": values}


def _texts(name: str, column: pd.Series[Any], label: str) -> dict[str, Any]:
    import pandas as pd

    levels = list(dict.fromkeys(column.dropna()))
    index = {level: code for code, level in enumerate(levels)}
    values = [None if pd.isna(v) else index[v] for v in column]
    return {"name": name, "label": label, "levels": levels, "values": values}


def _score(source: Source, rows: pd.DataFrame) -> dict[str, Any]:
    scored = set(source.ranked["trial"])
    values = [
        rounded(score) if trial in scored else None
        for trial, score in zip(rows["trial"], rows["score"], strict=True)
    ]
    column = {"name": "score", "label": source.metric, "values": values, "axis": True}
    finite = [value for value in values if value is not None]
    return column | {"low": min(finite, default=0), "high": max(finite, default=1)}


def _hyperparameter(dimension: Dimension, rows: pd.DataFrame) -> dict[str, Any]:
    column: dict[str, Any] = {
        "name": dimension.name,
        "label": dimension.name,
        "hyperparameter": True,
        "axis": True,
        "dead": dimension.dead,
        "dead_at": rounded(dimension.dead_at),
        "values": [
            None if code is None else rounded(code)
            for code in dimension.codes(rows[dimension.name])
        ],
    }
    if dimension.numeric:
        return column | {
            "log": dimension.log,
            "low": rounded(dimension.low),
            "high": rounded(dimension.high),
            "marked": [rounded(value) for value in dimension.marked],
        }
    return column | {"levels": list(dimension.levels)}


def constants_of(source: Source) -> list[list[str]]:
    """Hyperparameters that have the same value everywhere, and that value."""
    fixed = [n for n in hyperparameter_columns(source.table) if n not in source.varying]
    rows = source.table.head(1)
    return [[name, text_of(rows[name].iloc[0])] for name in fixed if len(rows)]
