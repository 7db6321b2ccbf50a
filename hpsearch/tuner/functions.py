"""Run a search over a function."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hpsearch.data.specs import Task
from hpsearch.errors import HpsearchError, InputError
from hpsearch.importing import load_object
from hpsearch.models.problem import METRIC, Recipe
from hpsearch.spec.rules import InvalidValue
from hpsearch.spec.settings import ExecutionSettings
from hpsearch.store.directory import ResultsDirectory
from hpsearch.store.facts import Identity
from hpsearch.store.provenance import require_unchanged
from hpsearch.store.store import Store
from hpsearch.tuner.estimate import UnknownCosts
from hpsearch.tuner.loop import Engine
from hpsearch.tuner.search import Search
from hpsearch.tuner.settings import Listener, Settings, log_file, require_engine, signals
from hpsearch.tuner.steps import Prepared, Run
from hpsearch.workers.engines import InProcessExecutor, opened_executor
from hpsearch.workers.protocol import Executor, Objective
from hpsearch.workers.servers import Servers
from hpsearch.workers.shared import NO_ROWS


@dataclass(frozen=True)
class FunctionRun:
    """A search over a function, and how to run it.

    Attributes:
        objective: Returns the scores; if there are several workers, they import it by name.
        goal: `maximize` or `minimize`.
        workers: 1 calls it in this process, unless `execution` names a cluster.
        time_seconds: No trial begins after it; None for no limit.
        report: Whether to write report.html; if not, nothing is kept.
    """

    objective: Objective
    search: Search
    goal: str
    out: Path
    workers: int = 1
    time_seconds: float | None = None
    execution: ExecutionSettings = field(default_factory=ExecutionSettings)
    report: bool = True

    @property
    def _prepared(self) -> Prepared:
        name = f"{self.objective.__module__}:{self.objective.__qualname__}"
        seed, space = self.search.seed, self.search.space
        return Prepared(
            search=self.search,
            recipe=Recipe(seed, "", "", METRIC, self.goal),
            identity=Identity(
                data="d" + hashlib.sha256(name.encode()).hexdigest()[:11],
                split={"function": name},
                metric=f"{METRIC}:{self.goal}:last",
                recipe={"seed": seed, "kind": str(space.kind)},
            ),
            task=Task.OBJECTIVE,
            # A temporary directory's name would differ each time.
            name=self.out.name if self.report else "optimize",
            columns=space.names,
            costs=UnknownCosts(tensorflow=False),
            time_seconds=self.time_seconds,
            objective=self.objective,
        )

    def run(self, listener: Listener) -> ResultsDirectory:
        """Search to the end, without repeating trials that have results.

        Raises:
            HpsearchError: Bad input (InputError), a refusal (RefusedError), or Interrupted.
        """
        where, prepared = ResultsDirectory(self.out), self._prepared

        def finish(engine: Engine, _: Collection[int]) -> None:
            if engine.stop.reason:
                raise HpsearchError(f"{where.path}: {engine.stop.reason}")

        where.prepare(fresh=False)
        with (
            where.hold() as held,
            signals(where) as stop,
            self._executor(where) as executor,
            Store(where.store, check=held.check) as store,
        ):
            require_unchanged(store.facts().identity, prepared.identity, str(where.path))
            settings = Settings(report=self.report)
            run = Run(settings, listener, held, stop, executor, self.workers)
            run.search(prepared, store, finish)
        return where

    @contextmanager
    def _executor(self, where: ResultsDirectory) -> Iterator[Executor]:
        local = self.execution.engine == "local"
        with ExitStack() as stack:
            if local and self.workers == 1:
                executor: Executor = stack.enter_context(InProcessExecutor())
            else:
                log = stack.enter_context(log_file(where))
                servers = stack.enter_context(Servers(log, tensorflow=False)) if local else None
                opened = opened_executor(self.execution, self.workers, log, servers=servers)
                executor = stack.enter_context(opened)
            executor.provide(NO_ROWS)
            yield executor


def execution_of(
    given: Mapping[str, Any] | None, workers: int, timeout_seconds: float | None
) -> ExecutionSettings:
    """Return the execution settings of a function.

    Raises:
        InputError: They are no valid `execution`, or its engine cannot run here.
    """
    if workers < 1:
        raise InputError(f"workers: must be at least 1, not {workers}")
    given = given or {}
    twice = {"workers", "timeout"} & given.keys()
    if twice:
        raise InputError(f"execution.{min(twice)}: is an argument of its own")
    try:
        found = ExecutionSettings.parse(dict(given) | {"workers": workers})
    except InvalidValue as error:
        place, message = error.faults[0]
        raise InputError(f"{'.'.join(map(str, ('execution', *place)))}: {message}") from None
    if given:
        require_engine(found)
    return replace(found, timeout_seconds=timeout_seconds)


def require_usable(objective: Objective, workers: int, *, elsewhere: bool) -> None:
    """Check that the workers can call the objective.

    Args:
        elsewhere: Whether the workers are on a cluster.

    Raises:
        InputError: The objective is no function, or other processes cannot import it.
    """
    if not callable(objective):
        raise InputError(f"objective: must be a function, not {type(objective).__name__}")
    if workers == 1 and not elsewhere:
        return
    module, name = getattr(objective, "__module__", ""), getattr(objective, "__qualname__", "")
    found: Any = None
    if module != "__main__":
        with suppress(InputError):
            found = load_object(f"{module}:{name}")
    if found is not objective:
        raise InputError(
            f"objective: {name or objective!r} of {module or 'no module'} cannot be imported, "
            f"which {'a cluster' if elsewhere else f'workers={workers}'} needs: move it to the "
            f"top level of a module{'' if elsewhere else ', or use workers=1'}"
        )
