"""Keras layers around the trained part: from raw rows to features, from outputs to target units."""

from __future__ import annotations

import warnings
from collections.abc import Collection
from typing import Any

import keras

from hpsearch.data.specs import ColumnSpec, InputSpec, Target, Task, column_slices


def feature_layers(spec: InputSpec) -> list[keras.Layer]:
    """Return the layers from raw rows `(n_samples, *shape)` to `(n_samples, n_features)`.

    Raises:
        ValueError: The input is a table with text columns, whose layers do not form a chain.
    """
    if spec.columns is not None:
        raise ValueError("a table with text columns has no chain of layers: use input_model")
    flatten = [keras.layers.Flatten()] if len(spec.shape) > 1 else []
    return flatten + _scaling(spec)


def _scaling(spec: InputSpec, name: str = "scaling") -> list[keras.Layer]:
    if spec.mean:
        mean, variance = list(spec.mean), list(spec.variance)
        return [keras.layers.Normalization(mean=mean, variance=variance, name=name)]
    if spec.scale:
        return [_rescaling(spec.scale, spec.offset, name=name)]
    return []


def _rescaling(
    scale: tuple[float, ...], offset: tuple[float, ...], name: str | None = None
) -> keras.Layer:
    if len(scale) == 1:
        return keras.layers.Rescaling(scale[0], offset[0], name=name)
    return keras.layers.Rescaling(list(scale), list(offset), name=name)


def input_model(spec: InputSpec) -> keras.Model:
    """Return a model from raw rows to features `(n_samples, n_features)`.

    It takes float32 or uint8 rows `(n_samples, *shape)`; for a table with text columns, it takes a
    mapping from column names to `(n_samples,)` float32 numbers or object `str`.
    """
    if spec.columns is not None:
        return _table_model(spec.columns, spec)
    rows = keras.Input(spec.shape, dtype="float32", name="rows")
    if spec.fill:
        return keras.Model(rows, _numbers(spec, rows), name="preprocessing")
    x = rows
    # Keras 3.12 refuses a model whose input is its output.
    for layer in feature_layers(spec) or [keras.layers.Identity()]:
        x = layer(x)
    return keras.Model(rows, x, name="preprocessing")


def several_inputs(spec: InputSpec) -> tuple[Any, Any]:
    """Return the inputs of raw rows, and the tensors that a custom model takes.

    Both are a mapping or a list, like the rows.
    """
    taken = {part.name for part in spec.parts}
    inputs, outputs = [], []
    for index, (columns, part) in enumerate(
        zip(column_slices(spec.parts), spec.parts, strict=True)
    ):
        dtype = "int32" if part.whole else "float32"
        x = keras.Input(part.shape, name=part.name.replace("/", "_") or None, dtype=dtype)
        inputs.append(x)
        if spec.scale and not part.whole:
            x = keras.layers.Reshape((part.columns,), name=_free_name(f"row_{index}", taken))(x)
            scaling = _free_name(f"scaling_{index}", taken)
            x = _rescaling(spec.scale[columns], spec.offset[columns], name=scaling)(x)
            x = keras.layers.Reshape(part.shape, name=_free_name(f"input_{index}", taken))(x)
        outputs.append(x)
    if not spec.parts[0].name:
        return inputs, outputs
    names = [part.name for part in spec.parts]
    return dict(zip(names, inputs, strict=True)), dict(zip(names, outputs, strict=True))


def _table_model(columns: tuple[ColumnSpec, ...], spec: InputSpec) -> keras.Model:
    rows = {column.name: _column_input(column) for column in columns}
    numeric = [rows[column.name] for column in columns if column.vocabulary is None]
    blocks = []
    if numeric:
        blocks.append(_numbers(spec, _concatenate(numeric, _free_name("numbers", rows)), rows))
    for index, column in enumerate(columns):
        if column.vocabulary is not None:
            lookup = _lookup(column.vocabulary, _free_name(f"one_hot_{index}", rows))
            blocks.append(lookup(rows[column.name]))
    features = _concatenate(blocks, _free_name("features", rows))
    with warnings.catch_warnings():
        # Keras expects keys to equal layer names, but forbids the slash in layer names only.
        warnings.filterwarnings("ignore", "When providing `inputs` as a dict", UserWarning)
        return keras.Model(rows, features, name="preprocessing")


def _numbers(
    spec: InputSpec, numbers: keras.KerasTensor, taken: Collection[str] = ()
) -> keras.KerasTensor:
    """Fill and scale numbers `(n_samples, n_columns)`; append indicators of missing numbers.

    This uses Keras' operations only, so that Keras alone can load the model's file.

    Args:
        taken: Names that layers must not have.
    """
    x, indicators = numbers, []
    if spec.fill:
        gone = keras.ops.cast(keras.ops.isnan(numbers), "float32")
        zeros = [0.0] * len(spec.fill)
        fill = _rescaling(spec.fill, tuple(zeros), _free_name("fill", taken))(gone)
        filled = keras.ops.nan_to_num(numbers, nan=0.0)
        x = keras.layers.Add(name=_free_name("filled", taken))([filled, fill])
        if spec.indicators:
            indicators = [keras.ops.take(gone, list(spec.indicators), axis=1)]
    for layer in _scaling(spec, _free_name("scaling", taken)):
        x = layer(x)
    return _concatenate([x, *indicators], _free_name("with_missing", taken))


def _column_input(column: ColumnSpec) -> keras.KerasTensor:
    dtype = "float32" if column.vocabulary is None else "string"
    return keras.Input((1,), name=column.name.replace("/", "_"), dtype=dtype)


def _concatenate(tensors: list[keras.KerasTensor], name: str) -> keras.KerasTensor:
    return keras.layers.Concatenate(name=name)(tensors) if len(tensors) > 1 else tensors[0]


def _lookup(vocabulary: tuple[str, ...], name: str) -> keras.Layer:
    return keras.layers.StringLookup(
        vocabulary=list(vocabulary),
        num_oov_indices=1,
        oov_token=_free_name("[UNK]", vocabulary),
        output_mode="one_hot",
        name=name,
    )


def _free_name(name: str, taken: Collection[str]) -> str:
    """Append underscores to `name` until it differs from the user's names."""
    while name in taken:
        name += "_"
    return name


def output_layers(target: Target) -> list[keras.Layer]:
    """Return the layers from the trained part's outputs to the target's own units.

    A regression's standardised outputs `(n_samples, outputs)` are rescaled; probabilities stay
    unchanged.
    """
    return [_rescaling(target.std, target.mean)] if target.task is Task.REGRESSION else []
