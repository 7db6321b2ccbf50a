"""Run a search over a function."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from hpsearch.data.specs import Task
from hpsearch.engine.costs import UnknownCosts
from hpsearch.engine.events import Listener, ignore
from hpsearch.engine.run import Prepared, Run
from hpsearch.engine.search import Search
from hpsearch.engine.session import RunOutcome, Settings, require_engine
from hpsearch.engine.sweep import opened, take_steps
from hpsearch.errors import HpsearchError, InputError
from hpsearch.importing import load_object
from hpsearch.models.problem import METRIC, Objective, Recipe
from hpsearch.spec.rules import InvalidValue
from hpsearch.spec.settings import ExecutionSettings
from hpsearch.store.facts import Identity
from hpsearch.training.objective import FunctionSubject
from hpsearch.workers.shared import NO_ROWS


@dataclass(frozen=True)
class FunctionSearch:
    """A search over a function.

    Attributes:
        objective: Returns the scores; if there are several workers, they import it by name.
        goal: `maximize` or `minimize`.
        time_seconds: No trial begins after it; None for no limit.
    """

    objective: Objective
    search: Search
    goal: str
    time_seconds: float | None = None

    def run(
        self, settings: Settings, execution: ExecutionSettings, listener: Listener = ignore
    ) -> RunOutcome:
        """Search to the end, without repeating trials that have results.

        Args:
            settings: Without a report, nothing is kept.
            execution: A single worker of this machine is this process.

        Raises:
            HpsearchError: Bad input (InputError), a refusal (RefusedError), or Interrupted.
        """
        here = execution.engine == "local" and execution.workers == 1
        settings = replace(settings, in_process=here)
        with opened(Path(), execution, settings, tensorflow=False) as start:
            # A temporary directory's name would differ each time.
            name = start.where.path.name if settings.report else "optimize"
            prepare = partial(self._prepare, name)
            outcome = take_steps(prepare, start, execution, settings, listener)
        if outcome.stopped:
            raise HpsearchError(f"{outcome.directory}: {outcome.stopped}")
        return outcome

    def _prepare(self, name: str, run: Run) -> Prepared:
        search = self.search
        function = f"{self.objective.__module__}:{self.objective.__qualname__}"
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
            name=name,
            columns=search.space.names,
            costs=UnknownCosts(tensorflow=False),
            time_seconds=self.time_seconds,
            subject=FunctionSubject(self.objective),
        )


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
