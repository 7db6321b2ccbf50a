"""How a CSV file is written: separator, decimal sign and encoding.

The sweep file decides; without it, the file's first records do where only one way fits.
"""

from __future__ import annotations

import codecs
import csv
import io
import os
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Literal, TypeVar

from hpsearch.errors import DataError
from hpsearch.opening import columnar_format, open_table
from hpsearch.spec.data import DataSpec

_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
#: Many records, so that what fits all of them by chance is unlikely.
_RECORDS = 200
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
#: A superset of Latin-1 but for its control characters.
_WESTERN = "cp1252"
#: A NUL, or a byte that is not of the encoding, as `surrogateescape` decodes it.
_NO_TEXT = re.compile("[\0\udc80-\udcff]")
_WITH_COMMA = re.compile(r"\s*[-+]?\d*,\d+(?:[eE][-+]?\d+)?\s*\Z", re.ASCII)
_WITH_POINT = re.compile(r"\s*[-+]?\d*\.\d+(?:[eE][-+]?\d+)?\s*\Z", re.ASCII)
_THOUSANDS = re.compile(r"\s*[-+]?[1-9]\d{0,2}[,.]\d{3}\s*\Z", re.ASCII)

_T = TypeVar("_T")
DecimalSign = Literal[".", ","]
Record = tuple[int, list[str]]


class WrongEncoding(Exception):
    """A byte is not of the encoding."""


@dataclass(frozen=True)
class Dialect:
    """How a file is written."""

    separator: str = ","
    decimal: DecimalSign = "."
    encoding: str = "utf-8-sig"

    def open(self, path: str) -> Any:
        """Open the file as text; bytes of another encoding are escaped as surrogates."""
        table = open_table(path)
        return io.TextIOWrapper(table, self.encoding, errors="surrogateescape", newline="")

    def records(self, path: str) -> Iterator[Record]:
        """Yield each record that is not blank, with the line (from 1) on which it starts.

        Raises:
            WrongEncoding: A byte is not of the encoding.
        """
        reader = csv.reader(
            self.lines(path), strict=True, skipinitialspace=True, delimiter=self.separator
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

    def lines(self, path: str) -> Iterator[str]:
        """Yield each line; errors are those of `records`."""
        number = 0
        try:
            with self.open(path) as stream:
                for number, line in enumerate(stream, 1):
                    # Most lines need no search.
                    if not line.isascii() or "\0" in line:
                        self._require_text(line, f"{path}:{number}")
                    yield line
        except UnicodeError as error:
            raise WrongEncoding(f"{path}:{number + 1}: {self._not_text(str(error))}") from error
        except (EOFError, OSError, zlib.error) as error:
            raise DataError(f"{path}: cannot be read: {error}") from error

    def _require_text(self, line: str, where: str) -> None:
        wrong = _NO_TEXT.search(line)
        if wrong and wrong[0] == "\0":
            raise DataError(f"{where}: a NUL byte; this is no text file")
        if wrong:
            byte = os.fsencode(wrong[0]).hex()
            raise WrongEncoding(f"{where}: {self._not_text(f'byte 0x{byte}')}")

    def _not_text(self, what: str) -> str:
        return f"{what} is not of the encoding {self.encoding}; say `encoding`, or save it as UTF-8"

    def has_characters(self, path: str) -> bool:
        """Check if the file has characters of this encoding beside ASCII."""
        with self.open(path) as stream:
            return any(not _NO_TEXT.sub("", line).isascii() for line in stream)

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


def read_as_it_is(
    path: str, spec: DataSpec, read: Callable[[Dialect], _T], decimal: DecimalSign
) -> _T:
    """Return what `read` makes of a file in its dialect, as the sweep file says or as it shows.

    Args:
        read: Reads all records. If a byte is not of the encoding, it is called with another one.
        decimal: The decimal sign, if the file does not show it.

    Raises:
        DataError: Two separators fit the file, or it is not text.
    """
    if columnar_format(path):
        # The text that it is converted to has one form.
        return read(Dialect())
    dialect = _dialect(path, spec)
    try:
        return read(_with_signs(path, dialect, spec, decimal))
    except WrongEncoding as error:
        # A file with other characters of UTF-8 is one, and damaged.
        other = replace(dialect, encoding=_WESTERN)
        if spec.encoding or dialect.encoding != Dialect.encoding or dialect.has_characters(path):
            raise DataError(str(error)) from error
    try:
        return read(_with_signs(path, other, spec, decimal))
    except WrongEncoding as error:
        raise DataError(str(error)) from error


def _dialect(path: str, spec: DataSpec) -> Dialect:
    """Return the encoding to try first."""
    with open_table(path) as stream:
        start = stream.read(2)
    encoding = spec.encoding or ("utf-16" if start in _UTF_16 else Dialect.encoding)
    if codecs.lookup(encoding).name == "utf-8":
        encoding = Dialect.encoding
    return Dialect(encoding=encoding)


def _with_signs(path: str, dialect: Dialect, spec: DataSpec, decimal: DecimalSign) -> Dialect:
    dialect = replace(dialect, separator=spec.separator or _separator(path, dialect))
    if spec.decimal or (dialect.separator == "," and decimal == "."):
        return replace(dialect, decimal=spec.decimal or decimal)
    rows = islice(dialect.records(path), 1, _RECORDS)
    shown = _decimal(cell for _, cells in rows for cell in cells)
    return replace(dialect, decimal=shown or decimal)


def _separator(path: str, dialect: Dialect) -> str:
    """Return the only separator by which each record has as many cells; a comma if none fits."""
    fitting = [mark for mark in _SEPARATORS if _fits(path, replace(dialect, separator=mark))]
    if len(fitting) > 1:
        names = [_SEPARATORS[mark] for mark in fitting]
        raise DataError(
            f"{path}: could be separated by {' or '.join(names)}; say which: separator: ',', ';', "
            "tab or '|'"
        )
    return fitting[0] if fitting else ","


def _fits(path: str, dialect: Dialect) -> bool:
    try:
        widths = {len(cells) for _, cells in islice(dialect.records(path), _RECORDS)}
    except DataError:
        return False
    return len(widths) == 1 and widths != {1}


def _decimal(cells: Iterable[str]) -> DecimalSign | None:
    """Return the decimal sign of the cells; None if none or both are certain."""
    shown: set[DecimalSign] = set()
    for cell in cells:
        # 1,234 and 1.234 may be a thousand.
        if not _THOUSANDS.match(cell):
            shown |= {","} if _WITH_COMMA.match(cell) else set()
            shown |= {"."} if _WITH_POINT.match(cell) else set()
    return shown.pop() if len(shown) == 1 else None
