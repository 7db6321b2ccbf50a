"""Make a search from a sweep, from a custom model's sweep, or from a function's parameters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hpsearch.errors import ConstraintError, InputError
from hpsearch.models.problem import Problem, Recipe
from hpsearch.models.shipping import ModelHyperparameters, space_of
from hpsearch.search.asking import Past
from hpsearch.search.methods import make_strategy
from hpsearch.search.prior import KNOWN, is_known
from hpsearch.search.strategy import Strategy
from hpsearch.space.constraints import parse
from hpsearch.space.execution import Repetition
from hpsearch.space.kinds import Kind
from hpsearch.space.space import GRID_NEEDS, Config, Parameter, Space
from hpsearch.spec.checks import MOST_POINTS, unknown_names
from hpsearch.spec.hyperparameters import ANYTHING, HYPERPARAMETERS
from hpsearch.spec.method import CONFIGS, METHODS, MethodSpec, parse_method
from hpsearch.spec.parameters import parse_parameter
from hpsearch.spec.rules import InvalidValue
from hpsearch.spec.settings import SeedRace, SweepFields
from hpsearch.spec.sweep import Sweep
from hpsearch.spec.yaml import key_path
from hpsearch.wording import listing

_HALVING = ("hyperband", "asha")


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


def _listed(
    space: Space, configs: Sequence[Mapping[str, Any]], defaults: Mapping[str, Any], where: str = ""
) -> tuple[Config, ...]:
    """The configs to try first, completed from `defaults`."""
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
    given = [spec.parameter(name) for name, spec in sweep.parameters.items()]
    space = space_of(found, given, map(parse, sweep.constraints))
    # A config may name these two even if the model never requests them.
    configs = [config.keys() - {"batch_size", "epochs"} for config in sweep.configs]
    unknown = (f"{key_path(loc)}: {message}" for loc, message in unknown_names(space, configs))
    faults = [*unknown, *_unfit(sweep, space)]
    if faults:
        raise InputError("\n".join(f"{sweep.name}: {fault}" for fault in faults))
    own_defaults = {n: v for n, v in found.defaults.items() if n not in sweep.parameters}
    defaults = {p.name: own_defaults.get(p.name, p.at(0.0)) for p in space.parameters}
    listed = _listed(space, sweep.configs, defaults, f"{sweep.name}: ")
    return replace(Search.of(sweep), space=space, listed=listed)


def _unfit(sweep: Sweep, space: Space) -> Iterator[str]:
    try:
        space.config({})
    except ValueError as error:
        yield f"parameters: {error}"
    for name in _continuous(space) if sweep.method.enumerates else ():
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
    if sweep.method.name in _HALVING and "epochs" not in space.names:
        yield (
            f"method: {sweep.method.name} halts trainings at epochs, and the sweep gives the "
            "model's own fit none: add parameters: {epochs: 27}"
        )


def _continuous(space: Space) -> list[str]:
    return [parameter.name for parameter in space.parameters if parameter.choices is None]


def function_search(
    parameters: Mapping[str, Any],
    method: str | Mapping[str, Any],
    kind: Kind,
    *,
    constraints: Sequence[str] = (),
    configs: Sequence[Mapping[str, Any]] = (),
    trials: int | None = None,
    time_seconds: float | None = None,
    seed: int = 0,
    prior: str | None = None,
) -> Search:
    """Return the search of a function over parameters, written as in a sweep file.

    Raises:
        InputError: A parameter, a constraint, a config or the method cannot be used, or nothing
            ends the search.
    """
    space = _function_space(parameters, constraints, configs, kind)
    if prior is not None:
        options = {"name": method} if isinstance(method, str) else dict(method)
        # Methods without a prior do not use it.
        if prior != "none" or "prior" in METHODS.get(str(options.get("name")), {}):
            method = {**options, "prior": prior}
    chosen = _function_method(method, space, configs)
    first = {parameter.name: parameter.at(0.0) for parameter in space.parameters}
    listed = _listed(space, configs, first)
    if trials is not None and (isinstance(trials, bool) or trials < 1):
        raise InputError(f"trials: must be at least 1, not {trials}")
    require_end(chosen, trials, time_seconds)
    return Search(chosen, space, listed, (Repetition(0),), trials, seed)


def _function_space(
    parameters: Mapping[str, Any],
    constraints: Sequence[str],
    configs: Sequence[Mapping[str, Any]],
    kind: Kind,
) -> Space:
    if not isinstance(parameters, Mapping) or not parameters:
        raise InputError("parameters: must be a mapping of names to their values, and not empty")
    found = tuple(_function_parameter(str(name), raw) for name, raw in parameters.items())
    try:
        space = Space(found, tuple(map(parse, constraints)), kind)
    except ConstraintError as error:
        raise InputError(f"constraints: {error}") from None
    for loc, message in unknown_names(space, further=[n for config in configs for n in config]):
        raise InputError(f"{key_path(loc)}: {message}")
    try:
        space.config({})
    except ValueError as error:
        raise InputError(f"parameters: {error}") from None
    return space


def _function_parameter(name: str, raw: Any) -> Parameter:
    rule = HYPERPARAMETERS["epochs"] if name == "epochs" else ANYTHING
    try:
        return parse_parameter(rule, raw).parameter(name)
    except InvalidValue as error:
        place, message = error.faults[0]
        path = ".".join(map(str, (name, *place)))
        raise InputError(f"parameters.{path}: {message}") from None


def _function_method(
    method: str | Mapping[str, Any], space: Space, configs: Sequence[Mapping[str, Any]]
) -> MethodSpec:
    if method == CONFIGS and configs:
        return MethodSpec(CONFIGS)
    try:
        spec = parse_method(method)
    except InvalidValue as error:
        raise InputError(f"method: {error}") from None
    if spec.enumerates and (continuous := _continuous(space)):
        raise InputError(f"parameters.{continuous[0]}: {GRID_NEEDS}")
    varied = [parameter.name for parameter in space.parameters if parameter.varies]
    if spec.options.get("prior") == "mlp" and not any(map(is_known, varied)):
        raise InputError(
            f"prior: mlp tells nothing of {listing(varied)}; it knows hyperparameters of MLPs "
            f"by their names in a sweep file: {listing(KNOWN)}"
        )
    if spec.name in _HALVING:
        if not space.kind.has_budget:
            raise InputError(
                f"method: {spec.name} halts trainings between epochs: the objective must be a "
                "generator function that yields a score after each epoch"
            )
        if "epochs" not in space.names:
            raise InputError(f"parameters: {spec.name} needs epochs, such as epochs: 27")
    return spec


def require_end(method: MethodSpec, trials: int | None, time_seconds: float | None) -> None:
    """Check that the search ends.

    Raises:
        InputError: Nothing ends it.
    """
    if trials is None and time_seconds is None and not method.exhausts:
        raise InputError(f"trials: method {method.name} needs trials, or time_seconds")
