"""Build a config's compiled Keras model, and the full model, which takes raw rows."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from hpsearch.data.dataset import unpacked
from hpsearch.data.specs import InputSpec, Target, Task, n_features, row_shape, runs_in_graph
from hpsearch.errors import InputError
from hpsearch.importing import load_object
from hpsearch.models.custom import (
    build_custom_model,
    built_with,
    load_hypermodel,
    seeded,
    trains_itself,
)
from hpsearch.models.preprocessing_layers import (
    feature_layers,
    input_model,
    output_layers,
    several_inputs,
)
from hpsearch.models.problem import Problem
from hpsearch.space.keras_names import OPTIMIZERS, SCHEDULE_CLASSES
from hpsearch.space.mlp import LAYER_TYPES, LayerType, MLPConfig
from hpsearch.space.seeds import derive

#: The output layer's number in the derivation of seeds, the same at any depth.
_OUTPUT_LAYER = 0
#: The parts of a block that draw random numbers.
_KERNEL, _PROJECTION, _MASK = range(3)


@dataclass(frozen=True)
class Block:
    """A hidden block or the output layer.

    Attributes:
        config: The MLP's hyperparameters.
        units: Width of the Dense layer.
        layer: Its number.
        seed: The source of weights and masks.
    """

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
        l2 = self.config.l2
        dense = keras.layers.Dense(
            self.units if units is None else units,
            activation=activation,
            use_bias=use_bias,
            kernel_initializer=self._initializer(derive(self.seed, part)),
            kernel_regularizer=keras.regularizers.L2(l2) if l2 else None,
        )
        dense.seed_source = (self.layer, part)
        return dense

    def _initializer(self, seed: int) -> Any:
        # With the defaults, since Keras makes no `constant` without a value.
        name, config = self.config.initializer
        return _with_seed(keras.initializers.get({"class_name": name, "config": config}), seed)

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
    """Return the output of the user's function `path`, which may take any active hyperparameter.

    Raises:
        InputError: The function cannot be loaded or does not return a tensor.
    """
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
    parameters = list(inspect.signature(function).parameters.values())[1:]
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return dict(offered)
    names = {
        parameter.name
        for parameter in parameters
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    }
    return {name: value for name, value in offered.items() if name in names}


def _with_seed(initializer: Any, seed: int) -> Any:
    config = initializer.get_config()
    if "seed" not in config:
        return initializer
    return type(initializer).from_config({**config, "seed": seed})


def _build_mlp(problem: Problem, values: Mapping[str, Any], seed: int) -> keras.Model:
    """Build and compile the MLP that the active hyperparameters describe.

    The model is the trained part only. Its input is the features, float32 `(n_features,)`, or for
    uint8 images the raw image, which it flattens and scales.
    """
    recipe, config = problem.recipe, MLPConfig(values)

    def block(layer: int, units: int) -> Block:
        return Block(config, units, layer, derive(recipe.sweep_seed, seed, layer))

    with seeded(derive(recipe.sweep_seed, seed)):
        inputs, x = _mlp_inputs(problem.input)
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
        _compile(model, values, problem)
    return model


def _mlp_inputs(spec: InputSpec) -> tuple[Any, Any]:
    """Return the symbolic input, and the features `(batch, n_features)`."""
    if not runs_in_graph(spec):
        inputs = keras.Input((n_features(spec),), dtype="float32")
        return inputs, inputs
    inputs = x = keras.Input(spec.shape, dtype=spec.dtype)
    for layer in feature_layers(spec):
        x = layer(x)
    return inputs, x


def build_model(problem: Problem, values: Mapping[str, Any], seed: int) -> keras.Model:
    """Return the compiled model of one training: an MLP, or a custom model.

    A compiled custom model keeps its optimizer, loss and metrics; others get the sweep's. An
    unbuilt model gets weights, unless the rows have no shape because only its own `fit` has them.

    Raises:
        InputError: A user's function cannot be loaded, or returns a wrong type.
    """
    recipe = problem.recipe
    if not recipe.model:
        return _build_mlp(problem, values, seed)
    model = build_custom_model(recipe, values, seed)
    with seeded(derive(recipe.sweep_seed, seed)):
        own = problem.target.task is Task.OWN
        if not model.compiled and not (
            own and trains_itself(load_hypermodel(recipe.model, recipe.code))
        ):
            if own:
                raise InputError(f"{recipe.model}: must return a compiled model")
            _compile(model, values, problem)
        if not model.built and problem.input.shape:
            _give_weights_for(model, problem.input)
    return model


def _give_weights_for(model: keras.Model, spec: InputSpec) -> None:
    if not spec.parts:
        give_weights(model, rows_shape(model, row_shape(spec)))
        return
    model(unpacked(np.zeros((1, n_features(spec)), np.float32), spec.parts))


def rows_shape(model: keras.Model, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape in which a model takes rows of the given shape.

    This is the model's input shape if it has as many numbers, so that an image of 28 x 28 pixels
    fits an input of (28, 28, 1) or (784,). Otherwise it is the given shape, and the model will
    report the mismatch.
    """
    try:
        wanted = model.input_shape
    except AttributeError:
        return shape
    if not isinstance(wanted, tuple) or not all(isinstance(n, int) for n in wanted[1:]):
        return shape
    return wanted[1:] if math.prod(wanted[1:]) == math.prod(shape) else shape


def give_weights(model: keras.Model, shape: tuple[int, ...]) -> None:
    """Create the weights of an unbuilt model, for rows of the given shape."""
    if isinstance(model, keras.Sequential):
        model.build((None, *shape))
    else:
        model(keras.ops.zeros((1, *shape)))


def reseed(model: keras.Model, sweep_seed: int, seed: int) -> None:
    """Set kernels and masks to the values that `build_model` gives for other seeds.

    Args:
        model: A model of built-in layer types.
    """
    for layer in model.layers:
        if (source := getattr(layer, "seed_source", None)) is None:
            continue
        own = _part_seed(sweep_seed, seed, source)
        if isinstance(layer, keras.layers.Dense):
            layer.kernel_initializer = _with_seed(layer.kernel_initializer, own)
            kernel = layer.kernel
            kernel.assign(layer.kernel_initializer(kernel.shape, kernel.dtype))
        else:
            layer.seed = own
            if layer.rate > 0:
                layer.seed_generator.state.assign([own, 0])


def _part_seed(sweep_seed: int, seed: int, source: tuple[int, int]) -> int:
    block, part = source
    return derive(derive(sweep_seed, seed, block), part)


def trained_model(
    problem: Problem, values: Mapping[str, Any], seed: int, weights: Sequence[Any]
) -> keras.Model:
    """Return the full model of a finished training.

    Args:
        values: The active hyperparameters; `epochs` is ignored.
        seed: The execution's seed.
        weights: In the order of `model.get_weights()`.
    """
    model = build_model(problem, values, seed)
    model.set_weights(list(weights))
    return full_model(model, problem.input, problem.target)


def full_model(trained: keras.Model, input_spec: InputSpec, target: Target) -> keras.Model:
    """Return a model from raw rows to predictions in the target's own units.

    It shares the trained model's weights, and is compiled with the same loss, metrics and
    optimizer settings, so that `evaluate` on raw rows gives the reported numbers.

    Args:
        trained: A model from `build_model`.
        input_spec: Describes a raw row.
        target: What is predicted.
    """
    custom = built_with(trained) is not None
    if runs_in_graph(input_spec) and not custom:
        inputs = x = keras.Input(input_spec.shape, dtype=input_spec.dtype)
    elif input_spec.parts:
        inputs, x = several_inputs(input_spec)
    else:
        features = input_model(input_spec)
        inputs, x = features.input, features.output
    if custom and not input_spec.parts:
        shape = rows_shape(trained, row_shape(input_spec))
        x = x if x.shape[1:] == shape else keras.layers.Reshape(shape)(x)
    x = _named(_without_optimizer(trained)(x), trained)
    # A custom model predicts in the target's own units unless the sweep standardised the target.
    for layer in output_layers(target) if target.standardised or not custom else ():
        x = layer(x)
    model = keras.Model(inputs, x, name="hpsearch")
    if custom:
        model.compile(**_compile_arguments(trained))
    else:
        model.compile_from_config(trained.get_compile_config())
    # Keras warns when it loads an optimizer that was saved without its variables.
    model.optimizer.build(model.trainable_variables)
    return model


def _compile_arguments(model: keras.Model) -> dict[str, Any]:
    """Return a model's compile arguments: the user's objects, and a copy of the optimizer."""
    arguments = dict(model._compile_config.config)  # noqa: SLF001 - the public form is JSON
    optimizer = model.optimizer
    return {**arguments, "optimizer": type(optimizer).from_config(optimizer.get_config())}


def _without_optimizer(trained: keras.Model) -> keras.Model:
    """Return a model of the same layers, which does not save the optimizer's state."""
    if not getattr(trained, "inputs", None):
        return trained
    outputs = _one(trained.outputs)
    if len(trained.outputs) > 1:
        # Keep the names of outputs, if they have names.
        outputs = getattr(trained, "_outputs_struct", outputs)
    return keras.Model(_one(trained.inputs), outputs, name=trained.name)


def _named(outputs: Any, trained: keras.Model) -> Any:
    """Give several outputs the names that losses and metrics may use."""
    names = getattr(trained, "output_names", None)
    if not isinstance(outputs, list | tuple) or names is None or len(names) != len(outputs):
        return outputs
    return [
        keras.layers.Identity(name=name)(each) for name, each in zip(names, outputs, strict=True)
    ]


def _one(tensors: Sequence[Any]) -> Any:
    """Unpack a single tensor; Sequential models have no `input` before they are called."""
    return tensors[0] if len(tensors) == 1 else list(tensors)


def _compile(model: keras.Model, values: Mapping[str, Any], problem: Problem) -> None:
    metric = "mae" if problem.target.task is Task.REGRESSION else "accuracy"
    optimizer, loss = build_optimizer(values), problem.recipe.loss
    model.compile(optimizer=optimizer, loss=loss, metrics=[metric], jit_compile=False)


def build_optimizer(values: Mapping[str, Any]) -> keras.optimizers.Optimizer:
    """Return the optimizer that the active hyperparameters describe, not yet built."""
    name, settings = MLPConfig(values).optimizer
    if settings.get("learning_rate") is not None:
        settings = {**settings, "learning_rate": _learning_rate(settings["learning_rate"])}
    return getattr(keras.optimizers, OPTIMIZERS[name].keras)(**settings)


def _learning_rate(rate: float | Mapping[str, Any]) -> Any:
    """Return a float, as Keras refuses `1`, or the schedule of `{name: ..., argument: ...}`."""
    if not isinstance(rate, Mapping):
        return float(rate)
    arguments = dict(rate)
    schedule = getattr(keras.optimizers.schedules, SCHEDULE_CLASSES[arguments.pop("name")])
    return schedule(**arguments)
