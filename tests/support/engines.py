"""Run an engine in this process with the strategy of its planner, which may answer late."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from tables import PROVENANCE

from hpsearch.data.specs import InputSpec, Target, Task
from hpsearch.engine.learning import Snapshots
from hpsearch.engine.loop import Engine, Phase
from hpsearch.engine.models import NetworkCosts
from hpsearch.engine.planning import Planner
from hpsearch.engine.session import Stop, ignore
from hpsearch.engine.trainings import Ledger, Trainings
from hpsearch.models.problem import Problem, Recipe
from hpsearch.search.strategy import Outcome, Proposal, Reply, Strategy, reply_of, search_with
from hpsearch.space.execution import Execution, ExecutionResult
from hpsearch.space.space import Choices, Config, Parameter, Space
from hpsearch.store.derived import Tables
from hpsearch.store.directory import ResultsDirectory
from hpsearch.store.store import Store
from hpsearch.training.mlps import MLPs
from hpsearch.training.subjects import Job

RECIPE = Recipe(0, "mse", "linear", "val_accuracy", "maximize")
COSTS = NetworkCosts(
    problem=Problem(RECIPE, InputSpec((4,), "float32"), Target(Task.MULTICLASS, 2)),
    rows=100,
    validation_rows=10,
)


def space_of(**choices: Sequence[Any]) -> Space:
    return Space(tuple(Parameter(name, Choices(tuple(v))) for name, v in choices.items()))


class Listed:
    """Proposes a list, and remembers what it was asked and told."""

    foreseen = sys.maxsize
    rungs = ()

    def __init__(self, configs: Iterable[Config], *, adaptive: bool = False) -> None:
        self.adaptive = adaptive
        self.exhausted = False
        self.asked: list[int] = []
        self.told: list[Outcome] = []
        self._pending = list(configs)

    def ask(self, count: int) -> list[Proposal]:
        self.asked.append(count)
        asked, self._pending = self._pending[:count], self._pending[count:]
        self.exhausted = len(asked) < count
        return [Proposal(config) for config in asked]

    def restore(self, configs: Sequence[Config], outcomes: Sequence[Outcome]) -> None:
        known = {config.id for config in configs}
        self._pending = [config for config in self._pending if config.id not in known]
        self.told += outcomes

    def close(self) -> bool:
        self.exhausted = True
        return False

    def tell(self, outcomes: Sequence[Outcome]) -> None:
        self.told += outcomes


class Executor:
    """Keeps what it is given; a subclass tells events of it."""

    def __init__(self, workers: int = 2) -> None:
        self.workers = workers
        self.waiting: list[Job] = []

    free_devices = None

    def spread(self, *, waiting: bool) -> None:
        pass

    @property
    def free(self) -> int:
        return self.workers - len(self.waiting)

    @property
    def busy(self) -> int:
        return len(self.waiting)

    def submit(self, job: Job) -> None:
        self.waiting.append(job)


@contextmanager
def engine_in(
    directory: Path,
    names: Sequence[str],
    executor: Any,
    planner_of: Callable[[Sequence[Execution], dict[int, ExecutionResult], Snapshots], Planner],
    *,
    recipe: Recipe = RECIPE,
    listener: Any = ignore,
) -> Iterator[Engine]:
    """An engine over the store of a directory.

    Args:
        names: The table's hyperparameters.
        planner_of: Makes the planner from the stored executions, their results and snapshots.
    """
    directory.mkdir(exist_ok=True)
    where = ResultsDirectory(directory)
    with Store(where.store) as store:
        results, stored = store.results(), store.executions()
        snapshots = Snapshots(store, results)
        tables = Tables(where, Task.MULTICLASS, names, PROVENANCE)
        yield Engine(
            planner=planner_of(stored, results, snapshots),
            trainings=Trainings(executor, MLPs(), recipe, COSTS, snapshots, results),
            ledger=Ledger(store, tables, listener, recipe, results, stored),
            stop=Stop(),
        )


def run_engine(engine: Engine, answered: Collection[int] = ()) -> None:
    """Train what is not answered until nothing is left."""
    engine.begin(answered)
    strategy = engine.planner.strategy
    assert strategy is not None
    search_with(partial(reply_of, strategy), engine)
    engine.say_end()


def run_late(engine: Engine, proposer: Strategy, *, start: int, pause: int) -> None:
    """Run a new engine whose proposals come from elsewhere; its own strategy foresees some.

    Args:
        start: Steps of the engine before anyone can answer.
        pause: Steps between an inquiry and its answer.
    """
    engine.begin(())
    reply, due = Reply(), start
    for step in itertools.count():
        if engine.over:
            return
        if (inquiry := engine.request()) is not None:
            reply, due = reply_of(proposer, inquiry), step + pause
        if step >= due and engine.phase in (Phase.STARTING, Phase.ASKED, Phase.CONFIRMING):
            engine.take(reply)
        else:
            engine.work()
