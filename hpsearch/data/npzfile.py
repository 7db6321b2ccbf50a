"""NumPy archives: never a pickle, never more than the directory of the archive promises."""

from __future__ import annotations

import math
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from hpsearch.data.arrays import array_part, image_unit
from hpsearch.data.dataset import Part, Source
from hpsearch.data.files import listed, require_file, require_memory
from hpsearch.data.spec import Kind
from hpsearch.errors import DataError

__all__ = ["read_arrays", "read_npz"]

_MAX_RATIO = 100
_MAX_PACKED_BYTES = 100_000_000
_MEMORY_FACTOR = 3
_MAX_ARRAYS = 64


def read_npz(
    path: str, task: Kind | None = None, validation: str | None = None, test: str | None = None
) -> Source:
    """Read `x, y`, or `x_train, y_train` with `x_val, y_val` and `x_test, y_test`.

    Raises:
        DataError: Not an archive, a pickle, a bomb, or arrays that do not fit together.
    """
    arrays = read_arrays(path)
    known = {"x", "y"} | {f"{a}_{part}" for a in "xy" for part in ("train", "val", "test")}
    other = sorted(set(arrays) - known)
    train = _pair(arrays, path, "_train" if "x_train" in arrays else "", task, None)
    if train is None:
        raise DataError(
            f"{path}: needs arrays x and y, or x_train and y_train; it has {listed(arrays)}"
        )
    parts: dict[str, Part | None] = {}
    for name, suffix, file in (("validation", "_val", validation), ("test", "_test", test)):
        own = _pair(arrays, path, suffix, task, train)
        if own is not None and file is not None:
            raise DataError(f"{path}: has x{suffix} itself, and {name} also names {file}; drop one")
        parts[name] = own if file is None else _whole(file, task, train)
    return Source(
        name=Path(path).stem,
        where=path,
        train=train,
        validation=parts["validation"],
        test=parts["test"],
        unit=image_unit(train.x),
        warnings=(f"{path}: arrays {listed(other)} are not used",) if other else (),
    )


def _whole(path: str, task: Kind | None, like: Part) -> Part:
    arrays = read_arrays(path)
    part = _pair(arrays, path, "", task, like)
    if part is None:
        raise DataError(f"{path}: needs arrays x and y; it has {listed(arrays)}")
    return part


def _pair(
    arrays: dict[str, npt.NDArray[Any]],
    path: str,
    suffix: str,
    task: Kind | None,
    like: Part | None,
) -> Part | None:
    x, y = f"x{suffix}", f"y{suffix}"
    if x not in arrays and y not in arrays:
        return None
    for name in (x, y):
        if name not in arrays:
            raise DataError(f"{path}: no array {name!r}; it has {listed(arrays)}")
    return array_part(arrays[x], arrays[y], f"{path}: {x}, {y}", task, like)


def read_arrays(path: str) -> dict[str, npt.NDArray[Any]]:
    """All arrays of an archive by lower-case name.

    Raises:
        DataError: Not an archive, object arrays, or more bytes than memory allows.
    """
    file = require_file(path)
    try:
        with zipfile.ZipFile(file) as archive:
            members = _members(archive, path)
            return {name: _read(archive, info, path) for name, info in members.items()}
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        NotImplementedError,
        RuntimeError,
        OSError,
        ValueError,
    ) as error:
        raise DataError(
            f"{path}: not a sound .npz archive (write it with numpy.savez): {error}"
        ) from error


def _members(archive: zipfile.ZipFile, path: str) -> dict[str, zipfile.ZipInfo]:
    """Arrays by name, after the directory's sizes were checked."""
    infos = archive.infolist()
    if len(infos) > _MAX_ARRAYS:
        raise DataError(f"{path}: {len(infos)} members, at most {_MAX_ARRAYS} are read")
    for info in infos:
        ratio = info.file_size / max(1, info.compress_size)
        if info.file_size > _MAX_PACKED_BYTES and ratio > _MAX_RATIO:
            raise DataError(
                f"{path}: {info.filename!r} unpacks {ratio:.0f} to 1 into "
                f"{info.file_size / 1e9:.1f} GB, which looks like a zip bomb (over {_MAX_RATIO} "
                "to 1 is refused); save it with numpy.savez, uncompressed, if it is real"
            )
    require_memory(_MEMORY_FACTOR * sum(info.file_size for info in infos), path)
    return {
        info.filename.removesuffix(".npy").lower(): info
        for info in infos
        if info.filename.endswith(".npy")
    }


def _read(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: str) -> npt.NDArray[Any]:
    """One array; the header's size is checked first, as NumPy allocates by it."""
    with archive.open(info) as stream:
        shape, dtype = _header(stream)
        start = stream.tell()
    if dtype.hasobject:
        raise DataError(
            f"{path}: {info.filename!r} holds pickled Python objects, which are never loaded; "
            "save numbers or text (dtype=str)"
        )
    if math.prod(shape) * dtype.itemsize + start != info.file_size:
        raise DataError(
            f"{path}: {info.filename!r} claims shape {shape}, {dtype}, and the archive holds "
            f"{info.file_size - start} bytes of it"
        )
    with archive.open(info) as stream:
        return np.asarray(np.lib.format.read_array(stream, allow_pickle=False))


def _header(stream: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    version = np.lib.format.read_magic(stream)
    if version == (1, 0):
        shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
    else:
        shape, _, dtype = np.lib.format.read_array_header_2_0(stream)
    return shape, dtype
