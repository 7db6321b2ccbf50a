"""The rows of a sweep's data as its models get them: features, targets and weights, in NumPy.

See `models.mlp` for the same features by Keras' layers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from hpsearch.data.dataset import Dataset, Inputs, Split, n_rows
from hpsearch.data.loading import Loader, load_dataset
from hpsearch.data.specs import (
    Arrays,
    ColumnSpec,
    InputSpec,
    Target,
    Task,
    TrainingData,
    n_features,
    runs_in_graph,
)
from hpsearch.data.targets import in_own_units
from hpsearch.errors import DataError, InputError
from hpsearch.models.embedding import Embedding
from hpsearch.models.problem import Recipe
from hpsearch.spec.data import DataSpec
from hpsearch.spec.sweep import Sweep
from hpsearch.wording import did_you_mean, quoted

ClassWeight = Mapping[str, float] | str | None

#: The number of values to scale at a time, so that temporary arrays stay small.
_BLOCK_VALUES = 1 << 22
#: `keras.config.epsilon()`.
_KERAS_EPSILON = 1e-7
_LEAST_NORMAL = np.finfo(np.float32).tiny


@dataclass(frozen=True)
class LoaderWithModel:
    """A loader that also carries the custom model of a Python program.

    Attributes:
        rows: Loads the rows; None reads the sweep's `data:`.
        model: A `CustomModel`; its room comes later.
    """

    rows: Loader | None
    model: Any

    def __call__(self, spec: DataSpec) -> Dataset:
        """Load the rows."""
        return replace((self.rows or load_dataset)(spec), held=self.model.held)


def with_code(recipe: Recipe, loader: Loader | None) -> Recipe:
    """Return a recipe with the code of the model that the loader carries, if it does."""
    if isinstance(loader, LoaderWithModel):
        recipe = loader.model.completed(recipe)
    return recipe


def load_data(sweep: Sweep, loader: Loader | None = None) -> Dataset:
    """Load a sweep's data; for a custom model, targets keep their own units."""
    dataset = (loader or load_dataset)(sweep.data)
    if dataset.input.parts and not sweep.kind.is_model:
        raise InputError(
            f"{dataset.name}: x is {len(dataset.input.parts)} inputs, and hpsearch's own MLPs have "
            "one; give a model of your own (model=build, in a file model: package.module:build), "
            "or one array or table"
        )
    names = {*sweep.parameters, *(name for config in sweep.configs for name in config)}
    binned = Embedding.of(dataset.input, "piecewise").binned
    if "embedding" in names and not binned and not sweep.kind.is_model:
        raise InputError(
            f"{dataset.name}: `embedding` is for columns of numbers, which these rows lack; leave "
            "it out"
        )
    return _for_custom_model(dataset) if sweep.kind.is_model else dataset


def _for_custom_model(dataset: Dataset) -> Dataset:
    """Return the dataset with targets in their own units, and inputs as wide as the rows."""
    target = dataset.target
    if target.task is Task.REGRESSION:
        target = replace(target, mean=(0.0,) * target.outputs, std=(1.0,) * target.outputs)

    def restored(split: Split) -> Split:
        return replace(split, y=in_own_units(split.y, dataset.target))

    return replace(
        dataset,
        input=replace(dataset.input, indicators=()),
        target=target,
        train=restored(dataset.train),
        validation=restored(dataset.validation),
        test=None if dataset.test is None else restored(dataset.test),
        folds=tuple(map(_for_custom_model, dataset.folds)),
    )


def training_data(loaded: Dataset, sweep: Sweep) -> TrainingData:
    """Return the features, targets and weights of a dataset, and of each of its folds."""
    folds = tuple(training_data(fold, sweep) for fold in loaded.folds)
    if folds:
        return replace(folds[0], folds=folds, held=loaded.held)
    return TrainingData(loaded.input, loaded.target, _arrays(loaded, sweep), held=loaded.held)


def _arrays(loaded: Dataset, sweep: Sweep) -> Arrays:
    spec, train, validation = loaded.input, loaded.train, loaded.validation

    def rows(x: Inputs) -> npt.NDArray[Any]:
        encoded = spec.mean or spec.scale or spec.fill or spec.columns
        if loaded.target.task is Task.OWN and not encoded:
            assert not isinstance(x, dict)
            return x
        # A custom model gets rows in their original shape.
        return shaped_rows(spec, x) if sweep.kind.is_model else features(spec, x)

    return Arrays(
        x_train=rows(train.x),
        y_train=train.y,
        x_val=rows(validation.x),
        y_val=validation.y,
        w_train=training_weights(loaded, sweep.mlp.class_weight),
        w_val=validation.weights,
    )


def training_weights(dataset: Dataset, class_weight: ClassWeight) -> npt.NDArray[np.float32] | None:
    """Return the weight of each training row, `(n_samples,)`; None if all are 1.

    Args:
        class_weight: A mapping from class, or its index, to weight, as in `keras.Model.fit`, with
            1 for missing classes; or `balanced`.
    """
    row_weights = dataset.train.weights
    if class_weight is None:
        return row_weights
    if dataset.target.task is Task.REGRESSION:
        raise DataError("class_weight: is for classes, and this is regression; leave it out")
    codes = dataset.train.y.astype(np.intp)
    classes = dataset.target.classes
    if isinstance(class_weight, str):
        # Source: scikit-learn's `compute_class_weight`.
        counts = np.bincount(codes, minlength=len(classes))
        by_class = np.asarray(len(codes) / (len(classes) * np.maximum(counts, 1)))
    else:
        by_class = _given(class_weight, dataset.target)
    weights = by_class[codes]
    return np.asarray(weights if row_weights is None else weights * row_weights, np.float32)


def _given(class_weight: Mapping[str, float], target: Target) -> npt.NDArray[np.float64]:
    classes = target.classes
    weights = np.ones(len(classes))
    for label, weight in class_weight.items():
        name = label if label in classes else label.removesuffix(".0")
        # As in Keras, an index names a class that no number names.
        is_index = name.isdecimal() and int(name) < len(classes) and not target.numbers
        if is_index and name not in classes:
            name = classes[int(name)]
        if name not in classes:
            raise DataError(
                f"class_weight: there is no class {label!r}{did_you_mean(label, classes)}; "
                f"there are {quoted(classes)}"
            )
        weights[classes.index(name)] = weight
    return weights


def features(spec: InputSpec, x: Inputs) -> npt.NDArray[Any]:
    """Return the features of raw rows `x`, identical to the output of `mlp.input_model(spec)`.

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

    The operations are those of `models.mlp`, so that even signs of zeros agree.
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
