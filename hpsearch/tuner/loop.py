"""The loop of a run: plan, train, store, learn."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace

from hpsearch.models.problem import Recipe
from hpsearch.space.execution import Curve, Execution, ExecutionResult, Status, Training
from hpsearch.space.space import Kind
from hpsearch.store.derived import Tables
from hpsearch.store.ranking import Leader, mean
from hpsearch.store.store import Store
from hpsearch.store.tables import Record
from hpsearch.tuner.estimate import Costs
from hpsearch.tuner.learning import Medians, Snapshots
from hpsearch.tuner.planning import Planner, Step, Summary
from hpsearch.tuner.settings import Reporter, Stop
from hpsearch.wording import counted
from hpsearch.workers.protocol import (
    Answered,
    Event,
    Executor,
    Finished,
    Job,
    Lost,
    Objective,
    Said,
)

#: Machines that may be lost during one training before it is blamed for their loss.
_MACHINES = 3
#: The sweep gives up if so many trainings fail alike before any succeeds.
_FAILURES_ALIKE = 5
_WAIT_SECONDS = 0.5


@dataclass
class Loop:
    """One run over a sweep's executions.

    Attributes:
        results: Every stored result, by execution; at first those of earlier runs.
        keep: `best` or `all`: whose weights are kept.
        costs: Estimates what a training needs.
        snapshots: Stored states from which trainings can continue.
        medians: Floors that stop trainings worse than half of the earlier ones, or None.
        objective: The function that gives the scores; None for models.
        watch: Called with the rows so far whenever the tables are written, or None.
        time_seconds: No training begins after it; None for no limit.
        retries: How often a training is repeated whose worker died.
    """

    planner: Planner
    executor: Executor
    store: Store
    tables: Tables
    reporter: Reporter
    recipe: Recipe
    stop: Stop
    results: dict[int, ExecutionResult]
    keep: str
    costs: Costs
    snapshots: Snapshots
    medians: Medians | None = None
    objective: Objective | None = None
    watch: Callable[[Sequence[Record]], None] | None = None
    time_seconds: float | None = None
    retries: int = 1
    _queue: deque[Training] = field(default_factory=deque)
    _executions: dict[int, Execution] = field(default_factory=dict)
    _stored: list[Execution] = field(default_factory=list)
    _deaths: dict[int, int] = field(default_factory=dict)
    _failures: list[str] = field(default_factory=list)
    _succeeded: bool = False
    _came_late: set[str] = field(default_factory=set)
    _best_score: float | None = None
    _leader: Leader = field(init=False)

    def __post_init__(self) -> None:
        self._leader = Leader(self.recipe.goal)

    @property
    def executions(self) -> Sequence[Execution]:
        """This sweep's executions so far, in the order of planning."""
        return [self._executions[number] for number in sorted(self._executions)]

    @property
    def stored(self) -> Sequence[Execution]:
        """Every stored execution, including those outside this sweep."""
        return self._stored

    @property
    def records(self) -> list[Record]:
        """The rows so far, including those of earlier runs."""
        return self.tables.records(self._stored, self.results)

    def run(self, answered: Collection[int], stored: Callable[[], Sequence[Execution]]) -> None:
        """Train what is not `answered` until nothing is left, a limit is met or a signal comes.

        Args:
            answered: Executions whose stored results count.
            stored: Returns every stored execution, for the tables.
        """
        began = time.monotonic()
        self._begin(answered, stored)
        while not self.stop.reason and self.stop.signal is None:
            late = self._late(began)
            self._refill(late=late)
            if self._queue and self.executor.free and not late:
                self._submit(self._queue.popleft())
                continue
            if not self.executor.busy and (late or not self._queue):
                self._say_exhausted()
                return
            self._handle(self.executor.events(_WAIT_SECONDS))
            if self.tables.due(len(self.results)):
                self.tables.write(self._stored, self.results)
                if self.watch is not None:
                    self.watch(self.records)

    def _note_score(self, execution: Execution, result: ExecutionResult) -> None:
        score, best = result.score if result.status.scored else None, self._best_score
        self._leader.note(execution.trial, execution.number, score)
        if score is not None and (best is None or self.recipe.better(score, best)):
            self._best_score = score

    def _tell_best(self) -> None:
        if self._leader.trial is not None:
            self.reporter.best(self._leader.trial, mean(self._leader.scores))

    def _note_late(self, result: ExecutionResult) -> None:
        """Report hyperparameters that no build before the run had asked for."""
        for name in result.late.keys() - self._came_late:
            self._came_late.add(name)
            how = "its default" if self.recipe.late == "default" else "drawn from its range"
            self.reporter.note(
                f"{self._executions[result.number].label}: the model asks for {name!r}, which no "
                f"build before the run did: its value is {how}, and a column of the table; to have "
                "it searched, name it under parameters"
            )

    def _begin(self, answered: Collection[int], stored: Callable[[], Sequence[Execution]]) -> None:
        self._executions = {execution.number: execution for execution in self.planner.current}
        self._stored = [self._executions.get(each.number, each) for each in stored()]
        for execution in self._stored:
            if (result := self.results.get(execution.number)) is not None:
                self._note_score(execution, result)
        for result in self.results.values():
            if self.medians is not None:
                self.medians.note(result)
        if self.planner.expected is not None:
            self.reporter.expected(self.planner.expected)
        self._tell_best()
        step = self.planner.begin(answered)
        known = [*self.planner.current, *step.executions]
        waiting = {each.trial for each in known if each.number not in answered}
        done = {each.trial for each in known} - waiting
        self._take(step, done)

    def _summary(self, step: Step) -> Summary:
        numbers = {number for training in step.trainings for number in training.executions}
        numbers.update(answer.number for answer in step.answers)
        executions = [self._executions[number] for number in sorted(numbers)]
        return self.costs.summary(executions, step.trainings)

    def _say_exhausted(self) -> None:
        if self.planner.left_over > 0:
            trials = {each.trial for each in self.executions}
            self.reporter.note(
                f"the space is exhausted: all its configs are tried, "
                f"{counted(len(trials), 'trial')}; "
                f"budget.trials leaves room for {self.planner.left_over} more"
            )

    def _late(self, began: float) -> bool:
        limit = self.time_seconds
        return limit is not None and time.monotonic() - began >= limit

    def _refill(self, *, late: bool) -> None:
        """Plan further trials while a worker would be idle."""
        while not late:
            # A strategy that learns is asked only if a worker is free. If none is busy, one
            # will be free.
            waits = self.planner.adaptive and self.executor.busy
            free = self.executor.free if waits else max(1, self.executor.free)
            if len(self._queue) >= free:
                return
            step = self.planner.next(free - len(self._queue))
            if not step:
                return
            self._take(step)

    def _take(self, step: Step, done: Collection[int] = ()) -> None:
        """Store new executions, queue the trainings, and take the answers that need none."""
        if step.executions:
            self.store.add_executions(step.executions)
            self._executions.update((execution.number, execution) for execution in step.executions)
            self._stored += step.executions
        self._queue.extend(self._in_order(step.trainings))
        self.reporter.planned(self._summary(step), done)
        if step.answers:
            self._acknowledge(step.answers)

    def _in_order(self, trainings: Sequence[Training]) -> list[Training]:
        """Sort trainings by estimated time, the longest first, so that workers end together.

        With a time limit they keep the order of the proposals, so that more of them finish.
        """
        if self.time_seconds is not None or self.planner.adaptive:
            return list(trainings)
        return sorted(trainings, key=lambda each: self.costs.seconds(each) or 0.0, reverse=True)

    def _submit(self, training: Training) -> None:
        threshold = self._best_score if self.keep == "best" else None
        self.executor.submit(
            Job(
                training,
                self.recipe,
                threshold,
                tensorflow=self.costs.needs_tensorflow(training),
                past=self.snapshots.past(training, self.results),
                floors=self.medians.floors() if self.medians else (),
                snapshot=self._needs_snapshot(training) and self.snapshots.has_room,
                objective=self.objective,
            )
        )

    def _needs_snapshot(self, training: Training) -> bool:
        """Whether the training's last state may be needed.

        A model that knows how many epochs it trains starts anew for more of them.
        """
        kind = self._executions[training.number].config.kind
        return kind is not Kind.WHOLE_MODEL and self.planner.may_continue(training)

    def _handle(self, events: Sequence[Event]) -> None:
        results: list[ExecutionResult] = []
        ended: list[Training] = []
        for event in events:
            match event:
                case Answered():
                    results.append(event.result)
                case Finished():
                    ended.append(event.training)
                case Lost():
                    results += self._bury(event, ended)
                case Said():
                    self.reporter.note(event.message, warning=event.warning)
                    continue
            self.reporter.event(event)
        if results:
            self._acknowledge(results)
        for training in ended:
            self._judge(training)

    def _acknowledge(self, results: Sequence[ExecutionResult]) -> None:
        """Store results before anyone learns of them."""
        self.store.add_results(results)
        for result in results:
            # The weights are on disk; memory must not hold those of thousands of executions.
            kept = replace(result, state=None, snapshot=None, curve=Curve(result.curve))
            self.results[result.number] = kept
            self.snapshots.note(result)
            execution = self._executions[result.number]
            self._note_score(execution, result)
            self._note_late(result)
            if self.medians is not None:
                self.medians.note(kept)
            self._tell_best()
            self.reporter.result(execution, kept)
        self.planner.learn(results)

    def _bury(self, lost: Lost, ended: list[Training]) -> list[ExecutionResult]:
        """Repeat a training whose worker died, or return results that say so."""
        training = lost.training
        left = tuple(stop for stop in training.stops if stop[1] not in lost.answered)
        if not left:
            ended.append(training)
            return []
        deaths = self._deaths[training.number] = self._deaths.get(training.number, 0) + 1
        # A training that exceeded a limit would exceed it again.
        limited = lost.timed_out or lost.too_large
        retries = max(self.retries, _MACHINES) if lost.machine_lost else self.retries
        if not limited and deaths <= retries:
            self.reporter.note(f"{training.label}: {lost.reason}; trying once more")
            self._queue.appendleft(replace(training, stops=left))
            return []
        ended.append(training)
        status = Status.TIMEOUT if lost.timed_out else Status.KILLED
        return [
            ExecutionResult(
                number=number,
                status=status,
                seconds=lost.seconds / len(left),
                shared_with=None if number == training.number else training.number,
                error=lost.reason,
            )
            for _, number in left
        ]

    def _judge(self, training: Training) -> None:
        """Give up if the first trainings all fail for the same reason."""
        result = self.results.get(training.number)
        if result is None or self._succeeded:
            return
        if result.status is not Status.FAILED:
            self._succeeded = True
            return
        self._failures.append(result.error)
        if len(self._failures) >= _FAILURES_ALIKE and len(set(self._failures)) == 1:
            self.stop.reason = (
                f"the first {_FAILURES_ALIKE} trainings all failed alike: {result.error}"
            )
