"""Run an engine in this process with the strategy of its planner, which may answer late."""

from __future__ import annotations

import itertools
from collections.abc import Collection
from functools import partial

from hpsearch.data.specs import InputSpec, Target, Task
from hpsearch.engine.costs import DataSizes, NetworkCosts
from hpsearch.engine.loop import Engine, Phase
from hpsearch.models.problem import Problem, Recipe
from hpsearch.search.asking import Reply, reply_of, search_with
from hpsearch.search.strategy import Strategy

RECIPE = Recipe(0, "mse", "linear", "val_accuracy", "maximize")
COSTS = NetworkCosts(
    Problem(RECIPE, InputSpec((4,), "float32"), Target(Task.MULTICLASS, 2)),
    DataSizes(100, 10, 4, 2, 1000),
)


def run_engine(engine: Engine, answered: Collection[int] = ()) -> None:
    """Train what is not answered until nothing is left."""
    engine.begin(answered, engine.ledger.store.executions)
    strategy = engine.planner.strategy
    assert strategy is not None
    search_with(partial(reply_of, strategy), engine)
    engine.say_exhausted()


def run_late(engine: Engine, proposer: Strategy, *, start: int, pause: int) -> None:
    """Run a new engine whose proposals come from elsewhere; its own strategy foresees some.

    Args:
        start: Steps of the engine before anyone can answer.
        pause: Steps between an inquiry and its answer.
    """
    engine.begin((), engine.ledger.store.executions)
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
