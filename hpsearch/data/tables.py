"""Read CSV files: their structure, and their rows as columns of a table."""

from __future__ import annotations

import codecs
import csv
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hpsearch.data.columns import MISSING, parse_columns, parse_numbers, require_column
from hpsearch.data.dataset import Inputs, RawData, RawPart
from hpsearch.data.files import require_file, require_memory
from hpsearch.data.specs import TableSpec
from hpsearch.errors import DataError
from hpsearch.spec.data import DataSpec
from hpsearch.wording import did_you_mean, quoted

if TYPE_CHECKING:
    import pandas as pd

#: Memory per byte of a file: pandas takes 8 bytes for a number of about 6 characters, and parsing,
#: the float32 copy and the split each take a part of that.
_MEMORY_FACTOR = 5

Layout = tuple[tuple[str, ...], int]


def read_csv(path: str, spec: DataSpec) -> RawData:
    """Read a CSV file, and its validation and test files if there are any.

    Raises:
        DataError: A file is missing or malformed, or has cells that cannot be used.
    """
    names, _ = layout = scan(path)
    by = () if spec.split is None else (spec.split.column,)
    for name in by:
        require_column(f"{path}:1", names, name, "split")
    target = spec.target or ""
    features = _choose(path, names, target, {*spec.drop, *by})
    train, cells = _part(path, layout, features, target, spec, by=by)

    def other(file: object) -> RawPart | None:
        if not isinstance(file, str):
            return None
        return _part(file, scan(file), train.table.read, target, spec, like=train.table)[0]

    return RawData(
        name=Path(path).stem,
        where=path,
        train=train,
        validation=other(spec.validation),
        test=other(spec.test),
        warnings=train.notices,
        typed=False,
        split_cells=cells,
    )


def _choose(
    path: str, names: tuple[str, ...], target: str, drop: Collection[str]
) -> tuple[str, ...]:
    """Return the feature columns in file order."""
    for name in (target, *drop):
        require_column(f"{path}:1", names, name, "target" if name == target else "drop")
    for index, name in enumerate(names, 1):
        if name == f"Unnamed: {index - 1}" and name not in drop:
            raise DataError(
                f"{path}:1: column {index} has no name (pandas writes its index so); "
                f"name it, or add {name!r} to drop"
            )
    features = tuple(name for name in names if name != target and name not in drop)
    if not features:
        raise DataError(f"{path}: no feature column is left beside the target {target!r}")
    return features


def _part(
    path: str,
    layout: Layout,
    features: tuple[str, ...],
    target: str,
    spec: DataSpec,
    *,
    by: tuple[str, ...] = (),
    like: TableSpec | None = None,
) -> tuple[RawPart, npt.NDArray[Any] | None]:
    """Read the rows of a file, whose columns may be in any order.

    Args:
        by: The column that splits the rows, if there is one.
        like: The columns of the training file; None for this file.

    Returns:
        The rows, and the cells of the column that splits them.
    """
    frame = _frame(path, layout, (*features, target, *by), _as_text(like).union([target, *by]))
    parsed = parse_columns(frame[list(features)], path, partial(_places, path), spec, like)
    part = RawPart(
        parsed.inputs,
        frame[target].to_numpy(dtype=object),
        place=lambda row: _places(path, [row])[0],
        table=parsed.spec,
        notices=tuple(parsed.notices),
    )
    for name in by:
        cells = frame[name].to_numpy(dtype=object)
        missing = np.isin(cells, list(MISSING))
        if missing.any():
            raise DataError(
                f"{part.place(int(np.argmax(missing)))}: column {name!r}: missing value "
                f"({int(missing.sum())} such rows) in the column that splits the rows; fill it in, "
                "or remove the row"
            )
        return part, cells
    return part, None


def _as_text(table: TableSpec | None) -> frozenset[str]:
    """Return the columns whose cells pandas must not convert."""
    return table.text | {date.name for date in table.dates} if table else frozenset()


def read_rows(path: str, table: TableSpec) -> Inputs:
    """Read the rows of a CSV file without a target; other columns are ignored.

    Args:
        table: The columns of the training file.

    Raises:
        DataError: The file is missing or malformed, lacks a column, or has cells that cannot be
            used.
    """
    frame = _frame(path, scan(path), table.read, _as_text(table))
    return parse_columns(frame, path, partial(_places, path), like=table).inputs


def _places(path: str, rows: list[int]) -> list[str]:
    return [f"{path}:{line}" for line in _lines_of(path, rows)]


def _frame(path: str, layout: Layout, keep: Sequence[str], text: frozenset[str]) -> pd.DataFrame:
    # pandas is slow to import, and image sets do not need it.
    import pandas as pd

    names, rows = layout
    for name in keep:
        if name not in names:
            raise DataError(
                f"{path}:1: no column {name!r}, which the training file has"
                f"{did_you_mean(name, names)}"
            )
    try:
        frame = pd.read_csv(
            path,
            names=list(names),
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
    if len(frame) != rows:
        raise DataError(
            f"{path}: {rows} rows by the csv rules and {len(frame)} by pandas'; "
            "look for unbalanced quotes"
        )
    return frame


def scan(path: str) -> Layout:
    """Check the structure of a CSV file: encoding, header, number of cells in each row.

    Returns:
        The column names and the number of rows.

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
    return names, rows


def _require_text(file: Path) -> None:
    """Refuse a file that is not UTF-8 text, naming the line."""
    with file.open("rb") as stream:
        for number, line in enumerate(stream, 1):
            if number == 1 and line[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
                raise DataError(f"{file}: UTF-16 text; save it as UTF-8")
            if b"\0" in line:
                raise DataError(f"{file}:{number}: a NUL byte; this is not a text file")
            try:
                line.decode()
            except UnicodeDecodeError as error:
                raise DataError(
                    f"{file}:{number}: not UTF-8 (byte 0x{line[error.start]:02x}); "
                    "save the file as UTF-8"
                ) from error


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
    lines = {
        index - 1: line for index, (line, _) in enumerate(_records(path)) if index - 1 in wanted
    }
    return [lines[row] for row in rows]


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
