"""The built-in datasets: their descriptions, which need no rows, and their readers."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt

from hpsearch.data.dataset import RawData, RawPart
from hpsearch.data.files import read_arrays, read_idx
from hpsearch.data.specs import TableSpec, Task
from hpsearch.errors import DataError

ENVIRONMENT_VARIABLE = "HPSEARCH_DATA"


@dataclass(frozen=True)
class Description:
    """A built-in set, without its rows.

    Attributes:
        rows: Number of rows for training and validation.
        shape: Shape of one raw row.
        source: Where the rows come from.
        test_rows: Number of rows of the set's own test split, or 0.
    """

    name: str
    rows: int
    shape: tuple[int, ...]
    task: Task
    source: str
    test_rows: int = 0


_SKLEARN = "ships with scikit-learn"

_DESCRIPTIONS = {
    description.name: description
    for description in (
        Description(
            *("fashion_mnist", 60_000, (28, 28), Task.MULTICLASS),
            source="a folder, Debian's dataset-fashion-mnist, Keras' cache or download",
            test_rows=10_000,
        ),
        Description(
            *("mnist", 60_000, (28, 28), Task.MULTICLASS),
            source="a folder, Keras' cache or download",
            test_rows=10_000,
        ),
        Description("digits", 1797, (8, 8), Task.MULTICLASS, _SKLEARN),
        Description("wine", 178, (13,), Task.MULTICLASS, _SKLEARN),
        Description("breast_cancer", 569, (30,), Task.BINARY, _SKLEARN),
        Description("iris", 150, (4,), Task.MULTICLASS, _SKLEARN),
        Description("diabetes", 442, (10,), Task.REGRESSION, _SKLEARN),
        Description(
            *("california_housing", 20_640, (8,), Task.REGRESSION),
            source="scikit-learn's cache or download",
        ),
    )
}

_DIGITS = (*"0123456789",)
_CELLS = ("radius", "texture", "perimeter", "area", "smoothness", "compactness", "concavity",
          "concave points", "symmetry", "fractal dimension")  # fmt: skip
#: Set -> scikit-learn's file, whose last column is the target, or two files, and its features.
_SHIPPED: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "digits": (("digits.csv.gz",), ()),
    "iris": (
        ("iris.csv",),
        ("sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)"),
    ),
    "wine": (
        ("wine_data.csv",),
        (
            *("alcohol", "malic_acid", "ash", "alcalinity_of_ash", "magnesium", "total_phenols"),
            *("flavanoids", "nonflavanoid_phenols", "proanthocyanins", "color_intensity", "hue"),
            *("od280/od315_of_diluted_wines", "proline"),
        ),
    ),
    "breast_cancer": (
        ("breast_cancer.csv",),
        (
            *(f"mean {name}" for name in _CELLS),
            *(f"{name} error" for name in _CELLS),
            *(f"worst {name}" for name in _CELLS),
        ),
    ),
    "diabetes": (
        ("diabetes_data_raw.csv.gz", "diabetes_target.csv.gz"),
        ("age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6"),
    ),
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
_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
_SYSTEM_FOLDER = Path("/usr/share/datasets")
#: The largest pixel values.
_IMAGE_MAX, _DIGITS_MAX = 255.0, 16.0

_Arrays = tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]
"""Train images and labels, test images and labels."""


def datasets() -> Mapping[str, Description]:
    """The built-in sets by name."""
    return MappingProxyType(_DESCRIPTIONS)


def read_builtin(name: str, folder: str | None = None) -> RawData:
    """Read a built-in set, looking for image files in `folder` first.

    Raises:
        DataError: Its files can be neither found nor downloaded.
    """
    if name in _IMAGE_LABELS:
        return _read_images(name, folder)
    # scikit-learn's loaders, if it keeps its files elsewhere, give the same.
    read = _shipped(name) or _fetch(name)
    if name == "digits":
        images = np.ascontiguousarray(read.data, np.uint8).reshape(-1, 8, 8)
        return _raw_data(name, images, read.target, labels=_DIGITS, unit=_DIGITS_MAX)
    labels = () if _DESCRIPTIONS[name].task is Task.REGRESSION else read.target_names
    return _raw_data(
        name,
        np.asarray(read.data, np.float32),
        np.asarray(read.target),
        labels=tuple(map(str, labels)),
        names=read.feature_names,
    )


def _raw_data(
    name: str, x: npt.NDArray[Any], y: npt.NDArray[Any], names: Iterable[str] = (), **options: Any
) -> RawData:
    regression = _DESCRIPTIONS[name].task is Task.REGRESSION
    return RawData(
        name=name,
        where=f"the built-in set {name!r}",
        train=_part(name, x, y.astype(np.float64 if regression else np.int64), names),
        task="regression" if regression else "classification",
        user_data=False,
        **options,
    )


def _part(
    name: str, x: npt.NDArray[Any], y: npt.NDArray[Any], names: Iterable[str] = ()
) -> RawPart:
    table = TableSpec(tuple(map(str, names)))
    return RawPart(x, y, lambda row: f"the built-in set {name!r}: row {row} (from 0)", table=table)


def _shipped(name: str) -> Any:
    """Read a set from scikit-learn's files, since its import takes longer than a sweep of the set.

    None if it is none of these sets, or if the files are elsewhere.
    """
    package = find_spec("sklearn")
    if name not in _SHIPPED or package is None or package.origin is None:
        return None
    files, features = _SHIPPED[name]
    paths = [Path(package.origin).parent / "datasets" / "data" / file for file in files]
    if not all(path.is_file() for path in paths):
        return None
    if name == "diabetes":
        data, target = map(np.loadtxt, paths)
        # The order of `load_diabetes`' operations.
        data = (data - data.mean(axis=0)) / data.std(axis=0) / len(data) ** 0.5
        return SimpleNamespace(data=data, target=target, feature_names=features)
    path, classes = paths[0], [*_DIGITS]
    if name != "digits":
        with path.open(encoding="utf-8") as file:
            _, _, *classes = file.readline().strip().split(",")
    table = np.loadtxt(path, delimiter=",", skiprows=int(name != "digits"))
    return SimpleNamespace(
        data=table[:, :-1], target=table[:, -1], target_names=classes, feature_names=features
    )


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
            f"({type(error).__name__}: {str(error)[:80]}); run "
            "sklearn.datasets.fetch_california_housing() where there is a network and set "
            f"SCIKIT_LEARN_DATA to its folder (now {sklearn.datasets.get_data_home()})"
        ) from error


def _read_images(name: str, folder: str | None) -> RawData:
    """Read 28 x 28 grey images from the first place that has them; see `_folders`."""
    arrays, root = _image_arrays(name, folder)
    x_train, y_train, x_test, y_test = arrays
    for x, y in ((x_train, y_train), (x_test, y_test)):
        if x.dtype != np.uint8 or x.ndim != 3 or y.ndim != 1 or len(x) != len(y) or y.max() > 9:
            raise DataError(f"{root}: {y.shape} labels do not fit {x.dtype} images of {x.shape}")
    elsewhere = folder is not None and Path(folder).expanduser() not in (root, root.parent)
    return _raw_data(
        name,
        x_train,
        y_train,
        test=_part(name, x_test, y_test.astype(np.int64)),
        labels=_IMAGE_LABELS[name],
        unit=_IMAGE_MAX,
        warnings=(f"{name} is not in {folder}; read from {root}",) if elsewhere else (),
    )


def _image_arrays(name: str, folder: str | None) -> tuple[_Arrays, Path]:
    """Read the arrays, and return them with the folder or archive that holds them."""
    for root in _folders(name, folder):
        if all(path.is_file() for path in _image_files(root)):
            x_train, y_train, x_test, y_test = map(read_idx, _image_files(root))
            return (x_train, y_train, x_test, y_test), root
    archive = _keras_cache() / f"{_folder_name(name)}.npz"
    if not archive.is_file():
        return _download(name), archive
    arrays, _ = read_arrays(str(archive), ("x_train", "y_train", "x_test", "y_test"))
    try:
        x_train, y_train = arrays["x_train"], arrays["y_train"]
        return (x_train, y_train, arrays["x_test"], arrays["y_test"]), archive
    except KeyError as error:
        raise DataError(f"{archive}: no array {error}; delete the file") from error


def _folders(name: str, folder: str | None) -> Iterator[Path]:
    """Return the folders that may hold the files: given, environment, Debian's, Keras' cache."""
    for given in (folder, os.environ.get(ENVIRONMENT_VARIABLE)):
        if given:
            base = Path(given).expanduser()
            yield base / _folder_name(name)
            yield base / name
            # Both sets have the same file names, so /data/mnist must not be read as fashion_mnist.
            if base.name not in _IMAGE_FOLDERS - {name, _folder_name(name)}:
                yield base
    yield _SYSTEM_FOLDER / _folder_name(name)
    yield _keras_cache() / _folder_name(name)


def _image_files(folder: Path) -> list[Path]:
    """Return the paths of the set's files in `folder`, gzipped ones where they exist."""
    gzipped = [folder / f"{name}.gz" for name in _FILES]
    return [path if path.is_file() else path.with_suffix("") for path in gzipped]


def _folder_name(name: str) -> str:
    return name.replace("_", "-")


def _keras_cache() -> Path:
    return Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras") / "datasets"


def _download(name: str) -> _Arrays:
    try:
        (x_train, y_train), (x_test, y_test) = _keras_loader(name)
    except Exception as error:
        package = "`apt-get install dataset-fashion-mnist`, or " if name == "fashion_mnist" else ""
        raise DataError(
            f"{name}: its files are neither on this machine nor can Keras download them "
            f"({type(error).__name__}); {package}set data.folder or {ENVIRONMENT_VARIABLE} to the "
            f"folder that holds {_FILES[0]}.gz and the other three"
        ) from error
    return x_train, y_train, x_test, y_test


def _keras_loader(name: str) -> Any:
    """Call Keras' own loader, which downloads and caches."""
    # Imported here, because Keras imports TensorFlow.
    import keras

    return getattr(keras.datasets, name).load_data()
