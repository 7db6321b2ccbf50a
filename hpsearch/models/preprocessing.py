"""Convert raw rows to features in NumPy, and weigh rows; see also `preprocessing_layers`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from hpsearch.data.dataset import Dataset, Inputs, n_rows
from hpsearch.data.specs import (
    Arrays,
    ColumnSpec,
    InputSpec,
    Target,
    Task,
    n_features,
    runs_in_graph,
)
from hpsearch.errors import DataError
from hpsearch.wording import did_you_mean, quoted

ClassWeight = Mapping[str, float] | str | None

#: The number of values to scale at a time, so that temporary arrays stay small.
_BLOCK_VALUES = 1 << 22
#: `keras.config.epsilon()`.
_KERAS_EPSILON = 1e-7
_LEAST_NORMAL = np.finfo(np.float32).tiny


def in_own_units(y: npt.NDArray[Any], target: Target) -> npt.NDArray[Any]:
    """Return targets in their own units, float32; class indices stay as they are."""
    if target.task is not Task.REGRESSION:
        return y
    return np.asarray(y * np.array(target.std) + np.array(target.mean), np.float32)


def training_weights(dataset: Dataset, class_weight: ClassWeight) -> npt.NDArray[np.float32] | None:
    """Return the weight of each training row, `(n_samples,)`; None if all are 1.

    Args:
        class_weight: A mapping from class, or its index, to weight, as in `keras.Model.fit`, with
            1 for missing classes; or `balanced`.

    Raises:
        DataError: The task is regression, or a class does not exist.
    """
    row_weights = dataset.train.weights
    if class_weight is None:
        return row_weights
    if dataset.target.task is Task.REGRESSION:
        raise DataError("class_weight: is for classes, and this is regression; leave it out")
    codes = dataset.train.y.astype(np.intp)
    classes = dataset.target.classes
    if isinstance(class_weight, str):
        by_class = _balanced(codes, len(classes))
    else:
        by_class = _given(class_weight, classes)
    weights = by_class[codes]
    return np.asarray(weights if row_weights is None else weights * row_weights, np.float32)


def _balanced(codes: npt.NDArray[np.intp], classes: int) -> npt.NDArray[np.float64]:
    """Weigh classes in inverse proportion to their rows.

    Source: scikit-learn's `compute_class_weight`.
    """
    counts = np.bincount(codes, minlength=classes)
    return np.asarray(len(codes) / (classes * np.maximum(counts, 1)))


def _given(class_weight: Mapping[str, float], classes: tuple[str, ...]) -> npt.NDArray[np.float64]:
    weights = np.ones(len(classes))
    for label, weight in class_weight.items():
        name = _class_of(label, classes)
        if name not in classes:
            raise DataError(
                f"class_weight: there is no class {label!r}{did_you_mean(label, classes)}; "
                f"there are {quoted(classes)}"
            )
        weights[classes.index(name)] = weight
    return weights


def _class_of(label: str, classes: tuple[str, ...]) -> str:
    """Return the class that a key names, or indexes if no class name is a number, as in Keras."""
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


def features(spec: InputSpec, x: Inputs) -> npt.NDArray[Any]:
    """Return the features of raw rows `x`, identical to the output of `input_model(spec)`.

    Returns:
        float32 `(n_samples, n_features)`; uint8 images unchanged, since training scales them (see
        `runs_in_graph`).
    """
    if runs_in_graph(spec):
        return np.asarray(x)
    return shaped_rows(spec, x).reshape(n_rows(x), -1)


def shaped_rows(spec: InputSpec, x: Inputs) -> npt.NDArray[np.float32]:
    """Return raw rows `x`, scaled, as `(n_samples, *row_shape)` for a custom model."""
    if not isinstance(x, Mapping) and not spec.fill:
        if not (spec.mean or spec.scale):
            return np.ascontiguousarray(x, np.float32)
        scaled = np.array(x, np.float32, order="C")
        _scale(spec, scaled.reshape(len(x), -1))
        return scaled
    result = np.zeros((n_rows(x), n_features(spec)), np.float32)
    words: list[ColumnSpec] = []
    if isinstance(x, Mapping):
        columns = spec.columns or ()
        words = [column for column in columns if column.vocabulary is not None]
        numeric = [x[column.name] for column in columns if column.vocabulary is None]
        width = len(numeric)
        for index, values in enumerate(numeric):
            result[:, index] = values
    else:
        width = x.shape[1]
        result[:, :width] = x
    start = width + len(spec.indicators)
    _fill(spec, result[:, :width], result[:, width:start])
    _scale(spec, result[:, :width])
    for column in words:
        assert isinstance(x, Mapping)
        assert column.vocabulary is not None
        _one_hot(column.vocabulary, x[column.name], result[:, start:])
        start += len(column.vocabulary) + 1
    return result


def _fill(
    spec: InputSpec, numbers: npt.NDArray[np.float32], indicators: npt.NDArray[np.float32]
) -> None:
    """Replace missing numbers `(n_samples, n_features)`, and set the indicators, in place.

    The operations are those of `preprocessing_layers`, so that even signs of zeros agree.
    """
    if not spec.fill:
        return
    gone = np.isnan(numbers)
    indicators[:] = gone[:, list(spec.indicators)]
    np.nan_to_num(numbers, copy=False)
    _flush(numbers)
    numbers += gone * _float32(spec.fill) + np.float32(0)
    _flush(numbers)


def _scale(spec: InputSpec, numbers: npt.NDArray[np.float32]) -> None:
    """Scale numbers `(n_samples, n_features)` in place.

    Source: `call` of `keras.layers.Normalization` and of `keras.layers.Rescaling`, in float32.
    """
    operations: list[tuple[np.ufunc, npt.NDArray[Any]]]
    if spec.mean:
        deviation = np.maximum(np.sqrt(_float32(spec.variance)), np.float32(_KERAS_EPSILON))
        operations = [(np.subtract, _float32(spec.mean)), (np.divide, deviation)]
    elif spec.scale:
        operations = [(np.multiply, _float32(spec.scale)), (np.add, _float32(spec.offset))]
    else:
        return
    step = max(1, _BLOCK_VALUES // numbers.shape[1])
    # Keras does not warn about overflow either.
    with np.errstate(all="ignore"):
        for start in range(0, len(numbers), step):
            block = numbers[start : start + step]
            _flush(block)
            for operation, operand in operations:
                operation(block, operand, out=block)
                _flush(block)


def _float32(values: tuple[float, ...]) -> npt.NDArray[np.float32]:
    array = np.array(values, np.float32)
    _flush(array)
    return array


def _flush(values: npt.NDArray[np.float32]) -> None:
    """Set subnormal numbers to zero in place, as TensorFlow does before and after an operation."""
    np.multiply(values, 0, out=values, where=np.abs(values) < _LEAST_NORMAL)


def _one_hot(
    vocabulary: tuple[str, ...], words: npt.NDArray[Any], result: npt.NDArray[np.float32]
) -> None:
    """Set each word's column to 1; a word missing from the vocabulary has the first column."""
    places = {word: index for index, word in enumerate(vocabulary, start=1)}
    chosen = np.fromiter((places.get(word, 0) for word in words), np.intp, len(words))
    result[np.arange(len(words)), chosen] = 1.0


def arrays(dataset: Dataset, class_weight: ClassWeight = None, *, shaped: bool = False) -> Arrays:
    """Return the features and targets of a dataset's training and validation splits.

    Args:
        class_weight: See `training_weights`.
        shaped: Whether rows keep their shape, for a custom model; see `shaped_rows`.

    Raises:
        DataError: See `training_weights`.
    """
    rows = shaped_rows if shaped else features
    return Arrays(
        w_train=training_weights(dataset, class_weight),
        w_val=dataset.validation.weights,
        x_train=rows(dataset.input, dataset.train.x),
        y_train=dataset.train.y,
        x_val=rows(dataset.input, dataset.validation.x),
        y_val=dataset.validation.y,
    )
