"""MLPs as a subject."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hpsearch.data.specs import TrainingData
from hpsearch.models.problem import Problem
from hpsearch.native.network import describe
from hpsearch.space.execution import ExecutionResult
from hpsearch.training.follow import follow
from hpsearch.training.graphs import Graphs
from hpsearch.training.native import NativeTrainer
from hpsearch.training.subjects import Job, OnEpoch, Say
from hpsearch.training.trainer import Trainer, TrainerRequest, needs_tensorflow

#: The graphs that this process has compiled; it runs one training at a time.
_GRAPHS = Graphs()


def request_of(job: Job, dataset: TrainingData) -> TrainerRequest:
    """Return a job's request: to train its config on the dataset, or on one of its folds."""
    training = job.training
    dataset = dataset.of_fold(training.fold)
    problem = Problem(job.recipe, dataset.input, dataset.target)
    values, seed, epochs = training.values, training.seed, training.epochs
    return TrainerRequest(problem, values, seed, dataset.arrays, epochs)


def mlp_trainer(
    request: TrainerRequest, kind: str | None = None, graphs: Graphs | None = None
) -> Trainer:
    """Build an MLP and its trainer.

    If no kind is given, it depends only on the config and the data:

    - `native` if the extension supports the config (see `needs_tensorflow`);
    - else `graph` for a user's layer types, which XLA might not support;
    - else the result of `choose`.

    Args:
        request: Its arrays are kept, if possible without copying, so they must not change during
            trainings.
        kind: `native`, `graph`, `xla`, `fit`, or None.
        graphs: Trainers of finished trainings. If one has a suitable graph, it is restarted and
            returned.

    Raises:
        InputError: A user's function cannot be loaded.
        ValueError: The extension cannot train the model, and the kind requires it.
    """
    problem, values, network = request.problem, request.values, None
    if kind in (None, "native") and not needs_tensorflow(problem, values):
        network = describe(problem, values, request.seed)
    if network is not None:
        return NativeTrainer(
            network, request, model=lambda: MLPs().build(problem, values, request.seed)
        )
    if kind == "native":
        raise ValueError("the extension cannot train this MLP")
    # Imports TensorFlow.
    from hpsearch.training.keras_trainers import keras_trainer

    return keras_trainer(request, kind, graphs)


@dataclass(frozen=True)
class MLPs:
    """MLPs, each of which is described by its config."""

    gives_rows = False
    predicts = True

    def results(
        self, job: Job, dataset: TrainingData, on_epoch: OnEpoch, say: Say
    ) -> Iterator[ExecutionResult]:
        """Train the MLP of the job's config."""
        del say
        started = time.monotonic()
        trainer = mlp_trainer(request_of(job, dataset), graphs=_GRAPHS)
        return follow(job, trainer, started, on_epoch)

    def needs_tensorflow(self, problem: Problem, values: Mapping[str, Any]) -> bool:
        """Check if the extension cannot train the config, or a GPU should."""
        return needs_tensorflow(problem, values)

    def build(self, problem: Problem, values: Mapping[str, Any], seed: int) -> Any:
        """Return the compiled MLP of the active hyperparameters."""
        # Imports TensorFlow.
        from hpsearch.models.mlp import build_model

        return build_model(problem, values, seed)

    def full(self, model: Any, problem: Problem) -> Any:
        """Return the MLP with its preprocessing."""
        # Imports TensorFlow.
        from hpsearch.models.mlp import full_model

        return full_model(model, problem)

    def measure(self, model: Any, problem: Problem, x: Any, y: Any) -> Mapping[str, Any]:
        """Return each row's loss, metrics and prediction."""
        # Imports TensorFlow.
        from hpsearch.training.evaluation import by_row

        return by_row(model, problem, x, y)
