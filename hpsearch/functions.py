"""Search over any function: `hpsearch.optimize`."""

from __future__ import annotations

import importlib
import inspect
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from hpsearch.api import Results, after, results_so_far
from hpsearch.constraints import parse
from hpsearch.driver import Interrupted
from hpsearch.driver.engines import require_engine
from hpsearch.errors import ConstraintError, InputError
from hpsearch.space import Config, Kind, Parameter, Space
from hpsearch.sweep import CONFIGS, MethodSpec
from hpsearch.sweep.base import faults_of
from hpsearch.sweep.method import parse_method
from hpsearch.sweep.names import ANYTHING, HYPERPARAMETERS
from hpsearch.sweep.parameters import parse_parameter
from hpsearch.sweep.rules import Invalid
from hpsearch.sweep.settings import Execution

__all__ = ["optimize"]

Objective = Callable[[dict[str, Any]], Any]


def optimize(
    objective: Objective,
    parameters: Mapping[str, Any],
    method: str | Mapping[str, Any] = "auto",
    *,
    trials: int | None = None,
    goal: str = "minimize",
    seed: int = 0,
    workers: int = 1,
    out: str | os.PathLike[str] | None = None,
    constraints: Sequence[str] = (),
    configs: Sequence[Mapping[str, Any]] = (),
    time_seconds: float | None = None,
    timeout_seconds: float | None = None,
    execution: Mapping[str, Any] | None = None,
) -> Results:
    """Search for the config at which a function is best.

    >>> import hpsearch
    >>> results = hpsearch.optimize(
    ...     lambda config: (config["x"] - 2) ** 2,
    ...     {"x": {"min": -10.0, "max": 10.0}},
    ...     trials=30,
    ... )
    >>> bool(abs(results.best["x"] - 2) < 1)
    True

    Args:
        objective: Called with a config; gives its score, or is a generator that yields one after
            each epoch: then `hyperband` and `asha` can halt it, and the last one counts. What it
            raises is a failed row; a score that is not finite a diverged one.
        parameters: As in a sweep file, any names; for `hyperband` and `asha` with `epochs`.
        method: As in a sweep file; `grid` needs no `trials`.
        trials: Rows of the table at most.
        goal: `minimize` or `maximize`.
        seed: Of the proposals.
        workers: Processes. 1 calls the function in this one; more need a function that can be
            imported, by its module and name.
        out: The results directory, in which a later call goes on; None keeps nothing on disk.
        constraints, configs: As in a sweep file.
        time_seconds: No trial is begun after it.
        timeout_seconds: Longest time of one trial, with several workers or on a cluster.
        execution: As in a sweep file, for a cluster: `{"engine": "ray", "address": "auto"}`.

    Raises:
        InputError: The function or the parameters cannot be used.
        RefusedError: `out` is held by another run, or holds another function's results.
        Interrupted: As for `hpsearch.run`.
    """
    from hpsearch.driver.function import FunctionRun, run_function
    from hpsearch.driver.planners import Search

    if goal not in ("minimize", "maximize"):
        raise InputError(f"goal: must be minimize or maximize, not {goal!r}")
    if workers < 1:
        raise InputError(f"workers: must be at least 1, not {workers}")
    where = _execution(execution, workers, timeout_seconds)
    _require_usable(objective, workers, elsewhere=where is not None)
    kind = Kind.STEPWISE if inspect.isgeneratorfunction(objective) else Kind.FUNCTION
    space = _space(parameters, constraints, kind)
    search = Search(
        method=_method(method, space, configs),
        space=space,
        listed=_listed(space, configs),
        seeds=(0,),
        limit=trials,
        seed=seed,
    )
    _require_end(search.method, trials, time_seconds)

    def run(directory: Path) -> Results:
        job = FunctionRun(
            objective,
            search,
            goal,
            directory,
            workers,
            time_seconds,
            timeout_seconds,
            report=out is not None,
            execution=where,
        )
        with results_so_far():
            return Results(run_function(job).path)

    try:
        if out is not None:
            return run(Path(out))
        return _without_directory(run)
    except Interrupted as error:
        return after(error)


def _without_directory(run: Callable[[Path], Results]) -> Results:
    with tempfile.TemporaryDirectory(prefix="hpsearch-") as directory:
        try:
            return run(Path(directory)).detached()
        except Interrupted as error:
            # Nobody could go on in that directory.
            interruption = Interrupted(error.number)
            if isinstance(error.results, Results):
                interruption.results = error.results.detached()
            raise interruption from None


def _execution(
    given: Mapping[str, Any] | None, workers: int, timeout_seconds: float | None
) -> Execution | None:
    """Where it runs, unless that is here.

    Raises:
        InputError: It is no execution, or its engine is not there.
    """
    if given is None:
        return None
    twice = {"workers", "timeout"} & given.keys()
    if twice:
        raise InputError(f"execution.{min(twice)}: is an argument of its own")
    try:
        found = Execution.model_validate(dict(given) | {"workers": workers})
    except ValidationError as error:
        place, message = faults_of(error, Execution.keys())[0]
        raise InputError(f"{'.'.join(map(str, ('execution', *place)))}: {message}") from None
    require_engine(found)
    if found.engine == "local":
        return None
    return found.model_copy(update={"timeout_seconds": timeout_seconds})


def _require_usable(objective: Objective, workers: int, *, elsewhere: bool) -> None:
    if not callable(objective):
        raise InputError(f"objective: must be a function, not {type(objective).__name__}")
    if workers == 1 and not elsewhere:
        return
    module, name = getattr(objective, "__module__", ""), getattr(objective, "__qualname__", "")
    found: Any = None
    if module != "__main__":
        try:
            found = importlib.import_module(module)
            for part in name.split("."):
                found = getattr(found, part, None)
        except ImportError:
            found = None
    if found is not objective:
        raise InputError(
            f"objective: {name or objective!r} of {module or 'no module'} cannot be imported, "
            f"which {'a cluster' if elsewhere else f'workers={workers}'} needs: move it to the "
            f"top level of a module{'' if elsewhere else ', or use workers=1'}"
        )


def _space(parameters: Mapping[str, Any], constraints: Sequence[str], kind: Kind) -> Space:
    if not isinstance(parameters, Mapping) or not parameters:
        raise InputError("parameters: must be a mapping of names to their values, and not empty")
    found = []
    for name, raw in parameters.items():
        rule = HYPERPARAMETERS["epochs"] if name == "epochs" else ANYTHING
        try:
            found.append(parse_parameter(rule, raw).parameter(str(name)))
        except Invalid as error:
            place, message = error.faults[0]
            path = ".".join(map(str, (name, *place)))
            raise InputError(f"parameters.{path}: {message}") from None
    _require_parents(found)
    try:
        rules = tuple(map(parse, constraints))
    except ConstraintError as error:
        raise InputError(f"constraints: {error}") from None
    return Space(tuple(found), rules, kind)


def _require_parents(parameters: Sequence[Parameter]) -> None:
    names = {parameter.name for parameter in parameters}
    for parameter in parameters:
        for parent in parameter.when:
            if parent not in names:
                raise InputError(
                    f"parameters.{parameter.name}.when: there is no parameter {parent!r}"
                )
    try:
        Space(tuple(parameters), kind=Kind.FUNCTION).config({})
    except ValueError as error:
        raise InputError(f"parameters: {error}") from None


def _method(
    method: str | Mapping[str, Any], space: Space, configs: Sequence[Mapping[str, Any]]
) -> MethodSpec:
    if method == CONFIGS and configs:
        return MethodSpec(CONFIGS)
    try:
        spec = parse_method(method)
    except Invalid as error:
        raise InputError(f"method: {error}") from None
    if spec.enumerates:
        endless = [p.name for p in space.parameters if p.choices is None]
        if endless:
            raise InputError(
                f"parameters.{endless[0]}: a grid needs values, or a range with a step"
            )
    if spec.name in ("hyperband", "asha"):
        if space.kind is not Kind.STEPWISE:
            raise InputError(
                f"method: {spec.name} halts trainings between epochs: the objective must be a "
                "generator function that yields a score after each epoch"
            )
        if "epochs" not in space.names:
            raise InputError(f"parameters: {spec.name} needs epochs, such as epochs: 27")
    return spec


def _listed(space: Space, configs: Sequence[Mapping[str, Any]]) -> tuple[Config, ...]:
    first = {p.name: p.at(0.0) for p in space.parameters}
    listed = []
    for index, values in enumerate(configs):
        config = space.config({**first, **values})
        if config is None:
            raise InputError(f"configs[{index}]: it breaks a constraint")
        listed.append(config)
    return tuple(listed)


def _require_end(method: MethodSpec, trials: int | None, time_seconds: float | None) -> None:
    if trials is not None and (isinstance(trials, bool) or trials < 1):
        raise InputError(f"trials: must be at least 1, not {trials}")
    if trials is None and time_seconds is None and not method.exhausts:
        raise InputError(f"trials: method {method.name} needs trials, or time_seconds")
