"""scikit-learn's small sets, read from its files: its import takes longer than a sweep of them."""

from __future__ import annotations

import csv
import gzip
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Shipped:
    """A set as scikit-learn's `load_NAME` returns it.

    Attributes:
        data: Of shape (n_samples, n_features).
        target: Of shape (n_samples,).
        target_names: Of the classes; empty for regression.
        feature_names: Empty if scikit-learn's file has images.
    """

    data: Floats
    target: Floats
    target_names: tuple[str, ...]
    feature_names: tuple[str, ...]


_CELLS = ("radius", "texture", "perimeter", "area", "smoothness", "compactness", "concavity",
          "concave points", "symmetry", "fractal dimension")  # fmt: skip
#: Set -> its file, whose last column is the target, or its two files, and names of its features.
_SETS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
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
_DIGITS = tuple("0123456789")


def read_shipped(name: str) -> Shipped | None:
    """Read a set; None if it is none of these, or scikit-learn keeps its files elsewhere."""
    package = find_spec("sklearn")
    if name not in _SETS or package is None or package.origin is None:
        return None
    files, features = _SETS[name]
    folder = Path(package.origin).parent / "datasets" / "data"
    paths = [folder / file for file in files]
    if not all(path.is_file() for path in paths):
        return None
    if len(paths) == 2:
        data, target = (_numbers(path) for path in paths)
        return Shipped(_standardised(data), target[:, 0], (), features)
    if paths[0].suffix == ".gz":
        table, classes = _numbers(paths[0]), _DIGITS
    else:
        table, classes = _headed(paths[0])
    return Shipped(table[:, :-1], table[:, -1], classes, features)


def _numbers(path: Path) -> Floats:
    """Numbers that are separated by commas or blanks."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return np.array([line.replace(",", " ").split() for line in file], np.float64)


def _headed(path: Path) -> tuple[Floats, tuple[str, ...]]:
    """Numbers below a line of rows, columns and names of classes, which are returned, too."""
    with path.open(encoding="utf-8", newline="") as file:
        header, *lines = csv.reader(file)
    return np.array(lines, np.float64), tuple(header[2:])


def _standardised(data: Floats) -> Floats:
    """Columns of mean 0 and sum of squares 1, in the order of `load_diabetes`' operations."""
    scaled: Floats = (data - data.mean(axis=0)) / data.std(axis=0) / len(data) ** 0.5
    return scaled
