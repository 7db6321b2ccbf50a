"""What a sweep over a model of the user's own will search, without running it."""

from __future__ import annotations

import tempfile

from hpsearch.driver import modelspace
from hpsearch.driver.again import Again
from hpsearch.driver.outcome import Interrupted, Stop
from hpsearch.driver.planners import Search
from hpsearch.driver.recipe import make_recipe
from hpsearch.driver.rows import provided
from hpsearch.driver.run import signals
from hpsearch.executors.local import LocalExecutor
from hpsearch.executors.servers import Servers
from hpsearch.sweep import Sweep

__all__ = ["prospect"]


def prospect(sweep: Sweep) -> Search:
    """The search, after a worker has built the model; it writes nothing.

    Raises:
        InputError: The data cannot be read, the model not be built, or the sweep does not fit it.
        Interrupted: A signal came.
    """
    stop = Stop()

    def check() -> None:
        if stop.signal is not None:
            raise Interrupted(stop.signal)

    with tempfile.TemporaryFile("a", encoding="utf-8") as log, signals(stop), Servers(log) as both:
        dataset = modelspace.load(sweep)
        recipe = make_recipe(sweep, dataset.target.task)
        with LocalExecutor(both, 1) as executor:
            rows = provided(dataset, sweep)
            executor.provide(rows)
            again = Again(executor, recipe, dataset=rows, check=check)
            return modelspace.search_of(sweep, modelspace.find(sweep, recipe, again))
