"""Fashion-MNIST and MNIST: finding and reading their files."""

from __future__ import annotations

import gzip
import math
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hpsearch.data.dataset import Part, Source
from hpsearch.data.npzfile import read_arrays
from hpsearch.errors import DataError

__all__ = ["ENVIRONMENT_VARIABLE", "ImageSet", "place_of", "read_idx", "read_images"]

ENVIRONMENT_VARIABLE = "HPSEARCH_DATA"
_SYSTEM_FOLDER = Path("/usr/share/datasets")
_SET_FOLDERS = {"mnist", "fashion-mnist", "fashion_mnist"}
_IDX_UINT8 = 8
_MAX_IDX_BYTES = 1 << 30
_Arrays = tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]
_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


@dataclass(frozen=True)
class ImageSet:
    """A set of 28 x 28 grey images in four IDX files.

    Attributes:
        name: In a sweep file.
        folder: What its folder is called on disk.
        package: The Debian package that installs it, or empty.
    """

    name: str
    folder: str
    labels: tuple[str, ...]
    package: str = ""


def read_images(which: ImageSet, folder: str | None) -> Source:
    """Read the set from the first place that has it; see `_folders` for the order.

    Raises:
        DataError: It is nowhere and cannot be downloaded, or its files are damaged.
    """
    found, place = _arrays(which, folder)
    x_train, y_train, x_test, y_test = _checked(found, place)
    passed_over = folder is not None and Path(folder).expanduser() not in (place, place.parent)
    where = f"the built-in set {which.name!r}"

    def part(x: npt.NDArray[Any], y: npt.NDArray[Any]) -> Part:
        return Part(x, y.astype(np.int64), lambda row: f"{where}: row {row} (from 0)")

    return Source(
        name=which.name,
        where=where,
        train=part(x_train, y_train),
        test=part(x_test, y_test),
        labels=which.labels,
        unit=255.0,
        task="classification",
        warnings=(f"{which.name} is not in {folder}; read from {place}",) if passed_over else (),
        user_data=False,
    )


def _arrays(which: ImageSet, folder: str | None) -> tuple[_Arrays, Path]:
    """Train and test images and labels, and the folder or file that had them."""
    place = place_of(which, folder)
    if place is not None:
        paths = [_either(place / name) for name in _FILES]
        x_train, y_train, x_test, y_test = (read_idx(path) for path in paths if path)
        return (x_train, y_train, x_test, y_test), place
    archive = _keras_home() / "datasets" / f"{which.folder}.npz"
    if not archive.is_file():
        return _download(which), archive
    arrays = read_arrays(str(archive))
    try:
        x_train, y_train = arrays["x_train"], arrays["y_train"]
        return (x_train, y_train, arrays["x_test"], arrays["y_test"]), archive
    except KeyError as error:
        raise DataError(f"{archive}: no array {error}; delete the file") from error


def place_of(which: ImageSet, folder: str | None) -> Path | None:
    """The folder that has the set's files; None where Keras' own loader has to see to it."""
    for place in _folders(which, folder):
        if all(_either(place / name) for name in _FILES):
            return place
    return None


def _checked(arrays: _Arrays, place: Path) -> _Arrays:
    x_train, y_train, x_test, y_test = arrays
    for x, y in ((x_train, y_train), (x_test, y_test)):
        if x.dtype != np.uint8 or x.ndim != 3 or y.ndim != 1 or len(x) != len(y) or y.max() > 9:
            raise DataError(f"{place}: {y.shape} labels do not fit {x.dtype} images of {x.shape}")
    return arrays


def _folders(which: ImageSet, folder: str | None) -> Iterator[Path]:
    """Folders that may hold the files: given, environment, Debian's, Keras' cache."""
    for given in (folder, os.environ.get(ENVIRONMENT_VARIABLE)):
        if given:
            base = Path(given).expanduser()
            yield base / which.folder
            yield base / which.name
            # Both sets have files of the same names: /data/mnist is no place for fashion_mnist.
            if base.name not in _SET_FOLDERS - {which.name, which.folder}:
                yield base
    yield _SYSTEM_FOLDER / which.folder
    yield _keras_home() / "datasets" / which.folder


def _keras_home() -> Path:
    return Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")


def _either(path: Path) -> Path | None:
    packed = path.with_name(path.name + ".gz")
    return packed if packed.is_file() else path if path.is_file() else None


def read_idx(path: Path) -> npt.NDArray[np.uint8]:
    """Read an IDX file of unsigned bytes, gzipped or not.

    The format is the one at the foot of http://yann.lecun.com/exdb/mnist/: two zero bytes, the
    type, the number of dimensions, each size as a big-endian 32-bit number, the values.

    Raises:
        DataError: It is damaged.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
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
        raise DataError(
            f"{path}: {len(data)} bytes where its header {shape} promises {size}; "
            "install or download it anew"
        )
    return np.frombuffer(data, np.uint8).reshape(shape)


def _download(which: ImageSet) -> _Arrays:
    try:
        (x_train, y_train), (x_test, y_test) = _keras_loader(which.name)
    except Exception as error:
        install = f"`apt-get install {which.package}`, or " if which.package else ""
        raise DataError(
            f"{which.name}: its files are neither on this machine nor can Keras download them "
            f"({type(error).__name__}); {install}set data.folder or {ENVIRONMENT_VARIABLE} to the "
            f"folder that holds {_FILES[0]}.gz and the other three"
        ) from error
    return x_train, y_train, x_test, y_test


def _keras_loader(name: str) -> Any:
    """Keras' own loader, which downloads and caches; imports TensorFlow."""
    import keras

    return getattr(keras.datasets, name).load_data()
