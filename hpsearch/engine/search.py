"""Make a search from a sweep, of MLPs or of a custom model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hpsearch.errors import InputError
from hpsearch.models.problem import Problem, Recipe
from hpsearch.models.shipping import ModelHyperparameters, space_of
from hpsearch.search.asking import Past
from hpsearch.search.methods import make_strategy
from hpsearch.search.strategy import Strategy
from hpsearch.space.constraints import parse
from hpsearch.space.execution import Repetition
from hpsearch.space.space import GRID_NEEDS, Config, Space
from hpsearch.spec.checks import MOST_POINTS, unknown_names
from hpsearch.spec.method import MethodSpec
from hpsearch.spec.settings import SeedRace, SweepFields
from hpsearch.spec.sweep import Sweep
from hpsearch.spec.yaml import key_path


@dataclass(frozen=True)
class Search:
    """A space and how to search it.

    Attributes:
        listed: Configs to try first.
        repetitions: The seeds and folds of every config.
        limit: Upper bound on the trials, or None.
        seed: Seed of the proposals.
        race: How configs compete for further seeds, or None.
    """

    method: MethodSpec
    space: Space
    listed: tuple[Config, ...]
    repetitions: tuple[Repetition, ...]
    limit: int | None
    seed: int
    race: SeedRace | None = None

    @classmethod
    def of(cls, sweep: SweepFields) -> Search:
        """Return the search of a sweep over MLPs or a program."""
        return cls(
            method=sweep.method,
            space=sweep.space,
            listed=sweep.listed,
            repetitions=sweep.repetitions,
            limit=sweep.limit,
            seed=sweep.seed,
            race=sweep.race,
        )


@dataclass(frozen=True)
class TunerSpec:
    """The parts of a tuner, as plain data.

    Attributes:
        problem: The task of the models.
        past: The configs and outcomes of earlier runs.
    """

    search: Search
    problem: Problem
    past: Past


def _kinds_of(recipe: Recipe) -> tuple[str, ...]:
    """Return the prior's kinds of the scores; empty for a function or a custom model.

    Source: Keras' names of losses.
    """
    if not recipe.loss:
        return ()
    if not recipe.loss.endswith(("crossentropy", "hinge")):
        return ("error",)
    return ("loss",) if recipe.metric.endswith("loss") else ("accuracy",)


def strategy_of(search: Search, recipe: Recipe) -> Strategy | None:
    """Return the strategy of a search; None if the user's oracle proposes."""
    if search.method.is_oracle:
        return None
    return make_strategy(
        search.method,
        search.space,
        search.listed,
        goal=recipe.goal,
        seed=search.seed,
        trials=search.limit,
        kinds=_kinds_of(recipe),
    )


def listed_configs(
    space: Space, configs: Sequence[Mapping[str, Any]], defaults: Mapping[str, Any], where: str = ""
) -> tuple[Config, ...]:
    """Return the configs to try first, completed from `defaults`.

    Raises:
        InputError: One breaks a constraint.
    """
    listed = []
    for index, values in enumerate(configs):
        config = space.config({**defaults, **values})
        if config is None:
            raise InputError(f"{where}configs[{index}]: it breaks a constraint")
        listed.append(config)
    return tuple(listed)


def model_search(sweep: Sweep, found: ModelHyperparameters) -> Search:
    """Return the search of a sweep over the hyperparameters of its custom model.

    Raises:
        InputError: The sweep's parameters, constraints or configs do not fit the model, or the
            method does not fit the space.
    """
    space = space_of(found, [*sweep.parameters.values()], map(parse, sweep.constraints))
    # A config may name these two even if the model never requests them.
    configs = [config.keys() - {"batch_size", "epochs"} for config in sweep.configs]
    unknown = (f"{key_path(loc)}: {message}" for loc, message in unknown_names(space, configs))
    faults = [*unknown, *_unfit(sweep, space)]
    if faults:
        raise InputError("\n".join(f"{sweep.name}: {fault}" for fault in faults))
    own_defaults = {n: v for n, v in found.defaults.items() if n not in sweep.parameters}
    defaults = {p.name: own_defaults.get(p.name, p.at(0.0)) for p in space.parameters}
    listed = listed_configs(space, sweep.configs, defaults, f"{sweep.name}: ")
    return replace(Search.of(sweep), space=space, listed=listed)


def _unfit(sweep: Sweep, space: Space) -> Iterator[str]:
    try:
        space.config({})
    except ValueError as error:
        yield f"parameters: {error}"
    for name in continuous_in(space) if sweep.method.enumerates else ():
        yield (
            f"method: {GRID_NEEDS}, and the model's {name!r} has neither: give parameters: "
            f"{{{name}: {{values: [...]}}}}, or a step where the model asks for it"
        )
    points = space.cardinality()
    if sweep.method.name == "grid" and sweep.budget is None and (points or 0) > MOST_POINTS:
        yield (
            f"method: a grid of {points:,} points; above {MOST_POINTS:,} it needs budget.trials, "
            "or method: random"
        )
    if sweep.method.halves and "epochs" not in space.names:
        yield (
            f"method: {sweep.method.name} halts trainings at epochs, and the sweep gives the "
            "model's own fit none: add parameters: {epochs: 27}"
        )


def continuous_in(space: Space) -> list[str]:
    """Return the names of the parameters without a list of values."""
    return [parameter.name for parameter in space.parameters if parameter.choices is None]


def require_end(method: MethodSpec, trials: int | None, time_seconds: float | None) -> None:
    """Check that the search ends.

    Raises:
        InputError: Nothing ends it.
    """
    if trials is None and time_seconds is None and not method.exhausts:
        raise InputError(f"trials: method {method.name} needs trials, or time_seconds")
