"""Make the trainers of MLPs that start from a Keras model."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import keras

from hpsearch.errors import InputError
from hpsearch.models.mlp import build_model
from hpsearch.space.mlp import MLPConfig, is_custom
from hpsearch.training.compiled import CompiledTrainer, trains_in_graph
from hpsearch.training.fit import FitTrainer
from hpsearch.training.graphs import Graphs, graph_key
from hpsearch.training.measures import MLPMeasures
from hpsearch.training.trainer import TrainerRequest, choose
from hpsearch.training.update import is_fused

if TYPE_CHECKING:
    from hpsearch.training.trainer import Trainer


def keras_trainer(request: TrainerRequest, kind: str | None, graphs: Graphs | None) -> Trainer:
    """Return the trainer of a request for which `MLPs.trainer` needs Keras.

    Args:
        kind, graphs: See `MLPs.trainer`.

    Raises:
        InputError, ValueError: See `MLPs.trainer`.
    """
    problem = request.problem
    key = None
    if graphs is not None:
        key = graph_key(problem, request.values, request.arrays, kind=kind)
        if (used := graphs.find(key)) is not None:
            used.restart(request)
            return used
    model = build_model(problem, request.values, request.seed)
    if not trains_in_graph(model, request, kind) or kind == "fit":
        return _fit_trainer(model, request)
    measures = MLPMeasures(model, problem.recipe, problem.target)
    trainer = CompiledTrainer(model, request, kind or _kind(model, request), measures)
    if graphs is not None and key is not None:
        graphs.keep(key, trainer)
    return trainer


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


def _kind(model: keras.Model, request: TrainerRequest) -> str:
    recipe, config = request.problem.recipe, MLPConfig(request.values)
    # XLA lacks kernels for some Keras metrics, might not support a user's layers, and is untested
    # with weighted rows.
    if recipe.weighted or recipe.keras_metric or is_custom(config.layer_type):
        return "graph"
    outputs = request.problem.target.outputs
    widths = (math.prod(model.input_shape[1:]), *config.widths, outputs)
    rows = len(request.arrays.x_train)
    return choose(widths, request.batch_size, rows, fused=is_fused(model.optimizer))
