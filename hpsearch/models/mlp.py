"""From a config to a compiled Keras model, and to the model for users that takes raw rows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import keras
import keras_tuner

from hpsearch.data.specs import InputSpec, Target, Task, n_features, row_shape, runs_in_graph
from hpsearch.errors import InputError
from hpsearch.models import preprocessing
from hpsearch.models.custom import build_custom_model, built_with, seeded
from hpsearch.models.layers import Block, hidden_block, with_seed
from hpsearch.models.problem import Problem
from hpsearch.space.keras_names import OPTIMIZER_CLASSES, SCHEDULE_CLASSES
from hpsearch.space.mlp import MLPConfig
from hpsearch.space.seeds import derive

#: The output layer's place in the derivation of seeds: the same at every depth.
_OUTPUT_LAYER = 0
#: A block's random parts (see `Block.part_seed`).
_PARTS = range(3)


class MLP(keras_tuner.HyperModel):  # type: ignore[misc]
    """The MLPs of one sweep; `build(hp)` gives the compiled one that `hp.values` describes.

    The model is the trained part alone. Its input is the features, float32 `(n_features,)`, or,
    for uint8 images, the raw image, which is flattened and scaled inside.

    Args:
        seed: The trial's seed.
    """

    def __init__(self, problem: Problem, seed: int = 0) -> None:
        super().__init__()
        self._problem = problem
        self._seed = seed

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """The model that the live hyperparameters describe, compiled.

        Raises:
            InputError: If a layer type or an optimizer cannot be made.
        """
        recipe, config = self._problem.recipe, MLPConfig(hp.values)
        with seeded(derive(recipe.sweep_seed, self._seed)):
            inputs, x = self._inputs()
            for layer, units in enumerate(config.widths, start=1):
                block = self._block(config, layer, units)
                x = hidden_block(x, config.layer_type, block, hp.values)
            output = self._block(config, _OUTPUT_LAYER, self._problem.target.outputs)
            outputs = output.dense(activation=recipe.output_activation)(x)
            model = keras.Model(inputs, outputs, name="mlp")
            _compile(model, hp.values, self._problem)
        return model

    def _inputs(self) -> tuple[Any, Any]:
        spec = self._problem.input
        if not runs_in_graph(spec):
            inputs = keras.Input((n_features(spec),), dtype="float32")
            return inputs, inputs
        inputs = x = keras.Input(spec.shape, dtype=spec.dtype)
        for layer in preprocessing.feature_layers(spec):
            x = layer(x)
        return inputs, x

    def _block(self, config: MLPConfig, layer: int, units: int) -> Block:
        return Block(
            units=units,
            activation=config.activation,
            dropout=config.dropout,
            kernel_initializer=config.kernel_initializer,
            l2=config.l2,
            seed=derive(self._problem.recipe.sweep_seed, self._seed, layer),
        )


def build_model(problem: Problem, values: Mapping[str, Any], seed: int) -> keras.Model:
    """The compiled model of one training: an MLP, or what the recipe's function builds.

    A model of one's own keeps its optimizer, loss and metrics where it is compiled; else it gets
    those of the sweep.

    Raises:
        InputError: If a function of the user cannot be loaded or returns something else.
    """
    recipe = problem.recipe
    if not recipe.model:
        hp = keras_tuner.HyperParameters()
        hp.values = dict(values)
        return MLP(problem, seed).build(hp)
    model = build_custom_model(recipe, values, seed)
    with seeded(derive(recipe.sweep_seed, seed)):
        if not model.compiled:
            if problem.target.task is Task.OWN:
                raise InputError(f"{recipe.model}: must return a compiled model")
            _compile(model, values, problem)
        if not model.built:
            give_weights(model, rows_shape(model, row_shape(problem.input)))
    return model


def rows_shape(model: keras.Model, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape in which a model takes rows that have `shape`.

    Its own where that has as many numbers, so that an image of 28 x 28 pixels reaches an input of
    (28, 28, 1) or (784,); else the rows' own, of which the model will say what is wrong.
    """
    try:
        wanted = model.input_shape
    except AttributeError:
        return shape
    if not isinstance(wanted, tuple) or not all(isinstance(n, int) for n in wanted[1:]):
        return shape
    return wanted[1:] if math.prod(wanted[1:]) == math.prod(shape) else shape


def give_weights(model: keras.Model, shape: tuple[int, ...]) -> None:
    """Has a model that knows no shape yet make its weights, for rows of that shape."""
    if isinstance(model, keras.Sequential):
        model.build((None, *shape))
    else:
        model(keras.ops.zeros((1, *shape)))


class Seeds:
    """Where the random numbers of a built MLP come from: a block and a part for each layer.

    Args:
        model: Of built-in layer types.
        sweep_seed, seed: Those that it was built with.
    """

    def __init__(self, model: keras.Model, sweep_seed: int, seed: int) -> None:
        self._places: list[tuple[keras.Layer, tuple[int, int]]] = []
        blocks = range(len(model.layers))
        known = {_part_seed(sweep_seed, seed, place): place for place in product(blocks, _PARTS)}
        #: Whether each layer's place is certain; two might have the same seed by chance.
        self.complete = len(known) == len(blocks) * len(_PARTS)
        for layer in model.layers:
            if isinstance(layer, keras.layers.Dense):
                own = getattr(layer.kernel_initializer, "seed", None)
            elif isinstance(layer, keras.layers.Dropout):
                own = layer.seed
            else:
                continue
            self.complete = self.complete and (own is None or own in known)
            self._places.append((layer, (0, 0) if own is None else known.get(own, (0, 0))))

    def set(self, sweep_seed: int, seed: int) -> None:
        """Gives kernels and masks the first values of other seeds, as `build_model` would."""
        for layer, place in self._places:
            own = _part_seed(sweep_seed, seed, place)
            if isinstance(layer, keras.layers.Dense):
                layer.kernel_initializer = with_seed(layer.kernel_initializer, own)
                kernel = layer.kernel
                kernel.assign(layer.kernel_initializer(kernel.shape, kernel.dtype))
            else:
                layer.seed = own
                if layer.rate > 0:
                    layer.seed_generator.state.assign([own, 0])


def _part_seed(sweep_seed: int, seed: int, place: tuple[int, int]) -> int:
    block, part = place
    return derive(derive(sweep_seed, seed, block), part)


def trained_model(
    problem: Problem, values: Mapping[str, Any], seed: int, weights: Sequence[Any]
) -> keras.Model:
    """The model for people of a training that is over.

    Args:
        values: The live hyperparameters; `epochs` is not among what is read.
        seed: The trial's seed.
        weights: In the order of `model.get_weights()`.
    """
    model = build_model(problem, values, seed)
    model.set_weights(list(weights))
    return full_model(model, problem.input, problem.target)


def full_model(trained: keras.Model, input_spec: InputSpec, target: Target) -> keras.Model:
    """The model for people: raw rows in, predictions in the target's own units out.

    It shares the trained model's weights, and is compiled with its optimizer's settings, loss
    and metrics, so that `evaluate` on raw rows gives the reported numbers.

    Args:
        trained: What `build_model` built.
        input_spec: What a raw row is.
        target: What is predicted.
    """
    own = built_with(trained) is not None
    if runs_in_graph(input_spec) and not own:
        inputs = x = keras.Input(input_spec.shape, dtype=input_spec.dtype)
    else:
        features = preprocessing.input_model(input_spec)
        inputs, x = features.input, features.output
    if own:
        x = _as_rows(x, rows_shape(trained, row_shape(input_spec)))
    x = _named(_without_optimizer(trained)(x), trained)
    # A model of one's own has its targets' units already, as a sweep hands them to it.
    for layer in () if own and not target.standardised else preprocessing.output_layers(target):
        x = layer(x)
    model = keras.Model(inputs, x, name="hpsearch")
    if own:
        model.compile(**_compile_arguments(trained))
    else:
        model.compile_from_config(trained.get_compile_config())
    # Saved without its variables, an optimizer is loaded with a warning.
    model.optimizer.build(model.trainable_variables)
    return model


def _compile_arguments(model: keras.Model) -> dict[str, Any]:
    """What a model was compiled with, objects of one's own as they are; an optimizer like its."""
    arguments = dict(model._compile_config.config)  # noqa: SLF001 - Keras gives them as JSON only
    optimizer = model.optimizer
    return {**arguments, "optimizer": type(optimizer).from_config(optimizer.get_config())}


def _as_rows(features: Any, shape: tuple[int, ...]) -> Any:
    return features if features.shape[1:] == shape else keras.layers.Reshape(shape)(features)


def _without_optimizer(trained: keras.Model) -> keras.Model:
    """The same layers in a model that would not save the training's optimizer state."""
    if not getattr(trained, "inputs", None):
        return trained
    outputs = _one(trained.outputs)
    if len(trained.outputs) > 1:
        # By name, where the model has them so.
        outputs = getattr(trained, "_outputs_struct", outputs)
    return keras.Model(_one(trained.inputs), outputs, name=trained.name)


def _named(outputs: Any, trained: keras.Model) -> Any:
    """Several outputs in a list with the names that losses and metrics may know them by."""
    names = getattr(trained, "output_names", None)
    if not isinstance(outputs, list | tuple) or names is None or len(names) != len(outputs):
        return outputs
    return [
        keras.layers.Identity(name=name)(each) for name, each in zip(names, outputs, strict=True)
    ]


def _one(tensors: Sequence[Any]) -> Any:
    """The only one as itself; Sequential models have no `input` before they are called."""
    return tensors[0] if len(tensors) == 1 else list(tensors)


def _compile(model: keras.Model, values: Mapping[str, Any], problem: Problem) -> None:
    metric = "mae" if problem.target.task is Task.REGRESSION else "accuracy"
    optimizer, loss = build_optimizer(values), problem.recipe.loss
    model.compile(optimizer=optimizer, loss=loss, metrics=[metric], jit_compile=False)


def build_optimizer(values: Mapping[str, Any]) -> keras.optimizers.Optimizer:
    """The optimizer that the live hyperparameters describe, without variables for weights."""
    name, settings = MLPConfig(values).optimizer
    if settings.get("learning_rate") is not None:
        settings = {**settings, "learning_rate": _learning_rate(settings["learning_rate"])}
    return getattr(keras.optimizers, OPTIMIZER_CLASSES[name])(**settings)


def _learning_rate(rate: float | Mapping[str, Any]) -> Any:
    """A float, since Keras refuses `1`, or the schedule that `{name: ..., argument: ...}` names."""
    if not isinstance(rate, Mapping):
        return float(rate)
    arguments = dict(rate)
    schedule = getattr(keras.optimizers.schedules, SCHEDULE_CLASSES[arguments.pop("name")])
    return schedule(**arguments)
