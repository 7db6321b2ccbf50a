"""From a frame of cells to checked columns: numbers as float32, text as `str`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hpsearch.data.dataset import Inputs
from hpsearch.data.files import listed
from hpsearch.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "FLOAT32_MAX",
    "MAX_VOCABULARY",
    "MISSING",
    "CellProblem",
    "columns",
    "inputs",
    "numbers",
    "text_warnings",
]

MAX_VOCABULARY = 1000
FLOAT32_MAX = float(np.finfo(np.float32).max)

MISSING = frozenset(
    (
        *("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "1.#IND", "1.#QNAN", "<NA>"),
        *("N/A", "NA", "NULL", "NaN", "NaT", "None", "-NaN", "-nan", "n/a", "nan", "null"),
    )
)
"""The cells that `pandas.read_csv` takes for missing values."""

_MAX_PROBLEMS = 10


@dataclass(frozen=True)
class CellProblem:
    """What is wrong with a column, and the index of the first row that shows it."""

    row: int | None
    column: str
    message: str


def columns(
    frame: pd.DataFrame,
    where: str,
    places: Callable[[list[int]], list[str]],
    text: Collection[str] | None = None,
) -> dict[str, npt.NDArray[Any]]:
    """Check every cell of `frame`.

    Args:
        frame: One column a feature.
        where: The file, for messages about a whole column.
        places: From row indices to words such as `iris.csv:17`.
        text: The columns that are text in the training file; None to decide from the cells.

    Returns:
        A mapping from column name to `(n_samples,)` float32 or object `str`.

    Raises:
        DataError: One line a column with missing, infinite or mixed cells, or with too many
            different texts.
    """
    result: dict[str, npt.NDArray[Any]] = {}
    problems: list[CellProblem] = []
    for name in frame.columns:
        known = None if text is None else name in text
        values = _column(frame[name], str(name), known)
        if isinstance(values, CellProblem):
            problems.append(values)
        else:
            result[str(name)] = values
    if problems:
        raise DataError(_report(problems, where, places))
    return result


def _report(
    problems: list[CellProblem], where: str, places: Callable[[list[int]], list[str]]
) -> str:
    shown = problems[:_MAX_PROBLEMS]
    place = iter(places([problem.row for problem in shown if problem.row is not None]))
    lines = [
        f"{where if problem.row is None else next(place)}: "
        f"column {problem.column!r}: {problem.message}"
        for problem in shown
    ]
    if len(problems) > len(shown):
        lines.append(f"{where}: {len(problems) - len(shown)} more columns have problems")
    return "\n".join(lines)


def _column(
    series: pd.Series[Any], name: str, is_text: bool | None
) -> npt.NDArray[Any] | CellProblem:
    if is_text is not True and series.dtype.kind in "biuf":
        values = series.to_numpy(np.float64, na_value=np.nan)
        return _finite(values, series, name)
    if series.dtype.kind in "mMc":
        return CellProblem(
            None, name, f"cells of type {series.dtype}; turn them into numbers or text first"
        )
    cells = _texts(series)
    values = numbers(cells)
    missing = np.isin(cells, list(MISSING))
    numeric = int(np.sum(~np.isnan(values)))
    if missing.all():
        return CellProblem(0, name, "missing value in every row; add the column to drop")
    # Half of the cells is where "numbers with a few slips" ends and "text with a few digits"
    # begins; both readings of a rarer mix are wrong for somebody, silence for everybody.
    if is_text is False or (is_text is None and 2 * numeric >= np.sum(~missing)):
        return _finite(values, cells, name)
    return _text(cells, missing, name)


def _texts(series: pd.Series[Any]) -> npt.NDArray[Any]:
    missing = series.isna().to_numpy()
    cells = series.astype(object).to_numpy()
    return np.array(
        ["" if gone else str(cell) for cell, gone in zip(cells, missing, strict=True)], object
    )


def numbers(cells: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Text cells as numbers, NaN where a cell is none; an overflow is infinite."""
    import pandas as pd

    return np.asarray(pd.to_numeric(pd.Series(cells, dtype=object), errors="coerce"), np.float64)


def _finite(
    values: npt.NDArray[np.float64], cells: pd.Series[Any] | npt.NDArray[Any], name: str
) -> npt.NDArray[Any] | CellProblem:
    """`values` as float32, or the first cell that is no finite number."""
    bad = ~(np.abs(values) <= FLOAT32_MAX)
    if not bad.any():
        return values.astype(np.float32)
    row = int(np.argmax(bad))
    raw = cells[row] if isinstance(cells, np.ndarray) else cells.iloc[row]
    cell = str(raw).strip()
    count = int(bad.sum())
    others = f" ({count} such cells in this column)" if count > 1 else ""
    if not np.isnan(values[row]):
        what = f"{cell} is not a finite float32 number{others}; remove or repair the row"
    elif cell in MISSING:
        found = f" ({cell!r})" if cell else ""
        what = f"missing value{found}{others}; fill it in, remove the row, or drop the column"
    else:
        what = (
            f"{cell[:40]!r} is not a number{others}, the other cells are; repair it, or "
            "give every cell a letter if these are categories"
        )
    return CellProblem(row, name, what)


def _text(
    cells: npt.NDArray[Any], missing: npt.NDArray[np.bool_], name: str
) -> npt.NDArray[Any] | CellProblem:
    if missing.any():
        row = int(np.argmax(missing))
        found = f" ({cells[row]!r}; write another word if it is a category)" if cells[row] else ""
        count = int(missing.sum())
        others = f" ({count} such cells in this column)" if count > 1 else ""
        return CellProblem(
            row,
            name,
            f"missing value{found}{others}; fill it in, remove the row, or drop the column",
        )
    distinct = len(set(cells))
    if distinct > MAX_VOCABULARY:
        return CellProblem(
            None,
            name,
            f"{distinct} different texts, at most {MAX_VOCABULARY} can be one-hot encoded; "
            f"add {name!r} to drop",
        )
    return cells


def inputs(parsed: Mapping[str, npt.NDArray[Any]]) -> Inputs:
    """One float32 matrix `(n_samples, n_columns)`, or the columns where one of them is text."""
    if any(values.dtype == object for values in parsed.values()):
        return dict(parsed)
    return np.stack(list(parsed.values()), axis=1)


def text_warnings(x: Inputs, where: str) -> tuple[str, ...]:
    """A warning for text columns that tell every row from every other."""
    if not isinstance(x, Mapping):
        return ()
    names = [
        name
        for name, values in x.items()
        if values.dtype == object and len(values) > 1 and len(set(values)) == len(values)
    ]
    if not names:
        return ()
    warning = (
        f"{where}: every row has another text in {listed(names)}: "
        "such a column cannot help on new rows; consider drop"
    )
    return (warning,)
