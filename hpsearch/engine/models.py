"""Prepare the search over MLPs: its data and recipe, which custom models have, too."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from statistics import median
from typing import Any

from hpsearch.data.dataset import Dataset, guess_scores, profile
from hpsearch.data.loading import Loader
from hpsearch.data.specs import Arrays, TrainingData, n_features
from hpsearch.engine.best_model import BestModel, Retrainer
from hpsearch.engine.costs import (
    Costs,
    DataSizes,
    NetworkCosts,
    estimate_seconds,
    step_seconds,
)
from hpsearch.engine.loop import Engine
from hpsearch.engine.run import PATIENCE_SECONDS, Prepared, Run
from hpsearch.engine.search import Search, TunerSpec
from hpsearch.models.arrays import load_data, training_data
from hpsearch.models.problem import Problem, Recipe
from hpsearch.native.network import native_built
from hpsearch.space.execution import Training
from hpsearch.space.mlp import MLPConfig
from hpsearch.spec.dump import dump_sweep
from hpsearch.spec.sweep import Sweep
from hpsearch.store.derived import best_execution
from hpsearch.store.facts import Identity
from hpsearch.store.provenance import identify, make_recipe
from hpsearch.training.mlps import MLPs, mlp_trainer
from hpsearch.training.subjects import ModelSubject
from hpsearch.training.trainer import TrainerRequest

_NOT_BUILT = (
    "hpsearch was installed without its native trainer in C, so TensorFlow trains everything, "
    "which takes several times as long; install it again with a C compiler and Python's headers"
)


@dataclass(frozen=True)
class SweepModels:
    """The models of a sweep: their data, and the recipe that follows from them."""

    sweep: Sweep
    dataset: Dataset
    recipe: Recipe

    @classmethod
    def of(cls, sweep: Sweep, load: Loader | None = None) -> SweepModels:
        """Load a sweep's data.

        Raises:
            InputError: They cannot be read, or the sweep does not fit them.
        """
        dataset = load_data(sweep, load)
        return cls(sweep, dataset, make_recipe(sweep, dataset.target.task))

    @cached_property
    def rows(self) -> TrainingData:
        """The data as the models get them."""
        return training_data(self.dataset, self.sweep)

    @cached_property
    def identity(self) -> Identity:
        """The identity that all rows of the table share."""
        return identify(self.sweep, self.dataset, self.recipe)

    @cached_property
    def costs(self) -> NetworkCosts:
        """The costs of MLPs' trainings."""
        dataset = self.dataset
        sizes = DataSizes(
            rows=len(dataset.train),
            validation_rows=len(dataset.validation),
            features=n_features(dataset.input),
            outputs=dataset.target.outputs,
        )
        return NetworkCosts(Problem(self.recipe, dataset.input, dataset.target), sizes)

    def estimate(
        self, trainings: Sequence[Training], workers: int, *, measure: bool
    ) -> tuple[float, float]:
        """Estimate the wall time of MLPs' trainings, as its lower and upper end.

        Args:
            workers: Number of trainings at a time.
            measure: Time a few steps, instead of estimating them by a formula.
        """
        factor = None
        if measure and trainings:
            factor = _measured_factor(trainings, self.costs, self.rows.arrays)
        return estimate_seconds(trainings, self.costs, workers, factor)

    def claim(self, run: Run) -> None:
        """Claim the run's store, and give the data to its workers.

        Raises:
            RefusedError: The store has rows of another sweep.
        """
        run.claim(self.identity)
        run.check_signal()
        run.executor.provide(self.rows)

    def prepared(
        self,
        run: Run,
        subject: ModelSubject,
        recipe: Recipe,
        search: Search,
        costs: Costs,
        *,
        names: Sequence[str],
        text: str,
    ) -> Prepared:
        """Return the search over the models.

        Args:
            names: The hyperparameters in file order.
            text: The sweep as resolved.
        """
        sweep, rows = self.sweep, self.rows
        problem = Problem(recipe, rows.input, rows.target)
        listed = (name for point in sweep.configs for name in point)
        return Prepared(
            search=search,
            subject=subject,
            recipe=recipe,
            identity=self.identity,
            task=rows.target.task,
            name=sweep.name,
            columns=list(dict.fromkeys([*names, *listed])),
            costs=costs,
            time_seconds=sweep.time_seconds,
            retries=sweep.execution.retries,
            sweep=sweep,
            text=text,
            keeps_all=sweep.keep == "all",
            tuner=partial(TunerSpec, search, subject, problem),
            patience_seconds=sweep.execution.timeout_seconds or PATIENCE_SECONDS,
            profile=profile(self.dataset),
            facts={"sweep": text, **dict(self._facts())},
            finish=lambda engine: self._keep_best(run, subject, engine),
        )

    def _facts(self) -> Iterator[tuple[str, Any]]:
        if classes := self.rows.target.classes:
            yield "classes", classes
        if guesses := guess_scores(self.dataset):
            yield "guesses", guesses

    def _keep_best(self, run: Run, subject: ModelSubject, engine: Engine) -> None:
        ledger, settings, sweep = engine.ledger, run.settings, self.sweep
        best = best_execution(ledger.stored, ledger.results, ledger.recipe.goal)
        if best is None or not (settings.model or settings.weights):
            return
        retrainer = Retrainer(run.executor, subject, ledger.recipe, self.rows, run.check_signal)
        keeper = BestModel(run.where, ledger.store, retrainer, sweep.layer_types)
        result = ledger.results[best[0].number]
        if settings.model:
            run.warn(keeper.save(best[0], result, keep_all=sweep.keep == "all"))
        else:
            run.warn(keeper.keep(best[0], result))


def read_models(sweep: Sweep, load: Loader | None, run: Run) -> SweepModels:
    """Load a sweep's data for a run, and show warnings of both.

    Raises:
        InputError: The data cannot be read, or the sweep does not fit them.
    """
    models = SweepModels.of(sweep, load)
    for warning in (*sweep.warnings, *models.dataset.warnings):
        run.warn(warning)
    return models


def prepare_mlps(sweep: Sweep, load: Loader | None, run: Run) -> Prepared:
    """Load the data, and claim the store.

    Args:
        load: Loads the rows; None reads the sweep's `data:`.

    Raises:
        InputError: The data cannot be read, or the sweep does not fit them.
        RefusedError: The store has rows of another sweep.
    """
    models = read_models(sweep, load, run)
    if not native_built():
        run.warn(_NOT_BUILT)
    models.claim(run)
    recipe, names, text = models.recipe, tuple(sweep.parameters), dump_sweep(sweep)
    search = Search.of(sweep)
    return models.prepared(run, MLPs(), recipe, search, models.costs, names=names, text=text)


#: Steps of an epoch to time.
_STEPS = 50


def _measured_factor(trainings: Sequence[Training], costs: NetworkCosts, arrays: Arrays) -> float:
    """Time steps of the smallest, the middle and the largest training.

    Returns:
        The median ratio of measured to estimated time.
    """
    if any(map(costs.needs_tensorflow, trainings)):
        import tensorflow as tf  # slow to import

        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    ordered = sorted(trainings, key=lambda training: step_seconds(training, costs.sizes))
    ratios = []
    for training in (ordered[0], ordered[len(ordered) // 2], ordered[-1]):
        needed = costs.needs_tensorflow(training)
        estimated = step_seconds(training, costs.sizes, tensorflow=needed)
        ratios.append(_measured(training, costs.problem, arrays) / estimated)
    return median(ratios)


def _measured(training: Training, problem: Problem, arrays: Arrays) -> float:
    batch = MLPConfig(training.values).batch_size
    rows = min(len(arrays.x_train), batch * _STEPS)
    part = replace(
        arrays,
        x_train=arrays.x_train[:rows],
        y_train=arrays.y_train[:rows],
        x_val=arrays.x_val[:1],
        y_val=arrays.y_val[:1],
        w_train=None if arrays.w_train is None else arrays.w_train[:rows],
        w_val=None if arrays.w_val is None else arrays.w_val[:1],
    )
    trainer = mlp_trainer(TrainerRequest(problem, training.values, training.seed, part))
    # The first epoch includes building the program.
    trainer.run_epoch()
    began = time.perf_counter()
    trainer.run_epoch()
    return (time.perf_counter() - began) / max(1, rows // batch)
