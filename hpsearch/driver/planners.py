"""From a sweep to what plans its trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hpsearch.driver.asking import Asker, Numbers, Planner
from hpsearch.driver.racing import Race
from hpsearch.driver.reuse import Reuse
from hpsearch.driver.searching import Searcher
from hpsearch.driver.snapshots import Snapshots
from hpsearch.plan import Trial
from hpsearch.space import Space
from hpsearch.strategies import Strategy, at_top, make_strategy
from hpsearch.sweep import SeedRace, Sweep
from hpsearch.trial import Recipe, TrialResult

__all__ = ["make_planner"]


def make_planner(
    sweep: Sweep,
    recipe: Recipe,
    stored: Sequence[Trial],
    results: Mapping[int, TrialResult],
    snapshots: Snapshots,
) -> Planner:
    """The planner of a sweep's method.

    Args:
        stored: Trials that have a number already.
        results: By trial; grows while the sweep runs, as `snapshots` does.
    """
    limit = sweep.budget.trials if sweep.budget else None
    race = sweep.seeds if isinstance(sweep.seeds, SeedRace) and sweep.seeds.race else None
    strategy = make_strategy(
        sweep.method,
        sweep.space,
        sweep.listed,
        goal=recipe.goal,
        seed=sweep.seed,
        trials=None if limit is None else -(-limit // len(sweep.trial_seeds)),
    )
    if not strategy.adaptive and race is None:
        return Asker(
            sweep.space, sweep.listed, sweep.trial_seeds, strategy, stored=stored, limit=limit
        )
    space = at_top(sweep.space) if strategy.rungs else sweep.space
    listed = {config.id for config in sweep.listed}
    seeds = range(race.max) if race else sweep.trial_seeds
    return Searcher(
        strategy,
        Numbers(space, listed, seeds, stored=stored, limit=limit),
        sweep.trial_seeds,
        recipe=recipe,
        results=results,
        reuse=Reuse(recipe, results, snapshots.epochs),
        race=Race(race.max, maximize=recipe.goal == "maximize") if race else None,
        longest=_longest(space, strategy),
    )


def _longest(space: Space, strategy: Strategy) -> int | None:
    """The most epochs, where a proposal may be an earlier one with more of them."""
    epochs = next((p for p in space.parameters if p.name == "epochs"), None)
    if epochs is None or strategy.rungs or (epochs.choices and len(epochs.choices) == 1):
        return None
    return int(epochs.at(1 - 1e-12))
