"""Make the trainers that start from a Keras model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import keras
import keras_tuner

from hpsearch.data.specs import Arrays
from hpsearch.errors import InputError
from hpsearch.models.callbacks import ends_diverging, read_numbers, within_epochs
from hpsearch.models.custom import (
    callbacks_of,
    labels_for,
    load_hypermodel,
    trains_itself,
    untailored,
)
from hpsearch.models.faster import frozen_base
from hpsearch.models.fit_arguments import Request
from hpsearch.models.mlp import build_model, rows_shape
from hpsearch.native.keras_model import dense_model
from hpsearch.native.network import native_available
from hpsearch.space.mlp import MLPConfig, is_custom
from hpsearch.training.callbacks import CalledBack
from hpsearch.training.compiled import CompiledTrainer, expressible, fitted
from hpsearch.training.fit import CustomFitTrainer, FitTrainer, Watcher
from hpsearch.training.measures import make_measures
from hpsearch.training.native import NativeTrainer
from hpsearch.training.programs import Programs, program_key
from hpsearch.training.trainer import TrainerRequest, choose, suits_gpu
from hpsearch.training.update import is_fused

if TYPE_CHECKING:
    from hpsearch.training.trainer import Trainer


def keras_trainer(request: TrainerRequest, kind: str | None, programs: Programs | None) -> Trainer:
    """Return the trainer of a request for which `make_trainer` needs Keras.

    Args:
        kind, programs: See `make_trainer`.

    Raises:
        InputError, ValueError: See `make_trainer`.
    """
    problem, arrays = request.problem, request.arrays
    key = None
    if programs is not None:
        key = program_key(problem, request.values, arrays, kind=kind)
        if (used := programs.find(key)) is not None:
            used.restart(request)
            return used
    model = build_model(problem, request.values, request.seed)
    if problem.recipe.model:
        request = replace(request, arrays=_as_input(model, request))
        return _custom_trainer(model, request, kind)
    kind = _kind(model, request, kind)
    if kind == "fit":
        return _fit_trainer(model, request)
    trainer = _compiled_trainer(model, request, kind)
    if programs is not None and key is not None:
        programs.keep(key, trainer)
    return trainer


def _compiled_trainer(
    model: keras.Model, request: TrainerRequest, kind: str, callbacks: Sequence[Any] = ()
) -> CompiledTrainer:
    split, rows = None, request.arrays
    # A user's callback could change frozen weights.
    of_keras = all(type(each).__module__.startswith("keras.") for each in callbacks)
    if request.problem.recipe.model and of_keras:
        split = frozen_base(model, len(rows.x_train) + len(rows.x_val))
    return CompiledTrainer(model, request, kind, split)


def _as_input(model: keras.Model, request: TrainerRequest) -> Arrays:
    """Return the data with the shape of rows and the form of labels that the model takes."""
    arrays, target = request.arrays, request.problem.target
    shape = arrays.x_train.shape[1:]
    # A hypermodel's own `fit` gets images unchanged.
    if len(shape) == 1 or not trains_itself(untailored(_hypermodel(request))):
        shape = rows_shape(model, shape)
    if target.parts:
        return fitted(arrays, shape, classes=None)
    one_hot = labels_for(model, arrays.y_train[:1], target).ndim > arrays.y_train.ndim
    return fitted(arrays, shape, classes=target.outputs if one_hot else None)


def _custom_trainer(model: keras.Model, request: TrainerRequest, kind: str | None) -> Trainer:
    """Return a custom model's trainer: its own `fit`, the native one, a graph, or `fit`."""
    hypermodel = _hypermodel(request)
    if kind in (None, "fit") and trains_itself(hypermodel):
        return _own_fit(model, request)
    callbacks = [each for each in callbacks_of(hypermodel) if not ends_diverging(each)]
    trainer: Trainer | None = None
    if kind in (None, "native") and read_numbers(callbacks):
        trainer = _native_trainer(model, request)
        if callbacks and trainer is not None:
            # Callbacks find out from the metrics which direction is better.
            measures = make_measures(model, request.problem.recipe, request.problem.target)
            measures.build(request.arrays.x_train[:1], request.arrays.y_train[:1])
    if trainer is None:
        if kind == "native":
            raise ValueError("the extension cannot train this MLP")
        if (kind := _kind(model, request, kind)) == "fit":
            own = _own_fit if callbacks else _fit_trainer
            return own(model, request)
        trainer = _compiled_trainer(model, request, kind, callbacks)
    if not callbacks:
        return trainer
    rows, epochs = len(request.arrays.x_train), request.epochs
    assert epochs is not None
    steps = math.ceil(rows / request.batch_size)
    ends = request.problem.recipe.ends
    return CalledBack(trainer, callbacks, ends=ends, epochs=epochs, steps=steps)


def _own_fit(model: keras.Model, request: TrainerRequest) -> CustomFitTrainer:
    make = partial(_for_fit, model, request)
    return CustomFitTrainer(_hypermodel(request), model, request, make)


#: Callbacks that read a model's weights but change neither them nor the optimizer.
_READS_WEIGHTS = (Watcher, keras.callbacks.ModelCheckpoint)


def _for_fit(model: keras.Model, request: TrainerRequest, asked: Request) -> Trainer | None:
    """Return the trainer for a call of `fit` within a hypermodel's `fit`; None for Keras'."""
    rest = asked.arguments.keys() - {"shuffle"}
    shuffled = asked.arguments.get("shuffle", True)
    if rest or shuffled not in (True, False) or within_epochs(asked.callbacks):
        return None
    if not model.compiled or model.optimizer.use_ema or asked.epochs == 0:
        return None
    problem = replace(request.problem, input=asked.input, target=asked.target)
    values = {"batch_size": asked.batch_size or 32}
    wanted = TrainerRequest(
        problem, values, request.seed, asked.arrays, asked.epochs or 1, shuffled=shuffled
    )
    several = bool(asked.parts), bool(asked.inputs)
    if not any(several) and not model.built:
        model.build(asked.arrays.x_train.shape)
    reading = [each for each in asked.callbacks if not isinstance(each, _READS_WEIGHTS)]
    native = _native_trainer(model, wanted) if read_numbers(reading) else None
    if native is not None:
        return native
    if not expressible(model, several_inputs=several[1], several_targets=several[0]):
        return None
    users = [each for each in asked.callbacks if not isinstance(each, Watcher)]
    return _compiled_trainer(model, wanted, "graph", users)


def _native_trainer(model: keras.Model, request: TrainerRequest) -> NativeTrainer | None:
    """Return the native trainer, if it can train the model."""
    target = request.problem.target
    several = target.parts or request.problem.input.parts
    if not native_available() or several or target.standardised:
        return None
    made = dense_model(model, request.arrays, request.batch_size)
    if made is None or suits_gpu(made[0].widths, request.batch_size):
        return None
    network, arrays = made
    request = replace(request, arrays=arrays)
    return NativeTrainer(network, request, model=lambda: model, weights=model.get_weights())


def _hypermodel(request: TrainerRequest) -> keras_tuner.HyperModel:
    return load_hypermodel(request.problem.recipe.model, request.problem.recipe.code)


def _fit_trainer(model: keras.Model, request: TrainerRequest) -> FitTrainer:
    """Return the trainer by `fit`, unless its numbers would differ from other trainers'."""
    recipe, target = request.problem.recipe, request.problem.target
    if recipe.keras_metric:
        raise InputError(
            f"metric: {recipe.keras_metric} is not reported of a layer type that keeps state of "
            "its own, which keras.Model.fit has to train; score loss, accuracy or mae, or leave "
            "the layer type out"
        )
    if target.standardised:
        raise InputError(
            "layer_type: one that keeps state of its own, which keras.Model.fit has to train, "
            "takes no regression; keep the state in weights of the layer (add_weight)"
        )
    return FitTrainer(model, request)


def _kind(model: keras.Model, request: TrainerRequest, asked: str | None) -> str:
    recipe, target = request.problem.recipe, request.problem.target
    inputs = bool(request.problem.input.parts)
    if not expressible(model, several_inputs=inputs, several_targets=bool(target.parts)):
        if asked not in (None, "fit"):
            raise ValueError(f"a model with its own training step cannot be trained by {asked!r}")
        return "fit"
    if asked is not None:
        return asked
    # XLA lacks kernels for some Keras metrics, and is untested with weighted rows.
    if recipe.weighted or recipe.keras_metric:
        return "graph"
    config = MLPConfig(request.values)
    if recipe.model or is_custom(config.layer_type):
        return "graph"
    widths = (math.prod(model.input_shape[1:]), *config.widths, target.outputs)
    rows = len(request.arrays.x_train)
    return choose(widths, request.batch_size, rows, fused=is_fused(model.optimizer))
