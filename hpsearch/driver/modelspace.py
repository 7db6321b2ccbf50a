"""A model of the user's own in a sweep: its data, what it asks for, and the search over that.

The driver imports no TensorFlow: a worker builds the model, and says what it asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hpsearch import data
from hpsearch.constraints import parse
from hpsearch.data.dataset import Split
from hpsearch.driver.again import Again
from hpsearch.driver.planners import Search
from hpsearch.driver.recipe import make_recipe
from hpsearch.errors import HpsearchError, InputError
from hpsearch.executors.base import Call
from hpsearch.space import Config, Space
from hpsearch.sweep import Sweep
from hpsearch.sweep.checks import MOST_POINTS
from hpsearch.sweep.wording import did_you_mean
from hpsearch.trial import Recipe, Task
from hpsearch.usermodel.finding import find_in
from hpsearch.usermodel.found import Found, OwnModel, space_of

#: What hpsearch compiles a model by that is not compiled.
_COMPILING = ("optimizer", "learning_rate", "momentum", "weight_decay")

#: Of the store's meta: `Recipe.asked`.
ASKED = "asked"

__all__ = ["ASKED", "AtHand", "find", "load", "recipe_of", "search_of", "unused"]


@dataclass(frozen=True)
class AtHand:
    """Rows and a model that are in the memory of a Python program, as a loader.

    Attributes:
        rows: Gives the rows; None reads what `data:` names.
        model: Built by the sweep's `model`.
    """

    rows: data.Loader | None
    model: OwnModel

    def __call__(self, spec: data.DataSpec) -> data.Dataset:
        """The dataset that a sweep makes of them."""
        return (self.rows or data.load)(spec)


def recipe_of(sweep: Sweep, task: Task, loader: data.Loader | None) -> Recipe:
    """The sweep's recipe, with the code of a model that is at hand."""
    recipe = make_recipe(sweep, task)
    if not isinstance(loader, AtHand):
        return recipe
    return replace(recipe, code=loader.model.code, late=loader.model.late or recipe.late)


def load(sweep: Sweep, loader: data.Loader | None = None) -> data.Dataset:
    """The sweep's data; for a model of one's own with the targets as they are.

    Args:
        loader: Gives the rows; None reads what `data:` names.
    """
    dataset = (loader or data.load)(sweep.data)
    return _as_they_are(dataset) if isinstance(sweep.model, str) else dataset


def _as_they_are(dataset: data.Dataset) -> data.Dataset:
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


def find(sweep: Sweep, recipe: Recipe, again: Again, loader: data.Loader | None = None) -> Found:
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
    if not isinstance(called.value, Found):
        raise HpsearchError("the worker that builds the model gave nothing")
    return called.value


def search_of(sweep: Sweep, found: Found) -> Search:
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
                f"method: a grid needs a list of values or a step, and the model's "
                f"{parameter.name!r} has neither: give parameters: {{{parameter.name}: "
                "{values: [...]}}, or a step where the model asks for it"
            )


def _listed(sweep: Sweep, found: Found, space: Space) -> tuple[Config, ...]:
    """The configs to try first; what one leaves open is the model's default."""
    first: Mapping[str, Any] = {
        parameter.name: parameter.at(0.0)
        if parameter.name in sweep.parameters or parameter.name not in found.defaults
        else found.defaults[parameter.name]
        for parameter in space.parameters
    }
    listed = []
    for index, config in enumerate(sweep.configs):
        made = space.config({**first, **config})
        if made is None:
            raise InputError(f"{sweep.name}: configs[{index}]: it breaks a constraint")
        listed.append(made)
    return tuple(listed)


def unused(sweep: Sweep, found: Found) -> list[str]:
    """What the file names and no build asked for: one warning each."""
    known = {*found.defaults, *found.read, "epochs", "batch_size", *_COMPILING}
    return [
        f"parameters.{name}: the model never asked for it{did_you_mean(name, known)}"
        for name in sweep.parameters
        if name not in known
    ]
