"""Build a config's compiled Keras model, and the full model, which takes raw rows."""

from __future__ import annotations

import contextlib
import inspect
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from hpsearch.data.specs import InputSpec, Task, n_features, runs_in_graph
from hpsearch.errors import InputError
from hpsearch.importing import load_object
from hpsearch.models.preprocessing_layers import (
    feature_layers,
    input_model,
    output_layers,
)
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
    inputs = x = keras.Input(spec.shape, dtype=spec.dtype)
    for layer in feature_layers(spec):
        x = layer(x)
    return inputs, x


def reseed(model: keras.Model, sweep_seed: int, seed: int) -> None:
    """Set kernels and masks to the values that `build_model` gives for other seeds.

    Args:
        model: A model of built-in layer types.
    """
    for layer in model.layers:
        if (source := getattr(layer, "seed_source", None)) is None:
            continue
        part_seed = _part_seed(sweep_seed, seed, source)
        if isinstance(layer, keras.layers.Dense):
            layer.kernel_initializer = _with_seed(layer.kernel_initializer, part_seed)
            kernel = layer.kernel
            kernel.assign(layer.kernel_initializer(kernel.shape, kernel.dtype))
        else:
            layer.seed = part_seed
            if layer.rate > 0:
                layer.seed_generator.state.assign([part_seed, 0])


def _part_seed(sweep_seed: int, seed: int, source: tuple[int, int]) -> int:
    block, part = source
    return derive(derive(sweep_seed, seed, block), part)


def full_model(trained: keras.Model, problem: Problem) -> keras.Model:
    """Return a model from raw rows to predictions in the target's own units.

    It shares the trained model's weights, and is compiled with the same loss, metrics and
    optimizer settings, so that `evaluate` on raw rows gives the reported numbers.

    Args:
        trained: A model from `build_model`.
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
