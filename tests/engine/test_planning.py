"""From proposals to numbered trials, within the budget and over earlier runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pytest
from engines import Listed, space_of

from hpsearch.engine import planning
from hpsearch.engine.planning import FixedPlanner, Trials, group
from hpsearch.search.draws import grid_draws, random_draws
from hpsearch.search.strategy import Outcome, Proposal
from hpsearch.space.execution import Execution, ExecutionResult, Repetition, Status
from hpsearch.space.space import Config, Space


def grid(space: Space, first: Sequence[Config] = ()) -> Listed:
    listed = {config.id for config in first}
    return Listed([*first, *(each for each in grid_draws(space) if each.id not in listed)])


def window(asker: FixedPlanner) -> list[Execution]:
    """The executions of the next window of proposals."""
    assert asker.strategy is not None
    return list(asker.take(asker.strategy.ask(asker.room(1))).executions)


def all_of(asker: FixedPlanner) -> list[Execution]:
    trials: list[Execution] = []
    for _ in range(1000):
        if asker.is_exhausted:
            return trials
        trials += window(asker)
    raise AssertionError("it never ends")


def asker_of(space: Space, oracle: Listed | None = None, **changes: Any) -> FixedPlanner:
    results: dict[int, ExecutionResult] = changes.pop("results", {})
    settings = {"first": (), "seeds": (0,), "stored": (), "limit": None} | changes
    first, repetitions = settings.pop("first"), list(map(Repetition, settings.pop("seeds")))
    trials = Trials(space, {config.id for config in first}, repetitions, **settings)
    return FixedPlanner(oracle or grid(space, first), trials, repetitions, results)


def shown(trials: Iterable[Execution]) -> list[tuple[int, Any, int]]:
    return [(t.trial, t.config.values["units"], t.seed) for t in trials]


UNITS = space_of(units=[1, 2, 3])
DONE = all_of(asker_of(UNITS, seeds=(0, 1)))


def test_listed_points_come_first_and_once() -> None:
    (point,) = grid_draws(space_of(units=[3]))
    assert shown(all_of(asker_of(UNITS, first=[point]))) == [(1, 3, 0), (2, 1, 0), (3, 2, 0)]


def test_listed_points_may_lie_outside_the_space() -> None:
    (point,) = grid_draws(space_of(units=[99]))
    trials = all_of(asker_of(UNITS, first=[point]))
    assert shown(trials)[0] == (1, 99, 0)
    again = asker_of(UNITS, first=[point], stored=trials)
    assert again.current == trials
    # No longer listed, it is of this sweep no more; its row stays in the store.
    assert shown(asker_of(UNITS, stored=trials).current) == [(2, 1, 0), (3, 2, 0), (4, 3, 0)]


@pytest.mark.parametrize("limit", [1, 2, 3, 4])
def test_the_budget_counts_trials(limit: int) -> None:
    oracle = grid(UNITS)
    asker = asker_of(UNITS, oracle, seeds=(0, 1), limit=limit)
    assert shown(all_of(asker)) == shown(DONE)[: 2 * limit]
    assert asker.is_exhausted
    # No proposal for which the budget has no trial.
    assert oracle.asked[0] == limit
    # An exhausted space leaves some of it.
    assert asker.left_over == max(limit - 3, 0)


def test_what_has_no_result_is_pending() -> None:
    asker = asker_of(UNITS, seeds=(0, 1), stored=DONE[:4])
    assert asker.begin({1, 3}).trainings == tuple(group([DONE[1], DONE[3]]))
    assert shown(all_of(asker)) == [(3, 3, 0), (3, 3, 1)]


def test_new_values_and_seeds_add_only_what_is_missing() -> None:
    wider = space_of(units=[3, 4, 1, 2])
    asker = asker_of(wider, seeds=(0, 1, 5), stored=DONE)
    assert asker.current == DONE
    added = asker.begin({t.number for t in DONE}).executions
    assert shown(added) == [(1, 1, 5), (2, 2, 5), (3, 3, 5)]
    assert shown(all_of(asker)) == [(4, 4, 0), (4, 4, 1), (4, 4, 5)]


def test_rows_outside_an_edited_space_are_not_of_this_sweep() -> None:
    asker = asker_of(space_of(units=[2, 4]), seeds=(1,), stored=DONE)
    assert shown(asker.current) == [(2, 2, 1)]
    assert shown(all_of(asker)) == [(4, 4, 1)]


def test_a_budget_that_shrank_keeps_the_first_trials() -> None:
    asker = asker_of(UNITS, seeds=(0, 1), stored=DONE, limit=2)
    assert asker.current == DONE[:4]
    assert asker.is_exhausted


@pytest.mark.parametrize("cut", range(13))
def test_a_random_search_resumed_anywhere_is_the_same(cut: int) -> None:
    space = space_of(units=list(range(1, 30)), epochs=[1, 2])

    def oracle() -> Listed:
        return Listed(random_draws(space, 7))

    whole = all_of(asker_of(space, oracle(), seeds=(0, 1), limit=6))
    assert len(whole) == 12
    resumed = asker_of(space, oracle(), seeds=(0, 1), limit=6, stored=whole[:cut])
    added = resumed.begin(()).executions
    assert [*whole[:cut], *added, *all_of(resumed)] == whole


def test_windows_are_of_a_fixed_size() -> None:
    """Whatever the number of workers: trainings are shared within one."""
    space = space_of(units=list(range(1, 66)), batch_size=list(range(1, 66)))
    oracle = grid(space)
    asker = asker_of(space, oracle)
    sizes = []
    while not asker.is_exhausted:
        sizes.append(len(window(asker)))
    assert sizes == [4096, 65**2 - 4096]
    assert set(oracle.asked) == {4096}
    assert asker.left_over == 0


def test_a_step_is_a_window_and_passes_over_what_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "_WINDOW", 2)
    asker = asker_of(UNITS, seeds=(0, 1), stored=DONE[:4])
    proposals = [Proposal(each.config) for each in DONE[::2]]
    assert asker.room(1) == 2
    step = asker.take(proposals)
    assert list(step.executions) == DONE[4:]
    assert step.trainings == tuple(group(DONE[4:]))
    assert not step.answers
    assert not asker.take(proposals)
    assert not asker_of(UNITS, seeds=(0, 1), stored=DONE).take(proposals)


def test_an_outcome_is_told_once_every_execution_is_answered() -> None:
    results: dict[int, ExecutionResult] = {}
    asker = asker_of(UNITS, seeds=(0, 1), results=results)
    executions = window(asker)
    for execution, score in zip(executions, [0.25, 0.75, 0.5, None, 1.0, 1.0], strict=True):
        status = Status.FAILED if score is None else Status.COMPLETED
        result = ExecutionResult(execution.number, status, score, error="" if score else "no")
        results[execution.number] = result
        asker.learn([result])
    configs = [each.config for each in executions[::2]]
    told = tuple(asker.outcomes)
    assert told == (Outcome(configs[0], 0.5), Outcome(configs[1], None), Outcome(configs[2], 1.0))
    assert [each.error for each in told] == ["", "no", ""]
    # Proposed again, it is not told again.
    asker.take([Proposal(each) for each in configs])
    assert len(asker.outcomes) == len(told)
    # A later run tells what an earlier one found, as soon as it is proposed.
    later = asker_of(UNITS, seeds=(0, 1), stored=executions, results=results)
    later.begin(set(results))
    later.take([Proposal(each) for each in configs])
    assert tuple(later.outcomes) == told
