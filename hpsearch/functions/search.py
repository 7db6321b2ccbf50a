"""Run a search over a function."""

from __future__ import annotations

import hashlib
import inspect
import numbers
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from hpsearch.data.specs import Task
from hpsearch.engine.run import Prepared, Run
from hpsearch.engine.search import SearchSpec, listed_configs, require_end
from hpsearch.engine.session import (
    Listener,
    RunOutcome,
    Settings,
    ignore,
    require_engine,
    stack_level_of_caller,
)
from hpsearch.engine.sweep import take_steps
from hpsearch.engine.trainings import Costs
from hpsearch.errors import ConstraintError, HpsearchError, InputError
from hpsearch.functions.trial import FunctionSubject, forget_paused
from hpsearch.importing import code_digest, load_object
from hpsearch.models.problem import METRIC, Objective, Recipe
from hpsearch.search.prior import KNOWN, is_known
from hpsearch.space.constraints import parse
from hpsearch.space.execution import Repetition
from hpsearch.space.space import GRID_NEEDS, Kind, Space
from hpsearch.spec.checks import NEEDS_WHOLE, unknown_names
from hpsearch.spec.execution import ExecutionSettings
from hpsearch.spec.keys import Budget
from hpsearch.spec.method import CONFIGS, MethodSpec, parse_method
from hpsearch.spec.parameters import ANYTHING, HYPERPARAMETERS, parse_parameter
from hpsearch.spec.rules import InvalidValue
from hpsearch.spec.yaml import key_path
from hpsearch.store.facts import Identity
from hpsearch.wording import is_number, listing
from hpsearch.workers.shared import NO_ROWS

#: One more than the largest seed, as in a sweep file.
_SEEDS = 2**32


@dataclass(frozen=True)
class FunctionSearch:
    """A search over a function.

    Attributes:
        objective: Returns the scores; if there are several workers, they import it by name.
        goal: `maximize` or `minimize`.
        execution: One worker of this machine without an assigned GPU is this process.
    """

    objective: Objective
    search: SearchSpec
    goal: str
    execution: ExecutionSettings

    def run(self, settings: Settings, listener: Listener = ignore) -> RunOutcome:
        """Search to the end, without repeating trials that have results.

        Args:
            settings: Without a report, nothing is kept.
        """
        execution = self.execution
        try:
            outcome = take_steps(
                self._prepare,
                Path(),
                execution,
                replace(settings, in_process=_stays_here(execution)),
                listener,
                tensorflow=False,
                # Most functions use no GPU, and should not wait for one.
                on_devices=execution.devices != "auto",
            )
        finally:
            forget_paused(self.objective)
        if outcome.stopped:
            raise HpsearchError(f"{outcome.directory}: {outcome.stopped}")
        return outcome

    def _prepare(self, run: Run) -> Prepared:
        search = self.search
        function = _name_of(self.objective)
        identity = Identity(
            data="d" + hashlib.sha256(function.encode()).hexdigest()[:11],
            split={"function": function},
            metric=f"{METRIC}:{self.goal}:last",
            recipe={"seed": search.seed, "kind": str(search.space.kind)},
        )
        run.claim(identity)
        run.executor.provide(NO_ROWS)
        return Prepared(
            search=search,
            recipe=Recipe(search.seed, "", "", METRIC, self.goal),
            identity=identity,
            task=Task.OBJECTIVE,
            # A temporary directory's name would differ each time.
            name=run.where.path.absolute().name if run.settings.report else "optimize",
            columns=search.space.names,
            costs=Costs(),
            subject=FunctionSubject(self.objective),
            facts={"code": code_digest(self.objective)},
        )


def function_search(
    objective: Objective,
    parameters: Mapping[str, Any],
    method: str | Mapping[str, Any],
    *,
    goal: str,
    workers: int,
    execution: Mapping[str, Any] | None = None,
    timeout_seconds: float | None = None,
    constraints: Sequence[str] = (),
    configs: Sequence[Mapping[str, Any]] = (),
    budget: Mapping[str, Any],
    seed: int = 0,
) -> FunctionSearch:
    """Return the search over a function, from arguments as `hpsearch.optimize` takes them.

    Args:
        budget: The keys of a file's `budget`; those without a value are None.
    """
    if timeout_seconds is not None and not timeout_seconds > 0:
        raise InputError(f"timeout_seconds: must be above 0, not {timeout_seconds}")
    with _named("execution"):
        where = ExecutionSettings.parse({"workers": workers, **(execution or {})})
    if execution:
        require_engine(where)
    where = replace(where, timeout_seconds=timeout_seconds or where.timeout_seconds)
    _require_usable(objective, where)
    kind = Kind.STEPWISE if inspect.isgeneratorfunction(objective) else Kind.FUNCTION
    search = search_over(
        parameters,
        method,
        kind=kind,
        goal=goal,
        constraints=constraints,
        configs=configs,
        trials=budget["trials"],
        seed=seed,
    )
    _require_epochs(search.method, search.space)
    raw = {name: value for name, value in budget.items() if value is not None}
    with _named("budget"):
        limits = Budget.parse(raw) if raw else None
    require_end(search.method, budget)
    if search.method.halves and limits is not None and limits.ends_by_score:
        raise InputError(f"budget: {NEEDS_WHOLE.format(search.method.name)}")
    return FunctionSearch(objective, replace(search, budget=limits), goal, where)


def search_over(
    parameters: Mapping[str, Any],
    method: str | Mapping[str, Any],
    *,
    kind: Kind,
    goal: str,
    constraints: Sequence[str],
    configs: Sequence[Mapping[str, Any]],
    trials: int | None,
    seed: int,
) -> SearchSpec:
    """Return the search over a space, from arguments as `hpsearch.optimize` takes them."""
    if goal not in ("minimize", "maximize"):
        raise InputError(f"goal: must be minimize or maximize, not {goal!r}")
    space = _function_space(parameters, constraints, configs, kind)
    chosen = _function_method(method, space, configs)
    first = {parameter.name: parameter.at(0.0) for parameter in space.parameters}
    listed = listed_configs(space, configs, first)
    if trials is not None and not (_is_whole(trials) and trials >= 1):
        raise InputError(f"trials: must be a whole number of at least 1, not {trials!r}")
    if not _is_whole(seed) or not 0 <= seed < _SEEDS:
        raise InputError(f"seed: must be a whole number from 0 to 2**32 - 1, not {seed!r}")
    return SearchSpec(chosen, space, listed, (Repetition(0),), trials, int(seed))


def _is_whole(value: Any) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def _name_of(objective: Objective) -> str:
    """Return the module and name of a function, of the function of a partial, or of a type."""
    named: Any = objective
    while isinstance(named, partial):
        named = named.func
    if not hasattr(named, "__qualname__"):
        named = type(named)
    return f"{named.__module__}:{named.__qualname__}"


@contextmanager
def _named(*place: str) -> Iterator[None]:
    """Have the error of a value name its place."""
    try:
        yield
    except InvalidValue as error:
        loc, message = error.faults[0]
        raise InputError(f"{'.'.join(map(str, (*place, *loc)))}: {message}") from None


def _stays_here(execution: ExecutionSettings) -> bool:
    """Check if the function is called in this process."""
    alone = execution.engine == "local" and execution.workers == 1
    return alone and execution.devices == "auto"


def _require_usable(objective: Objective, execution: ExecutionSettings) -> None:
    """Check that the workers can call the objective."""
    if not callable(objective):
        raise InputError(f"objective: must be a function, not {type(objective).__name__}")
    if _stays_here(execution):
        return
    module, name = getattr(objective, "__module__", ""), getattr(objective, "__qualname__", "")
    loaded: Any = None
    if module != "__main__":
        with suppress(InputError):
            loaded = load_object(f"{module}:{name}")
    if loaded is not objective:
        raise InputError(
            f"objective: {name or objective!r} of {module or 'no module'} cannot be imported by "
            "other processes: move it to the top level of a module, or use workers=1"
        )


def _function_space(
    parameters: Mapping[str, Any],
    constraints: Sequence[str],
    configs: Sequence[Mapping[str, Any]],
    kind: Kind,
) -> Space:
    if not isinstance(parameters, Mapping) or not parameters:
        raise InputError("parameters: must be a mapping of names to their values, and not empty")
    parsed = []
    for name, raw in parameters.items():
        rule = HYPERPARAMETERS["epochs"] if name == "epochs" else ANYTHING
        with _named("parameters", str(name)):
            parsed.append(parse_parameter(rule, str(name), raw))
        if isinstance(raw, tuple) and len(raw) == 2 and all(map(is_number, raw)):
            message = (
                f"parameters.{name}: {raw} means these two values; a range is "
                f"{{'min': {raw[0]}, 'max': {raw[1]}}}, and [{raw[0]}, {raw[1]}] two values "
                "without this warning"
            )
            warnings.warn(message, UserWarning, stacklevel=stack_level_of_caller())
    try:
        space = Space(tuple(parsed), tuple(map(parse, constraints)), kind)
    except ConstraintError as error:
        raise InputError(f"constraints: {error}") from None
    for loc, message in unknown_names(space, further=[n for config in configs for n in config]):
        raise InputError(f"{key_path(loc)}: {message}")
    try:
        space.config({})
    except ValueError as error:
        raise InputError(f"parameters: {error}") from None
    return space


def _function_method(
    method: str | Mapping[str, Any], space: Space, configs: Sequence[Mapping[str, Any]]
) -> MethodSpec:
    if method == CONFIGS and configs:
        return MethodSpec(CONFIGS)
    with _named("method"):
        spec = parse_method(method)
    for parameter in space.parameters if spec.enumerates else ():
        if parameter.choices is None:
            raise InputError(f"parameters.{parameter.name}: {GRID_NEEDS}")
    varied = [parameter.name for parameter in space.parameters if parameter.varies]
    if spec.options.get("prior") == "mlp" and not any(map(is_known, varied)):
        raise InputError(f"prior: mlp knows only {listing(KNOWN)}, none of which varies here")
    return spec


def _require_epochs(spec: MethodSpec, space: Space) -> None:
    """Check that a method that halts trainings can do so."""
    if spec.halves and (space.kind.scores_once or "epochs" not in space.names):
        raise InputError(
            f"method: {spec.name} halts trainings between epochs: the objective must be a "
            "generator function that yields a score after each, and parameters must have epochs"
        )
