"""How a CSV file is written: separator, decimal sign, encoding, and whether gzip has packed it.

What the sweep file does not say is taken from the file where it is certain.
"""

from __future__ import annotations

import csv
import gzip
import io
import os
import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from hpsearch.errors import DataError
from hpsearch.spec.data import DataSpec

_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
#: Many records, so that what fits all of them by chance is unlikely.
_RECORDS = 200
_GZIP = b"\x1f\x8b"
_UNSOUND = "not a sound gzip file"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
#: A superset of Latin-1 but for its control characters.
_WESTERN = "cp1252"
#: A NUL, or a byte that is not of the encoding, as `surrogateescape` decodes it.
_NO_TEXT = re.compile("[\0\udc80-\udcff]")
_WITH_COMMA = re.compile(r"\s*[-+]?\d*,(\d+)(?:[eE][-+]?\d+)?\s*\Z", re.ASCII)
_WITH_POINT = re.compile(r"\s*[-+]?\d*\.\d+(?:[eE][-+]?\d+)?\s*\Z", re.ASCII)

Record = tuple[int, list[str]]


class WrongEncoding(Exception):
    """A byte is not of the encoding."""


@dataclass(frozen=True)
class Dialect:
    """How a file is written.

    Attributes:
        packed: True if the file is packed by gzip.
    """

    separator: str = ","
    decimal: str = "."
    encoding: str = "utf-8-sig"
    packed: bool = False

    def open(self, path: str) -> Any:
        """Open the file as text; bytes of another encoding are escaped as surrogates."""
        opener: Any = gzip.open if self.packed else io.open
        how = {"encoding": self.encoding, "errors": "surrogateescape", "newline": ""}
        return opener(path, "rt", **how)

    def records(self, path: str) -> Iterator[Record]:
        """Yield each record that is not blank, with the line (from 1) on which it starts."""
        reader = csv.reader(
            self._lines(path), strict=True, skipinitialspace=True, delimiter=self.separator
        )
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
        except (EOFError, OSError, zlib.error) as error:
            raise DataError(f"{path}: {_UNSOUND}: {error}") from error

    def _lines(self, path: str) -> Iterator[str]:
        with self.open(path) as stream:
            for number, line in enumerate(stream, 1):
                # Most lines need no search.
                if (not line.isascii() or "\0" in line) and (wrong := _NO_TEXT.search(line)):
                    if wrong[0] == "\0":
                        raise DataError(f"{path}:{number}: a NUL byte; this is no text file")
                    byte = os.fsencode(wrong[0]).hex()
                    raise WrongEncoding(
                        f"{path}:{number}: byte 0x{byte} is not of the encoding {self.encoding}; "
                        "say `encoding`, or save the file as UTF-8"
                    )
                yield line

    def point(self, cell: str) -> str:
        """Return a number with a decimal point; other text unchanged."""
        return cell.replace(",", ".") if _WITH_COMMA.match(cell) else cell

    @property
    def words(self) -> str:
        """Differences from a usual CSV file, in words; empty if there are none."""
        usual = Dialect()
        parts = (
            (self.separator != usual.separator, f"separated by {_SEPARATORS[self.separator]}"),
            (self.decimal != usual.decimal, "with decimal commas"),
            (self.encoding != usual.encoding, f"encoded as {self.encoding}"),
        )
        return ", ".join(text for differs, text in parts if differs)


def encodings_of(path: str, spec: DataSpec) -> tuple[str, ...]:
    """Return the encodings to try in turn."""
    if spec.encoding:
        return (spec.encoding,)
    start = _start_of(path)
    if _is_packed(start):
        try:
            with gzip.open(path) as unpacked:
                start = unpacked.read(2)
        except (EOFError, OSError, zlib.error) as error:
            raise DataError(f"{path}: {_UNSOUND}: {error}") from error
    return ("utf-16",) if start in _UTF_16 else (Dialect.encoding, _WESTERN)


def dialect_of(path: str, spec: DataSpec, encoding: str) -> Dialect:
    """Return how a file of this encoding is written, as the sweep file says or as it shows.

    Raises:
        DataError: Two separators fit the file.
        WrongEncoding: One of the first records is not of the encoding.
    """
    dialect = Dialect(encoding=encoding, packed=_is_packed(_start_of(path)))
    dialect = replace(dialect, separator=spec.separator or _separator(path, dialect))
    if spec.decimal or dialect.separator == ",":
        return replace(dialect, decimal=spec.decimal or dialect.decimal)
    rows = islice(dialect.records(path), 1, _RECORDS)
    return replace(dialect, decimal=_decimal(cell for _, cells in rows for cell in cells))


def _start_of(path: str) -> bytes:
    with Path(path).open("rb") as stream:
        return stream.read(len(_GZIP))


def _is_packed(start: bytes) -> bool:
    return start == _GZIP


def _separator(path: str, dialect: Dialect) -> str:
    """Return the only separator by which each record has as many cells; a comma if none is."""
    fitting = [mark for mark in _SEPARATORS if _fits(path, replace(dialect, separator=mark))]
    if len(fitting) > 1:
        raise DataError(
            f"{path}: could be separated by {' or '.join(_SEPARATORS[mark] for mark in fitting)}; "
            f"say which, as in separator: {fitting[0]!r}"
        )
    return fitting[0] if fitting else ","


def _fits(path: str, dialect: Dialect) -> bool:
    try:
        widths = {len(cells) for _, cells in islice(dialect.records(path), _RECORDS)}
    except DataError:
        return False
    return len(widths) == 1 and widths != {1}


def _decimal(cells: Iterable[str]) -> str:
    """Return a comma if numbers have one and none has a point; 1,234 may be a thousand."""
    comma = False
    for cell in cells:
        if _WITH_POINT.match(cell):
            return "."
        if number := _WITH_COMMA.match(cell):
            comma = comma or len(number[1]) != 3
    return "," if comma else "."
