"""Planning with a strategy that learns: legs, reuse, seeds, races, and taking up again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engines import RECIPE, Executor, engine_in, run_engine, run_late

from hpsearch.engine.loop import Engine
from hpsearch.engine.run import make_planner
from hpsearch.engine.search import SearchSpec
from hpsearch.space.execution import ExecutionResult, Status
from hpsearch.spec.sweep import sweep_from_mapping
from hpsearch.store.columns import PACKAGES
from hpsearch.training.follow import follow
from hpsearch.training.subjects import Job
from hpsearch.workers.protocol import Answered, Event, Finished, Lost

PARAMETERS = {
    "units": {"min": 1, "max": 5000},
    "activation": ["relu", "tanh", "gelu"],
    "layer_type": ["dense", "dropout"],
    "dropout": {"values": [0.1, 0.3], "when": {"layer_type": "dropout"}},
    "learning_rate": {"min": 1e-4, "max": 1e-1, "scale": "log"},
    "epochs": [2, 4, 9],
}


def number(*parts: Any) -> float:
    """In [0, 1), by the parts."""
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:6], "little") / 2**48


class Curve:
    """A trainer whose curve depends on the config and the seed alone."""

    kind, weights_count, model = "native", 3, None

    def __init__(self, job: Job) -> None:
        self.values, self.seed, self.epoch = dict(job.training.values), job.training.seed, 0

    def run_epoch(self) -> dict[str, float]:
        self.epoch += 1
        quality = number(sorted(self.values.items(), key=repr))
        noise = 0.05 * number(repr(self.values), self.seed, self.epoch)
        score = quality * (1 - 0.5**self.epoch) + noise
        return {"loss": 1.0, "accuracy": score, "val_loss": 1.0, "val_accuracy": score}

    def weights(self) -> tuple[Any, ...]:
        return (np.array([self.epoch]),)

    def state(self) -> tuple[Any, ...]:
        return (np.array([self.epoch, self.seed]),)

    def resume(self, epoch: int, state: Any) -> None:
        assert state[0].tolist() == [epoch, self.seed]
        self.epoch = epoch


class Trains(Executor):
    """Trains at once; dies after so many jobs; trials may fail."""

    def __init__(self, workers: int, most: int | None, failing: frozenset[int]) -> None:
        super().__init__(workers)
        self.most, self.failing = most, failing
        self.jobs: list[Job] = []
        self.epochs = 0

    def events(self, _: float) -> list[Event]:
        if self.most is not None and len(self.jobs) >= self.most:
            raise KeyboardInterrupt
        if not self.waiting:
            return []
        job = self.waiting.pop(0)
        self.jobs.append(job)
        before = job.past.snapshot.epoch if job.past else 0
        if job.training.number in self.failing:
            return [Answered(1, ExecutionResult(job.training.number, Status.FAILED, error="no")),
                    Finished(1, job.training)]  # fmt: skip
        results = follow(job, Curve(job), 0.0, lambda *_: None, lambda: 0.0)
        events: list[Event] = []
        for result in results:
            self.epochs += len(result.curve) - before
            events.append(Answered(1, result))
        return [*events, Finished(1, job.training)]


class EndsLate(Trains):
    """Tells the end of a training when it goes on, or all others have ended."""

    def __init__(self, lost: bool) -> None:
        super().__init__(100, None, frozenset())
        self.lost, self.ends = lost, list[Finished | Lost]()

    @property
    def free(self) -> int:
        return super().free - len(self.ends)

    @property
    def busy(self) -> int:
        return super().busy + len(self.ends)

    def events(self, seconds: float) -> list[Event]:
        going_on = {job.training.number for job in self.waiting}
        for end in self.ends:
            if not self.waiting or end.training.number in going_on:
                self.ends.remove(end)
                return [end]
        *events, end = super().events(seconds)
        assert isinstance(end, Finished)
        lost = Lost(1, end.training, "SIGKILL", timed_out=False, seconds=1.0)
        self.ends.append(lost if self.lost else end)
        return events


class PassesGoals(Trains):
    """Two in three trainings end by themselves before they can be halted, as short programs do."""

    def events(self, seconds: float) -> list[Event]:
        for job in self.waiting[:1]:
            training = job.training
            if training.number % 3:
                stops = ((training.whole or training.epochs, training.number),)
                self.waiting[0] = replace(job, training=replace(training, stops=stops, whole=None))
        return super().events(seconds)


@contextmanager
def search(
    directory: Path, method: Any, *, workers: int = 1, most: int | None = None,
    failing: frozenset[int] = frozenset(), **changes: Any,
) -> Iterator[tuple[Engine, Trains]]:  # fmt: skip
    raw = {
        "name": "s", "data": {"dataset": "digits"}, "method": method, "parameters": PARAMETERS,
        "budget": {"trials": 30},
    } | changes  # fmt: skip
    sweep = sweep_from_mapping(raw, base_dir=directory)
    recipe = replace(RECIPE, early_stopping=changes.get("stopping"))
    executor = Trains(workers, most, failing)
    planner_of = partial(make_planner, SearchSpec.of(sweep), recipe)
    with engine_in(directory, sweep.space.names, executor, planner_of, recipe=recipe) as engine:
        engine.ledger.tables.due = lambda _: False  # type: ignore[method-assign]
        yield engine, executor


def run(directory: Path, method: Any, **changes: Any) -> tuple[dict[Any, Any], Trains]:
    """The rows of the table, by execution."""
    with search(directory, method, **changes) as (engine, executor):
        try:
            run_engine(engine, set(engine.ledger.results))
        except KeyboardInterrupt:
            assert executor.most is not None
        results = engine.ledger.results
        rows = {
            each.number: (
                each.config.id, each.seed,
                results.get(each.number) and replace(results[each.number], seconds=0),
            )
            for each in engine.ledger.store.executions()
        }  # fmt: skip
        return rows, executor


RANDOM = {"name": "asha", "proposals": "random", "brackets": 1}
METHODS = ["asha", "hyperband", RANDOM, "tpe", "bayesian"]


@pytest.mark.parametrize(
    ("method", "seeds", "failing"),
    [*((m, 1, ()) for m in METHODS), *((m, 1, (2, 5)) for m in METHODS[:2]), ("asha", 2, ()),
     ("tpe", 2, ())], ids=str,
)  # fmt: skip
def test_killed_anywhere_it_goes_on_as_if_nothing_had_been(
    tmp_path: Path, method: Any, seeds: int, failing: tuple[int, ...]
) -> None:
    budget = {"trials": 14 // seeds}
    arguments: dict[str, Any] = {"seeds": seeds, "budget": budget, "failing": frozenset(failing)}
    whole, executor = run(tmp_path / "whole", method, **arguments)
    assert len(whole) == 14
    cuts = range(0, len(executor.jobs), 3 if method == RANDOM else 5)
    for cut in cuts:
        place = tmp_path / str(cut)
        _, killed = run(place, method, most=cut, **arguments)
        rows, resumed = run(place, method, **arguments)
        assert rows == whole
        assert killed.epochs + resumed.epochs == executor.epochs


def test_promoted_trials_go_on_from_their_state(tmp_path: Path) -> None:
    rows, executor = run(tmp_path, {"name": "asha", "min_epochs": 1})
    assert len(rows) == 30
    # Every epoch once: the epochs trained are those of the table.
    assert executor.epochs == sum(len(result.curve) for _, _, result in rows.values())
    reached = sorted({len(result.curve) for _, _, result in rows.values()})
    assert reached == [1, 3, 9]
    for _, _, result in rows.values():
        assert result.status is (Status.COMPLETED if len(result.curve) == 9 else Status.STOPPED)
    assert all(job.past is not None for job in executor.jobs if job.training.epochs > 1)


@pytest.mark.parametrize(
    "method", [{"proposals": "random"}, {"name": "hyperband"}, {}], ids=["random", "hyperband", ""]
)
def test_a_search_whose_trainings_passed_their_goals_is_over(
    tmp_path: Path, method: dict[str, str]
) -> None:
    method = {"name": "asha", "min_epochs": 1, "factor": 2} | method
    with search(tmp_path, method) as (engine, _):
        engine.trainings.executor = PassesGoals(3, None, frozenset())
        run_engine(engine)
    rows, executor = run(tmp_path, method)
    assert len(rows) == 30
    assert not executor.jobs


@pytest.mark.parametrize("lost", [False, True])
def test_the_end_of_a_halted_training_may_come_after_it_goes_on(tmp_path: Path, lost: bool) -> None:
    with search(tmp_path, "asha") as (engine, _):
        engine.trainings.executor = executor = EndsLate(lost)
        run_engine(engine)
        assert len(engine.ledger.results) == 30
        for result in engine.ledger.results.values():
            whole = len(result.curve) == 9
            assert result.status is (Status.COMPLETED if whole else Status.STOPPED), result.error
        assert executor.epochs == sum(
            len(result.curve) for result in engine.ledger.results.values()
        )


def test_a_state_that_is_lost_costs_epochs_and_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, executor = run(tmp_path / "a", "asha")
    monkeypatch.setattr("hpsearch.engine.learning._MOST_BYTES", 0)
    rows, other = run(tmp_path / "b", "asha")
    assert rows == whole
    assert other.epochs > executor.epochs


def test_a_state_of_other_versions_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, _ = run(tmp_path / "whole", "asha")
    run(tmp_path / "two", "asha", most=15)
    versions = dict.fromkeys(PACKAGES, "0.1")
    monkeypatch.setattr("hpsearch.engine.learning.installed", lambda: versions)
    rows, executor = run(tmp_path / "two", "asha")
    assert [(config, result.curve) for config, _, result in rows.values()] == [
        (config, result.curve) for config, _, result in whole.values()
    ]
    assert any(job.past is None and job.training.epochs > 1 for job in executor.jobs)
    for number, job in enumerate(executor.jobs):
        now = {earlier.training.number for earlier in executor.jobs[:number]}
        assert job.past is None or job.training.source in now


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_several_workers_spend_the_budget_and_no_config_twice(tmp_path: Path, method: Any) -> None:
    rows, _ = run(tmp_path, method, workers=8, seeds=2, budget={"trials": 20})
    assert len(rows) == 40
    assert len({config for config, _, _ in rows.values()}) == 20
    assert all(result is not None for _, _, result in rows.values())


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_failures_are_rows_and_the_search_goes_on(tmp_path: Path, method: Any) -> None:
    rows, _ = run(tmp_path, method, failing=frozenset({2, 3, 7, 11}), budget={"trials": 12})
    assert [n for n, (*_, r) in rows.items() if r.status is Status.FAILED] == [2, 3, 7, 11]
    assert sum(r.status.scored for *_, r in rows.values()) == 8


def test_a_proposal_with_other_epochs_costs_the_difference(tmp_path: Path) -> None:
    few = {"units": [8, 16], "activation": ["relu"], "epochs": [2, 4, 9]}
    rows, executor = run(tmp_path, "tpe", parameters=few, budget={"trials": 6})
    assert len(rows) == 6
    # Each of the two curves once, to its longest.
    assert executor.epochs == 18
    shared = [result for *_, result in rows.values() if result.shared_with is not None]
    alone, _ = run(tmp_path / "alone", "grid", parameters=few)
    by_config = {(c, s): r for c, s, r in alone.values()}
    for config, seed, result in rows.values():
        other = by_config[config, seed]
        assert (result.curve, result.score, result.status) == (
            other.curve, other.score, other.status,
        )  # fmt: skip
    assert all(result.seconds == 0 for result in shared)
    assert shared or any(job.past for job in executor.jobs)


def test_a_seed_that_is_added_trains_what_is_missing(tmp_path: Path) -> None:
    first, _ = run(tmp_path, "tpe", budget={"trials": 8})
    # The budget is spent; it counts configs, and none is new.
    second, executor = run(tmp_path, "tpe", budget={"trials": 8}, seeds=2)
    assert {n: second[n] for n in first} == first
    configs = [config for config, _, _ in first.values()]
    assert [config for config, seed, _ in second.values() if seed == 1] == configs
    assert len(executor.jobs) == 8


def test_an_added_seed_is_trained_as_far_as_the_others(tmp_path: Path) -> None:
    asha = {"name": "asha", "min_epochs": 1, "proposals": "random"}
    first, _ = run(tmp_path, asha, budget={"trials": 12})
    reached = {config: len(result.curve) for config, _, result in first.values()}
    second, _ = run(tmp_path, asha, budget={"trials": 12}, seeds=2)
    lengths: dict[str, set[int]] = {}
    for config, _, result in second.values():
        lengths.setdefault(config, set()).add(len(result.curve))
    assert all(len(both) == 1 and min(both) >= reached[config] for config, both in lengths.items())
    third, executor = run(tmp_path, asha, budget={"trials": 12}, seeds=2)
    assert (third, executor.jobs) == (second, [])


def test_an_execution_answered_by_another_s_curve_at_a_rung_is_halted_there(tmp_path: Path) -> None:
    few = {"units": [8, 16], "activation": ["relu"], "epochs": [4, 9]}
    asha = {"name": "asha", "min_epochs": 3, "proposals": "random"}
    rows, _ = run(tmp_path, asha, parameters=few, configs=[{"units": 8, "activation": "relu"}])
    for *_, result in rows.values():
        whole = len(result.curve) > 3
        assert result.status is (Status.COMPLETED if whole else Status.STOPPED)


def test_a_race_fills_the_gaps_of_listed_seeds(tmp_path: Path) -> None:
    few = {"budget": {"trials": 3}}
    run(tmp_path, "random", seeds=[0, 2], **few)
    rows, _ = run(tmp_path, "random", seeds={"min": 1, "max": 4, "race": True}, **few)
    assert {seed for _, seed, _ in rows.values()} >= {0, 1, 2}


def test_a_budget_that_grew_promotes_further(tmp_path: Path) -> None:
    first, one = run(tmp_path, "asha", budget={"trials": 9})
    second, two = run(tmp_path, "asha", budget={"trials": 18})
    assert all(second[n][:2] == first[n][:2] for n in first)
    assert one.epochs + two.epochs == sum(len(r.curve) for *_, r in second.values())


@pytest.mark.parametrize("method", ["random", "tpe", "asha"])
def test_a_race_gives_further_seeds_to_leaders(tmp_path: Path, method: str) -> None:
    race = {"min": 1, "max": 5, "race": True}
    rows, _ = run(tmp_path / "whole", method, seeds=race)
    seeds: dict[str, list[int]] = {}
    for config, seed, _ in rows.values():
        seeds.setdefault(config, []).append(seed)
    assert all(found == list(range(len(found))) for found in seeds.values())
    assert max(map(len, seeds.values())) > 1
    for cut in (23, 31, 35):
        place = tmp_path / f"killed-{cut}"
        run(place, method, seeds=race, most=cut)
        assert run(place, method, seeds=race)[0] == rows


def test_a_race_that_is_none_repeats_every_config(tmp_path: Path) -> None:
    race = {"min": 1, "max": 3, "race": False}
    rows, _ = run(tmp_path, "random", seeds=race, budget={"trials": 3})
    assert sorted(seed for _, seed, _ in rows.values()) == [0, 0, 0, 1, 1, 1, 2, 2, 2]


@pytest.mark.parametrize("method", ["random", *METHODS], ids=str)
def test_proposals_that_come_late_change_nothing(tmp_path: Path, method: Any) -> None:
    """A tuner's process starts at any time, and answers at any speed: the table is the same."""
    budget = {"trials": 12}
    whole, one = run(tmp_path / "whole", method, budget=budget)
    moments = ((0, 3), (1, 0), (2, 1), (7, 0), (40, 2))
    for start, pause in moments[:: 1 if method in ("random", RANDOM) else 2]:
        place = tmp_path / f"{start}-{pause}"
        with (
            search(tmp_path / "other", method, budget=budget) as (other, _),
            search(place, method, budget=budget) as (engine, executor),
        ):
            run_late(engine, other.planner.strategy, start=start, pause=pause)
        assert run(place, method, budget=budget)[0] == whole
        assert executor.epochs == one.epochs
