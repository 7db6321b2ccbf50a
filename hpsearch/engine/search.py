"""Make a search from a sweep, of MLPs or of a custom model."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from hpsearch.engine.planning import Trials
from hpsearch.errors import InputError
from hpsearch.models.problem import Problem, Recipe
from hpsearch.search.draws import draws
from hpsearch.search.methods import make_strategy
from hpsearch.search.strategy import Past, Strategy
from hpsearch.space.execution import Execution, Repetition
from hpsearch.space.space import Config, Space
from hpsearch.spec.checks import MOST_POINTS
from hpsearch.spec.keys import Budget, SeedRace, SweepFields
from hpsearch.spec.method import MethodSpec
from hpsearch.training.subjects import ModelSubject

#: Most trials to count of a search that only time ends.
_MOST_DRAWN = 1_000
#: Most trials of a program to count.
_MOST_OF_PROGRAMS = 100_000


@dataclass(frozen=True)
class SearchSpec:
    """A space and how to search it.

    Attributes:
        listed: Configs to try first.
        repetitions: The seeds and folds of every config.
        limit: Upper bound on the trials, or None.
        seed: Seed of the proposals.
        race: How configs compete for further seeds, or None.
        budget: Further ends of the search than the limit, or None.
    """

    method: MethodSpec
    space: Space
    listed: tuple[Config, ...]
    repetitions: tuple[Repetition, ...]
    limit: int | None
    seed: int
    race: SeedRace | None = None
    budget: Budget | None = None

    @classmethod
    def of(cls, sweep: SweepFields) -> SearchSpec:
        """Return the search of a sweep over MLPs or a program."""
        return cls(**{field.name: getattr(sweep, field.name) for field in fields(cls)})


@dataclass(frozen=True)
class TunerSpec:
    """The parts of a tuner, as plain data."""

    search: SearchSpec
    subject: ModelSubject
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


def strategy_of(search: SearchSpec, recipe: Recipe) -> Strategy | None:
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
    """Return the configs to try first, completed from `defaults`."""
    listed = []
    for index, values in enumerate(configs):
        config = space.config({**defaults, **values})
        if config is None:
            raise InputError(f"{where}configs[{index}]: it breaks a constraint")
        listed.append(config)
    return tuple(listed)


def require_end(method: MethodSpec, budget: Mapping[str, Any]) -> None:
    """Check that something ends the search; `budget` has the keys of a file, None for no value."""
    given = (budget.get(name) for name in ("trials", "time", "patience"))
    if all(value is None for value in given) and not method.exhausts:
        raise InputError(f"trials: method {method.name} needs trials, time_seconds or a patience")


def foresee(search: SearchSpec, stored: Sequence[Execution]) -> tuple[list[Execution], bool]:
    """Return the first executions of a search, and whether they are all, without running it.

    For a method that needs scores, return the executions of one random draw.
    """
    fixed = search.method.draws
    method = search.method.name if fixed else "random"
    # A model's grid without a budget has no more points than MOST_POINTS.
    whole = MOST_POINTS + 1 if search.space.kind.has_budget else _MOST_OF_PROGRAMS
    most = whole if search.method.exhausts else _MOST_DRAWN
    limit = (search.limit or most) if fixed else 1
    listed = {config.id for config in search.listed}
    trials = Trials(search.space, listed, search.repetitions, stored=stored, limit=limit)
    configs = {execution.config.id: execution.config for execution in trials.current}
    executions = [*trials.current, *trials.new(configs.values(), search.repetitions)]
    drawn = draws(method, search.space, search.listed, search.seed)
    for config in itertools.chain(search.listed, drawn):
        if trials.spent:
            break
        executions += trials.new([config], search.repetitions)
    return executions, search.limit is not None or not trials.spent
