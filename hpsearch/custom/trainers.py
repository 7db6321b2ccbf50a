"""Make the trainers of custom models."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

import keras
import keras_tuner
import numpy as np

from hpsearch.custom.building import build_model, labels_for, rows_shape
from hpsearch.custom.callbacks import ends_diverging, read_numbers, within_epochs
from hpsearch.custom.called_back import CalledBack
from hpsearch.custom.fit import CustomFitTrainer, Watcher
from hpsearch.custom.fit_arguments import Request
from hpsearch.custom.hypermodels import callbacks_of, load_hypermodel, trains_itself, untailored
from hpsearch.custom.native_model import dense_model
from hpsearch.data.specs import Arrays
from hpsearch.native.network import native_available
from hpsearch.training.compiled import CompiledTrainer, expressible, trains_in_graph
from hpsearch.training.faster import frozen_base
from hpsearch.training.fit import FitTrainer
from hpsearch.training.measures import Measures
from hpsearch.training.native import NativeTrainer
from hpsearch.training.trainer import TrainerRequest, suits_gpu

if TYPE_CHECKING:
    from hpsearch.training.trainer import Trainer


def custom_trainer(request: TrainerRequest, kind: str | None = None) -> Trainer:
    """Build a custom model and its trainer: its own `fit`, the native one, a graph, or `fit`.

    Args:
        kind: `native`, `graph`, `fit`, or None, with which it depends only on the model and the
            data.

    Raises:
        InputError: The user's function cannot be loaded.
        ValueError: The kind cannot train the model.
    """
    model = build_model(request.problem, request.values, request.seed)
    request = replace(request, arrays=_as_input(model, request))
    hypermodel = _hypermodel(request)
    if kind in (None, "fit") and trains_itself(hypermodel):
        return _own_fit(model, request)
    callbacks = [callback for callback in callbacks_of(hypermodel) if not ends_diverging(callback)]
    trainer: Trainer | None = None
    if kind in (None, "native") and read_numbers(callbacks):
        trainer = _native_trainer(model, request)
        if callbacks and trainer is not None:
            # Callbacks find out from the metrics which direction is better.
            _measures_of(model, request).build(
                request.arrays.x_train[:1], request.arrays.y_train[:1]
            )
    if trainer is None:
        if kind == "native":
            raise ValueError("the extension cannot train this model")
        if not trains_in_graph(model, request, kind) or kind == "fit":
            return _own_fit(model, request) if callbacks else FitTrainer(model, request)
        # XLA might not support the model.
        trainer = _compiled_trainer(model, request, kind or "graph", callbacks)
    if not callbacks:
        return trainer
    rows, epochs = len(request.arrays.x_train), request.epochs
    assert epochs is not None
    steps = math.ceil(rows / request.batch_size)
    ends = request.problem.recipe.ends
    return CalledBack(trainer, callbacks, ends=ends, epochs=epochs, steps=steps)


def _compiled_trainer(
    model: keras.Model, request: TrainerRequest, kind: str, callbacks: Sequence[Any] = ()
) -> CompiledTrainer:
    split, rows = None, request.arrays
    # A user's callback could change frozen weights.
    of_keras = all(type(callback).__module__.startswith("keras.") for callback in callbacks)
    if of_keras:
        split = frozen_base(model, len(rows.x_train) + len(rows.x_val))
    return CompiledTrainer(model, request, kind, _measures_of(model, request), split)


def _measures_of(model: keras.Model, request: TrainerRequest) -> Measures:
    return Measures(model, request.problem.recipe, request.problem.target)


def _as_input(model: keras.Model, request: TrainerRequest) -> Arrays:
    """Return the data with the shape of rows and the form of labels that the model takes."""
    arrays, target = request.arrays, request.problem.target
    shape = arrays.x_train.shape[1:]
    # A hypermodel's own `fit` gets images unchanged.
    if len(shape) == 1 or not trains_itself(untailored(_hypermodel(request))):
        shape = rows_shape(model, shape)
    if target.parts:
        return _fitted(arrays, shape, classes=None)
    one_hot = labels_for(model, arrays.y_train[:1], target).ndim > arrays.y_train.ndim
    return _fitted(arrays, shape, classes=target.outputs if one_hot else None)


@lru_cache(maxsize=1)
def _fitted(arrays: Arrays, shape: tuple[int, ...], *, classes: int | None) -> Arrays:
    """Return the data in the form that a custom model takes; the result is cached.

    Args:
        shape: Shape of a row; rows are not copied.
        classes: Number of classes for one-hot labels; None leaves the labels as they are.
    """
    if arrays.x_train.shape[1:] == shape and classes is None:
        return arrays
    y_train, y_val = arrays.y_train, arrays.y_val
    if classes is not None:
        y_train, y_val = (np.eye(classes, dtype=np.float32)[y] for y in (y_train, y_val))
    x_train, x_val = (x.reshape(-1, *shape) for x in (arrays.x_train, arrays.x_val))
    return replace(arrays, x_train=x_train, x_val=x_val, y_train=y_train, y_val=y_val)


def _own_fit(model: keras.Model, request: TrainerRequest) -> CustomFitTrainer:
    make = partial(_for_fit, model, request)
    return CustomFitTrainer(_hypermodel(request), model, request, make)


#: Callbacks that read a model's weights but change neither them nor the optimizer.
_READS_WEIGHTS = (Watcher, keras.callbacks.ModelCheckpoint)


def _for_fit(model: keras.Model, request: TrainerRequest, asked: Request) -> Trainer | None:
    """Return the trainer for a call of `fit` within a hypermodel's `fit`; None for Keras'."""
    arguments = asked.arguments.keys() - {"shuffle"}
    shuffled = asked.arguments.get("shuffle", True)
    if arguments or shuffled not in (True, False) or within_epochs(asked.callbacks):
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
    reading = [callback for callback in asked.callbacks if not isinstance(callback, _READS_WEIGHTS)]
    native = _native_trainer(model, wanted) if read_numbers(reading) else None
    if native is not None:
        return native
    if not expressible(model, several_inputs=several[1], several_targets=several[0]):
        return None
    users = [callback for callback in asked.callbacks if not isinstance(callback, Watcher)]
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
