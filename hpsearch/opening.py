"""Open the text of a table: a CSV file, which gzip may have packed, or a Parquet file."""

from __future__ import annotations

import gzip
import io
from functools import lru_cache
from pathlib import Path
from typing import Any

from hpsearch.errors import DataError
from hpsearch.machine import available_bytes

_GZIP, _PARQUET = b"\x1f\x8b", b"PAR1"
#: Memory of a cell: as a number or a reference, and as text in the file that is read.
_CELL_BYTES = 8 + 5 * 6


def open_table(path: str | Path) -> Any:
    """Open the bytes of a CSV file, or of what a Parquet file is as one.

    Raises:
        DataError: A Parquet file cannot be read.
        OSError: A CSV file cannot be opened.
    """
    path = Path(path)
    if is_parquet(path):
        return io.BytesIO(_converted(path, path.stat().st_mtime_ns))
    return gzip.open(path) if _begins(path, _GZIP) else path.open("rb")


def is_parquet(path: str | Path) -> bool:
    """Check if a file begins as Parquet files do."""
    return _begins(Path(path), _PARQUET)


def _begins(path: Path, mark: bytes) -> bool:
    with path.open("rb") as file:
        return file.read(len(mark)) == mark


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
    try:
        frame = file.read().to_pandas(integer_object_nulls=True)
    except (NotImplementedError, OSError, ValueError) as error:
        raise DataError(f"{path}: not a sound Parquet file: {error}") from error
    if frame.index.names != [None]:
        frame = frame.reset_index()
    return str(frame.to_csv(index=False)).encode()


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
