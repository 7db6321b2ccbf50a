"""The built-in datasets: their sizes without reading them, and their loaders."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from hpsearch.data.dataset import RawData, RawPart
from hpsearch.data.files import read_arrays, read_idx
from hpsearch.data.specs import Task
from hpsearch.errors import DataError
from hpsearch.wording import did_you_mean

ENVIRONMENT_VARIABLE = "HPSEARCH_DATA"
_SYSTEM_FOLDER = Path("/usr/share/datasets")
_SET_FOLDERS = {"mnist", "fashion-mnist", "fashion_mnist"}

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


def read_images(which: ImageSet, folder: str | None) -> RawData:
    """Read the set from the first place that has it; see `_folders` for the order.

    Raises:
        DataError: It is nowhere and cannot be downloaded, or its files are damaged.
    """
    found, place = _arrays(which, folder)
    x_train, y_train, x_test, y_test = _checked(found, place)
    passed_over = folder is not None and Path(folder).expanduser() not in (place, place.parent)
    where = f"the built-in set {which.name!r}"

    def part(x: npt.NDArray[Any], y: npt.NDArray[Any]) -> RawPart:
        return RawPart(x, y.astype(np.int64), lambda row: f"{where}: row {row} (from 0)")

    return RawData(
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


_DIGIT_MAX = 16.0


@dataclass(frozen=True)
class Description:
    """A built-in set, without its rows.

    Attributes:
        rows: That train and validation share.
        test_rows: Of the test split that it ships, or 0.
        shape: Of one raw row.
        class_counts: Rows of each class in `rows`; empty for regression.
        source: Where it comes from.
    """

    name: str
    rows: int
    shape: tuple[int, ...]
    task: Task
    source: str
    class_counts: tuple[int, ...] = ()
    test_rows: int = 0

    @property
    def features(self) -> int:
        """Numbers in one raw row."""
        return int(np.prod(self.shape))

    @property
    def outputs(self) -> int:
        """Units of the output layer."""
        return len(self.class_counts) if self.task is Task.MULTICLASS else 1


_SKLEARN = "ships with scikit-learn"
_FASHION_LABELS = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)
_IMAGES = {
    "fashion_mnist": ImageSet(
        "fashion_mnist", "fashion-mnist", _FASHION_LABELS, "dataset-fashion-mnist"
    ),
    "mnist": ImageSet("mnist", "mnist", tuple("0123456789")),
}
_MNIST_COUNTS = (5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949)
_DIGITS_COUNTS = (178, 182, 177, 183, 181, 182, 181, 179, 174, 180)

_DESCRIPTIONS = {
    each.name: each
    for each in (
        Description(
            *("fashion_mnist", 60_000, (28, 28), Task.MULTICLASS),
            source="a folder, Debian's dataset-fashion-mnist, Keras' cache or download",
            class_counts=(6000,) * 10,
            test_rows=10_000,
        ),
        Description(
            *("mnist", 60_000, (28, 28), Task.MULTICLASS),
            source="a folder, Keras' cache or download",
            class_counts=_MNIST_COUNTS,
            test_rows=10_000,
        ),
        Description("digits", 1797, (8, 8), Task.MULTICLASS, _SKLEARN, _DIGITS_COUNTS),
        Description("wine", 178, (13,), Task.MULTICLASS, _SKLEARN, (59, 71, 48)),
        Description("breast_cancer", 569, (30,), Task.BINARY, _SKLEARN, (212, 357)),
        Description("iris", 150, (4,), Task.MULTICLASS, _SKLEARN, (50, 50, 50)),
        Description("diabetes", 442, (10,), Task.REGRESSION, _SKLEARN),
        Description(
            *("california_housing", 20_640, (8,), Task.REGRESSION),
            source="scikit-learn's cache or download",
        ),
    )
}


def datasets() -> Mapping[str, Description]:
    """The built-in sets by name."""
    return MappingProxyType(_DESCRIPTIONS)


def describe(name: str) -> Description:
    """One built-in set.

    Raises:
        DataError: There is none of that name.
    """
    if name not in _DESCRIPTIONS:
        known = ", ".join(_DESCRIPTIONS)
        hint = did_you_mean(name, _DESCRIPTIONS)
        raise DataError(f"dataset: no set {name!r}{hint}; there are {known}")
    return _DESCRIPTIONS[name]


def read_builtin(name: str, folder: str | None = None) -> RawData:
    """Read a built-in set; `folder` is where to look for image files first.

    Raises:
        DataError: No such set, or its files can be neither found nor downloaded.
    """
    description = describe(name)
    if name in _IMAGES:
        return read_images(_IMAGES[name], folder)
    if name == "digits":
        return _digits()
    bunch = _fetch(name)
    classified = description.task is not Task.REGRESSION
    return RawData(
        name=name,
        where=_where(name),
        train=_part(
            name,
            np.asarray(bunch.data, np.float32),
            np.asarray(bunch.target).astype(np.int64 if classified else np.float64),
        ),
        labels=tuple(str(label) for label in bunch.target_names) if classified else (),
        task="classification" if classified else "regression",
        feature_names=tuple(str(each) for each in bunch.feature_names),
        user_data=False,
    )


def image_folder(name: str, folder: str | None = None) -> str | None:
    """Where the files of a built-in image set lie; None for Keras' own loader, or another set."""
    found = place_of(_IMAGES[name], folder) if name in _IMAGES else None
    return None if found is None else str(found)


def _where(name: str) -> str:
    return f"the built-in set {name!r}"


def _part(name: str, x: npt.NDArray[Any], y: npt.NDArray[Any]) -> RawPart:
    return RawPart(x, y, lambda row: f"{_where(name)}: row {row} (from 0)")


def _digits() -> RawData:
    """scikit-learn's, without its import, which takes longer than a sweep of them."""
    package = find_spec("sklearn")
    file = Path(str(package and package.origin)).parent / "datasets" / "data" / "digits.csv.gz"
    if file.exists():
        table = np.loadtxt(file, np.uint8, delimiter=",")
        x, y = table[:, :-1], table[:, -1]
    else:
        bunch = _fetch("digits")
        x, y = bunch.data, bunch.target
    return RawData(
        name="digits",
        where=_where("digits"),
        train=_part(
            "digits", np.ascontiguousarray(x, np.uint8).reshape(-1, 8, 8), y.astype(np.int64)
        ),
        labels=tuple("0123456789"),
        unit=_DIGIT_MAX,
        task="classification",
        user_data=False,
    )


def _fetch(name: str) -> Any:
    import sklearn.datasets

    if name != "california_housing":
        return getattr(sklearn.datasets, f"load_{name}")()
    try:
        return sklearn.datasets.fetch_california_housing()
    except Exception as error:
        raise DataError(
            f"california_housing: scikit-learn can neither find nor download it "
            f"({type(error).__name__}: {str(error)[:80]}); run "
            "sklearn.datasets.fetch_california_housing() where there is a network and set "
            f"SCIKIT_LEARN_DATA to its folder (now {sklearn.datasets.get_data_home()})"
        ) from error
