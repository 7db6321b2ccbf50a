"""The built-in datasets: their descriptions, which need no rows, and their readers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt

from hpsearch.data.dataset import RawData, RawPart
from hpsearch.data.files import read_arrays, read_idx
from hpsearch.data.specs import Task
from hpsearch.errors import DataError
from hpsearch.spec.command import expanded

ENVIRONMENT_VARIABLE = "HPSEARCH_DATA"


@dataclass(frozen=True)
class Description:
    """A built-in set without its rows; `rows` does not count the `test_rows` of its test split."""

    rows: int
    shape: tuple[int, ...]
    task: Task
    source: str
    test_rows: int = 0


_SKLEARN = "ships with scikit-learn"
_FASHION = "a folder, Debian's dataset-fashion-mnist, Keras' cache or download"
_MNIST = "a folder, Keras' cache or download"
_CALIFORNIA = "scikit-learn's cache or download"

DESCRIPTIONS = {
    "fashion_mnist": Description(60_000, (28, 28), Task.MULTICLASS, _FASHION, 10_000),
    "mnist": Description(60_000, (28, 28), Task.MULTICLASS, _MNIST, 10_000),
    "digits": Description(1797, (8, 8), Task.MULTICLASS, _SKLEARN),
    "wine": Description(178, (13,), Task.MULTICLASS, _SKLEARN),
    "breast_cancer": Description(569, (30,), Task.BINARY, _SKLEARN),
    "iris": Description(150, (4,), Task.MULTICLASS, _SKLEARN),
    "diabetes": Description(442, (10,), Task.REGRESSION, _SKLEARN),
    "california_housing": Description(20_640, (8,), Task.REGRESSION, _CALIFORNIA),
}

_DIGITS = (*"0123456789",)
#: Set -> scikit-learn's file, whose last column is the target, or two files.
_SHIPPED = {
    "digits": ("digits.csv.gz",),
    "iris": ("iris.csv",),
    "wine": ("wine_data.csv",),
    "breast_cancer": ("breast_cancer.csv",),
    "diabetes": ("diabetes_data_raw.csv.gz", "diabetes_target.csv.gz"),
}
_IMAGE_LABELS = {
    "fashion_mnist": (
        *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
        *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    ),
    "mnist": _DIGITS,
}
#: Folders that may hold one of these sets.
_IMAGE_FOLDERS = {"mnist", "fashion-mnist", "fashion_mnist"}
_FILES = [
    f"{part}-{kind}-ubyte.gz"
    for part in ("train", "t10k")
    for kind in ("images-idx3", "labels-idx1")
]
_SYSTEM_FOLDER = Path("/usr/share/datasets")
_IMAGE_MAX, _DIGITS_MAX = 255.0, 16.0


def read_builtin(name: str, folder: str | None = None) -> RawData:
    """Read a built-in set, looking for image files in `folder` first."""
    if name in _IMAGE_LABELS:
        return _read_images(name, folder)
    # scikit-learn's loaders, if it keeps its files elsewhere, give the same.
    read = _shipped(name) or _fetch(name)
    regression = DESCRIPTIONS[name].task is Task.REGRESSION
    labels = () if regression else tuple(map(str, read.target_names))
    if name == "digits":
        images = np.ascontiguousarray(read.data, np.uint8).reshape(-1, 8, 8)
        return _raw_data(name, images, read.target, labels=labels, unit=_DIGITS_MAX)
    return _raw_data(name, np.asarray(read.data, np.float32), read.target, labels=labels)


def _raw_data(name: str, x: npt.NDArray[Any], y: npt.NDArray[Any], **options: Any) -> RawData:
    regression = DESCRIPTIONS[name].task is Task.REGRESSION
    return RawData(
        name=name,
        where=f"the built-in set {name!r}",
        train=_part(name, x, y.astype(np.float64 if regression else np.int64)),
        task="regression" if regression else "classification",
        user_data=False,
        **options,
    )


def _part(name: str, x: npt.NDArray[Any], y: npt.NDArray[Any]) -> RawPart:
    return RawPart(x, y, lambda row: f"the built-in set {name!r}: row {row} (from 0)")


def _shipped(name: str) -> Any:
    """Read scikit-learn's files, if there: its import takes longer than a sweep of the set."""
    package = find_spec("sklearn")
    if name not in _SHIPPED or package is None or package.origin is None:
        return None
    folder = Path(package.origin).parent / "datasets" / "data"
    paths = [folder / file for file in _SHIPPED[name]]
    if not all(path.is_file() for path in paths):
        return None
    if name == "diabetes":
        data, target = map(np.loadtxt, paths)
        # The order of `load_diabetes`' operations.
        data = (data - data.mean(axis=0)) / data.std(axis=0) / len(data) ** 0.5
        return SimpleNamespace(data=data, target=target)
    path, classes = paths[0], [*_DIGITS]
    if name != "digits":
        with path.open(encoding="utf-8") as file:
            _, _, *classes = file.readline().strip().split(",")
    table = np.loadtxt(path, delimiter=",", skiprows=int(name != "digits"))
    return SimpleNamespace(data=table[:, :-1], target=table[:, -1], target_names=classes)


def _fetch(name: str) -> Any:
    # scikit-learn is slow to import, and the other sets do not need it.
    import sklearn.datasets

    if name != "california_housing":
        return getattr(sklearn.datasets, f"load_{name}")()
    try:
        return sklearn.datasets.fetch_california_housing()
    except Exception as error:
        raise DataError(
            f"california_housing: scikit-learn can neither find nor download it "
            f"({type(error).__name__}); where there is a network, run sklearn.datasets."
            "fetch_california_housing(), and set SCIKIT_LEARN_DATA to its folder"
        ) from error


def _read_images(name: str, folder: str | None) -> RawData:
    """Read 28 x 28 grey images from the first place that has them; see `_folders`."""
    (x_train, y_train, x_test, y_test), root = _image_arrays(name, folder)
    for x, y in ((x_train, y_train), (x_test, y_test)):
        if x.dtype != np.uint8 or x.ndim != 3 or y.ndim != 1 or len(x) != len(y) or y.max() > 9:
            raise DataError(f"{root}: {y.shape} labels do not fit {x.dtype} images of {x.shape}")
    elsewhere = folder is not None and expanded(folder) not in (root, root.parent)
    return _raw_data(
        name,
        x_train,
        y_train,
        test=_part(name, x_test, y_test.astype(np.int64)),
        labels=_IMAGE_LABELS[name],
        unit=_IMAGE_MAX,
        warnings=(f"{name} is not in {folder}; read from {root}",) if elsewhere else (),
    )


def _image_arrays(name: str, folder: str | None) -> tuple[list[npt.NDArray[Any]], Path]:
    """Read train images and labels, test images and labels; also return where they are."""
    for root in _folders(name, folder):
        files = [root / file for file in _FILES]
        if all(path.is_file() for path in files):
            return list(map(read_idx, files)), root
    archive = _keras_cache() / f"{_folder_name(name)}.npz"
    if not archive.is_file():
        return _download(name), archive
    keys = ("x_train", "y_train", "x_test", "y_test")
    arrays, _ = read_arrays(str(archive), keys)
    if len(arrays) < len(keys):
        raise DataError(f"{archive}: lacks arrays; delete the file")
    return [arrays[key] for key in keys], archive


def _folders(name: str, folder: str | None) -> Iterator[Path]:
    """Return the folders that may hold the files: given, environment, Debian's, Keras' cache."""
    for given in (folder, os.environ.get(ENVIRONMENT_VARIABLE)):
        if given:
            base = expanded(given)
            yield base / _folder_name(name)
            yield base / name
            # Both sets have the same file names, so /data/mnist must not be read as fashion_mnist.
            if base.name not in _IMAGE_FOLDERS - {name, _folder_name(name)}:
                yield base
    yield _SYSTEM_FOLDER / _folder_name(name)
    yield _keras_cache() / _folder_name(name)


def _folder_name(name: str) -> str:
    return name.replace("_", "-")


def _keras_cache() -> Path:
    return Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras") / "datasets"


def _download(name: str) -> list[npt.NDArray[Any]]:
    try:
        (x_train, y_train), (x_test, y_test) = _keras_loader(name)
    except Exception as error:
        package = "`apt-get install dataset-fashion-mnist`, or " if name == "fashion_mnist" else ""
        raise DataError(
            f"{name}: its files are neither here nor can Keras download them "
            f"({type(error).__name__}); {package}set data.folder or {ENVIRONMENT_VARIABLE} to the "
            f"folder of {_FILES[0]} and the other three"
        ) from error
    return [x_train, y_train, x_test, y_test]


def _keras_loader(name: str) -> Any:
    """Call Keras' own loader, which downloads and caches."""
    # Imported here, because Keras imports TensorFlow.
    import keras

    return getattr(keras.datasets, name).load_data()
