"""Hyperparameters' cells for people: as text, and in groups where there are many."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["groups", "in_order", "text_of"]

#: A numeric hyperparameter with more values than this is shown in quarters.
_MOST_VALUES = 12


def text_of(value: Any) -> str:
    """A cell for people: optimizers as calls, numbers to three digits, a dash for a dead key."""
    import pandas as pd

    if pd.isna(value):
        return "-"
    if isinstance(value, str) and value.startswith("{"):
        return _as_call(value)
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _as_call(cell: str) -> str:
    try:
        mapping = json.loads(cell)
    except ValueError:
        return cell
    return _call(mapping) if isinstance(mapping, dict) and "name" in mapping else cell


def _call(mapping: dict[str, Any]) -> str:
    arguments = ", ".join(
        f"{key}={_call(value) if isinstance(value, dict) and 'name' in value else value}"
        for key, value in mapping.items()
        if key != "name"
    )
    return f"{mapping['name']}({arguments})"


def groups(column: pd.Series[Any]) -> pd.Series[Any]:
    """The value of each row as text; many numbers as quarters of equal size."""
    import pandas as pd

    if pd.api.types.is_numeric_dtype(column) and column.nunique() > _MOST_VALUES:
        quarters = pd.qcut(column.astype("float64"), 4, labels=False, duplicates="drop")
        ends = column.groupby(quarters).agg(["min", "max"])
        names = {q: f"{low:.3g} to {high:.3g}" for q, (low, high) in ends.T.items()}
        return quarters.map(names).astype(object).fillna("-")
    return pd.Series([text_of(cell) for cell in column], index=column.index, dtype=object)


def in_order(texts: pd.Series[Any]) -> list[str]:
    """The different texts: numbers by size, then words, then the dash of dead keys."""

    def key(text: str) -> tuple[int, float, str]:
        try:
            return 0, float(text.split(" to ", maxsplit=1)[0]), ""
        except ValueError:
            return (2 if text == "-" else 1), 0.0, text

    return sorted(set(texts), key=key)
