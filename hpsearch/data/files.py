"""Read files: NPZ archives and IDX images; and find the file that holds an array."""

from __future__ import annotations

import gzip
import lzma
import math
import mmap
import os
import zipfile
import zlib
from collections.abc import Collection
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from hpsearch.errors import DataError
from hpsearch.machine import available_bytes

_MAX_RATIO = 100
_MAX_PACKED_BYTES = 100_000_000
_MEMORY_FACTOR = 3

_IDX_UINT8 = 8
_MAX_IDX_BYTES = 1 << 30


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
