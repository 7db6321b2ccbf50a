"""The engine, with trainings that are over at once."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from engines import RECIPE, Executor, Listed, engine_in, run_engine, space_of

from hpsearch.engine.learning import AdaptivePlanner, CurveReuse
from hpsearch.engine.loop import Engine
from hpsearch.engine.planning import FixedPlanner, Planner, Trials
from hpsearch.engine.session import Stored
from hpsearch.engine.trainings import Costs
from hpsearch.search.draws import grid_draws
from hpsearch.search.strategy import Outcome, Proposal
from hpsearch.space.execution import Curve, ExecutionResult, Repetition, Status, Training
from hpsearch.space.space import Space
from hpsearch.training.subjects import Job, Needs
from hpsearch.workers.protocol import Answered, Event, Finished, Lost, Said


class Instant(Executor):
    """Answers at once: `score_of` gives each trial's score, None for a failure."""

    def __init__(self, score_of: Any) -> None:
        super().__init__()
        self._score_of = score_of

    def events(self, _: float) -> list[Event]:
        jobs, self.waiting = self.waiting, []
        return [event for job in jobs for event in self._events(job)]

    def _events(self, job: Job) -> Iterator[Event]:
        for epochs, number in job.training.stops:
            score = self._score_of(number)
            status = Status.FAILED if score is None else Status.COMPLETED
            curve = tuple({"loss": 0.5, "val_accuracy": epoch / 10} for epoch in range(epochs))
            yield Answered(1, ExecutionResult(number, status, score, curve, epochs))
        yield Finished(1, job.training)


class OneGpu(Instant):
    """Has four workers and one GPU."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(lambda _: 0.5)
        self.workers = 4
        self.most_queued = self.most_at_once = 0
        self._trainings = engine.trainings

    @property
    def free_devices(self) -> int:
        return 1 - sum(job.needs.device for job in self.waiting)

    def events(self, seconds: float) -> list[Event]:
        self.most_queued = max(self.most_queued, len(self._trainings.queue))
        self.most_at_once = max(self.most_at_once, len(self.waiting))
        assert self.free_devices >= 0
        return super().events(seconds)


class Cluster(Instant):
    """Has no room before it was asked for events three times; says that it waits."""

    asked = 0

    @property
    def free(self) -> int:
        return super().free if self.asked >= 3 else 0

    def events(self, seconds: float) -> list[Event]:
        self.asked += 1
        return super().events(seconds) if self.asked > 3 else [Said(f"waiting {self.asked}")]


class Watcher:
    def __init__(self) -> None:
        self.notes: list[str] = []
        self.results: list[int] = []

    def __call__(self, event: Any) -> None:
        match event:
            case Said():
                self.notes.append(event.message)
            case Stored():
                assert event.execution.number == event.result.number
                self.results.append(event.result.number)


@contextmanager
def loop_of(
    directory: Path, space: Space, oracle: Listed, score_of: Any, seeds: Sequence[int] = (0,)
) -> Iterator[Engine]:
    def planner_of(stored: Any, results: Any, snapshots: Any) -> Planner:
        repetitions = list(map(Repetition, seeds))
        numbers = Trials(space, (), repetitions, stored=stored, limit=None)
        if not oracle.adaptive:
            return FixedPlanner(oracle, numbers, repetitions, results)
        reuse = CurveReuse(RECIPE, results, snapshots.epochs)
        return AdaptivePlanner(oracle, numbers, repetitions, reuse)

    executor = Instant(score_of)
    with engine_in(directory, space.names, executor, planner_of, listener=Watcher()) as engine:
        yield engine


def learner(space: Space, *, adaptive: bool = True) -> Listed:
    return Listed(grid_draws(space), adaptive=adaptive)


def test_an_oracle_learns_the_mean_over_seeds_once_it_is_known(tmp_path: Path) -> None:
    space = space_of(units=[1, 2, 3])
    oracle = learner(space)
    scores = {1: 0.25, 2: 0.75, 3: 0.5, 4: None, 5: 0.125, 6: 0.125}
    with loop_of(tmp_path, space, oracle, scores.get, seeds=(0, 1)) as engine:
        run_engine(engine)
        configs = [trial.config for trial in engine.planner.current]
    assert sorted(oracle.told, key=lambda o: configs.index(o.config)) == [
        Outcome(configs[0], 0.5), Outcome(configs[2], None), Outcome(configs[4], 0.125),
    ]  # fmt: skip


@pytest.mark.parametrize("adaptive", [True, False])
def test_work_waits_for_an_executor_that_has_no_room_yet(tmp_path: Path, adaptive: bool) -> None:
    space = space_of(units=[1, 2, 3])
    with loop_of(tmp_path, space, learner(space, adaptive=adaptive), lambda _: 0.5) as engine:
        engine.trainings.executor = Cluster(lambda _: 0.5)
        run_engine(engine)
        assert sorted(engine.ledger.results) == [1, 2, 3]
        assert engine.ledger.listener.notes[:3] == ["waiting 1", "waiting 2", "waiting 3"]
        # Nothing is left to wait for.
        engine.trainings.executor = Cluster(lambda _: 0.5)
        run_engine(engine, set(engine.ledger.results))
        assert engine.trainings.executor.asked == 0


@pytest.mark.parametrize(("large", "at_once"), [(0, 4), (2, 4), (1, 1)])
def test_trainings_wait_for_a_gpu_and_others_pass_them(
    tmp_path: Path, large: int, at_once: int
) -> None:
    """Of every `large` trainings one wants the GPU; more are planned only for idle cores."""

    class Mixed(Costs):
        def needs(self, training: Training) -> Needs:
            return Needs(device=large > 0 and training.number % large == 0)

    space = space_of(units=range(1, 6_001))
    with loop_of(tmp_path, space, learner(space, adaptive=False), lambda _: 0.5) as engine:
        engine.trainings.costs = Mixed()
        executor = engine.trainings.executor = OneGpu(engine)
        run_engine(engine)
        assert len(engine.ledger.results) == 6_000
    assert executor.most_at_once == at_once
    assert executor.most_queued < 4_096 + 1_000


@pytest.mark.parametrize(
    ("deaths", "machine", "status"),
    # One retry is allowed, and three machines.
    [(1, False, "completed"), (2, False, "killed"), (3, True, "completed"), (4, True, "killed")],
)
def test_a_lost_machine_is_no_fault_of_its_training(
    tmp_path: Path, deaths: int, machine: bool, status: str
) -> None:
    class Losing(Instant):
        lost = 0

        def events(self, seconds: float) -> list[Event]:
            self.lost += 1
            if self.lost > deaths:
                return super().events(seconds)
            job = self.waiting.pop()
            return [Lost(1, job.training, "gone", False, 1.0, machine_lost=machine)]

    space = space_of(units=[1])
    with loop_of(tmp_path, space, learner(space), lambda _: 0.5) as engine:
        engine.trainings.executor = Losing(lambda _: 0.5)
        run_engine(engine)
        assert engine.ledger.results[1].status == status


def test_a_training_that_raised_runs_again(tmp_path: Path) -> None:
    """Shared ones as a whole, and no row tells of it; the last run counts."""
    scores: dict[int, list[float | None]] = {1: [None, None, 0.1], 2: [None, None, 0.2]}
    asked: list[tuple[int, int]] = []

    def repeat(result: ExecutionResult, runs: int) -> bool:
        asked.append((result.number, runs))
        return runs < 3

    space = space_of(epochs=[1, 2], hidden_layers=[0])
    oracle = learner(space, adaptive=False)
    with loop_of(tmp_path, space, oracle, lambda number: scores[number].pop(0)) as engine:
        engine.trainings.repeat = repeat
        run_engine(engine)
        assert {n: each.score for n, each in engine.ledger.results.items()} == {1: 0.1, 2: 0.2}
    assert sorted(asked) == [(1, 1), (1, 2), (2, 1), (2, 2)]


def test_an_executor_that_miscounts_costs_no_row(tmp_path: Path) -> None:
    class Miscounting(Instant):
        """Answers for another training, then twice, and not for the last execution."""

        def _events(self, job: Job) -> Iterator[Event]:
            *most, finished = super()._events(job)
            last = job.training.number
            yield Answered(1, ExecutionResult(99, Status.COMPLETED, 1.0, (), 1))
            yield from (each for each in most if each.result.number != last for _ in range(2))
            yield finished

    space = space_of(units=[1, 2], epochs=[1, 2])
    with loop_of(tmp_path, space, learner(space, adaptive=False), lambda _: 0.5) as engine:
        engine.trainings.executor = Miscounting(lambda _: 0.5)
        run_engine(engine)
        assert sorted(engine.ledger.listener.results) == [1, 2, 3, 4]
        assert sorted(each.status for each in engine.ledger.results.values()) == [
            "completed", "completed", "failed", "failed",
        ]  # fmt: skip
        assert engine.ledger.store.results() == engine.ledger.results
        assert {type(each.curve) for each in engine.ledger.results.values()} == {Curve}


@pytest.mark.parametrize("status", [Status.FAILED, Status.TIMEOUT])
def test_a_sweep_of_which_all_trials_raise_stops_early(tmp_path: Path, status: Status) -> None:
    """One whose trials take too long goes on: later ones are shorter."""

    class Ending(Instant):
        def _events(self, job: Job) -> Iterator[Event]:
            yield Answered(1, ExecutionResult(job.training.number, status, error="no"))
            yield Finished(1, job.training)

    space = space_of(units=list(range(1, 13)))
    with loop_of(tmp_path, space, learner(space, adaptive=False), lambda _: 0.5) as engine:
        engine.trainings.executor = Ending(lambda _: 0.5)
        run_engine(engine)
        stops = status is Status.FAILED
        assert bool(engine.stop.reason) == stops
        assert len(engine.ledger.results) == (6 if stops else 12)
        if stops:
            assert re.match("the first [56] trainings all failed alike: no", engine.stop.reason)


def test_a_resumed_search_of_which_trials_completed_goes_on_through_failures(
    tmp_path: Path,
) -> None:
    class FailsLater(Instant):
        def _events(self, job: Job) -> Iterator[Event]:
            number = job.training.number
            failure = ExecutionResult(number, Status.FAILED, error="no")
            yield from super()._events(job) if number < 3 else iter([Answered(1, failure)])
            yield Finished(1, job.training)

    for choices in ([1, 2], list(range(1, 13))):
        space = space_of(units=choices)
        with loop_of(tmp_path, space, learner(space, adaptive=False), lambda _: 0.5) as engine:
            engine.trainings.executor = FailsLater(lambda _: 0.5)
            run_engine(engine, set(engine.ledger.results))
            assert not engine.stop.reason
            assert len(engine.ledger.results) == len(choices)


def test_weights_are_kept_by_the_score_that_a_continued_training_has_now(tmp_path: Path) -> None:
    space = space_of(units=[1, 2])
    with loop_of(tmp_path, space, learner(space), lambda _: 0.5) as engine:
        ledger, scores = engine.ledger, dict[int, float]()
        ledger.add(engine.planner.take([Proposal(c) for c in grid_draws(space)]).executions, ())
        for number, score in ((1, 0.95), (2, 0.7), (1, 0.9), (2, 0.8)):
            scores[number] = score
            ledger.add_results([ExecutionResult(number, Status.COMPLETED, score, (), 1)])
            assert ledger.least_kept == max(scores.values())
