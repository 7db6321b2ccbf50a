"""Custom models as a subject."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hpsearch.custom.shipping import ModelHyperparameters
from hpsearch.data.specs import TrainingData
from hpsearch.models.problem import Problem, Recipe
from hpsearch.space.execution import Execution, ExecutionResult, Training
from hpsearch.space.space import Parameter
from hpsearch.spec.execution import MOST_THREADS
from hpsearch.training.follow import follow
from hpsearch.training.mlps import ROWS_A_STEP, request_of
from hpsearch.training.subjects import Job, Needs, OnEpoch, Say

# The driver imports this module, too, and neither Keras nor KerasTuner.


#: A model may be large, and the native trainer may train it.
NEEDS = Needs(threads=MOST_THREADS)


@dataclass(frozen=True)
class CustomModels:
    """Models that the function or the hypermodel of a recipe builds.

    Attributes:
        files: The directory for what callbacks write, with one for each execution; if empty, it is
            not kept.
    """

    files: str = ""
    gives_rows = True
    predicts = False

    def results(
        self, job: Job, dataset: TrainingData, on_epoch: OnEpoch, say: Say
    ) -> Iterator[ExecutionResult]:
        """Train the job's model; results have the values that it requested beyond its config."""
        from hpsearch.custom.building import Tailored, built_with, load_hypermodel
        from hpsearch.custom.trainers import custom_trainer

        del say
        started = time.monotonic()
        # Layers that the code refers to would go on with the last training's weights.
        load_hypermodel.cache_clear()
        hypermodel = load_hypermodel(job.recipe.model, job.recipe.code)
        writes = isinstance(hypermodel, Tailored) and hypermodel.files
        with self._folder(job.training) if writes else nullcontext("") as folder:
            trainer = custom_trainer(request_of(job, dataset), folder=folder)
            for result in follow(job, trainer, started, on_epoch):
                values = built_with(trainer.model)
                yield replace(result, late=dict(values.late)) if values and values.late else result

    @contextmanager
    def _folder(self, training: Training) -> Iterator[str]:
        """Make an empty directory for what callbacks write in a training."""
        # A worker on another machine may lack the directory of all.
        if not (self.files and Path(self.files).is_dir()):
            with TemporaryDirectory(prefix="hpsearch-") as scratch:
                yield scratch
            return
        folder = self.files_of(training)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        yield str(folder)

    def files_of(self, of: Training | Execution) -> Path:
        """Return the directory of an execution."""
        seed = f"-seed{of.seed}" if of.seed else ""
        fold = "" if of.fold is None else f"-fold{of.fold}"
        return Path(self.files, f"{of.trial}{seed}{fold}")

    def needs(self, problem: Problem, values: Mapping[str, Any]) -> Needs:
        """Return what training any model may need."""
        del problem, values
        return NEEDS

    def build(self, problem: Problem, values: Mapping[str, Any], seed: int) -> Any:
        """Return the user's model, compiled."""
        from hpsearch.custom.building import build_model

        return build_model(problem, values, seed)

    def full(self, model: Any, problem: Problem) -> Any:
        """Return the user's model behind the sweep's preprocessing."""
        from hpsearch.custom.building import full_model

        return full_model(model, problem)

    def measure(self, model: Any, problem: Problem, x: Any, y: Any) -> Mapping[str, Any]:
        """Return the loss and the metrics with which the model was compiled, for all rows."""
        from hpsearch.custom.building import labels_for

        labels = labels_for(model, y, problem.target)
        measured: Mapping[str, Any] = model.evaluate(
            x, labels, batch_size=ROWS_A_STEP, verbose=0, return_dict=True
        )
        return measured


def find_in(recipe: Recipe, given: Sequence[Parameter], data: TrainingData) -> ModelHyperparameters:
    """Return the hyperparameters of a recipe's model; see `discovery.discover`."""
    from hpsearch.custom.discovery import discover

    return discover(recipe, given, data)
