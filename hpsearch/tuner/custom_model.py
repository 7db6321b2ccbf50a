"""Load the data, recipe and hyperparameters of a sweep over MLPs or a custom model."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace

import numpy as np

from hpsearch.data.dataset import Dataset, Split
from hpsearch.data.loading import Loader, load_dataset
from hpsearch.data.specs import Arrays, Task, TrainingData
from hpsearch.errors import InputError
from hpsearch.models import preprocessing
from hpsearch.models.problem import Recipe
from hpsearch.models.shipping import CustomModel, ModelHyperparameters
from hpsearch.spec.data import DataSpec
from hpsearch.spec.sweep import Sweep
from hpsearch.store.provenance import make_recipe
from hpsearch.tuner.best_model import Retrainer, one_worker
from hpsearch.tuner.search import Search, model_search
from hpsearch.wording import did_you_mean
from hpsearch.workers.calls import find_in
from hpsearch.workers.protocol import Call

#: hpsearch compiles a model with these if its builder does not compile it.
_COMPILING = ("optimizer", "learning_rate", "momentum", "weight_decay")


@dataclass(frozen=True)
class LoaderWithModel:
    """A loader that also carries the custom model of a Python program.

    Attributes:
        rows: Loads the rows; None reads the sweep's `data:`.
    """

    rows: Loader | None
    model: CustomModel

    def __call__(self, spec: DataSpec) -> Dataset:
        """Load the rows."""
        return (self.rows or load_dataset)(spec)


def load_data(sweep: Sweep, loader: Loader | None = None) -> Dataset:
    """Load a sweep's data; for a custom model, targets keep their own units.

    Args:
        loader: Loads the rows; None reads the sweep's `data:`.
    """
    dataset = (loader or load_dataset)(sweep.data)
    if dataset.input.parts and not isinstance(sweep.model, str):
        raise InputError(
            f"{dataset.name}: x is {len(dataset.input.parts)} inputs, and hpsearch's own MLPs have "
            "one; give a model of your own (model=build, in a file model: package.module:build), "
            "or one array or table"
        )
    return _for_custom_model(dataset) if isinstance(sweep.model, str) else dataset


def _for_custom_model(dataset: Dataset) -> Dataset:
    # Without indicators of missing numbers, the model's input is as wide as the rows.
    plain = replace(dataset, input=replace(dataset.input, indicators=()))
    return _in_own_units(replace(plain, folds=tuple(map(_for_custom_model, dataset.folds))))


def _in_own_units(dataset: Dataset) -> Dataset:
    target = dataset.target
    if target.task is not Task.REGRESSION:
        return dataset
    std, mean = np.array(target.std), np.array(target.mean)

    def restored(split: Split) -> Split:
        return replace(split, y=np.asarray(split.y * std + mean, np.float32))

    return replace(
        dataset,
        target=replace(target, mean=(0.0,) * target.outputs, std=(1.0,) * target.outputs),
        train=restored(dataset.train),
        validation=restored(dataset.validation),
        test=None if dataset.test is None else restored(dataset.test),
    )


def training_data(loaded: Dataset, sweep: Sweep) -> TrainingData:
    """Return the features, targets and weights of a dataset, and of each of its folds.

    Raises:
        DataError: The sweep gives a weight to a class that does not exist.
    """
    folds = tuple(training_data(fold, sweep) for fold in loaded.folds)
    if folds:
        return replace(folds[0], folds=folds)
    return TrainingData(loaded.input, loaded.target, _arrays(loaded, sweep))


def _arrays(loaded: Dataset, sweep: Sweep) -> Arrays:
    train, validation = loaded.train, loaded.validation
    rows = loaded.input
    encoded = rows.mean or rows.scale or rows.fill or rows.columns
    if loaded.target.task is not Task.OWN or encoded:
        # A custom model gets rows in their original shape.
        shaped = isinstance(sweep.model, str)
        return preprocessing.arrays(loaded, sweep.class_weight, shaped=shaped)
    assert not isinstance(train.x, dict)
    assert not isinstance(validation.x, dict)
    return Arrays(train.x, train.y, validation.x, validation.y, train.weights, validation.weights)


def recipe_of(sweep: Sweep, task: Task, loader: Loader | None) -> Recipe:
    """Return the sweep's recipe, with the code of a model that the loader carries."""
    recipe = make_recipe(sweep, task)
    if not isinstance(loader, LoaderWithModel):
        return recipe
    model = loader.model
    late = model.late or recipe.late
    tolerant, summed = model.tolerant, model.summed
    return replace(recipe, code=model.code, late=late, tolerant=tolerant, summed=summed)


def find_hyperparameters(
    sweep: Sweep, recipe: Recipe, retrainer: Retrainer, loader: Loader | None = None
) -> ModelHyperparameters:
    """Return the hyperparameters of the sweep's model; if unknown, a worker builds it.

    Raises:
        InputError: It cannot be loaded or built.
    """
    if isinstance(loader, LoaderWithModel) and loader.model.found is not None:
        return loader.model.found
    given = tuple(spec.parameter(name) for name, spec in sweep.parameters.items())
    called = retrainer.ask(Call(find_in, (recipe, given), with_data=True, timed=True))
    if called.ended:
        raise InputError(f"{sweep.model}: when it was built before the first trial, {called.error}")
    if called.error:
        raise InputError(called.error)
    assert isinstance(called.value, ModelHyperparameters)
    return called.value


def unused_parameters(sweep: Sweep, found: ModelHyperparameters) -> list[str]:
    """Return a warning for each parameter of the sweep that the model never asked for."""
    known = {*found.defaults, *found.read, "epochs", "batch_size", *_COMPILING}
    return [
        f"parameters.{name}: the model never asked for it{did_you_mean(name, known)}"
        for name in sweep.parameters
        if name not in known
    ]


def plan_search(sweep: Sweep) -> Search:
    """Return a sweep's search without running it; a worker builds a custom model.

    Raises:
        InputError: The data cannot be read, the model cannot be built, or the sweep does not fit.
        Interrupted: A signal arrived.
    """
    if not isinstance(sweep.model, str):
        return Search.of(sweep)
    with tempfile.TemporaryFile("a", encoding="utf-8") as log, one_worker(log) as (executor, check):
        dataset = load_data(sweep)
        recipe = make_recipe(sweep, dataset.target.task)
        rows = training_data(dataset, sweep)
        executor.provide(rows)
        retrainer = Retrainer(executor, recipe, rows, check)
        return model_search(sweep, find_hyperparameters(sweep, recipe, retrainer))
