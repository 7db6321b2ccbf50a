"""A sweep over a model of the user's own: its data, its hyperparameters, its search."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hpsearch.data.dataset import Dataset, Split
from hpsearch.data.loading import Loader, load_dataset
from hpsearch.data.specs import Arrays, InputSpec, Task, TrainingData
from hpsearch.errors import HpsearchError, InputError, Interrupted
from hpsearch.models import preprocessing
from hpsearch.models.problem import Recipe
from hpsearch.models.shipping import CustomModel, ModelHyperparameters, space_of
from hpsearch.space.constraints import parse
from hpsearch.space.space import GRID_NEEDS, Config, Space
from hpsearch.spec.checks import MOST_POINTS
from hpsearch.spec.data import DataSpec
from hpsearch.spec.sweep import Sweep
from hpsearch.store.provenance import make_recipe
from hpsearch.tuner.best_model import Retrainer
from hpsearch.tuner.learning import Search, listed_configs
from hpsearch.tuner.settings import Stop, signals
from hpsearch.wording import did_you_mean
from hpsearch.workers.calls import find_in
from hpsearch.workers.local import LocalExecutor
from hpsearch.workers.protocol import Call
from hpsearch.workers.servers import Servers


def training_data(loaded: Dataset, sweep: Sweep) -> TrainingData:
    """Features, targets and weights of a loaded dataset, fold by fold where it has folds.

    Raises:
        DataError: The sweep weighs a class that there is not.
    """
    if not loaded.folds:
        return TrainingData(loaded.input, loaded.target, _arrays(loaded, sweep))
    folds = tuple(training_data(fold, sweep) for fold in loaded.folds)
    return replace(folds[0], folds=folds)


def _arrays(loaded: Dataset, sweep: Sweep) -> Arrays:
    """Of a split; a model of one's own gets rows in their own shape."""
    train, validation = loaded.train, loaded.validation
    if loaded.target.task is not Task.OWN or _is_encoded(loaded.input) or train.weights is not None:
        shaped = isinstance(sweep.model, str)
        return preprocessing.arrays(loaded, sweep.class_weight, shaped=shaped)
    assert not isinstance(train.x, dict)
    assert not isinstance(validation.x, dict)
    return Arrays(train.x, train.y, validation.x, validation.y)


def _is_encoded(spec: InputSpec) -> bool:
    return bool(spec.mean or spec.scale or spec.columns)


#: What hpsearch compiles a model by that is not compiled.
_COMPILING = ("optimizer", "learning_rate", "momentum", "weight_decay")

#: Of the store's meta: `Recipe.asked`.
ASKED = "asked"


@dataclass(frozen=True)
class AtHand:
    """Rows and a model that are in the memory of a Python program, as a loader.

    Attributes:
        rows: Gives the rows; None reads what `data:` names.
        model: Built by the sweep's `model`.
    """

    rows: Loader | None
    model: CustomModel

    def __call__(self, spec: DataSpec) -> Dataset:
        """The dataset that a sweep makes of them."""
        return (self.rows or load_dataset)(spec)


def recipe_of(sweep: Sweep, task: Task, loader: Loader | None) -> Recipe:
    """The sweep's recipe, with the code of a model that is at hand."""
    recipe = make_recipe(sweep, task)
    if not isinstance(loader, AtHand):
        return recipe
    return replace(recipe, code=loader.model.code, late=loader.model.late or recipe.late)


def load_data(sweep: Sweep, loader: Loader | None = None) -> Dataset:
    """The sweep's data; for a model of one's own with the targets as they are.

    Args:
        loader: Gives the rows; None reads what `data:` names.
    """
    dataset = (loader or load_dataset)(sweep.data)
    return _as_they_are(dataset) if isinstance(sweep.model, str) else dataset


def _as_they_are(dataset: Dataset) -> Dataset:
    """With targets in their own units."""
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
        folds=tuple(map(_as_they_are, dataset.folds)),
    )


def find_hyperparameters(
    sweep: Sweep, recipe: Recipe, again: Retrainer, loader: Loader | None = None
) -> ModelHyperparameters:
    """What the sweep's model asks for: known already, or found by building it in a worker.

    Raises:
        InputError: It cannot be loaded or built.
    """
    if isinstance(loader, AtHand) and loader.model.found is not None:
        return loader.model.found
    given = tuple(spec.parameter(name) for name, spec in sweep.parameters.items())
    called = again.ask(Call(find_in, (recipe, given), with_data=True))
    if called.error:
        raise InputError(called.error)
    if not isinstance(called.value, ModelHyperparameters):
        raise HpsearchError("the worker that builds the model gave nothing")
    return called.value


def model_search(sweep: Sweep, found: ModelHyperparameters) -> Search:
    """The search of a sweep over what its model asks for.

    Raises:
        InputError: The sweep's parameters, constraints or configs do not fit the model, or the
            method does not fit the space.
    """
    given = [spec.parameter(name) for name, spec in sweep.parameters.items()]
    space = space_of(found, given, map(parse, sweep.constraints))
    faults = list(_faults(sweep, space))
    if faults:
        raise InputError("\n".join(f"{sweep.name}: {fault}" for fault in faults))
    return replace(Search.of(sweep), space=space, listed=_listed(sweep, found, space))


def _faults(sweep: Sweep, space: Space) -> Iterator[str]:
    yield from _unknown_names(sweep, space)
    try:
        space.config({})
    except ValueError as error:
        yield f"parameters: {error}"
    if sweep.method.enumerates:
        yield from _endless(space)
    points = space.cardinality()
    if sweep.method.name == "grid" and sweep.budget is None and (points or 0) > MOST_POINTS:
        yield (
            f"method: a grid of {points:,} points; above {MOST_POINTS:,} it needs budget.trials, "
            "or method: random"
        )
    if sweep.method.name in ("hyperband", "asha") and "epochs" not in space.names:
        yield (
            f"method: {sweep.method.name} halts trainings at epochs, and the model's own fit is "
            "told none: give parameters: {epochs: 27}"
        )


def _unknown_names(sweep: Sweep, space: Space) -> Iterator[str]:
    for parameter in space.parameters:
        for parent in parameter.when:
            if parent not in space.names:
                hint = did_you_mean(parent, space.names)
                yield (
                    f"parameters.{parameter.name}.when: {parent!r} is no hyperparameter of the "
                    f"model{hint}"
                )
    for index, constraint in enumerate(space.constraints):
        for name in sorted(constraint.names - set(space.names)):
            yield (
                f"constraints[{index}]: {name!r} is no hyperparameter of the model"
                f"{did_you_mean(name, space.names)}"
            )
    for index, config in enumerate(sweep.configs):
        for name in config:
            if name not in (*space.names, "batch_size", "epochs"):
                yield (
                    f"configs[{index}]: {name!r} is no hyperparameter of the model"
                    f"{did_you_mean(name, space.names)}"
                )


def _endless(space: Space) -> Iterator[str]:
    for parameter in space.parameters:
        if parameter.choices is None:
            yield (
                f"method: {GRID_NEEDS}, and the model's {parameter.name!r} has neither: give "
                f"parameters: {{{parameter.name}: {{values: [...]}}}}, or a step where the "
                "model asks for it"
            )


def _listed(sweep: Sweep, found: ModelHyperparameters, space: Space) -> tuple[Config, ...]:
    """The configs to try first; what one leaves open is the model's default."""
    first: Mapping[str, Any] = {
        parameter.name: parameter.at(0.0)
        if parameter.name in sweep.parameters or parameter.name not in found.defaults
        else found.defaults[parameter.name]
        for parameter in space.parameters
    }
    return listed_configs(space, sweep.configs, first, f"{sweep.name}: ")


def unused_parameters(sweep: Sweep, found: ModelHyperparameters) -> list[str]:
    """What the file names and no build asked for: one warning each."""
    known = {*found.defaults, *found.read, "epochs", "batch_size", *_COMPILING}
    return [
        f"parameters.{name}: the model never asked for it{did_you_mean(name, known)}"
        for name in sweep.parameters
        if name not in known
    ]


def prospect(sweep: Sweep) -> Search:
    """The search, after a worker has built the model; it writes nothing.

    Raises:
        InputError: The data cannot be read, the model not be built, or the sweep does not fit it.
        Interrupted: A signal came.
    """
    stop = Stop()

    def check() -> None:
        if stop.signal is not None:
            raise Interrupted(stop.signal)

    with tempfile.TemporaryFile("a", encoding="utf-8") as log, signals(stop), Servers(log) as both:
        dataset = load_data(sweep)
        recipe = make_recipe(sweep, dataset.target.task)
        with LocalExecutor(both, 1) as executor:
            rows = training_data(dataset, sweep)
            executor.provide(rows)
            again = Retrainer(executor, recipe, dataset=rows, check=check)
            return model_search(sweep, find_hyperparameters(sweep, recipe, again))
