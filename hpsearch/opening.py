"""Open the text of a table: a CSV file, which gzip may have packed, Parquet or Arrow."""

from __future__ import annotations

import gzip
import io
import os
from functools import lru_cache
from pathlib import Path
from typing import Any

from hpsearch.errors import DataError
from hpsearch.machine import available_bytes

_GZIP = b"\x1f\x8b"
#: First and last bytes of a file -> its format in `pyarrow.dataset`.
_COLUMNAR = {b"PAR1": "parquet", b"ARROW1": "ipc"}
_STREAM, _FEATHER_1, _ENCRYPTED = b"\xff\xff\xff\xff", b"FEA1", b"PARE"
_TYPES_OF_NO_CELL = ("binary", "duration", "interval")
#: About the memory of a cell: in the file's columns, in a frame, and as text.
_CELL_BYTES = 70
#: The text as it is, as bytes, as cells, and as encoded rows.
_COPIES = 4


def open_table(path: str | Path) -> Any:
    """Open the bytes of a CSV file, or of what a Parquet or Arrow file is as one.

    Raises:
        DataError: A Parquet or Arrow file cannot be read.
        OSError: A CSV file cannot be opened.
    """
    path = Path(path)
    if kind := columnar_format(path):
        return io.BytesIO(_converted(path, kind, path.stat().st_mtime_ns))
    with path.open("rb") as file:
        packed = file.read(2) == _GZIP
    return gzip.open(path) if packed else path.open("rb")


def columnar_format(path: str | Path) -> str | None:
    """Return `parquet` or `ipc`, that of Arrow, by the first and last bytes; None for a text."""
    with Path(path).open("rb") as file:
        first = file.read(6)
        if first.startswith((_STREAM, _FEATHER_1, _ENCRYPTED)):
            raise DataError(
                f"{path}: is a stream of Arrow, Feather of version 1 or encrypted, which cannot be "
                "read; write it by pandas.DataFrame.to_feather"
            )
        for mark, name in _COLUMNAR.items():
            begins = first.startswith(mark)
            if begins and file.seek(-len(mark), os.SEEK_END) > 0 and file.read() == mark:
                return name
    return None


# A table is opened several times, and converted once.
@lru_cache(maxsize=1)
def _converted(path: Path, kind: str, _changed: int) -> bytes:
    rows, n_rows = _columnar(path, kind)
    needed = _CELL_BYTES * n_rows * len(rows.schema)
    if needed > available_bytes():
        raise DataError(
            f"{path}: reading it takes about {needed / 1e9:.2f} GB of memory, and "
            f"{available_bytes() / 1e9:.2f} GB is available; use fewer rows or columns"
        )
    frame, text = frame_of(rows, str(path), integer_object_nulls=True), _Bounded()
    try:
        frame.to_csv(text, index=False)
    except MemoryError as error:
        raise DataError(f"{path}: {error}") from error
    return text.getvalue().encode()


def frame_of(table: Any, where: str, **options: Any) -> Any:
    """Return an Arrow table or dataset as a pandas frame in which a former index is columns.

    Raises:
        DataError: A column has neither numbers, texts nor dates.
    """
    for column in table.schema:
        if column.type.num_fields or any(kind in str(column.type) for kind in _TYPES_OF_NO_CELL):
            raise DataError(
                f"{where}: column {column.name!r} has {column.type}, which is neither a number, a "
                "text nor a date; leave it out of the table"
            )
    try:
        read = table.to_table() if hasattr(table, "to_table") else table
        frame = read.to_pandas(**options)
        return frame if frame.index.names == [None] else frame.reset_index()
    except Exception as error:  # pyarrow raises many kinds.
        raise DataError(f"{where}: cannot be read as a table: {error}") from error


class _Bounded(io.StringIO):
    """A text of which the memory has room for a few copies."""

    def write(self, text: str) -> int:
        if self.tell() > available_bytes() / _COPIES:
            raise MemoryError("its texts take more memory than is available; use fewer rows")
        return super().write(text)


def _columnar(path: Path, kind: str) -> tuple[Any, int]:
    """Return an unread `pyarrow.dataset.Dataset` and its number of rows."""
    try:
        from pyarrow import dataset
    except ImportError as error:
        raise DataError(f"{path}: pyarrow reads such files: pip install pyarrow") from error
    try:
        rows = dataset.dataset(path, format=kind)
        return rows, rows.count_rows()
    except (NotImplementedError, OSError, ValueError) as error:
        raise DataError(f"{path}: pyarrow cannot read it as {kind}: {error}") from error
