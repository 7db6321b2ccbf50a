"""Cells of results tables: encoding, decoding, and as people read them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

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


#: A spreadsheet runs text that starts with one of these.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def _cell(value: Any) -> Any:
    """A hyperparameter's value as a cell: lists, mappings and unprintable text as JSON."""
    if (
        value is None
        or isinstance(value, list | Mapping)
        or (isinstance(value, str) and not value.isprintable())
    ):
        return json.dumps(value, sort_keys=False)
    return value


def _one_line(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _escaped(text: str) -> str:
    return "'" + text if text.startswith((*_FORMULA, "'")) else text


def _escaped_hyperparameter(text: str) -> str:
    """Escaped too where a reader would take the text for a number, a boolean or nothing."""
    return _escaped(text) if isinstance(_parsed(text, as_text=False), str) else "'" + text


def _unescaped(text: str) -> str:
    return text.removeprefix("'")


def _parsed(cell: str, *, as_text: bool) -> Any:
    if cell == "":
        return None
    if not as_text:
        for number in (int, float):
            try:
                return number(cell)
            except ValueError:
                continue
        if cell in ("True", "False"):
            return cell == "True"
    return _unescaped(cell)
