"""Prepare the search over MLPs: its data and recipe, which custom models have, too."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from statistics import median

from hpsearch.data.dataset import Dataset, guess_scores, profile
from hpsearch.data.loading import Loader
from hpsearch.data.specs import Arrays, TrainingData
from hpsearch.engine.best_model import BestModel, Retrainer
from hpsearch.engine.loop import Engine
from hpsearch.engine.run import Prepared, Run
from hpsearch.engine.search import SearchSpec, TunerSpec
from hpsearch.engine.trainings import Costs
from hpsearch.models.arrays import load_data, training_data
from hpsearch.models.problem import Problem, Recipe
from hpsearch.native.network import native_built
from hpsearch.space.execution import Training
from hpsearch.space.mlp import MLPConfig
from hpsearch.spec.dump import dump_sweep
from hpsearch.spec.sweep import Sweep
from hpsearch.store.facts import Identity
from hpsearch.store.provenance import identify, make_recipe
from hpsearch.store.trials import best_execution
from hpsearch.training.mlps import MLPs, mlp_trainer
from hpsearch.training.subjects import ModelSubject, Needs
from hpsearch.training.trainer import TrainerRequest

_NOT_BUILT = (
    "hpsearch was installed without its native trainer in C, so TensorFlow trains everything, "
    "which takes several times as long; with a C compiler and Python's headers, install it again: "
    "pip install --force-reinstall --no-deps --no-cache-dir hpsearch"
)
_START_SECONDS = 3.0
#: A multiplication and an addition for the outputs, the weights' and the inputs' gradients.
_OPERATIONS_PER_WEIGHT_AND_ROW = 6


@dataclass(frozen=True)
class _Costs:
    """A trainer's costs on one core, in seconds."""

    build: float
    step: float
    operation: float
    update_of_a_weight: float


_NATIVE = _Costs(0.002, 5e-6, 1 / 80e9, 0.2e-9)
_TENSORFLOW = _Costs(0.15, 100e-6, 1 / 30e9, 0.5e-9)


@dataclass(frozen=True, kw_only=True)
class NetworkCosts(Costs):
    """Estimates the time that trainings of MLPs need."""

    problem: Problem
    rows: int
    validation_rows: int
    gpus: bool = True

    def needs(self, training: Training) -> Needs:
        return MLPs().needs(self.problem, training.values, gpus=self.gpus)

    def step_seconds(self, training: Training) -> float:
        """Estimate the seconds of one training step."""
        costs, weights = self._costs(training), self._weights(training)
        batch = min(MLPConfig(training.values).batch_size, self.rows)
        operations = _OPERATIONS_PER_WEIGHT_AND_ROW * weights * batch
        return costs.step + operations * costs.operation + weights * costs.update_of_a_weight

    def seconds(self, training: Training) -> float:
        costs = self._costs(training)
        steps = math.ceil(self.rows / MLPConfig(training.values).batch_size)
        validation = 2 * self._weights(training) * self.validation_rows * costs.operation
        epoch = steps * self.step_seconds(training) + validation
        return costs.build + training.epochs * epoch

    def _costs(self, training: Training) -> _Costs:
        return _TENSORFLOW if self.needs(training).tensorflow else _NATIVE

    def _weights(self, training: Training) -> int:
        config, outputs = MLPConfig(training.values), self.problem.target.outputs
        features = self.problem.embedding(config).width
        return config.weight_count(features, outputs) or features * 100


@dataclass(frozen=True)
class SweepModels:
    """The models of a sweep: their data, and the recipe that follows from them."""

    sweep: Sweep
    dataset: Dataset
    recipe: Recipe

    @classmethod
    def of(cls, sweep: Sweep, load: Loader | None = None) -> SweepModels:
        """Load a sweep's data, and check that the sweep fits them."""
        dataset = load_data(sweep, load)
        if not sweep.kind.is_model and sweep.data.task is None:
            dataset.require_one_label()
        return cls(sweep, dataset, make_recipe(sweep, dataset.target.task, dataset.target.outputs))

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
        problem = Problem(self.recipe, dataset.input, dataset.target)
        train, validation = len(dataset.train), len(dataset.validation)
        gpus = self.sweep.execution.devices != "none"
        return NetworkCosts(problem=problem, rows=train, validation_rows=validation, gpus=gpus)

    def estimate(
        self, trainings: Sequence[Training], workers: int, *, measure: bool
    ) -> tuple[float, float]:
        """Estimate the wall time of MLPs' trainings, as its lower and upper end.

        Args:
            measure: Time a few steps, instead of estimating them by a formula.
        """
        factor, spread = 1.0, 2.0
        if measure and trainings:
            factor, spread = _measured_factor(trainings, self.costs, self.rows.arrays), 1.4
        seconds = [factor * self.costs.seconds(training) for training in trainings]
        # In the worst case the longest training starts last.
        wall = max(sum(seconds) / workers, max(seconds, default=0.0))
        return _START_SECONDS + wall / spread, _START_SECONDS + wall * spread

    def claim(self, run: Run) -> None:
        """Claim the run's store, refusing rows of another sweep, and give its workers the data."""
        run.claim(self.identity)
        run.check_signal()
        run.executor.provide(self.rows)

    def prepared(
        self,
        run: Run,
        subject: ModelSubject,
        recipe: Recipe,
        search: SearchSpec,
        costs: Costs,
        *,
        names: Sequence[str],
    ) -> Prepared:
        """Return the search over the models; `names` are the hyperparameters in file order."""
        sweep, rows = self.sweep, self.rows
        text = dump_sweep(sweep, self.dataset.warnings)
        problem = Problem(recipe, rows.input, rows.target)
        listed = (name for point in sweep.configs for name in point)
        classes, guesses = rows.target.classes, guess_scores(self.dataset)
        facts = {"sweep": text, "classes": classes, "guesses": guesses}
        return Prepared(
            search=search,
            subject=subject,
            recipe=recipe,
            identity=self.identity,
            task=rows.target.task,
            name=sweep.name,
            columns=list(dict.fromkeys([*names, *listed])),
            costs=costs,
            sweep=sweep,
            text=text,
            keeps=None if sweep.keep == "all" else run.settings.keep,
            tuner=partial(TunerSpec, search, subject, problem),
            profile=profile(self.dataset),
            facts={name: value for name, value in facts.items() if value},
            finish=lambda engine: self._keep_best(run, subject, engine),
        )

    def _keep_best(self, run: Run, subject: ModelSubject, engine: Engine) -> None:
        ledger, settings = engine.ledger, run.settings
        best = best_execution(ledger.stored, ledger.results, ledger.recipe.goal)
        if best is None or not (settings.model or settings.weights):
            return
        retrainer = Retrainer(run.executor, subject, ledger.recipe, self.rows, run.check_signal)
        keeper = BestModel(run.where, ledger.store, retrainer, self.sweep.layer_types)
        result = ledger.results[best[0].number]
        if settings.model:
            run.warn(keeper.save(best[0], result, ledger.kept))
        else:
            run.warn(keeper.keep(best[0], result))


def read_models(sweep: Sweep, load: Loader | None, run: Run) -> SweepModels:
    """Load a sweep's data for a run, and show warnings of both."""
    models = SweepModels.of(sweep, load)
    for warning in (*sweep.warnings, *models.dataset.warnings):
        run.warn(warning)
    return models


def prepare_mlps(sweep: Sweep, load: Loader | None, run: Run) -> Prepared:
    """Load the data, and claim the store, refusing rows of another sweep."""
    models = read_models(sweep, load, run)
    if not native_built():
        run.warn(_NOT_BUILT)
    models.claim(run)
    recipe, names, search = models.recipe, tuple(sweep.parameters), SearchSpec.of(sweep)
    return models.prepared(run, MLPs(), recipe, search, models.costs, names=names)


#: Steps of an epoch to time.
_STEPS = 50


def _measured_factor(trainings: Sequence[Training], costs: NetworkCosts, arrays: Arrays) -> float:
    """Return the median ratio of measured to estimated time of three trainings' steps."""
    if any(costs.needs(training).tensorflow for training in trainings):
        import tensorflow as tf  # slow to import

        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    ordered = sorted(trainings, key=costs.step_seconds)
    chosen = (ordered[0], ordered[len(ordered) // 2], ordered[-1])
    return median(_measured(t, costs.problem, arrays) / costs.step_seconds(t) for t in chosen)


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
