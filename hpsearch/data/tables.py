"""Read CSV files: their structure, and their rows as columns of a table."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice
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
from hpsearch.wording import quoted

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
    for key, columns in (("split", by), ("target", (spec.target or "",)), ("drop", spec.drop)):
        for name in columns:
            require_column(f"{path}:1", names, name, key)
    features = tuple(name for name in names if name not in {spec.target, *spec.drop, *by})
    for index, name in enumerate(names):
        if name == f"Unnamed: {index}" and name in features:
            raise DataError(
                f"{path}:1: column {index + 1} has no name (pandas writes its index so); "
                f"name it, or add {name!r} to drop"
            )
    if not features:
        raise DataError(f"{path}: no feature column is left beside the target {spec.target!r}")
    train, cells = _part(path, layout, features, spec, by=by)

    def other(file: object) -> RawPart | None:
        if not isinstance(file, str):
            return None
        return _part(file, scan(file), train.table.read, spec, like=train.table)[0]

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


def _part(
    path: str,
    layout: Layout,
    features: tuple[str, ...],
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
    target = spec.target or ""
    frame = _frame(path, layout, (*features, target, *by), _as_text(like).union([target, *by]))
    place = partial(_place, path)
    parsed = parse_columns(frame[list(features)], path, place, spec, like)
    targets = frame[target].to_numpy(dtype=object)
    notices = tuple(parsed.notices)
    part = RawPart(parsed.inputs, targets, place, table=parsed.spec, notices=notices)
    if not by:
        return part, None
    cells = frame[by[0]].to_numpy(dtype=object)
    missing = np.isin(cells, list(MISSING))
    if missing.any():
        raise DataError(
            f"{place(int(np.argmax(missing)))}: column {by[0]!r}: missing value in the column that "
            "splits the rows; fill it in, or remove the row"
        )
    return part, cells


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
    return parse_columns(frame, path, partial(_place, path), like=table).inputs


def _place(path: str, row: int) -> str:
    """Return the file's line that has a data row (from 0)."""
    line, _ = next(islice(_records(path), row + 1, None))
    return f"{path}:{line}"


def _frame(path: str, layout: Layout, keep: Sequence[str], text: frozenset[str]) -> pd.DataFrame:
    # pandas is slow to import, and image sets do not need it.
    import pandas as pd

    names, rows = layout
    for name in keep:
        require_column(f"{path}:1", names, name, "the training file")
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
            raise DataError(
                f"{path}:{line}: {len(cells)} cells where the header has {len(names)} columns; "
                f"the last is {cells[-1][:40]!r}"
            )
        rows += 1
    if not rows:
        raise DataError(f"{path}: a header ({quoted(names, 5)}) and no row under it")
    return names, rows


def _require_text(file: Path) -> None:
    """Refuse a file that is not UTF-8 text, naming the line."""
    with file.open("rb") as stream:
        for number, line in enumerate(stream, 1):
            try:
                text = line.decode()
            except UnicodeDecodeError as error:
                byte = line[error.start]
                raise DataError(
                    f"{file}:{number}: not UTF-8 (byte 0x{byte:02x}); save the file as UTF-8"
                ) from error
            if "\0" in text:
                raise DataError(f"{file}:{number}: a NUL byte; this is not a text file")


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


def _names(path: str, line: int, header: list[str]) -> tuple[str, ...]:
    if len(header) == 1:
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
        raise DataError(f"{path}:{line}: duplicate column names {quoted(twice, 5)}; rename them")
    return names
