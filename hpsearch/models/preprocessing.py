"""From raw rows to features and back from outputs to target units, in NumPy and as Keras layers."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping
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
                f"class_weight: there is no class {label!r}{did_you_mean(label, classes)}; "
                f"there are {quoted(classes)}"
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


_BLOCK_VALUES = 1 << 22
#: `keras.config.epsilon()`.
_KERAS_EPSILON = 1e-7
_LEAST_NORMAL = np.finfo(np.float32).tiny


def feature_layers(spec: InputSpec) -> list[Any]:
    """The Keras layers from raw rows `(n_samples, *shape)` to `(n_samples, n_features)`.

    Raises:
        ValueError: For a table with text columns, whose layers form no chain; see `input_model`.
    """
    if spec.columns is not None:
        raise ValueError("a table with text columns has no chain of layers: use input_model")
    import keras

    flatten = [keras.layers.Flatten()] if len(spec.shape) > 1 else []
    return flatten + _scaling(spec)


def _scaling(spec: InputSpec, name: str = "scaling") -> list[Any]:
    import keras

    if spec.mean:
        mean, variance = list(spec.mean), list(spec.variance)
        return [keras.layers.Normalization(mean=mean, variance=variance, name=name)]
    if spec.scale:
        one = len(spec.scale) == 1
        scale, offset = list(spec.scale), list(spec.offset)
        return [
            keras.layers.Rescaling(
                scale[0] if one else scale, offset[0] if one else offset, name=name
            )
        ]
    return []


def input_model(spec: InputSpec) -> Any:
    """A `keras.Model` from raw rows to features `(n_samples, n_features)`.

    It takes float32 or uint8 rows `(n_samples, *shape)`; for a table with text columns a
    mapping from column name to `(n_samples,)` float32 numbers or object `str`.
    """
    import keras

    if spec.columns is not None:
        return _table_model(spec.columns, spec)
    rows = keras.Input(spec.shape, dtype="float32", name="rows")
    x = rows
    # Keras 3.12 has no model whose output is its input.
    for layer in feature_layers(spec) or [keras.layers.Identity()]:
        x = layer(x)
    return keras.Model(rows, x, name="preprocessing")


def _table_model(columns: tuple[ColumnSpec, ...], spec: InputSpec) -> Any:
    import keras

    rows = {column.name: _column_input(column) for column in columns}
    numeric = [rows[column.name] for column in columns if column.vocabulary is None]
    blocks = []
    if numeric:
        x = _concatenate(numeric, _free_name("numbers", rows))
        for layer in _scaling(spec, _free_name("scaling", rows)):
            x = layer(x)
        blocks.append(x)
    for index, column in enumerate(columns):
        if column.vocabulary is not None:
            lookup = _lookup(column.vocabulary, _free_name(f"one_hot_{index}", rows))
            blocks.append(lookup(rows[column.name]))
    features = _concatenate(blocks, _free_name("features", rows))
    with warnings.catch_warnings():
        # Keras wants keys equal to layer names, and forbids the slash in the latter only.
        warnings.filterwarnings("ignore", "When providing `inputs` as a dict", UserWarning)
        return keras.Model(rows, features, name="preprocessing")


def _column_input(column: ColumnSpec) -> Any:
    import keras

    dtype = "float32" if column.vocabulary is None else "string"
    return keras.Input((1,), name=column.name.replace("/", "_"), dtype=dtype)


def _concatenate(tensors: list[Any], name: str) -> Any:
    import keras

    return keras.layers.Concatenate(name=name)(tensors) if len(tensors) > 1 else tensors[0]


def _lookup(vocabulary: tuple[str, ...], name: str) -> Any:
    import keras

    unknown = _free_name("[UNK]", vocabulary)
    return keras.layers.StringLookup(
        vocabulary=list(vocabulary),
        num_oov_indices=1,
        oov_token=unknown,
        output_mode="one_hot",
        name=name,
    )


def _free_name(name: str, taken: Collection[str]) -> str:
    """`name`, with as many underscores as it takes to differ from the user's own words."""
    while name in taken:
        name += "_"
    return name


def features(spec: InputSpec, x: Inputs) -> npt.NDArray[Any]:
    """What a training reads, from raw rows `x`: the same bits as `input_model(spec)` gives.

    Returns:
        float32 `(n_samples, n_features)`; uint8 images are returned as they are, for the
        training scales them (`runs_in_graph`).
    """
    if runs_in_graph(spec):
        return np.asarray(x)
    return shaped_rows(spec, x).reshape(n_rows(x), -1)


def shaped_rows(spec: InputSpec, x: Inputs) -> npt.NDArray[np.float32]:
    """What a model of one's own reads, from raw rows `x`: scaled, `(n_samples, *row_shape)`."""
    if not isinstance(x, Mapping):
        if not (spec.mean or spec.scale):
            return np.ascontiguousarray(x, np.float32)
        result = np.array(x, np.float32, order="C")
        _scale(spec, result.reshape(len(x), -1))
        return result
    columns = spec.columns or ()
    result = np.zeros((n_rows(x), n_features(spec)), np.float32)
    numeric = [column.name for column in columns if column.vocabulary is None]
    for place, name in enumerate(numeric):
        result[:, place] = x[name]
    _scale(spec, result[:, : len(numeric)])
    start = len(numeric)
    for column in columns:
        if column.vocabulary is not None:
            _one_hot(column.vocabulary, x[column.name], result[:, start:])
            start += len(column.vocabulary) + 1
    return result


def _scale(spec: InputSpec, numbers: npt.NDArray[np.float32]) -> None:
    """Scale numbers `(n_samples, n_features)` where they are.

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
    # What overflows is infinite in Keras, too, without a word.
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
    """Set the column of each word, the first one for a word that is not in the vocabulary."""
    places = {word: place for place, word in enumerate(vocabulary, start=1)}
    chosen = np.fromiter((places.get(word, 0) for word in words), np.intp, len(words))
    result[np.arange(len(words)), chosen] = 1.0


def arrays(dataset: Dataset, class_weight: ClassWeight = None, *, shaped: bool = False) -> Arrays:
    """The features and targets of a dataset's training and validation split.

    Args:
        class_weight: By class.
        shaped: Whether rows keep their shape, for a model of one's own (see `shaped_rows`).

    Raises:
        DataError: The weights name a class that there is not.
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


def output_layers(target: Target) -> list[Any]:
    """The Keras layers from what a training predicts to the target's own units.

    A regression's standardised outputs `(n_samples, outputs)` are rescaled; probabilities
    stay as they are.
    """
    if target.task is not Task.REGRESSION:
        return []
    import keras

    one = target.outputs == 1
    scale, offset = list(target.std), list(target.mean)
    return [keras.layers.Rescaling(scale[0] if one else scale, offset[0] if one else offset)]
