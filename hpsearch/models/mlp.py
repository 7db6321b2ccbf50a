"""Build a config's compiled Keras model, and the full model, which takes raw rows.

Layers around the trained part convert raw rows to features, and outputs to the target's units.
"""

from __future__ import annotations

import contextlib
import inspect
import random
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from hpsearch.data.specs import (
    ColumnSpec,
    InputSpec,
    Target,
    Task,
    column_slices,
    n_features,
    runs_in_graph,
)
from hpsearch.errors import InputError
from hpsearch.importing import load_object
from hpsearch.models.embedding import BINS, Embedding
from hpsearch.models.problem import Problem
from hpsearch.space.keras_names import OPTIMIZERS, SCHEDULE_CLASSES
from hpsearch.space.mlp import LAYER_TYPES, LayerType, MLPConfig
from hpsearch.space.seeds import derive

#: The output layer's number in the derivation of seeds, the same at any depth.
_OUTPUT_LAYER = 0
#: The parts of a block that draw random numbers.
_KERNEL, _PROJECTION, _MASK = range(3)


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Set Keras' seeds; at the end, restore the random states of Python and NumPy."""
    python_state, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        keras.utils.set_random_seed(seed)
        yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)  # noqa: NPY002


@dataclass(frozen=True)
class Block:
    """A hidden block or the output layer, number `layer`; weights and masks come from its seed."""

    config: MLPConfig
    units: int
    layer: int
    seed: int

    def dense(
        self,
        units: int | None = None,
        *,
        activation: str | None = None,
        use_bias: bool = True,
        part: int = _KERNEL,
    ) -> keras.layers.Dense:
        """Return a Dense layer with the block's initializer and L2."""
        l2, (name, config) = self.config.l2, self.config.initializer
        # With the defaults, since Keras makes no `constant` without a value.
        initializer = keras.initializers.get({"class_name": name, "config": config})
        dense = keras.layers.Dense(
            self.units if units is None else units,
            activation=activation,
            use_bias=use_bias,
            kernel_initializer=_with_seed(initializer, derive(self.seed, part)),
            kernel_regularizer=keras.regularizers.L2(l2) if l2 else None,
        )
        dense.seed_source = (self.layer, part)
        return dense

    def activate(self, x: Any) -> Any:
        """Apply the activation."""
        if self.config.known_activation.halves:
            # Not the layer Activation: only the function, as an operation, infers the new width.
            return keras.activations.get(self.config.activation)(x)
        return keras.layers.Activation(self.config.activation)(x)

    def dropout(self) -> keras.layers.Dropout:
        """Return a Dropout layer with the block's seed."""
        dropout = keras.layers.Dropout(self.config.dropout, seed=derive(self.seed, _MASK))
        dropout.seed_source = (self.layer, _MASK)
        return dropout

    def added(self, x: Any, y: Any) -> Any:
        """Return the sum of the block's input and output."""
        if x.shape[-1] != y.shape[-1]:
            x = self.dense(y.shape[-1], use_bias=False, part=_PROJECTION)(x)
        return keras.layers.Add()([x, y])


def _apply_block(x: Any, block: Block, kind: LayerType) -> Any:
    """Return the output of a block of a built-in layer type."""
    layers, use_bias = kind.layers, "BIAS" in kind.parts
    activation = None
    if layers[0] == "activation" and not block.config.known_activation.halves:
        activation, layers = block.config.activation, layers[1:]
    y = block.dense(activation=activation, use_bias=use_bias)(x)
    for layer in layers:
        match layer:
            case "activation":
                y = block.activate(y)
            case "Dropout":
                y = block.dropout()(y)
            case "Add":
                y = block.added(x, y)
            case _:
                y = getattr(keras.layers, layer)()(y)
    return y


def _user_block(x: Any, path: str, block: Block, values: Mapping[str, Any]) -> Any:
    """Return the output of the user's function `path`, which may take any active hyperparameter."""
    function = load_object(path)
    if not callable(function):
        raise InputError(f"{path}: is not a function but {type(function).__name__}")
    arguments = _accepted(function, values)
    # The function's layers draw their seeds from the global state, so set it for each block.
    keras.utils.set_random_seed(block.seed)
    y = function(x, **(arguments | {"units": block.units, "activation": block.config.activation}))
    if not keras.backend.is_keras_tensor(y):
        raise InputError(f"{path}: must return a Keras tensor, not {type(y).__name__}")
    return y


def _accepted(function: Callable[..., Any], offered: Mapping[str, Any]) -> dict[str, Any]:
    _, *parameters = inspect.signature(function).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return dict(offered)
    names = {parameter.name for parameter in parameters}
    return {name: value for name, value in offered.items() if name in names}


def _with_seed(initializer: Any, seed: int) -> Any:
    config = initializer.get_config()
    if "seed" not in config:
        return initializer
    return type(initializer).from_config({**config, "seed": seed})


def build_model(problem: Problem, values: Mapping[str, Any], seed: int) -> keras.Model:
    """Build and compile the MLP that the active hyperparameters describe.

    The model is the trained part only. Its input is the features, float32 `(n_features,)`, or for
    uint8 images the raw image, which it flattens and scales.
    """
    recipe, config = problem.recipe, MLPConfig(values)

    def block(layer: int, units: int) -> Block:
        return Block(config, units, layer, derive(recipe.sweep_seed, seed, layer))

    with seeded(derive(recipe.sweep_seed, seed)):
        inputs, x = _mlp_inputs(problem.input)
        embedding = problem.embedding(config)
        x = _embedded(x, embedding) if embedding.binned else x
        kind = LAYER_TYPES.get(config.layer_type)
        for layer, units in enumerate(config.widths, start=1):
            hidden = block(layer, units)
            if kind is None:
                x = _user_block(x, config.layer_type, hidden, values)
            else:
                x = _apply_block(x, hidden, kind)
        output = block(_OUTPUT_LAYER, problem.target.outputs)
        outputs = output.dense(activation=recipe.output_activation)(x)
        model = keras.Model(inputs, outputs, name="mlp")
        compile_model(model, values, problem)
    return model


def _mlp_inputs(spec: InputSpec) -> tuple[Any, Any]:
    """Return the symbolic input, and the features `(batch, n_features)`."""
    if not runs_in_graph(spec):
        inputs = keras.Input((n_features(spec),), dtype="float32")
        return inputs, inputs
    inputs = keras.Input(spec.shape, dtype=spec.dtype)
    return inputs, flat_features(spec, inputs)


def _embedded(features: Any, embedding: Embedding) -> Any:
    """Return the bins of features, and the features that are kept."""
    binned, kept = embedding.binned, embedding.kept
    source = [*np.repeat(range(binned), BINS).tolist(), *range(binned, binned + kept)]
    x = keras.ops.take(features, source, axis=1)
    scale, offset = embedding.scale * binned, embedding.offset * binned
    x = _rescaling((*scale, *[1.0] * kept), (*offset, *[0.0] * kept))(x)
    least, most = embedding.least, embedding.most
    lower = [*least * binned, *least[:1] * kept]
    return keras.ops.clip(x, lower, [*most * binned, *most[-1:] * kept])


def reseed(model: keras.Model, sweep_seed: int, seed: int) -> None:
    """Set kernels and masks of built-in layer types to those of `build_model` for other seeds."""
    for layer in model.layers:
        if (source := getattr(layer, "seed_source", None)) is None:
            continue
        block, part = source
        part_seed = derive(derive(sweep_seed, seed, block), part)
        if isinstance(layer, keras.layers.Dense):
            layer.kernel_initializer = _with_seed(layer.kernel_initializer, part_seed)
            kernel = layer.kernel
            kernel.assign(layer.kernel_initializer(kernel.shape, kernel.dtype))
        else:
            layer.seed = part_seed
            if layer.rate > 0:
                layer.seed_generator.state.assign([part_seed, 0])


def full_model(trained: keras.Model, problem: Problem) -> keras.Model:
    """Return a model from raw rows to predictions in the target's own units.

    It shares the trained model's weights, and is compiled with the same loss, metrics and
    optimizer settings, so that `evaluate` on raw rows gives the reported numbers.
    """
    spec = problem.input
    if runs_in_graph(spec):
        inputs = x = keras.Input(spec.shape, dtype=spec.dtype)
    else:
        features = input_model(spec)
        inputs, x = features.input, features.output
    # A model of the same layers, which does not save the optimizer's state.
    x = keras.Model(trained.input, trained.output, name=trained.name)(x)
    for layer in output_layers(problem.target):
        x = layer(x)
    return compiled_like(trained, keras.Model(inputs, x, name="hpsearch"))


def compiled_like(trained: keras.Model, model: keras.Model) -> keras.Model:
    """Compile a model as a trained one: with its loss and metrics, and a copy of its optimizer."""
    arguments = dict(trained._compile_config.config)  # noqa: SLF001 - the public form is JSON
    optimizer = trained.optimizer
    optimizer = type(optimizer).from_config(optimizer.get_config())
    model.compile(**{**arguments, "optimizer": optimizer})
    # Keras warns when it loads an optimizer that was saved without its variables.
    model.optimizer.build(model.trainable_variables)
    return model


def compile_model(model: keras.Model, values: Mapping[str, Any], problem: Problem) -> None:
    """Compile a model with the optimizer of the active hyperparameters and the sweep's loss."""
    metric = "mae" if problem.target.task is Task.REGRESSION else "accuracy"
    optimizer, loss = build_optimizer(values), problem.recipe.loss
    model.compile(optimizer=optimizer, loss=loss, metrics=[metric], jit_compile=False)


def build_optimizer(values: Mapping[str, Any]) -> keras.optimizers.Optimizer:
    """Return the optimizer that the active hyperparameters describe, not yet built."""
    name, settings = MLPConfig(values).optimizer
    rate = settings.get("learning_rate")
    if isinstance(rate, Mapping):
        arguments = dict(rate)
        schedule = getattr(keras.optimizers.schedules, SCHEDULE_CLASSES[arguments.pop("name")])
        settings = {**settings, "learning_rate": schedule(**arguments)}
    elif rate is not None:
        # Keras refuses `1`.
        settings = {**settings, "learning_rate": float(rate)}
    return getattr(keras.optimizers, OPTIMIZERS[name].keras)(**settings)


def flat_features(spec: InputSpec, rows: keras.KerasTensor) -> keras.KerasTensor:
    """Return the features `(n_samples, n_features)` of rows `(n_samples, *shape)`.

    For a table with text columns, see `input_model`.
    """
    return _numbers(spec, keras.layers.Flatten()(rows) if len(spec.shape) > 1 else rows)


def _rescaling(scale: Sequence[float], offset: Sequence[float], name: str | None = None) -> Any:
    numbers = (scale[0], offset[0]) if len(scale) == 1 else (list(scale), list(offset))
    return keras.layers.Rescaling(*numbers, name=name)


def input_model(spec: InputSpec) -> keras.Model:
    """Return a model from raw rows to features `(n_samples, n_features)`.

    It takes float32 or uint8 rows `(n_samples, *shape)`; for a table with text columns, it takes a
    mapping from column names to `(n_samples,)` float32 numbers or object `str`.
    """
    if spec.columns is not None:
        return _table_model(spec.columns, spec)
    rows = keras.Input(spec.shape, dtype="float32", name="rows")
    features = flat_features(spec, rows)
    # Keras 3.12 refuses a model whose input is its output.
    features = keras.layers.Identity()(rows) if features is rows else features
    return keras.Model(rows, features, name="preprocessing")


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
    rows = {
        column.name: keras.Input(
            (1,),
            name=column.name.replace("/", "_"),
            dtype="float32" if column.vocabulary is None else "string",
        )
        for column in columns
    }
    numeric = [rows[column.name] for column in columns if column.vocabulary is None]
    blocks = []
    if numeric:
        blocks.append(_numbers(spec, _concatenate(numeric, _free_name("numbers", rows)), rows))
    for index, column in enumerate(columns):
        if column.vocabulary is not None:
            lookup = keras.layers.StringLookup(
                vocabulary=list(column.vocabulary),
                num_oov_indices=1,
                oov_token=_free_name("[UNK]", column.vocabulary),
                output_mode="one_hot",
                name=_free_name(f"one_hot_{index}", rows),
            )
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
    """
    x, indicators = numbers, []
    if spec.fill:
        gone = keras.ops.cast(keras.ops.isnan(numbers), "float32")
        zeros = [0.0] * len(spec.fill)
        fill = _rescaling(spec.fill, zeros, _free_name("fill", taken))(gone)
        filled = keras.ops.nan_to_num(numbers, nan=0.0)
        x = keras.layers.Add(name=_free_name("filled", taken))([filled, fill])
        if spec.indicators:
            indicators = [keras.ops.take(gone, list(spec.indicators), axis=1)]
    name = _free_name("scaling", taken)
    if spec.mean:
        mean, variance = list(spec.mean), list(spec.variance)
        x = keras.layers.Normalization(mean=mean, variance=variance, name=name)(x)
    elif spec.scale:
        x = _rescaling(spec.scale, spec.offset, name=name)(x)
    return _concatenate([x, *indicators], _free_name("with_missing", taken))


def _concatenate(tensors: list[keras.KerasTensor], name: str) -> keras.KerasTensor:
    return keras.layers.Concatenate(name=name)(tensors) if len(tensors) > 1 else tensors[0]


def _free_name(name: str, taken: Collection[str]) -> str:
    """Append underscores to `name` until it differs from the user's names."""
    while name in taken:
        name += "_"
    return name


def output_layers(target: Target) -> list[keras.Layer]:
    """Return the layers from the trained part's outputs to the target's own units.

    A regression's standardised outputs `(n_samples, outputs)` are rescaled, probabilities are not.
    """
    return [_rescaling(target.std, target.mean)] if target.task is Task.REGRESSION else []
