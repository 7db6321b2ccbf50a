"""Read CSV tables, and check them by the rules of `csv` and of pandas."""

from __future__ import annotations

import gzip
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from hpsearch.data.columns import (
    MISSING,
    is_missing,
    parse_columns,
    parse_numbers,
    require_column,
    with_points,
)
from hpsearch.data.dataset import Inputs, RawData, RawPart
from hpsearch.data.dialect import Dialect, read_as_it_is
from hpsearch.data.files import require_file, require_memory
from hpsearch.data.specs import TableSpec
from hpsearch.errors import DataError
from hpsearch.machine import available_bytes
from hpsearch.spec.data import DataSpec
from hpsearch.wording import quoted

if TYPE_CHECKING:
    import pandas as pd

#: Memory per byte of a file: pandas takes 8 bytes for a number of about 6 characters, and parsing,
#: the float32 copy and the split each take a part of that.
_TABLE_MEMORY_FACTOR = 5
_READ_BYTES = 1 << 20


def _unnamed(place: int) -> str:
    """Return the name that pandas gives a column without one."""
    return f"Unnamed: {place}"


_INDEX = _unnamed(0)


class Layout(NamedTuple):
    """How a CSV file is written, the names of its columns, and the number of its rows."""

    dialect: Dialect
    names: tuple[str, ...]
    rows: int


def read_csv(path: str, spec: DataSpec) -> RawData:
    """Read a CSV file, and its validation and test files if there are any."""
    layout = scan(path, spec)
    names = layout.names
    by = () if spec.split is None else (spec.split.column,)
    others = {"split": by, "target": (spec.target or "",), "weights": _weighted(spec)}
    for key, columns in {**others, "drop": spec.drop}.items():
        for name in columns:
            require_column(f"{path}:1", names, name, key)
    used = {*spec.drop, *chain(*others.values())}
    features = tuple(name for name in names if name not in used)
    for name in features:
        if name == _unnamed(names.index(name)) and name != _INDEX:
            raise DataError(
                f"{path}:1: column {names.index(name) + 1} has no name; name it, or add {name!r} "
                "to drop"
            )
    if not features:
        raise DataError(f"{path}: no feature column is left beside the target {spec.target!r}")
    train, cells = _part(path, layout, features, spec, by=by)

    def other(file: object, spec: DataSpec) -> RawPart | None:
        if not isinstance(file, str):
            return None
        table = train.table
        return _part(file, scan(file, spec, table.decimal), table.read, spec, like=table)[0]

    return RawData(
        name=Path(path).stem,
        where=path,
        train=train,
        validation=other(spec.validation, spec),
        test=other(spec.test, replace(spec, weights=None)),
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
    """Return the rows of a file, and the cells of the column `by` that splits them.

    Args:
        like: The columns of the training file, in any order; None for this file.
    """
    target = spec.target or ""
    text = like.as_text if like else frozenset()
    read = (*features, target, *by, *_weighted(spec))
    frame = _frame(path, layout, read, text.union([target, *by]))
    reading = _given(spec)
    spec = _of_dialect(spec, layout.dialect)
    labelled = _labelled(frame[target], spec)
    if not len(labelled):
        raise DataError(f"{path}: column {target!r}: the target is missing in every row")
    notices = _notices(path, layout, len(frame) - len(labelled))
    if like is None and _INDEX in features:
        _require_index(frame[_INDEX], path)
        features = tuple(name for name in features if name != _INDEX)
        notices.append(f"{path}: the first column, which has no name and counts, is left out")
    frame = frame if len(labelled) == len(frame) else frame.iloc[labelled]
    place = _places(path, layout.dialect, labelled)
    parsed = parse_columns(frame[list(features)], path, place, spec, like)
    targets = _targets(frame[target], place, spec)
    notices += parsed.notices
    weights = _weights(frame[spec.weights], place, spec) if spec.weights else None
    table = replace(parsed.spec, decimal=layout.dialect.decimal, reading=reading)
    about: dict[str, Any] = {"table": table, "notices": tuple(notices)}
    part = RawPart(parsed.inputs, targets, place, weights, **about)
    return part, _splitting(frame[by[0]], place, spec) if by else None


def _splitting(
    column: pd.Series[Any], place: Callable[[int], str], spec: DataSpec
) -> npt.NDArray[Any]:
    """Return the cells of the column that splits the rows."""
    cells = column.to_numpy(dtype=object)
    missing = np.isin(cells, [*MISSING, *spec.missing])
    if missing.any():
        raise DataError(
            f"{place(int(np.argmax(missing)))}: column {column.name!r}: missing value in the "
            "column that splits the rows; fill it in, or remove the row"
        )
    return cells


def _given(spec: DataSpec) -> tuple[tuple[str, str], ...]:
    """Return the given keys that say how a CSV is written."""
    keys = {key: getattr(spec, key) for key in TableSpec.READING_KEYS}
    return tuple((key, value) for key, value in keys.items() if value is not None)


def _of_dialect(spec: DataSpec, dialect: Dialect) -> DataSpec:
    """Return the keys of the data for a file's cells: its decimal sign, and what is missing."""
    missing = spec.missing
    if dialect.decimal == ",":
        # Numbers that pandas has read are spelt with a point.
        missing = tuple(dict.fromkeys((*missing, *with_points(missing))))
    return replace(spec, decimal=dialect.decimal, missing=missing)


def _labelled(targets: pd.Series[Any], spec: DataSpec) -> npt.NDArray[np.intp]:
    """Return the rows with a target; `NA` and the like are missing if all others are numbers."""
    missing = targets.isin(["", *spec.missing]).to_numpy(bool)
    words = targets.isin([*MISSING]).to_numpy(bool)
    others = targets[~(missing | words)].to_numpy(dtype=object)
    if words.any() and not np.isnan(parse_numbers(others, spec.decimal)).any():
        missing = missing | words
    if spec.missing:
        numbers = parse_numbers(targets.to_numpy(dtype=object), spec.decimal)
        missing = missing | is_missing(numbers, spec.missing)
    return np.flatnonzero(~missing)


def _targets(
    column: pd.Series[Any], place: Callable[[int], str], spec: DataSpec
) -> npt.NDArray[Any]:
    """Return the targets as text, numbers with a point."""
    targets = column.to_numpy(dtype=object)
    if spec.decimal != ",":
        return targets
    other = np.isnan(parse_numbers(targets, ","))
    if 2 * other.sum() > len(targets) and spec.task != "regression":
        return targets
    bad = other & ~np.isin(targets, list(MISSING))
    if bad.any():
        row = int(np.argmax(bad))
        raise DataError(
            f"{place(row)}: the target {str(targets[row])!r} is not a number with a decimal comma, "
            f"the others are ({int(bad.sum())} such rows); repair it, or say decimal: '.'"
        )
    return np.where(other, targets, with_points(targets))


def _weighted(spec: DataSpec) -> tuple[str, ...]:
    return () if spec.weights is None else (spec.weights,)


def _weights(
    column: pd.Series[Any], place: Callable[[int], str], spec: DataSpec
) -> npt.NDArray[np.float32]:
    cells = column.to_numpy(dtype=object)
    # pandas has read a column of numbers alone.
    numbers = parse_numbers(cells, None if column.dtype.kind in "iuf" else spec.decimal)
    weights = numbers.astype(np.float32)
    bad = ~((weights >= 0) & np.isfinite(weights))
    if bad.any() or not weights.any():
        row = int(np.argmax(bad))
        raise DataError(
            f"{place(row)}: column {column.name!r}: {str(column.iloc[row])!r} is no weight of a "
            "row; weights must be finite numbers of at least 0, and not all 0"
        )
    return weights


def _require_index(column: pd.Series[Any], path: str) -> None:
    """Check that a column without a name is an index as pandas writes it."""
    numbers = parse_numbers(column.to_numpy(dtype=object))
    if not (np.diff(numbers) == 1).all() or numbers[0] not in (0, 1):
        raise DataError(
            f"{path}:1: column 1 has no name, and does not count the rows, as an index that pandas "
            f"writes does; name it, or add {_INDEX!r} to drop"
        )


def _notices(path: str, layout: Layout, unlabelled: int) -> list[str]:
    notices = [f"{path}: read as {words}"] if (words := layout.dialect.words) else []
    if unlabelled:
        notices.append(
            f"{path}: {unlabelled:,} of {layout.rows:,} rows are left out, because their target is "
            "missing"
        )
    return notices


def read_rows(path: str, table: TableSpec, key: str | None = None) -> tuple[Inputs, list[str]]:
    """Read the columns of the training file's `table` from a CSV file; others are ignored.

    Returns:
        The rows, and the cells of the column `key` as they are written; none without a key.
    """
    reading: Any = dict(table.reading)
    layout = scan(path, DataSpec(**reading), table.decimal)
    if words := layout.dialect.words:
        warnings.warn(f"{path}: read as {words}", stacklevel=2)
    frame = _frame(path, layout, table.read, table.as_text)
    place = _places(path, layout.dialect, np.arange(len(frame)))
    spec = DataSpec(decimal=layout.dialect.decimal)
    rows = parse_columns(frame, path, place, spec, table).inputs
    if key is None:
        return rows, []
    require_column(f"{path}:1", layout.names, key, "key")
    return rows, _frame(path, layout, (key,), frozenset([key]))[key].tolist()


def _places(path: str, dialect: Dialect, rows: npt.NDArray[np.intp]) -> Callable[[int], str]:
    """Return a function that names the line of a row, given the rows' numbers in the file."""

    def place(row: int) -> str:
        line, _ = next(islice(dialect.records(path), int(rows[row]) + 1, None))
        return f"{path}:{line}"

    return place


def _frame(path: str, layout: Layout, keep: Sequence[str], text: frozenset[str]) -> pd.DataFrame:
    # pandas is slow to import, and image sets do not need it.
    import pandas as pd

    dialect, names, rows = layout
    for name in keep:
        require_column(f"{path}:1", names, name, "the training file")
    try:
        with dialect.open(path) as stream:
            frame = pd.read_csv(
                stream,
                sep=dialect.separator,
                names=list(names),
                header=0,
                usecols=list(keep),
                dtype=dict.fromkeys(text, str),
                na_filter=False,
                decimal=dialect.decimal,
                skipinitialspace=True,
                low_memory=False,
                index_col=False,
            )
    except (pd.errors.ParserError, ValueError, OverflowError) as error:
        raise DataError(f"{path}: pandas cannot read it: {error}") from error
    if len(frame) != rows:
        raise DataError(
            f"{path}: {rows} rows by the csv rules and {len(frame)} by pandas'; "
            "look for unbalanced quotes"
        )
    return frame


def scan(path: str, spec: DataSpec, decimal: Literal[".", ","] = ".") -> Layout:
    """Check a CSV file's encoding, header and row widths, and return its layout.

    Args:
        decimal: The decimal sign, if the file does not show it.
    """
    require_file(path)
    require_memory(_size(path) * _TABLE_MEMORY_FACTOR, path)
    return read_as_it_is(path, spec, partial(_layout, path), decimal)


def _size(path: str) -> int:
    """Return the bytes of a file; of a packed one, the unpacked ones as far as they fit."""
    most, unpacked = available_bytes() // _TABLE_MEMORY_FACTOR, 0
    try:
        with gzip.open(path) as stream:
            while unpacked <= most and (block := stream.read(_READ_BYTES)):
                unpacked += len(block)
            return unpacked
    except gzip.BadGzipFile:
        return Path(path).stat().st_size
    except (EOFError, OSError, zlib.error) as error:
        raise DataError(f"{path}: not a sound gzip file: {error}") from error


def _layout(path: str, dialect: Dialect) -> Layout:
    records = dialect.records(path)
    line, header = next(records, (0, []))
    if not header:
        raise DataError(f"{path}: the file has no header, only blank lines")
    names = _names(path, line, header)
    if len(names) == 1:
        _require_no_blank_lines(path, dialect)
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
    return Layout(dialect, names, rows)


def _require_no_blank_lines(path: str, dialect: Dialect) -> None:
    """Check that no line among the rows of the only column is blank: rows would be lost."""
    blank = 0
    for number, line in enumerate(dialect.lines(path), 1):
        if blank and line.strip():
            raise DataError(
                f"{path}:{blank}: a blank line; write NA for a missing value of the only column"
            )
        blank = blank or (number if not line.strip() else 0)


def _names(path: str, line: int, header: list[str]) -> tuple[str, ...]:
    if len(header) == 1 and any(mark in header[0] for mark in ";|\t"):
        raise DataError(
            f"{path}:{line}: one column only, {header[0][:60]!r}; say `separator`, or repair the "
            "rows that have more cells or fewer"
        )
    names = tuple(cell.strip() or _unnamed(i) for i, cell in enumerate(header))
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
