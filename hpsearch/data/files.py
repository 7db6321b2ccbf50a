"""Read files: CSV tables, NPZ archives and IDX images; and find the file that holds an array."""

from __future__ import annotations

import csv
import gzip
import lzma
import math
import mmap
import os
import re
import zipfile
import zlib
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from hpsearch.data.columns import MISSING, parse_columns, parse_numbers, require_column
from hpsearch.data.dataset import Inputs, RawData, RawPart
from hpsearch.data.specs import TableSpec
from hpsearch.errors import DataError
from hpsearch.machine import available_bytes
from hpsearch.spec.data import DataSpec
from hpsearch.wording import quoted

if TYPE_CHECKING:
    import pandas as pd

_MAX_RATIO = 100
_MAX_PACKED_BYTES = 100_000_000
_MEMORY_FACTOR = 3

_IDX_UINT8 = 8
_MAX_IDX_BYTES = 1 << 30
#: A NUL, or a byte that is not UTF-8, as `surrogateescape` decodes it.
_NO_TEXT = re.compile("[\0\udc80-\udcff]")
#: Memory per byte of a file: pandas takes 8 bytes for a number of about 6 characters, and parsing,
#: the float32 copy and the split each take a part of that.
_TABLE_MEMORY_FACTOR = 5

Layout = tuple[tuple[str, ...], int]


def require_memory(needed: int, where: str, what: str = "reading it") -> None:
    """Check that so many bytes are free, which something takes."""
    available = available_bytes()
    if needed > available:
        raise DataError(
            f"{where}: {what} takes about {needed / 1e9:.2f} GB of memory, and "
            f"{available / 1e9:.2f} GB is available; use fewer rows or columns, or a larger machine"
        )


def require_file(path: str) -> Path:
    """Return the path of a readable, non-empty regular file."""
    file = Path(path)
    try:
        if not file.is_file():
            raise DataError(f"{path}: missing, or not a regular file; name the file itself")
        if file.stat().st_size == 0:
            raise DataError(f"{path}: the file is empty (0 bytes)")
        with file.open("rb"):
            pass
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from error
    return file


def read_csv(path: str, spec: DataSpec) -> RawData:
    """Read a CSV file, and its validation and test files if there are any."""
    names, _ = layout = scan(path)
    by = () if spec.split is None else (spec.split.column,)
    for key, columns in (("split", by), ("target", (spec.target or "",)), ("drop", spec.drop)):
        for name in columns:
            require_column(f"{path}:1", names, name, key)
    features = tuple(name for name in names if name not in {spec.target, *spec.drop, *by})
    for name in features:
        if name == f"Unnamed: {names.index(name)}":
            raise DataError(
                f"{path}:1: column {names.index(name) + 1} has no name (pandas writes its index "
                f"so); name it, or add {name!r} to drop"
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
    frame = _frame(path, layout, (*features, target, *by), text.union([target, *by]))
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


def read_rows(path: str, table: TableSpec) -> Inputs:
    """Read the columns of the training file's `table` from a CSV file; others are ignored."""
    frame = _frame(path, scan(path), table.read, table.as_text)
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
    """Check a CSV file's encoding, header and row widths; return column names and row count."""
    file = require_file(path)
    require_memory(file.stat().st_size * _TABLE_MEMORY_FACTOR, path)
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


def _lines(path: str) -> Iterator[str]:
    with Path(path).open(encoding="utf-8-sig", errors="surrogateescape", newline="") as stream:
        for number, line in enumerate(stream, 1):
            # Most lines need no search.
            if (not line.isascii() or "\0" in line) and (wrong := _NO_TEXT.search(line)):
                if wrong[0] == "\0":
                    raise DataError(f"{path}:{number}: a NUL byte; this is no text file")
                byte = os.fsencode(wrong[0]).hex()
                raise DataError(f"{path}:{number}: not UTF-8 text (byte 0x{byte}); save it as such")
            yield line


def _records(path: str) -> Iterator[tuple[int, list[str]]]:
    """Yield each record that is not blank, with the line (from 1) on which it starts."""
    reader = csv.reader(_lines(path), strict=True, skipinitialspace=True)
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


def read_arrays(
    path: str, wanted: Collection[str]
) -> tuple[dict[str, npt.NDArray[Any]], list[str]]:
    """Read arrays of an NPZ archive by lower-case name; also return the names of the others."""
    file = require_file(path)
    try:
        with zipfile.ZipFile(file) as archive:
            infos = [info for info in archive.infolist() if info.filename.endswith(".npy")]
            members = {info.filename.removesuffix(".npy").lower(): info for info in infos}
            if len(members) < len(infos):
                raise DataError(f"{path}: has two arrays of one name, for case does not count")
            entries = {name: info for name, info in members.items() if name in wanted}
            _require_sizes(entries.values(), path)
            arrays: dict[str, npt.NDArray[Any]] = {}
            for name, info in entries.items():
                with archive.open(info) as stream:
                    arrays[name] = np.lib.format.read_array(stream, allow_pickle=False)
            return arrays, sorted(members.keys() - entries.keys())
    except (
        *(zipfile.BadZipFile, zlib.error, lzma.LZMAError),
        *(EOFError, RuntimeError, OSError, ValueError, MemoryError),
    ) as error:
        raise DataError(
            f"{path}: not a sound .npz archive (write it with numpy.savez): {error}"
        ) from error


def _require_sizes(infos: Collection[zipfile.ZipInfo], path: str) -> None:
    """Refuse members whose total unpacked size does not fit."""
    size = sum(info.file_size for info in infos)
    ratio = size / max(1, sum(info.compress_size for info in infos))
    if size > _MAX_PACKED_BYTES and ratio > _MAX_RATIO:
        raise DataError(
            f"{path}: its arrays unpack {ratio:.0f} to 1 into {size / 1e9:.1f} GB, which looks "
            f"like a zip bomb (over {_MAX_RATIO} to 1 is refused); save it with numpy.savez, "
            "uncompressed, if it is real"
        )
    require_memory(_MEMORY_FACTOR * size, path)


def read_idx(path: Path) -> npt.NDArray[np.uint8]:
    """Read a gzipped IDX file of unsigned bytes.

    Source: http://yann.lecun.com/exdb/mnist/ describes the format: two zero bytes, the type, the
    number of dimensions, each size as a big-endian 32-bit number, the values.
    """
    try:
        with gzip.open(path) as stream:
            head = stream.read(4)
            if len(head) != 4 or head[:3] != bytes([0, 0, _IDX_UINT8]):
                raise DataError(f"{path}: not an IDX file of unsigned bytes (starts {head!r})")
            shape = tuple(int(n) for n in np.frombuffer(stream.read(4 * head[3]), ">u4"))
            size = math.prod(shape)
            if size > _MAX_IDX_BYTES:
                raise DataError(f"{path}: its header claims {size / 1e9:.1f} GB of images")
            data = stream.read(size + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read: {error}; install or download it anew") from error
    if len(data) != size:
        raise DataError(f"{path}: {len(data)} bytes where its header {shape} promises {size}")
    return np.frombuffer(data, np.uint8).reshape(shape)


#: Path, offset, dtype, shape and order of an array in a file.
Place = tuple[str, int, Any, tuple[int, ...], str]
#: Bytes of two arrays to compare at a time.
_COMPARED = 2**24


def place_of(array: npt.NDArray[Any]) -> Place | None:
    """Return where a file holds an array's numbers; None if no file does, or it was replaced."""
    base = map_of(array)
    is_contiguous = array.flags.c_contiguous or array.flags.f_contiguous
    # A subclass, such as a masked array, has more to it than its numbers; in mode "c", changes
    # exist in this process only.
    if type(array) not in (np.ndarray, np.memmap) or base is None or base.mode == "c":
        return None
    if not is_contiguous or base.filename is None or not array.size or array.dtype.hasobject:
        return None
    try:
        start = np.frombuffer(cast("mmap.mmap", base.base), np.uint8)
        inside = array.ctypes.data - start.ctypes.data
        offset = base.offset - base.offset % mmap.ALLOCATIONGRANULARITY + inside
        order = "C" if array.flags.c_contiguous else "F"
        path = os.fspath(Path(base.filename).absolute())
        place = path, offset, array.dtype, array.shape, order
        return place if _is_in_file(array, place) else None
    except (OSError, ValueError):
        return None


def array_at(path: str, offset: int, dtype: Any, shape: tuple[int, ...], order: Any) -> Any:
    """Return an array in a file; changes stay in this process."""
    return np.memmap(path, dtype, "c", offset, shape, order)


def map_of(array: npt.NDArray[Any]) -> np.memmap[Any, Any] | None:
    """Return the memory map that contains an array; else None."""
    base: Any = array
    while isinstance(base, np.ndarray) and not isinstance(base.base, mmap.mmap):
        base = base.base
    return base if isinstance(base, np.memmap) else None


def _is_in_file(array: npt.NDArray[Any], place: Place) -> bool:
    """Check if the path still leads to an array's numbers; another file may have replaced it."""
    # A memory map does not reveal which file it maps, so compare the bytes.
    other = array_at(*place)
    ours, theirs = (np.asarray(values).ravel("K").view(np.uint8) for values in (array, other))
    starts = range(0, len(ours), _COMPARED)
    return all(
        np.array_equal(ours[start : start + _COMPARED], theirs[start : start + _COMPARED])
        for start in starts
    )
