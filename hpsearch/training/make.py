"""Models as a subject: make the trainer of a training, and train."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from hpsearch.data.specs import Arrays, TrainingData
from hpsearch.models.problem import Problem
from hpsearch.native.network import describe
from hpsearch.space.execution import ExecutionResult
from hpsearch.training.native import NativeTrainer
from hpsearch.training.programs import Programs
from hpsearch.training.subjects import Job, OnEpoch, Say
from hpsearch.training.trainer import Trainer, TrainerRequest, needs_tensorflow


def make_trainer(
    problem: Problem,
    values: Mapping[str, Any],
    seed: int,
    arrays: Arrays,
    *,
    kind: str | None = None,
    programs: Programs | None = None,
    epochs: int | None = None,
) -> Trainer:
    """Build a model and its trainer.

    If no kind is given, it depends only on the config, the model and the data:

    - `native` if the extension supports the config (see `needs_tensorflow`) or the custom model
      (see `native.keras_model`);
    - else `fit` if the hypermodel has its own `fit`, or the model cannot be expressed as a graph
      (see `compiled.expressible`);
    - else `graph` for custom models and layer types, which XLA might not support;
    - else the result of `choose`.

    Args:
        values: The active hyperparameters; `epochs` is ignored.
        seed: The execution's seed.
        arrays: The data. They are kept, if possible without copying, so they must not change
            during trainings.
        kind: `native`, `graph`, `xla`, `fit`, or None.
        programs: Trainers of finished trainings. If one has a suitable graph, it is restarted and
            returned.
        epochs: Epochs of the training, for a hypermodel's own `fit`.

    Raises:
        InputError: A user's function cannot be loaded.
        ValueError: The kind is unknown or cannot train the model.
    """
    if kind not in (None, "native", "graph", "xla", "fit"):
        raise ValueError(f"kind must be native, graph, xla, fit or None, not {kind!r}")
    request = TrainerRequest(problem, values, seed, arrays, epochs)
    network = None
    if kind in (None, "native") and not needs_tensorflow(problem, values):
        network = describe(problem, values, seed)
    if network is not None:
        return NativeTrainer(network, request, model=lambda: _build(request))
    if kind == "native" and not problem.recipe.model:
        raise ValueError("the extension cannot train this MLP")
    # Imports TensorFlow.
    from hpsearch.training.keras_trainers import keras_trainer

    return keras_trainer(request, kind, programs)


def _build(request: TrainerRequest) -> Any:
    # Imports TensorFlow.
    from hpsearch.models.mlp import build_model

    return build_model(request.problem, request.values, request.seed)


#: The programs that this process has compiled; it runs one training at a time.
_PROGRAMS = Programs()


@dataclass(frozen=True)
class ModelSubject:
    """Keras models: hpsearch's MLPs, or those that the recipe's function builds."""

    def results(
        self, job: Job, dataset: TrainingData, on_epoch: OnEpoch, say: Say
    ) -> Iterator[ExecutionResult]:
        """Train the model of the job's config on the dataset, or on one of its folds."""
        del say
        started, training = time.monotonic(), job.training
        dataset = dataset.of_fold(training.fold)
        trainer = make_trainer(
            Problem(job.recipe, dataset.input, dataset.target),
            training.values,
            training.seed,
            dataset.arrays,
            programs=_PROGRAMS,
            epochs=training.epochs,
        )
        for result in job.follow(trainer, started, on_epoch):
            late = _late_hyperparameters(trainer) if job.recipe.model else {}
            yield replace(result, late=late) if late else result


def _late_hyperparameters(trainer: Trainer) -> Mapping[str, Any]:
    """Return the values that a custom model requested beyond its config."""
    # Imports Keras.
    from hpsearch.models.custom import built_with

    values = built_with(trainer.model)
    return dict(values.late) if values is not None else {}
