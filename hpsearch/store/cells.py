"""Write, parse, decode and display cells of results tables."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd

#: A numeric hyperparameter with more values than this is shown in quarters.
_MOST_VALUES = 12
_FIRST_ROWS = 100
#: A spreadsheet runs text that starts with one of these.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


#: Characters with which a cell in JSON begins.
_JSON = ("[", "{", '"')
_NONE = "null"


def cell_of(value: Any) -> Any:
    """Encode a hyperparameter's value as a cell.

    Lists, mappings and None become JSON, and so does text that is unprintable or would be read as
    JSON.
    """
    if isinstance(value, str):
        plain = value.isprintable() and value != _NONE and not value.startswith(_JSON)
        return value if plain else json.dumps(value)
    if value is None or isinstance(value, list | Mapping):
        return json.dumps(value, sort_keys=False)
    return value


def value_of(cell: Any) -> Any:
    """Decode a hyperparameter's cell: the inverse of `cell_of`."""
    if isinstance(cell, str) and (cell == _NONE or cell.startswith(_JSON)):
        return json.loads(cell)
    return cell.item() if hasattr(cell, "item") else cell


def escaped(text: str, *, typed: bool = False) -> str:
    """Put an apostrophe before text that a spreadsheet would run as a formula.

    Args:
        typed: Whether the column also holds numbers and booleans. Text that looks like these, or is
            empty, then also gets an apostrophe.
    """
    formula = text.startswith((*_FORMULA, "'"))
    if formula or (typed and not isinstance(parsed(text, as_text=False), str)):
        return "'" + text
    return text


def unescaped(text: str) -> str:
    """Remove the apostrophe that `escaped` put before a text."""
    return text.removeprefix("'")


def parsed(cell: str, *, as_text: bool) -> Any:
    """Read a cell of a CSV file as a number, a boolean, text or None.

    Args:
        as_text: Whether the column holds only text.
    """
    if cell == "":
        return None
    if not as_text:
        for number in (float,) if "." in cell else (int, float):
            try:
                return number(cell)
            except ValueError:
                continue
        if cell in ("True", "False"):
            return cell == "True"
    return unescaped(cell)


def text_of(value: Any) -> str:
    """Format a cell for display: optimizers as calls, three digits, a dash if inactive."""
    import pandas as pd  # slow to import

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
    return _call(mapping) if "name" in mapping else cell


def _call(mapping: dict[str, Any]) -> str:
    arguments = ", ".join(
        f"{key}={_call(value) if isinstance(value, dict) and 'name' in value else value}"
        for key, value in mapping.items()
        if key != "name"
    )
    return f"{mapping['name']}({arguments})"


def varies(column: pd.Series[Any]) -> bool:
    """Check if a column has several values; an empty cell counts as a value."""
    # The first rows mostly show it; texts of all cells take long.
    parts = (column.head(_FIRST_ROWS), column)
    return any(part.astype(str).nunique(dropna=False) > 1 for part in parts)


def groups(column: pd.Series[Any]) -> pd.Series[Any]:
    """Return the text of each cell; for many numbers, the quarter of the column that it is in."""
    import pandas as pd  # slow to import

    if pd.api.types.is_numeric_dtype(column) and column.nunique() > _MOST_VALUES:
        quarters = pd.qcut(column.astype("float64"), 4, labels=False, duplicates="drop")
        ends = column.groupby(quarters).agg(["min", "max"])
        names = {q: f"{low:.3g} to {high:.3g}" for q, (low, high) in ends.T.items()}
        return quarters.map(names).astype(object).fillna("-")
    return pd.Series(mapped(column, text_of, "-"), index=column.index, dtype=object)


def mapped(column: pd.Series[Any], text: Callable[[Any], Any], missing: Any) -> npt.NDArray[Any]:
    """Return the text of each cell as an array of objects, made once for equal cells."""
    import pandas as pd  # slow to import

    cells = column.astype(object)
    if pd.api.types.infer_dtype(cells, skipna=True).startswith("mixed"):
        # `factorize` takes True and 1 for equal.
        texts = [missing if pd.isna(cell) else text(cell) for cell in cells]
        return np.array(texts, dtype=object)
    codes, values = pd.factorize(cells)
    return np.array([*map(text, values), missing], dtype=object)[codes]


def in_order(texts: pd.Series[Any]) -> list[str]:
    """Sort the distinct texts: numbers by size, then words, then the dash."""

    def key(text: str) -> tuple[int, float, str]:
        try:
            return 0, float(text.split(" to ", maxsplit=1)[0]), ""
        except ValueError:
            return (2 if text == "-" else 1), 0.0, text

    return sorted(set(texts), key=key)
