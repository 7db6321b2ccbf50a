"""Weights of rows in the loss: their own, and those of their classes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from hpsearch.data.dataset import Dataset
from hpsearch.data.files import listed, suggestion
from hpsearch.errors import DataError
from hpsearch.trial import Task

__all__ = ["ClassWeight", "training_weights"]

ClassWeight = Mapping[str, float] | str | None


def training_weights(dataset: Dataset, class_weight: ClassWeight) -> npt.NDArray[np.float32] | None:
    """The weight of each training row, `(n_samples,)`; None where all are 1.

    Args:
        class_weight: Class, or its index, -> weight, 1 for those that are not named, as in
            `keras.Model.fit`; or `balanced`.

    Raises:
        DataError: A regression has no classes; or there is no such class.
    """
    own = dataset.train.weights
    if class_weight is None:
        return own
    if dataset.target.task is Task.REGRESSION:
        raise DataError("class_weight: is for classes, and this is regression; leave it out")
    codes = dataset.train.y.astype(np.intp)
    classes = dataset.target.classes
    if isinstance(class_weight, str):
        by_class = _balanced(codes, len(classes))
    else:
        by_class = _named(class_weight, classes)
    weights = by_class[codes]
    return np.asarray(weights if own is None else weights * own, np.float32)


def _balanced(codes: npt.NDArray[np.intp], classes: int) -> npt.NDArray[np.float64]:
    """Source: scikit-learn's `compute_class_weight`: in inverse proportion to their rows."""
    counts = np.bincount(codes, minlength=classes)
    return np.asarray(len(codes) / (classes * np.maximum(counts, 1)))


def _named(class_weight: Mapping[str, float], classes: tuple[str, ...]) -> npt.NDArray[np.float64]:
    weights = np.ones(len(classes))
    for label, weight in class_weight.items():
        name = _name(label, classes)
        if name not in classes:
            raise DataError(
                f"class_weight: there is no class {label!r}{suggestion(label, classes)}; "
                f"there are {listed(classes)}"
            )
        weights[classes.index(name)] = weight
    return weights


def _name(label: str, classes: tuple[str, ...]) -> str:
    """The class that a key means: its name, or its index as in Keras where names are no numbers."""
    if label in classes:
        return label
    number = label.removesuffix(".0")
    if number.isdecimal() and not any(map(_is_number, classes)) and int(number) < len(classes):
        return classes[int(number)]
    return number


def _is_number(name: str) -> bool:
    try:
        float(name)
    except ValueError:
        return False
    return True
