"""MLPs as a subject: trained, built, saved and evaluated row by row."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hpsearch.data.specs import Target, Task, TrainingData
from hpsearch.models.problem import Problem
from hpsearch.native import metrics
from hpsearch.native.network import describe, native_available, supports
from hpsearch.space.execution import ExecutionResult
from hpsearch.space.keras_names import KERAS_METRICS
from hpsearch.space.mlp import MLPConfig
from hpsearch.training.follow import follow
from hpsearch.training.native import NativeTrainer
from hpsearch.training.subjects import Job, Needs, OnEpoch, Say
from hpsearch.training.trainer import Trainer, TrainerRequest, all_widths, suits_gpu, useful_threads

#: The name of the part of the loss that belongs to no row, in an evaluation of rows.
REGULARISATION = "regularisation"
#: The name of the predicted classes or targets, one a row, in an evaluation of rows.
PREDICTED = "predicted"
ROWS_A_STEP = 1024
#: Keras' accuracy counts a probability above this as the second class.
_HALF = 0.5

#: An XLA program takes about 11 MB, a graph 3 MB; a worker may grow by 250 MB in all.
_MOST_GRAPHS = 8
_MOST_BYTES = 64 * 2**20


class Graphs:
    """The few compiled trainers that a process keeps, the most recently used last.

    Args:
        most: Largest number of graphs.
        most_bytes: Largest size of all their variables together.
    """

    def __init__(self, most: int = _MOST_GRAPHS, most_bytes: int = _MOST_BYTES) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._kept: OrderedDict[Hashable, Any] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def find(self, key: Hashable) -> Any:
        """Return the `CompiledTrainer` with that key, or None."""
        if key in self._kept:
            self._kept.move_to_end(key)
        return self._kept.get(key)

    def keep(self, key: Hashable, trainer: Any) -> None:
        """Keep a new trainer if it can restart; drop the least recently used if necessary."""
        if not trainer.restarts:
            return
        self._kept[key] = trainer
        while len(self._kept) > self._most or (
            sum(graph.nbytes for graph in self._kept.values()) > self._most_bytes
        ):
            self._kept.popitem(last=False)


#: The graphs that this process has compiled; it runs one training at a time.
_GRAPHS = Graphs()


def request_of(job: Job, dataset: TrainingData) -> TrainerRequest:
    """Return a job's request: to train its config on the dataset, or on one of its folds."""
    training = job.training
    dataset = dataset.of_fold(training.fold)
    problem = Problem(job.recipe, dataset.input, dataset.target)
    values, seed, epochs = training.values, training.seed, training.epochs
    return TrainerRequest(problem, values, seed, dataset.arrays, epochs, threads=job.threads)


def mlp_trainer(
    request: TrainerRequest, kind: str | None = None, graphs: Graphs | None = None
) -> Trainer:
    """Build an MLP and its trainer.

    If no kind is given, it depends only on the config and the data:

    - `native` if the extension is available and supports the config, and no GPU gains more;
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
    if kind in (None, "native") and not MLPs().needs(problem, values).tensorflow:
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

    def needs(self, problem: Problem, values: Mapping[str, Any], *, gpus: bool = True) -> Needs:
        """Return what training an MLP needs: only large layers gain from a GPU or from threads.

        Args:
            gpus: Whether its worker may see a GPU.
        """
        widths, batch_size = all_widths(problem, values), MLPConfig(values).batch_size
        device = gpus and suits_gpu(widths, batch_size)
        if device or not (native_available() and supports(problem, values)):
            return Needs(device=device)
        threads = useful_threads(widths, batch_size)
        return Needs(tensorflow=False, device=False, threads=threads)

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
        """Return each raw row's loss, metrics and prediction; targets are in their own units."""
        # They import TensorFlow.
        import keras

        from hpsearch.training.measures import metric_of, prepared

        recipe, target = problem.recipe, problem.target
        outputs = np.asarray(model.predict(x, batch_size=ROWS_A_STEP, verbose=0))
        prepared_y = prepared(y, recipe, target)
        name, metric = metric_of(recipe, target)
        losses = keras.losses.get(recipe.loss)(prepared_y, outputs)
        measured: dict[str, Any] = {
            "loss": _rows(losses, len(y)),
            name: _rows(metric(prepared_y, outputs), len(y)),
            REGULARISATION: sum(float(np.sum(loss)) for loss in model.losses),
        }
        for name in recipe.more_metrics:
            measured[name] = _metric_of_rows(name, y, outputs, target)
        answers = predictions(outputs, target)
        return measured if answers is None else measured | {PREDICTED: answers}


def _metric_of_rows(name: str, y: Any, outputs: npt.NDArray[Any], target: Target) -> float:
    metric = KERAS_METRICS[name]
    if not metric.native:
        from hpsearch.training.measures import KerasMetric  # imports TensorFlow

        more = KerasMetric(name, target)
        more.add(y if target.task is Task.MULTICLASS else y.reshape(outputs.shape), outputs)
        return float(more.result())
    if metric.sparse:
        truth = y
    elif target.task is Task.MULTICLASS:
        truth = np.eye(target.outputs, dtype=np.float32)[y]
    else:
        truth = y.reshape(outputs.shape).astype(np.float32)
    of = getattr(metrics, metric.native)
    return float(of(truth, outputs, None, **metric.settings(target.outputs)))


def predictions(outputs: npt.NDArray[Any], target: Target) -> npt.NDArray[Any] | None:
    """Return an MLP's predicted classes or targets, `(n_samples,)`; None for several targets."""
    if target.task is Task.MULTICLASS:
        return np.asarray(np.argmax(outputs, axis=-1))
    if target.outputs != 1:
        return None
    single = outputs.reshape(len(outputs))
    return single > _HALF if target.task is Task.BINARY else single


def _rows(values: Any, rows: int) -> npt.NDArray[np.float64]:
    """Return one number for each row, or a mean if there are fewer numbers."""
    array = np.asarray(values, np.float64)
    if array.shape[:1] != (rows,):
        return np.asarray(array.mean())
    return np.asarray(array.reshape(rows, -1).mean(axis=1))
