"""From a sweep to what plans its trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hpsearch.driver.asking import Asker, Numbers, Planner
from hpsearch.driver.racing import Race
from hpsearch.driver.reuse import Reuse
from hpsearch.driver.searching import Searcher
from hpsearch.driver.snapshots import Snapshots
from hpsearch.plan import Trial
from hpsearch.space import Config, Space
from hpsearch.strategies import Strategy, at_top, make_strategy
from hpsearch.sweep import MethodSpec, SeedRace, Sweep
from hpsearch.trial import Recipe, TrialResult

__all__ = ["Search", "make_planner"]


@dataclass(frozen=True)
class Search:
    """What is searched, and how.

    Attributes:
        space: What can vary.
        listed: Configs to try first.
        seeds: That every config gets; with cross-validation, draws (see `hpsearch.draws`).
        limit: Rows of the table at most, or None.
        seed: Of the proposals.
        race: Who gets further seeds, or None.
    """

    method: MethodSpec
    space: Space
    listed: tuple[Config, ...]
    seeds: tuple[int, ...]
    limit: int | None
    seed: int
    race: SeedRace | None = None

    @classmethod
    def of(cls, sweep: Sweep) -> Search:
        """A sweep's."""
        return cls(
            method=sweep.method,
            space=sweep.space,
            listed=sweep.listed,
            seeds=sweep.draws,
            limit=sweep.budget.trials if sweep.budget else None,
            seed=sweep.seed,
            race=sweep.seeds if isinstance(sweep.seeds, SeedRace) and sweep.seeds.race else None,
        )


def make_planner(
    search: Search,
    recipe: Recipe,
    stored: Sequence[Trial],
    results: Mapping[int, TrialResult],
    snapshots: Snapshots,
) -> Planner:
    """The planner of a method.

    Args:
        stored: Trials that have a number already.
        results: By trial; grows while the sweep runs, as `snapshots` does.
    """
    limit, race, seeds = search.limit, search.race, search.seeds
    strategy = make_strategy(
        search.method,
        search.space,
        search.listed,
        goal=recipe.goal,
        seed=search.seed,
        trials=None if limit is None else -(-limit // len(seeds)),
    )
    if not strategy.adaptive and race is None:
        return Asker(search.space, search.listed, seeds, strategy, stored=stored, limit=limit)
    space = at_top(search.space) if strategy.rungs else search.space
    listed = {config.id for config in search.listed}
    return Searcher(
        strategy,
        Numbers(space, listed, range(race.max) if race else seeds, stored=stored, limit=limit),
        seeds,
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
