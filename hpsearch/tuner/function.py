"""A search over a user's function: its space, and a run by the same loop, store and tables."""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from hpsearch.data.specs import Arrays, InputSpec, Target, Task, TrainingData
from hpsearch.errors import ConstraintError, HpsearchError, InputError, Interrupted
from hpsearch.models.problem import METRIC, Recipe
from hpsearch.report.page import ReportFile
from hpsearch.space.constraints import parse
from hpsearch.space.space import GRID_NEEDS, Kind, Parameter, Space
from hpsearch.spec.hyperparameters import ANYTHING, HYPERPARAMETERS
from hpsearch.spec.method import CONFIGS, MethodSpec, parse_method
from hpsearch.spec.parameters import parse_parameter
from hpsearch.spec.rules import InvalidValue, faults_of
from hpsearch.spec.settings import Execution
from hpsearch.store.directory import ResultsDirectory
from hpsearch.store.facts import Identity
from hpsearch.store.provenance import require_unchanged
from hpsearch.store.store import Store
from hpsearch.tuner.estimate import FunctionCosts
from hpsearch.tuner.learning import Search
from hpsearch.tuner.loop import Limits
from hpsearch.tuner.settings import Reporter, Silent, Stop, log_file, require_engine, signals
from hpsearch.tuner.steps import Prepared, make_loop, run_loop
from hpsearch.workers.engines import opened_executor
from hpsearch.workers.futures import InProcessExecutor
from hpsearch.workers.protocol import Executor, Objective
from hpsearch.workers.servers import Servers


@dataclass(frozen=True)
class FunctionRun:
    """What is run, and how.

    Attributes:
        objective: Gives the scores; with several workers they find it by its module and name.
        goal: `maximize` or `minimize`.
        workers: 1 calls it in this process, unless `execution` names a cluster.
        time_seconds: No trial is handed out after it; None for no limit.
        report: Whether report.html is written.
    """

    objective: Objective
    search: Search
    goal: str
    out: Path
    workers: int = 1
    time_seconds: float | None = None
    execution: Execution = field(default_factory=Execution)
    report: bool = True

    @property
    def in_process(self) -> bool:
        """Whether the function is called in this process."""
        return self.workers == 1 and self.execution.engine == "local"

    @property
    def prepared(self) -> Prepared:
        """The search with its recipe: the score is the function's last one."""
        return Prepared(
            search=self.search,
            recipe=Recipe(self.search.seed, "", "", METRIC, self.goal),
            identity=self._identity,
            task=Task.OBJECTIVE,
            name=self.out.name,
            columns=self.search.space.names,
            costs=FunctionCosts(),
            limits=Limits(self.time_seconds),
            objective=self.objective,
        )

    @property
    def _identity(self) -> Identity:
        name = f"{self.objective.__module__}:{self.objective.__qualname__}"
        return Identity(
            data="d" + hashlib.sha256(name.encode()).hexdigest()[:11],
            split={"function": name},
            metric=f"{METRIC}:{self.goal}:last",
            recipe={"seed": self.search.seed, "kind": str(self.search.space.kind)},
        )


def run_function(job: FunctionRun, reporter: Reporter | None = None) -> ResultsDirectory:
    """Search to the end; trials that have results are not run again.

    Raises:
        HpsearchError: Bad input (InputError), a refusal (RefusedError), or Interrupted.
    """
    where, stop, prepared = ResultsDirectory(job.out), Stop(), job.prepared
    where.prepare(fresh=False)
    with (
        where.hold(),
        signals(stop),
        _executor(job, where) as executor,
        Store(where.store) as store,
    ):
        require_unchanged(store.facts().identity, prepared.identity, str(where.path))
        watching = reporter or Silent()
        loop = make_loop(prepared, where, store, executor, reporter=watching, stop=stop)
        store.set_facts(kind=job.search.space.kind)
        run_loop(loop, set(loop.results))
        if job.report:
            page, interrupted = ReportFile(where, loop.tables, None), stop.signal is not None
            page.begin(loop.records, interrupted=interrupted)
            if warning := page.finish(interrupted=interrupted):
                watching.note(warning, warning=True)
        if stop.signal is not None:
            raise Interrupted(stop.signal, where.path)
        if stop.reason:
            raise HpsearchError(f"{where.path}: {stop.reason}")
    return where


@contextmanager
def _executor(job: FunctionRun, where: ResultsDirectory) -> Iterator[Executor]:
    nothing = np.zeros((0, 1), np.float32)
    dataset = TrainingData(
        InputSpec((1,), "float32"),
        Target(Task.OBJECTIVE, 1),
        Arrays(nothing, nothing, nothing, nothing),
    )
    with ExitStack() as stack:
        if job.in_process:
            executor: Executor = stack.enter_context(InProcessExecutor())
        else:
            log, servers = stack.enter_context(log_file(where)), None
            if job.execution.engine == "local":
                servers = stack.enter_context(Servers(log, tensorflow=False))
            opened = opened_executor(job.execution, job.workers, log, servers=servers)
            executor = stack.enter_context(opened)
        executor.provide(dataset)
        yield executor


def execution_of(
    given: Mapping[str, Any] | None, workers: int, timeout_seconds: float | None
) -> Execution:
    """Where a function runs.

    Raises:
        InputError: It is no execution, or its engine is not there.
    """
    given = given or {}
    twice = {"workers", "timeout"} & given.keys()
    if twice:
        raise InputError(f"execution.{min(twice)}: is an argument of its own")
    try:
        found = Execution.model_validate(dict(given) | {"workers": workers})
    except ValidationError as error:
        place, message = faults_of(error, Execution.keys())[0]
        raise InputError(f"{'.'.join(map(str, ('execution', *place)))}: {message}") from None
    if given:
        require_engine(found)
    return found.model_copy(update={"timeout_seconds": timeout_seconds})


def require_usable(objective: Objective, workers: int, *, elsewhere: bool) -> None:
    """Check that the objective can be called where it will be.

    Raises:
        InputError: It is no function, or other processes cannot import it.
    """
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


def function_space(parameters: Mapping[str, Any], constraints: Sequence[str], kind: Kind) -> Space:
    """The space of parameters as a sweep file writes them, by any names.

    Raises:
        InputError: A parameter or a constraint is wrong.
    """
    if not isinstance(parameters, Mapping) or not parameters:
        raise InputError("parameters: must be a mapping of names to their values, and not empty")
    found = []
    for name, raw in parameters.items():
        rule = HYPERPARAMETERS["epochs"] if name == "epochs" else ANYTHING
        try:
            found.append(parse_parameter(rule, raw).parameter(str(name)))
        except InvalidValue as error:
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


def function_method(
    method: str | Mapping[str, Any], space: Space, configs: Sequence[Mapping[str, Any]]
) -> MethodSpec:
    """The method, where it can search the space.

    Raises:
        InputError: It cannot.
    """
    if method == CONFIGS and configs:
        return MethodSpec(CONFIGS)
    try:
        spec = parse_method(method)
    except InvalidValue as error:
        raise InputError(f"method: {error}") from None
    if spec.enumerates:
        endless = [p.name for p in space.parameters if p.choices is None]
        if endless:
            raise InputError(f"parameters.{endless[0]}: {GRID_NEEDS}")
    if spec.name in ("hyperband", "asha"):
        if space.kind is not Kind.STEPWISE:
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
    if trials is not None and (isinstance(trials, bool) or trials < 1):
        raise InputError(f"trials: must be at least 1, not {trials}")
    if trials is None and time_seconds is None and not method.exhausts:
        raise InputError(f"trials: method {method.name} needs trials, or time_seconds")
