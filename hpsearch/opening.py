"""Open the text of a table: a CSV file, which gzip may have packed, or a Parquet file."""

from __future__ import annotations

import gzip
import io
import os
from functools import lru_cache
from pathlib import Path
from typing import Any

from hpsearch.errors import DataError
from hpsearch.machine import available_bytes

_GZIP, _PARQUET = b"\x1f\x8b", b"PAR1"
#: About the memory of a cell: in the file's columns, in a frame, and as text.
_CELL_BYTES = 70
#: The text as it is, as bytes, as cells, and as encoded rows.
_COPIES = 4


def open_table(path: str | Path) -> Any:
    """Open the bytes of a CSV file, or of what a Parquet file is as one.

    Raises:
        DataError: A Parquet file cannot be read.
        OSError: A CSV file cannot be opened.
    """
    path = Path(path)
    if is_parquet(path):
        return io.BytesIO(_converted(path, path.stat().st_mtime_ns))
    with path.open("rb") as file:
        packed = file.read(2) == _GZIP
    return gzip.open(path) if packed else path.open("rb")


def is_parquet(path: str | Path) -> bool:
    """Check if a file begins and ends as Parquet files do."""
    with Path(path).open("rb") as file:
        begins = file.read(4) == _PARQUET
        return begins and file.seek(-4, os.SEEK_END) > 0 and file.read() == _PARQUET


# A table is opened several times, and converted once.
@lru_cache(maxsize=1)
def _converted(path: Path, _changed: int) -> bytes:
    file = _parquet(path)
    needed = _CELL_BYTES * file.metadata.num_rows * file.metadata.num_columns
    if needed > available_bytes():
        raise DataError(
            f"{path}: reading it takes about {needed / 1e9:.2f} GB of memory, and "
            f"{available_bytes() / 1e9:.2f} GB is available; use fewer rows or columns"
        )
    for column in file.schema_arrow:
        if column.type.num_fields or "binary" in str(column.type):
            raise DataError(
                f"{path}: column {column.name!r} has {column.type}, which is neither a number, a "
                "text nor a date; write a file without it"
            )
    text = _Bounded()
    try:
        frame = file.read().to_pandas(integer_object_nulls=True)
        if frame.index.names != [None]:
            frame = frame.reset_index()
        frame.to_csv(text, index=False)
    except (NotImplementedError, OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as a table: {error}") from error
    except MemoryError as error:
        raise DataError(f"{path}: {error}") from error
    return text.getvalue().encode()


class _Bounded(io.StringIO):
    """A text of which the memory has room for a few copies."""

    def write(self, text: str) -> int:
        if self.tell() > available_bytes() / _COPIES:
            raise MemoryError("its texts take more memory than is available; use fewer rows")
        return super().write(text)


def _parquet(path: Path) -> Any:
    try:
        from pyarrow import parquet
    except ImportError as error:
        raise DataError(
            f"{path}: pyarrow reads Parquet files, and is not installed: pip install pyarrow"
        ) from error
    try:
        return parquet.ParquetFile(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not a sound Parquet file: {error}") from error
