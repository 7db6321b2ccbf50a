"""The columns of a table: their kinds (numbers, text, dates or unusable) and their values."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hpsearch.data.dataset import FLOAT32_MAX, Inputs
from hpsearch.data.specs import DateColumn, TableSpec
from hpsearch.errors import DataError
from hpsearch.spec.data import DataSpec
from hpsearch.wording import did_you_mean, quoted

if TYPE_CHECKING:
    import pandas as pd

MAX_VOCABULARY = 1000
#: float64 represents all smaller whole numbers exactly.
FLOAT64_WHOLE = 2**53

MISSING = frozenset(
    (
        *("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "1.#IND", "1.#QNAN", "<NA>"),
        *("N/A", "NA", "NULL", "NaN", "NaT", "None", "-NaN", "-nan", "n/a", "nan", "null"),
    )
)
"""The cells that `pandas.read_csv` takes for missing values."""

#: In a column of numbers, it stands for a missing one, too.
_UNKNOWN = "?"
_SWAPPED = str.maketrans(",.", ".,")

_MAX_PROBLEMS = 10
#: With fewer rows, measurements may differ in every row, too, and are not taken for identifiers.
_LEAST_TEXTS, _LEAST_NUMBERS = 20, 100
_DISTINCT_SHARE_OF_IDENTIFIER = 0.95
_NAME_OF_IDENTIFIER = re.compile(
    r"(?:^|[\W_])(?:ids?|uuid|guid|key|index|idx|row|rownames|number|nr|no)$|[a-z](?:Id|ID|Key|No)$",
    re.IGNORECASE,
)
_LIKE_A_DATE = re.compile(
    r"\s*(?:\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}|[A-Za-z]{3,9} \d{1,2},? \d{4}"
    r"|\d{1,2}[- ][A-Za-z]{3,9}[- ]\d{4})(?:[T ]\s*\d|\s*$)"
)
_MONTH = re.compile("[A-Za-z]{3}")
_DAYS = ("%Y-%m-%d", "%Y/%m/%d", "%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y", "%m-%d-%Y", "%d-%m-%Y")
_NAMED_DAYS = (
    *("%b %d %Y", "%b %d, %Y", "%d %b %Y", "%d-%b-%Y"),
    *("%B %d %Y", "%B %d, %Y", "%d %B %Y", "%d-%B-%Y"),
)
_TIMES = ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p")
#: Texts of booleans, as `pandas.read_csv` reads them.
_FLAGS = dict.fromkeys(("True", "TRUE", "true"), 1.0) | dict.fromkeys(
    ("False", "FALSE", "false"), 0.0
)
#: Texts such as 1,5 or 1.234,50 or 17 EUR or $3.20 or 31.12.24.
_LIKE_A_NUMBER = re.compile(
    r"\s*[-+]?\s*[$\u20ac\u00a3]?\s*\d[\d.,']*(?:\s*[%$\u20ac\u00a3]|\s+[A-Za-z]{1,4})?\s*\Z"
)
#: Fewer different texts, such as 4,5 and 5,0, may be categories.
_LEAST_DIFFERENT = 10
_EMPTY = "the value is missing in every row"
_MISSING_VALUE = (
    "missing value; fill it in, remove the row, drop the column, or leave `impute: none` out"
)
_DEFAULTS = DataSpec()
_FORMATS = ("ISO8601", *(day + time for day in _DAYS for time in _TIMES))
_NAMED_FORMATS = tuple(day + time for day in _NAMED_DAYS for time in _TIMES)


class _Unusable(Exception):
    """A column cannot be used; `row` is the first row that shows it, or None."""

    def __init__(self, message: str, bad: npt.NDArray[np.bool_] | None = None) -> None:
        self.row = None if bad is None else int(np.argmax(bad))
        super().__init__(message if bad is None else f"{message} ({int(bad.sum())} such cells)")


class _LeftOut(Exception):
    """A column is left out; the text gives the reason, and how to use it anyway."""


@dataclass
class ParsedTable:
    """A table's columns as a model takes them.

    Attributes:
        columns: Name -> values `(n_samples,)`: float32, NaN where a number is missing; or object
            `str`, empty where a text is missing.
        notices: One sentence for each column that was left out, or is likely to be misread.
        missing: See `TableSpec`.
    """

    columns: dict[str, npt.NDArray[Any]] = field(default_factory=dict)
    dates: list[DateColumn] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    missing: tuple[str, ...] = ()

    @property
    def spec(self) -> TableSpec:
        """The columns' names and kinds."""
        text = (name for name, values in self.columns.items() if values.dtype == object)
        return TableSpec(tuple(self.columns), frozenset(text), tuple(self.dates), self.missing)

    @property
    def inputs(self) -> Inputs:
        """A float32 matrix `(n_samples, n_columns)`, or the columns if any of them is text."""
        if any(values.dtype == object for values in self.columns.values()):
            return self.columns
        return np.stack(list(self.columns.values()), axis=1)


def parse_columns(
    frame: pd.DataFrame,
    where: str,
    place: Callable[[int], str],
    spec: DataSpec = _DEFAULTS,
    like: TableSpec | None = None,
) -> ParsedTable:
    """Check every cell of `frame`; a DataError has a line for each of the first problems.

    Args:
        frame: One column for each feature; the names are text.
        like: The training rows' columns, which `frame` must have; None for training rows.
    """
    if like is not None:
        spec = replace(spec, missing=like.missing)
    parsed = ParsedTable(missing=spec.missing)
    problems: list[str] = []
    dates = {date.name: date for date in like.dates} if like else {}
    for name in frame.columns if like is None else like.read:
        try:
            values = (
                _training_column(frame[name], spec)
                if like is None
                else dates.get(name) or _known_column(frame[name], spec, text=name in like.text)
            )
            if isinstance(values, DateColumn):
                parsed.columns |= _date_parts(frame[name], values, spec)
                parsed.dates.append(values)
                continue
            parsed.columns[name] = values
            if like is None and (remark := _remark(values, spec)):
                parsed.notices.append(f"{where}: column {name!r}: {remark}")
        except _Unusable as problem:
            if len(problems) < _MAX_PROBLEMS:
                at = where if problem.row is None else place(problem.row)
                problems.append(f"{at}: column {name!r}: {problem}")
        except _LeftOut as reason:
            parsed.notices.append(f"{where}: column {name!r} is left out: {reason}")
    if problems:
        raise DataError("\n".join(problems))
    if not parsed.columns:
        raise DataError("\n".join([f"{where}: no feature column is left", *parsed.notices]))
    for part in (part for date in parsed.dates for part in date.parts):
        # Only of training rows are all columns read.
        if like is None and part in frame.columns:
            raise DataError(f"{where}: column {part!r} is also a date's part; rename or drop it")
    return parsed


def require_column(where: str, names: Collection[str], name: str, key: str) -> None:
    """Check that a table has the column that a key, or the training file, names."""
    if name not in names:
        raise DataError(
            f"{where}: {key}: no column {name!r}{did_you_mean(name, names)} "
            f"(columns: {quoted(names)})"
        )


def _training_column(series: pd.Series[Any], spec: DataSpec) -> npt.NDArray[Any] | DateColumn:
    kind = series.dtype.kind
    if kind == "M":
        return _new_dates(series, [""], spec)
    text = False
    if kind not in "biufmc":
        cells, missing = _cells(series, spec)
        missing |= cells == _UNKNOWN
        if missing.all():
            raise _LeftOut(_EMPTY)
        # If at least half of the cells are numbers or dates, the column is one of these, and other
        # cells are errors. Otherwise it is text, even if a few cells are numbers.
        numbers = ~np.isnan(parse_numbers(cells, spec.decimal))
        text = 2 * int(np.sum(numbers & ~missing)) < int(np.sum(~missing))
        # A category of pandas without an order.
        text |= getattr(series.dtype, "ordered", None) is False
        if text and (formats := _date_formats(cells[~missing])):
            return _new_dates(series, formats, spec)
    return _identified(_known_column(series, spec, text=text), series, spec)


def _known_column(series: pd.Series[Any], spec: DataSpec, *, text: bool) -> npt.NDArray[Any]:
    """Return the values of a column whose kind is known."""
    if series.dtype.kind in "mMc":
        raise _Unusable(f"cells of type {series.dtype}; turn them into numbers or text first")
    if series.dtype.kind in "biuf" and not text:
        values = series.to_numpy(np.float64, na_value=np.nan)
        missing = is_missing(values, () if series.dtype.kind == "b" else spec.missing)
        return _numbers(values, series.array, missing, spec)
    cells, missing = _cells(series, spec)
    if text:
        if missing.any() and spec.impute == "none":
            raise _Unusable(_MISSING_VALUE, missing)
        return np.where(missing, "", cells)
    values = parse_numbers(cells, spec.decimal)
    missing |= is_missing(values, spec.missing) | (cells == _UNKNOWN)
    # pandas reads booleans as text if a cell is missing.
    flags = np.array([_FLAGS.get(cell, np.nan) for cell in cells])
    return _numbers(np.where(np.isnan(values), flags, values), cells, missing, spec)


def _cells(
    series: pd.Series[Any], spec: DataSpec
) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
    """Return the cells as text, and which of them are missing."""
    given = zip(series.astype(object), series.isna(), strict=True)
    cells = np.array(["" if gone else _text(cell) for cell, gone in given], object)
    return cells, np.isin(cells, [*MISSING, *spec.missing])


NO_CELL = (bytes, list, tuple, dict, np.ndarray)
"""Types of objects that are neither numbers, texts nor dates."""


def _text(cell: Any) -> str:
    if isinstance(cell, NO_CELL):
        raise _Unusable(f"cells of type {type(cell).__name__}; use numbers, text or dates")
    # pandas reads 1 as 1.0 where another cell of the column is missing.
    whole = isinstance(cell, float) and cell.is_integer() and abs(cell) < FLOAT64_WHOLE
    return str(int(cell) if whole else cell)


def is_missing(values: npt.NDArray[np.float64], missing: Collection[str]) -> npt.NDArray[np.bool_]:
    """Return which numbers are among those of the texts `missing`, as float32."""
    if not missing:
        return np.zeros(len(values), bool)
    numbers = parse_numbers(np.array([*missing], object))
    with np.errstate(over="ignore"):
        return np.isin(values.astype(np.float32), numbers.astype(np.float32))


def with_points(cells: Iterable[str]) -> npt.NDArray[Any]:
    """Return texts with points in place of commas, and commas in place of points."""
    return np.array([cell.translate(_SWAPPED) for cell in cells], object)


def parse_numbers(cells: npt.NDArray[Any], decimal: str | None = None) -> npt.NDArray[np.float64]:
    """Convert text cells to numbers: NaN for other text, infinity for an overflow."""
    # pandas is slow to import, and image sets do not need it.
    import pandas as pd

    if decimal == ",":
        cells = with_points(map(str, cells))
    return np.asarray(pd.to_numeric(pd.Series(cells, dtype=object), errors="coerce"), np.float64)


def _numbers(
    values: npt.NDArray[np.float64], cells: Any, missing: npt.NDArray[np.bool_], spec: DataSpec
) -> npt.NDArray[Any]:
    """Return `values` as float32; refuse the first of `cells` that is not a finite number."""
    bad = missing | ~(np.abs(values) <= FLOAT32_MAX)
    if not bad.any():
        return values.astype(np.float32)
    missing = missing.copy()
    missing[bad] |= [str(cell).strip() in MISSING for cell in cells[bad]]
    if spec.impute != "none":
        bad &= ~missing
        if not bad.any():
            # NaNs may differ in their bits, which would change the fingerprint.
            return np.where(missing, np.float32(np.nan), values.astype(np.float32, copy=False))
    row = int(np.argmax(bad))
    cell = str(cells[row]).strip()
    if missing[row]:
        raise _Unusable(_MISSING_VALUE, bad)
    if not np.isnan(values[row]):
        raise _Unusable(f"{cell} is not a finite float32 number; repair the row", bad)
    raise _Unusable(
        f"{cell[:40]!r} is not a number, the other cells are; repair it, or give every cell a "
        "letter if these are categories",
        bad,
    )


def _identified(
    cells: npt.NDArray[Any], series: pd.Series[Any], spec: DataSpec
) -> npt.NDArray[Any]:
    """Leave out a training column that is empty or identifies rows; limit the different texts."""
    is_text = cells.dtype == object
    values = cells[cells != ""] if is_text else cells[~np.isnan(cells)]
    if not len(values):
        raise _LeftOut(_EMPTY)
    if not is_text and not _may_identify(values, str(series.name)):
        return cells
    distinct = len(set(values.tolist()))
    if (
        spec.identifiers == "drop"
        and len(values) >= (_LEAST_TEXTS if is_text else _LEAST_NUMBERS)
        and distinct >= _DISTINCT_SHARE_OF_IDENTIFIER * len(values)
    ):
        kind, hint = "whole number", ""
        if is_text:
            kind, hint = "text", "; dates are read if they are written as 2024-12-31"
        raise _LeftOut(
            f"another {kind} in nearly every row, {distinct:,} in {len(values):,}, looks like an "
            f"identifier; `identifiers: keep` uses such columns{hint}"
        )
    return cells


def _remark(values: npt.NDArray[Any], spec: DataSpec) -> str:
    """Say what is odd about a column; nothing if nothing is."""
    if values.dtype != object:
        return ""
    if odd := _odd_number(values, spec):
        return (
            f"texts such as {odd!r} are categories; write numbers as 1234.5 and dates as "
            "2024-12-31 to have them used as such"
        )
    distinct = len(set(values.tolist()))
    if distinct <= MAX_VOCABULARY:
        return ""
    return (
        f"{distinct:,} different texts; all but the {MAX_VOCABULARY:,} commonest of the training "
        "split share one feature"
    )


def _odd_number(values: npt.NDArray[Any], spec: DataSpec) -> str:
    """Return a text that looks like an oddly written number if most texts do; else nothing."""
    distinct = sorted(set(values.tolist()) - {""})
    like = [text for text in distinct if _LIKE_A_NUMBER.match(text)]
    if len(like) < max(_LEAST_DIFFERENT, len(distinct) // 2):
        return ""
    numbers = parse_numbers(np.array(like, object), spec.decimal)
    return next((text for text, number in zip(like, numbers, strict=True) if np.isnan(number)), "")


def _may_identify(values: npt.NDArray[Any], name: str) -> bool:
    """Check if numbers are whole, and consecutive for the most part or named like an identifier."""
    if (values != np.floor(values)).any():
        return False
    span = float(values.max()) - float(values.min()) + 1
    follow = len(values) >= _DISTINCT_SHARE_OF_IDENTIFIER * span
    return follow or _NAME_OF_IDENTIFIER.search(name) is not None


def _date_formats(cells: npt.NDArray[Any]) -> list[str]:
    """Return the date formats that match most cells, at least half of them; else an empty list."""
    total = len(cells)
    distinct, counts = np.unique(cells.astype(str), return_counts=True)
    like = np.array([_LIKE_A_DATE.match(cell) is not None for cell in distinct], bool)
    if 2 * counts[like].sum() < total:
        return []
    cells, counts = distinct[like], counts[like]
    best: list[str] = []
    most, moments = 0, np.empty(0, "datetime64[us]")
    named = any(_MONTH.search(cell) for cell in cells)
    for date_format in _NAMED_FORMATS if named else _FORMATS:
        times = instants(cells, date_format)
        parsed = int(counts[~np.isnat(times)].sum())
        if parsed > most:
            best, most, moments = [date_format], parsed, times
        elif parsed == most and not np.array_equal(times, moments, equal_nan=True):
            best.append(date_format)
    return best if 2 * most >= total else []


def instants(cells: Sequence[Any] | npt.NDArray[Any], form: str) -> npt.NDArray[np.datetime64]:
    """Return moments in UTC, `(n_samples,)`, NaT for cells that are not dates of this format."""
    import pandas as pd

    texts = pd.Series(cells, dtype=object)
    moments = pd.to_datetime(texts, format=form, errors="coerce", utc=True)
    return moments.dt.tz_localize(None).to_numpy("datetime64[us]")


def _moments(
    series: pd.Series[Any], form: str, spec: DataSpec
) -> tuple[npt.NDArray[np.datetime64], npt.NDArray[Any], npt.NDArray[np.bool_]]:
    """Return the moments, the cells as text, and which of these are missing."""
    cells, missing = _cells(series, spec)
    if series.dtype.kind == "M":
        plain = series if series.dt.tz is None else series.dt.tz_convert(None)
        return plain.to_numpy("datetime64[us]"), cells, missing
    return instants(np.where(missing, "", cells), form or "ISO8601"), cells, missing


def _new_dates(series: pd.Series[Any], formats: Sequence[str], spec: DataSpec) -> DateColumn:
    if spec.dates == "drop":
        raise _LeftOut("dates; `dates: features` uses their year, month, weekday and so on")
    form, *others = formats
    if others:
        raise _LeftOut(
            "its dates may have the day or the month first; write them as 2024-12-31 to use them"
        )
    moments, _, _ = _moments(series, form, spec)
    if np.isnat(moments).all():
        raise _LeftOut(_EMPTY)
    return DateColumn(str(series.name), form, str(np.nanmin(moments)))


def _date_parts(
    series: pd.Series[Any], column: DateColumn, spec: DataSpec
) -> dict[str, npt.NDArray[np.float32]]:
    import pandas as pd

    if series.dtype.kind not in "MO" and not pd.api.types.is_string_dtype(series.dtype):
        raise _Unusable(f"cells of type {series.dtype}; the training rows have dates")
    moments, cells, missing = _moments(series, column.format, spec)
    bad = np.isnat(moments) & ~missing
    if bad.any():
        form = column.format or "ISO 8601"
        raise _Unusable(
            f"{cells[bad][0][:40]!r} is not a date of the form {form}, which the training rows "
            "have; repair it",
            bad,
        )
    if missing.any() and spec.impute == "none":
        raise _Unusable(_MISSING_VALUE, missing)
    at = pd.Series(moments).dt
    seconds = (moments - np.datetime64(column.first)) / np.timedelta64(1, "s")
    numbers = (at.year, at.month, at.day_of_week, at.day_of_year, seconds)
    return {
        name: np.where(missing, np.float32(np.nan), np.asarray(part, np.float32))
        for name, part in zip(column.parts, numbers, strict=True)
    }
