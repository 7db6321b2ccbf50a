"""Load the data, recipe and hyperparameters of a sweep over MLPs or a custom model."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np

from hpsearch.data.assembly import read_as
from hpsearch.data.dataset import Dataset, Split
from hpsearch.data.loading import Loader, load_dataset
from hpsearch.data.specs import Arrays, Task, TrainingData, Variant, runs_in_graph
from hpsearch.errors import InputError
from hpsearch.models import preprocessing
from hpsearch.models.problem import Recipe
from hpsearch.models.shipping import CustomModel, ModelHyperparameters
from hpsearch.space.mlp import OF_ROWS, variant_of
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


def training_data(
    loaded: Dataset, sweep: Sweep, configs: Iterable[Mapping[str, Any]] = ()
) -> TrainingData:
    """Return the features, targets and weights of a dataset, and of each of its folds.

    Args:
        configs: Hyperparameters of further trainings, beside the sweep's.

    Raises:
        DataError: The sweep gives a weight to a class that does not exist.
    """
    variants = _variants(sweep, configs)
    folds = tuple(_training_data(fold, sweep, variants) for fold in loaded.folds)
    return replace(folds[0], folds=folds) if folds else _training_data(loaded, sweep, variants)


def _variants(sweep: Sweep, configs: Iterable[Mapping[str, Any]]) -> set[Variant]:
    """The ways in which the sweep's trainings prepare rows, beside that of its `data`."""
    if isinstance(sweep.model, str):
        return set()
    choices = []
    for name in OF_ROWS:
        parameter = sweep.parameters[name].parameter(name) if name in sweep.parameters else None
        values = {None} if parameter is None or parameter.when else set()
        choices.append(values | set((parameter and parameter.choices) or ()))
    chosen = (dict(zip(OF_ROWS, each, strict=True)) for each in product(*choices))
    variants = {variant_of({n: v for n, v in each.items() if v is not None}) for each in chosen}
    listed = [config.values for config in sweep.listed]
    return (variants | {variant_of(each) for each in (*listed, *configs)}) - {()}


def _training_data(loaded: Dataset, sweep: Sweep, variants: Iterable[Variant]) -> TrainingData:
    data = TrainingData(loaded.input, loaded.target, _arrays(loaded, sweep))
    known = {loaded.input: data.arrays}
    made: dict[Variant, TrainingData] = {}
    for variant in sorted(variants):
        read = read_as(loaded, None, dict(variant))
        if read.input not in known:
            # Training scales images, so all variants share their rows.
            arrays = data.arrays if runs_in_graph(read.input) else _arrays(read, sweep)
            known[read.input] = replace(
                arrays, y_train=data.arrays.y_train, y_val=data.arrays.y_val
            )
        made[variant] = replace(data, input=read.input, arrays=known[read.input])
    return replace(data, variants=made)


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
    """Return a warning for each parameter of the sweep that the model never requests.

    Raises:
        InputError: A parameter says how rows become features, which would change nothing.
    """
    known = {*found.defaults, *found.read, "epochs", "batch_size", *_COMPILING}
    for name in OF_ROWS:
        if name in sweep.parameters and name not in known:
            raise InputError(
                f"parameters.{name}: is a hyperparameter of hpsearch's own MLPs, and the model "
                f"never asked for it; with a model of your own set data.{name}, in Python {name}="
            )
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
