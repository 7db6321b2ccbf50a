"""Train Keras models by `fit`, and make the trainers of MLPs that start from a Keras model."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Hashable, Mapping
from typing import Any, Final

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from hpsearch.data.dataset import unpacked
from hpsearch.data.files import map_of
from hpsearch.data.specs import ArrayPart, Arrays, Target
from hpsearch.errors import InputError
from hpsearch.models.mlp import build_model
from hpsearch.models.problem import Problem
from hpsearch.space.keras_names import OPTIMIZERS
from hpsearch.space.mlp import MLPConfig, is_custom
from hpsearch.training.compiled import CompiledTrainer, expressible
from hpsearch.training.measures import MLPMeasures, as_tensor, tensor_of
from hpsearch.training.trainer import (
    OPTIMIZER_NUMBERS,
    SCHEDULE_NUMBERS,
    KerasTrainer,
    Trainer,
    TrainerRequest,
    all_widths,
    choose,
)
from hpsearch.training.update import is_fused

#: Hyperparameters that a graph's key leaves out or contains in another form.
_NUMBERS: Final = frozenset(
    {"epochs", "l2", "learning_rate", "momentum", "optimizer", "weight_decay"}
)


def keras_trainer(request: TrainerRequest, kind: str | None, graphs: Any) -> Trainer:
    """Return the trainer of a request for which `mlps.mlp_trainer` needs Keras; see there."""
    problem, key = request.problem, None
    if graphs is not None:
        key = graph_key(problem, request.values, request.arrays, kind=kind)
        used: CompiledTrainer | None = graphs.find(key)
        if used is not None:
            used.restart(request)
            return used
    model = build_model(problem, request.values, request.seed)
    if kind == "fit":
        return FitTrainer(model, request)
    if not expressible(model, problem):
        raise InputError(
            "layer_type: one keeps state of its own, which no graph trains; keep it in weights of "
            "the layer (add_weight)"
        )
    measures = MLPMeasures(model, problem.recipe, problem.target)
    trainer = CompiledTrainer(model, request, kind or _kind(model, request), measures)
    if key is not None:
        graphs.keep(key, trainer)
    return trainer


def graph_key(
    problem: Problem, values: Mapping[str, Any], arrays: Arrays, *, kind: str | None
) -> Hashable | None:
    """Return a key that is equal for trainings that one graph can train.

    Args:
        kind: The requested kind; if None, it follows from the rest.

    Returns:
        None for custom layer types, whose graphs may depend on anything.
    """
    recipe, mlp = problem.recipe, MLPConfig(values)
    if is_custom(mlp.layer_type):
        return None
    others = {name: value for name, value in values.items() if name not in _NUMBERS}
    data = (arrays.x_train, arrays.y_train, arrays.x_val, arrays.y_val)
    shapes = tuple((array.shape, str(array.dtype)) for array in data)
    weighted = (arrays.w_train is not None, arrays.w_val is not None)
    config = json.dumps([others, bool(mlp.l2), _structure(mlp)], sort_keys=True)
    parts = (problem.input, problem.target, shapes, weighted)
    return kind, config, dataclasses.replace(recipe, sweep_seed=0), *parts


def _structure(config: MLPConfig) -> list[Any]:
    """Return the optimizer's name and arguments; of variable numbers, only what branches test."""
    name, given = config.optimizer
    settings = {**OPTIMIZERS[name].defaults, **given}
    rate = settings.pop("learning_rate")
    schedule = _without_numbers(rate, SCHEDULE_NUMBERS) if isinstance(rate, dict) else None
    return [name, schedule, _without_numbers(settings, OPTIMIZER_NUMBERS)]


def _without_numbers(settings: Mapping[str, Any], numbers: tuple[str, ...]) -> dict[str, Any]:
    kept = dict(settings)
    for name in set(numbers) & settings.keys():
        number = settings[name]
        # Without momentum, Keras keeps no velocity.
        kept[name] = number > 0 if name == "momentum" else number is not None
    return kept


def _kind(model: keras.Model, request: TrainerRequest) -> str:
    recipe, config = request.problem.recipe, MLPConfig(request.values)
    # XLA lacks kernels for some Keras metrics, might not support a user's layers, and is untested
    # with weighted rows.
    if recipe.weighted or recipe.more_metrics or is_custom(config.layer_type):
        return "graph"
    widths = all_widths(request.problem, request.values)
    rows = len(request.arrays.x_train)
    return choose(widths, request.batch_size, rows, fused=is_fused(model.optimizer))


class FitTrainer(KerasTrainer):
    """Trains by `keras.Model.fit`, for models that one graph cannot express.

    Its numbers are Keras', so that a regression's target must not be standardised.
    """

    kind = "fit"

    def __init__(self, model: keras.Model, request: TrainerRequest) -> None:
        super().__init__(model)
        self._arrays, self._order = request.arrays, request.order
        self._batch_size = request.batch_size
        self._target, self._inputs = request.problem.target, request.problem.input.parts
        # When `fit` ends, Keras replaces weights by their average; here it ends after each epoch.
        model.optimizer.finalize_variable_values = lambda *_: None

    def run_epoch(self) -> dict[str, float]:
        history = self.model.fit(
            **self._rows(self._order(self._epoch + 1)),
            initial_epoch=self._epoch,
            epochs=self._epoch + 1,
            validation_data=mapped(validation_of(self._arrays, self._inputs, self._target)),
            verbose=0,
        )
        self._epoch += 1
        return {name: float(values[-1]) for name, values in history.history.items()}

    def _rows(self, order: npt.NDArray[np.int32]) -> dict[str, Any]:
        """Return the training rows, in this order, as arguments of `fit`."""
        arrays, weights = self._arrays, self._arrays.w_train
        parts, size = self._target.parts, self._batch_size
        if map_of(arrays.x_train) is None:
            return {
                "x": unpacked(arrays.x_train[order], self._inputs),
                "y": unpacked(arrays.y_train[order], parts),
                "sample_weight": None if weights is None else weights[order],
                "batch_size": size,
                "shuffle": False,
            }
        # Rows in a file may exceed memory, so gather one batch at a time.
        given = [arrays.x_train, arrays.y_train, *(() if weights is None else (weights,))]
        tensors = [*map(tensor_of, given)]

        def taken(rows: Any) -> tuple[Any, ...]:
            x, y, *row_weights = (tf.gather(tensor, rows) for tensor in tensors)
            targets = unpacked(y, parts, as_tensor)
            # A dataset would stack a list into one tensor.
            return x, tuple(targets) if isinstance(targets, list) else targets, *row_weights

        dataset = tf.data.Dataset.from_tensor_slices(order).batch(size).map(taken).prefetch(1)
        return {"x": dataset, "shuffle": False, "validation_batch_size": size}

    def _state_variables(self) -> list[Any]:
        """Return all Keras variables; state kept elsewhere is lost."""
        if not self.model.built:
            self.model(unpacked(self._arrays.x_train[:1], self._inputs))
        self.model.optimizer.build(self.model.trainable_variables)
        return super()._state_variables()


def validation_of(arrays: Arrays, inputs: tuple[ArrayPart, ...], target: Target) -> tuple[Any, ...]:
    """Return the validation data in the form that `fit` takes."""
    validation = unpacked(arrays.x_val, inputs), unpacked(arrays.y_val, target.parts)
    return validation if arrays.w_val is None else (*validation, arrays.w_val)


def mapped(given: Any) -> Any:
    """Return arrays in files as tensors over the same memory, since Keras would copy them."""

    def tensor(array: Any) -> Any:
        is_map = isinstance(array, np.ndarray) and map_of(array) is not None
        return tensor_of(array) if is_map else array

    return keras.tree.map_structure(tensor, given, none_is_leaf=False)
