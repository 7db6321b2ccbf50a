"""CSV files, and columns of data frames checked to be float32 numbers or text."""

from __future__ import annotations

import codecs
import csv
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
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
#: float64 represents all smaller whole numbers exactly.
FLOAT64_WHOLE = 2**53

MISSING = frozenset(
    (
        *("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "1.#IND", "1.#QNAN", "<NA>"),
        *("N/A", "NA", "NULL", "NaN", "NaT", "None", "-NaN", "-nan", "n/a", "nan", "null"),
    )
)
"""The cells that `pandas.read_csv` takes for missing values."""

_MAX_PROBLEMS = 10
#: pandas holds 8 bytes a number of about 6 characters; parsing, the float32 copy and the split
#: each take a part of that.
_MEMORY_FACTOR = 5
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class _Problem:
    """The reason why a column cannot be used, and the first row that shows it, if one does."""

    row: int | None
    message: str


def parse_columns(
    frame: pd.DataFrame,
    where: str,
    places: Callable[[list[int]], list[str]],
    text: Collection[str] | None = None,
) -> dict[str, npt.NDArray[Any]]:
    """Check every cell of `frame`.

    Args:
        frame: One column a feature, named by text.
        where: The source, for messages about a whole column.
        places: Maps row indices to their places, such as `iris.csv:17`.
        text: The columns that are text in the training part; None to decide by the cells.

    Returns:
        A mapping from column name to `(n_samples,)` float32 or object `str`.

    Raises:
        DataError: Columns have missing, infinite or mixed cells, or too many distinct texts; the
            message has a line for each of them.
    """
    columns: dict[str, npt.NDArray[Any]] = {}
    problems: dict[str, _Problem] = {}
    for name in frame.columns:
        found = _column(frame[name], None if text is None else name in text)
        if isinstance(found, _Problem):
            problems[name] = found
        else:
            columns[name] = found
    if not problems:
        return columns
    shown = list(problems.items())[:_MAX_PROBLEMS]
    place = iter(places([problem.row for _, problem in shown if problem.row is not None]))
    lines = [
        f"{where if problem.row is None else next(place)}: column {name!r}: {problem.message}"
        for name, problem in shown
    ]
    if len(problems) > len(shown):
        lines.append(f"{where}: {len(problems) - len(shown)} more columns have problems")
    raise DataError("\n".join(lines))


def _column(series: pd.Series[Any], is_text: bool | None) -> npt.NDArray[Any] | _Problem:
    if is_text is not True and series.dtype.kind in "biuf":
        values = series.to_numpy(np.float64, na_value=np.nan)
        return _finite(values, series.array)
    if series.dtype.kind in "mMc":
        return _Problem(None, f"cells of type {series.dtype}; turn them into numbers or text first")
    given = zip(series.astype(object), series.isna(), strict=True)
    cells = np.array(["" if gone else str(cell) for cell, gone in given], object)
    values = parse_numbers(cells)
    missing = np.isin(cells, list(MISSING))
    if missing.all():
        return _Problem(0, "missing value in every row; add the column to drop")
    # A column that is half numbers, or more, is taken for numbers with a few slips, which are
    # errors; any other one for text with a few digits.
    numeric = int(np.sum(~np.isnan(values)))
    if is_text is False or (is_text is None and 2 * numeric >= np.sum(~missing)):
        return _finite(values, cells)
    # Only the training part's texts are encoded.
    return _text(cells, missing, str(series.name), most=None if is_text else MAX_VOCABULARY)


def parse_numbers(cells: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Convert text cells to numbers: NaN for other text, infinity for an overflow."""
    # pandas is slow to import, and image sets do without it.
    import pandas as pd

    return np.asarray(pd.to_numeric(pd.Series(cells, dtype=object), errors="coerce"), np.float64)


def _finite(values: npt.NDArray[np.float64], cells: Any) -> npt.NDArray[Any] | _Problem:
    """Return `values` as float32, or the first of `cells` that is no finite number."""
    bad = ~(np.abs(values) <= FLOAT32_MAX)
    if not bad.any():
        return values.astype(np.float32)
    row = int(np.argmax(bad))
    cell = str(cells[row]).strip()
    if not np.isnan(values[row]):
        return _Problem(
            row, f"{cell} is not a finite float32 number{_others(bad)}; remove or repair the row"
        )
    if cell in MISSING:
        return _missing(bad, f" ({cell!r})" if cell else "")
    return _Problem(
        row,
        f"{cell[:40]!r} is not a number{_others(bad)}, the other cells are; repair it, or "
        "give every cell a letter if these are categories",
    )


def _text(
    cells: npt.NDArray[Any], missing: npt.NDArray[np.bool_], name: str, most: int | None
) -> npt.NDArray[Any] | _Problem:
    if missing.any():
        cell = cells[np.argmax(missing)]
        hint = f" ({cell!r}; write another word if it is a category)" if cell else ""
        return _missing(missing, hint)
    distinct = len(set(cells))
    if most is not None and distinct > most:
        return _Problem(
            None,
            f"{distinct} different texts, at most {most} can be one-hot encoded; "
            f"add {name!r} to drop",
        )
    return cells


def _others(bad: npt.NDArray[np.bool_]) -> str:
    count = int(bad.sum())
    return f" ({count} such cells in this column)" if count > 1 else ""


def _missing(bad: npt.NDArray[np.bool_], hint: str) -> _Problem:
    return _Problem(
        int(np.argmax(bad)),
        f"missing value{hint}{_others(bad)}; fill it in, remove the row, or drop the column",
    )


def stack_columns(parsed: Mapping[str, npt.NDArray[Any]]) -> Inputs:
    """Return a float32 matrix `(n_samples, n_columns)`, or the columns if any of them is text."""
    if any(values.dtype == object for values in parsed.values()):
        return dict(parsed)
    return np.stack(list(parsed.values()), axis=1)


def text_columns(x: Inputs) -> frozenset[str]:
    """Return the names of the text columns."""
    columns = x.items() if isinstance(x, Mapping) else ()
    return frozenset(name for name, values in columns if values.dtype == object)


def text_warnings(x: Inputs, where: str) -> tuple[str, ...]:
    """Warn of text columns that have a different text in every row."""
    columns = x.items() if isinstance(x, Mapping) else ()
    names = [
        name
        for name, values in columns
        if values.dtype == object and len(values) > 1 and len(set(values)) == len(values)
    ]
    if not names:
        return ()
    warning = (
        f"{where}: every row has another text in {quoted(names)}: "
        "such a column cannot help on new rows; consider drop"
    )
    return (warning,)


@dataclass(frozen=True)
class Layout:
    """The column names of a CSV file and its number of rows."""

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
    """Read a CSV file, and its validation and test files if there are any.

    Args:
        split: A column that decides about splits, which is no feature, or None.

    Raises:
        DataError: A file is missing or malformed, or has cells that cannot be used.
    """
    layout = scan(path)
    if split is not None:
        _require_column(path, layout.names, split, "split")
        drop = {*drop, split}
    features, target = _choose(path, layout.names, target, drop)
    train = _part(path, layout, features, target)
    text = text_columns(train.x)

    def other(file: str | None) -> RawPart | None:
        return None if file is None else _part(file, scan(file), features, target, text)

    return RawData(
        name=Path(path).stem,
        where=path,
        train=train,
        validation=other(validation),
        test=other(test),
        feature_names=features,
        warnings=text_warnings(train.x, path),
        typed=False,
    )


def read_column(path: str, name: str) -> npt.NDArray[Any]:
    """Read the cells of a column as text, `(n_samples,)`.

    Raises:
        DataError: There is no such column, or a cell is missing.
    """
    layout = scan(path)
    _require_column(path, layout.names, name, "split")
    cells = _frame(path, layout, [name], frozenset([name]))[name].to_numpy(dtype=object)
    missing = np.isin(cells, list(MISSING))
    if missing.any():
        (line,) = _lines_of(path, [int(np.argmax(missing))])
        raise DataError(
            f"{path}:{line}: column {name!r}: missing value ({int(missing.sum())} such rows) in "
            "the column that splits the rows; fill it in, or remove the row"
        )
    return cells


def _require_column(path: str, names: tuple[str, ...], name: str, key: str) -> None:
    if name not in names:
        raise DataError(
            f"{path}:1: {key}: no column {name!r}{did_you_mean(name, names)} "
            f"(columns: {quoted(names)})"
        )


def _choose(
    path: str, names: tuple[str, ...], target: str | None, drop: Collection[str]
) -> tuple[tuple[str, ...], str]:
    """Return the feature columns in file order, and the target."""
    if target is None:
        raise DataError(f"{path}: name the target column, `target:` is one of {quoted(names)}")
    for name in (target, *drop):
        _require_column(path, names, name, "target" if name == target else "drop")
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


def _part(
    path: str,
    layout: Layout,
    features: tuple[str, ...],
    target: str,
    text: frozenset[str] | None = None,
) -> RawPart:
    """Read the rows of a file, whose columns may be in any order.

    Args:
        text: The text columns of the training file; None for this file.
    """
    frame = _frame(path, layout, (*features, target), frozenset([target]) | (text or frozenset()))
    parsed = parse_columns(frame[list(features)], path, partial(_places, path), text)
    y = frame[target].to_numpy(dtype=object)
    return RawPart(stack_columns(parsed), y, place=lambda row: _places(path, [row])[0])


def read_rows(path: str, features: Collection[str], text: Collection[str]) -> Inputs:
    """Read the rows of a CSV file without a target; other columns are passed over.

    Args:
        features: The columns of the training file, in its order.
        text: Those of them that are text there.

    Raises:
        DataError: The file is missing or malformed, lacks a column, or has cells that cannot be
            used.
    """
    frame = _frame(path, scan(path), tuple(features), frozenset(text))
    parsed = parse_columns(frame[list(features)], path, partial(_places, path), text)
    return stack_columns(parsed)


def _places(path: str, rows: list[int]) -> list[str]:
    return [f"{path}:{line}" for line in _lines_of(path, rows)]


def _frame(path: str, layout: Layout, keep: Sequence[str], text: frozenset[str]) -> pd.DataFrame:
    # pandas is slow to import, and image sets do without it.
    import pandas as pd

    for name in keep:
        if name not in layout.names:
            raise DataError(
                f"{path}:1: no column {name!r}, which the training file has"
                f"{did_you_mean(name, layout.names)}"
            )
    try:
        frame = pd.read_csv(
            path,
            names=list(layout.names),
            header=0,
            usecols=list(keep),
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
    """Check the structure of a CSV file: encoding, header, number of cells in each row.

    Raises:
        DataError: The file cannot be read, or a line is malformed.
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
            if len(cells) < len(names):
                missing = names[len(cells)]
                hint = f"last cell is {cells[-1][:40]!r}, after it column {missing!r} is missing"
            else:
                hint = f"first cell too many is {cells[len(names)][:40]!r}"
            raise DataError(
                f"{path}:{line}: {len(cells)} cells where the header has {len(names)} columns; "
                f"the {hint}"
            )
        rows += 1
    if not rows:
        raise DataError(f"{path}: a header ({quoted(names, 5)}) and no row under it")
    return Layout(names, rows)


def _require_text(file: Path) -> None:
    """Refuse a file that is not UTF-8 text, naming the line."""
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
    """Yield each record that is not blank, with the line (from 1) on which it starts."""
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
    """Return the file's lines that have the data rows `rows` (from 0), in their order."""
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
