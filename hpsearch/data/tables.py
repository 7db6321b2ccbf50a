"""CSV files and data frames to checked columns: float32 numbers, or text."""

from __future__ import annotations

import codecs
import csv
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hpsearch.data.dataset import Inputs, RawData, RawPart
from hpsearch.data.files import require_file, require_memory
from hpsearch.errors import DataError
from hpsearch.wording import did_you_mean, quoted

if TYPE_CHECKING:
    import pandas as pd

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


def parse_columns(
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
    values = parse_numbers(cells)
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


def parse_numbers(cells: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
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


def stack_columns(parsed: Mapping[str, npt.NDArray[Any]]) -> Inputs:
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
        f"{where}: every row has another text in {quoted(names)}: "
        "such a column cannot help on new rows; consider drop"
    )
    return (warning,)


# pandas holds 8 bytes a number of about 6 characters, and parsing, the float32 copy and the
# split each hold a part of that again.
_MEMORY_FACTOR = 5
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class Layout:
    """The names in the header and the number of rows under it."""

    names: tuple[str, ...]
    rows: int


def read_csv(
    path: str,
    target: str | None,
    drop: Collection[str] = (),
    validation: str | None = None,
    test: str | None = None,
    *,
    split: str | None = None,
) -> RawData:
    """Read a CSV file, and its validation and test files where they have their own.

    Args:
        split: A column that decides about splits and is no feature, or None.

    Raises:
        DataError: A file is missing, malformed, or has cells that cannot be used.
    """
    layout = scan(path)
    if split is not None:
        _require_split(path, layout.names, split)
        drop = {*drop, split}
    features, target = _choose(path, layout.names, target, drop)
    train, text = _part(path, layout, features, target)
    return RawData(
        name=Path(path).stem,
        where=path,
        train=train,
        validation=None if validation is None else _other(validation, features, target, text),
        test=None if test is None else _other(test, features, target, text),
        feature_names=features,
        warnings=text_warnings(train.x, path),
    )


def read_column(path: str, name: str) -> npt.NDArray[Any]:
    """The cells of a column as text, `(n_samples,)`, none of which is missing.

    Raises:
        DataError: There is no such column, or a cell is missing.
    """
    layout = scan(path)
    _require_split(path, layout.names, name)
    cells = _frame(path, layout, [name], frozenset([name]))[name].to_numpy(dtype=object)
    missing = np.isin(cells, list(MISSING))
    if missing.any():
        (line,) = _lines_of(path, [int(np.argmax(missing))])
        raise DataError(
            f"{path}:{line}: column {name!r}: missing value ({int(missing.sum())} such rows), by "
            "which rows are to be split; fill it in, or remove the row"
        )
    return cells


def _require_split(path: str, names: tuple[str, ...], name: str) -> None:
    if name not in names:
        raise DataError(
            f"{path}:1: split: no column {name!r}{did_you_mean(name, names)} "
            f"(columns: {quoted(names)})"
        )


def _choose(
    path: str, names: tuple[str, ...], target: str | None, drop: Collection[str]
) -> tuple[tuple[str, ...], str]:
    """Feature columns in file order, and the target."""
    if target is None:
        raise DataError(f"{path}: name the target column, `target:` is one of {quoted(names)}")
    for name in (target, *drop):
        if name not in names:
            what = "target" if name == target else "drop"
            raise DataError(
                f"{path}:1: {what}: no column {name!r}{did_you_mean(name, names)} "
                f"(columns: {quoted(names)})"
            )
    if target in drop:
        raise DataError(f"{path}: {target!r} is the target and cannot be dropped")
    for index, name in enumerate(names, 1):
        if name == f"Unnamed: {index - 1}" and name not in drop:
            raise DataError(
                f"{path}:1: column {index} has no name (pandas writes its index so); "
                f"name it, or add {name!r} to drop"
            )
    features = tuple(name for name in names if name != target and name not in drop)
    if not features:
        raise DataError(f"{path}: no feature column is left beside the target {target!r}")
    return features, target


def _other(path: str, features: tuple[str, ...], target: str, text: frozenset[str]) -> RawPart:
    """A validation or test file: it has the training file's columns, in any order."""
    layout = scan(path)
    for name in (*features, target):
        if name not in layout.names:
            raise DataError(
                f"{path}:1: no column {name!r}, which the training file has"
                f"{did_you_mean(name, layout.names)}"
            )
    return _part(path, layout, features, target, text)[0]


def _part(
    path: str,
    layout: Layout,
    features: tuple[str, ...],
    target: str,
    text: frozenset[str] | None = None,
) -> tuple[RawPart, frozenset[str]]:
    """Rows of one file, and its text columns; `text` holds those of the training file."""
    keep = [name for name in layout.names if name == target or name in features]
    frame = _frame(path, layout, keep, frozenset([target]) | (text or frozenset()))

    def places(rows: list[int]) -> list[str]:
        return [f"{path}:{line}" for line in _lines_of(path, rows)]

    def place(row: int) -> str:
        return places([row])[0]

    parsed = parse_columns(frame[list(features)], path, places, text)
    y = frame[target].to_numpy(dtype=object)
    found = frozenset(name for name, values in parsed.items() if values.dtype == object)
    return RawPart(stack_columns(parsed), y, place), found


def _frame(path: str, layout: Layout, keep: list[str], text: frozenset[str]) -> pd.DataFrame:
    import pandas as pd

    try:
        frame = pd.read_csv(
            path,
            names=list(layout.names),
            header=0,
            usecols=keep,
            dtype=dict.fromkeys(text, str),
            na_filter=False,
            skipinitialspace=True,
            low_memory=False,
            index_col=False,
            encoding="utf-8",
        )
    except (pd.errors.ParserError, ValueError, OverflowError) as error:
        raise DataError(f"{path}: pandas cannot read it: {error}") from error
    if len(frame) != layout.rows:
        raise DataError(
            f"{path}: {layout.rows} rows by the csv rules and {len(frame)} by pandas'; "
            "look for unbalanced quotes"
        )
    return frame


def scan(path: str) -> Layout:
    """Check the structure of a CSV file: encoding, header, cells a row.

    Raises:
        DataError: It names the file's line.
    """
    file = require_file(path)
    require_memory(file.stat().st_size * _MEMORY_FACTOR, path)
    _require_text(file)
    records = _records(path)
    line, header = next(records, (0, []))
    if not header:
        raise DataError(f"{path}: the file has no header, only blank lines")
    names = _names(path, line, header)
    rows = 0
    for line, cells in records:
        if len(cells) != len(names):
            raise DataError(
                f"{path}:{line}: {len(cells)} cells where the header has {len(names)} columns; "
                f"the {'last cell' if len(cells) < len(names) else 'first cell too many'} is "
                f"{cells[min(len(cells) - 1, len(names))][:40]!r}"
                + (
                    f", after it column {names[len(cells)]!r} is missing"
                    if len(cells) < len(names)
                    else ""
                )
            )
        rows += 1
    if not rows:
        raise DataError(f"{path}: a header ({quoted(names, 5)}) and no row under it")
    return Layout(names, rows)


def _require_text(file: Path) -> None:
    """Refuse what is not UTF-8 text, naming the line."""
    line = 1
    decoder = codecs.getincrementaldecoder("utf-8")()
    with file.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            if line == 1 and chunk[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
                raise DataError(f"{file}: UTF-16 text; save it as UTF-8")
            held = len(decoder.getstate()[0])
            try:
                decoder.decode(chunk)
                nul = chunk.find(b"\0")
                if nul >= 0:
                    at = line + chunk.count(b"\n", 0, nul)
                    raise DataError(f"{file}:{at}: a NUL byte; this is not a text file")
            except UnicodeDecodeError as error:
                start = max(0, error.start - held)
                at = line + chunk.count(b"\n", 0, start)
                raise DataError(
                    f"{file}:{at}: not UTF-8 (byte 0x{error.object[error.start]:02x}); "
                    "save the file as UTF-8"
                ) from error
            line += chunk.count(b"\n")
    if decoder.getstate()[0]:
        raise DataError(f"{file}:{line}: not UTF-8 (cut in a character); save the file as UTF-8")


def _records(path: str) -> Iterator[tuple[int, list[str]]]:
    """Each record that is not blank, with the line (from 1) on which it starts."""
    with Path(path).open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.reader(stream, strict=True, skipinitialspace=True)
        line = 1
        try:
            for cells in reader:
                if cells:
                    yield line, cells
                line = reader.line_num + 1
        except csv.Error as error:
            raise DataError(
                f"{path}:{line}: malformed CSV: {error}; look for an unbalanced quote"
            ) from error


def _lines_of(path: str, rows: list[int]) -> list[int]:
    """File lines of data rows (from 0), in the order of `rows`."""
    wanted = set(rows)
    found = {
        index - 1: line for index, (line, _) in enumerate(_records(path)) if index - 1 in wanted
    }
    return [found[row] for row in rows]


def _names(path: str, line: int, header: list[str]) -> tuple[str, ...]:
    if len(header) == 1:
        for separator, word in ((";", "semicolons"), ("\t", "tabs"), ("|", "bars")):
            if separator in header[0]:
                raise DataError(
                    f"{path}:{line}: one column only, {header[0][:60]!r}: the separator seems to "
                    f"be {separator!r}; hpsearch reads commas, so replace the {word}"
                )
        raise DataError(
            f"{path}:{line}: one column only, {header[0][:60]!r}; "
            "a table needs a target and at least one feature, separated by commas"
        )
    names = tuple(cell.strip() or f"Unnamed: {i}" for i, cell in enumerate(header))
    values = parse_numbers(np.array(names, object))
    counted = names == tuple(str(i) for i in range(len(names)))
    if not np.isnan(values).any() and not counted:
        raise DataError(
            f"{path}:{line}: the header is missing: its cells are numbers "
            f"({quoted(names, 5)}); put the columns' names into the first line"
        )
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        at = [str(i) for i, name in enumerate(names, 1) if name == twice[0]]
        raise DataError(
            f"{path}:{line}: duplicate column name {twice[0]!r} (columns {', '.join(at)}); "
            "rename one"
        )
    return names
