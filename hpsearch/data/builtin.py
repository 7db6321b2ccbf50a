"""The built-in sets: a static table, so that planning reads nothing, and their loaders."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from hpsearch import extensions
from hpsearch.data.dataset import Part, Source
from hpsearch.data.files import suggestion
from hpsearch.data.images import ImageSet, place_of, read_images
from hpsearch.errors import DataError
from hpsearch.trial import Task

__all__ = ["Description", "datasets", "describe", "image_folder", "read_builtin"]

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
        known = (*_DESCRIPTIONS, *extensions.names(extensions.DATASETS))
        raise DataError(
            f"dataset: no set {name!r}{suggestion(name, known)}; there are {', '.join(known)}"
        )
    return _DESCRIPTIONS[name]


def read_builtin(name: str, folder: str | None = None) -> Source:
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
    return Source(
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


def _part(name: str, x: npt.NDArray[Any], y: npt.NDArray[Any]) -> Part:
    return Part(x, y, lambda row: f"{_where(name)}: row {row} (from 0)")


def _digits() -> Source:
    """scikit-learn's, without its import, which takes longer than a sweep of them."""
    package = find_spec("sklearn")
    file = Path(str(package and package.origin)).parent / "datasets" / "data" / "digits.csv.gz"
    if file.exists():
        table = np.loadtxt(file, np.uint8, delimiter=",")
        x, y = table[:, :-1], table[:, -1]
    else:
        bunch = _fetch("digits")
        x, y = bunch.data, bunch.target
    return Source(
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
