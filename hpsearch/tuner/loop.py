"""The loop: ask, plan, execute, store, tell."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace

from hpsearch.models.problem import Recipe
from hpsearch.space.space import Kind
from hpsearch.space.trial import Curve, Status, Training, Trial, TrialResult
from hpsearch.store.derived import Tables
from hpsearch.store.store import Store
from hpsearch.store.tables import Record
from hpsearch.tuner.estimate import Costs
from hpsearch.tuner.learning import Medians, Snapshots
from hpsearch.tuner.planning import Planner, Step, Summary
from hpsearch.tuner.settings import Reporter, Stop
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

#: Machines that may go under one training, before it is taken to be what ends them.
_MACHINES = 3
#: Trainings that may fail alike, with no success between, before the sweep gives up.
_FAILURES_ALIKE = 5
_WAIT_SECONDS = 0.5


@dataclass(frozen=True)
class Limits:
    """What the driver does about time and deaths.

    Attributes:
        time_seconds: No training is handed out after it; None for no limit.
        retries: Of a training whose worker died.
    """

    time_seconds: float | None = None
    retries: int = 1


@dataclass
class Loop:
    """One run over a sweep's trials.

    Attributes:
        results: Every result that is stored, by trial; those of earlier runs at first.
        keep: `best` or `all`: whose weights are kept.
        costs: What a training needs of its worker, and about what it takes.
        snapshots: What trainings can go on from.
        medians: Stops trainings that are worse than half of the earlier ones, or None.
        objective: What gives the scores in place of an MLP, or None.
        watch: Shown the rows so far whenever the tables are written, or None.
    """

    planner: Planner
    executor: Executor
    store: Store
    tables: Tables
    reporter: Reporter
    recipe: Recipe
    limits: Limits
    stop: Stop
    results: dict[int, TrialResult]
    keep: str
    costs: Costs
    snapshots: Snapshots
    medians: Medians | None = None
    objective: Objective | None = None
    watch: Callable[[Sequence[Record]], None] | None = None
    _queue: deque[Training] = field(default_factory=deque)
    _trials: dict[int, Trial] = field(default_factory=dict)
    _stored: list[Trial] = field(default_factory=list)
    _deaths: dict[int, int] = field(default_factory=dict)
    _failures: list[str] = field(default_factory=list)
    _succeeded: bool = False
    _came_late: set[str] = field(default_factory=set)
    _best_score: float | None = None

    @property
    def trials(self) -> Sequence[Trial]:
        """The trials of this sweep so far, by number."""
        return [self._trials[number] for number in sorted(self._trials)]

    @property
    def records(self) -> list[Record]:
        """The rows so far, those of earlier runs included."""
        return self.tables.records(self._stored, self.results)

    def run(self, answered: Collection[int], all_trials: Callable[[], Sequence[Trial]]) -> None:
        """Train all that is not `answered`, until the work, the budget or patience ends.

        Args:
            answered: Trials whose stored result counts.
            all_trials: Every trial that is stored by now, for the tables.
        """
        began = time.monotonic()
        self._begin(answered, all_trials)
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

    def _note_score(self, result: TrialResult) -> None:
        """Keep the best score so far: the weights of a trial that is no better are not kept."""
        score = result.score
        if not result.status.scored or score is None:
            return
        if self._best_score is None or self.recipe.better(score, self._best_score):
            self._best_score = score

    def _note_late(self, result: TrialResult) -> None:
        """Say which hyperparameters came up that no build before the run had asked for."""
        for name in result.late.keys() - self._came_late:
            self._came_late.add(name)
            how = "its default" if self.recipe.late == "default" else "drawn from its range"
            self.reporter.note(
                f"trial {result.trial}: the model asks for {name!r}, which no build before the run "
                f"did: its value is {how}, and a column of the table; to have it searched, name "
                "it under parameters"
            )

    def _begin(self, answered: Collection[int], all_trials: Callable[[], Sequence[Trial]]) -> None:
        self._trials = {trial.number: trial for trial in self.planner.current}
        for result in self.results.values():
            self._note_score(result)
            if self.medians is not None:
                self.medians.note(result)
        if self.planner.expected is not None:
            self.reporter.expected(self.planner.expected)
        step = self.planner.begin(answered)
        self._stored = [self._trials.get(trial.number, trial) for trial in all_trials()]
        done = len(self._trials.keys() & set(answered))
        self._take(step, done)

    def _summary(self, step: Step) -> Summary:
        numbers = {number for training in step.trainings for number in training.trials}
        numbers.update(answer.trial for answer in step.answers)
        trials = [self._trials[number] for number in sorted(numbers)]
        return self.costs.summary(trials, step.trainings)

    def _say_exhausted(self) -> None:
        if self.planner.left_over > 0:
            self.reporter.note(
                f"the space is exhausted: all its configs are tried, {len(self._trials)} trials; "
                f"budget.trials leaves room for {self.planner.left_over} more"
            )

    def _late(self, began: float) -> bool:
        limit = self.limits.time_seconds
        return limit is not None and time.monotonic() - began >= limit

    def _refill(self, *, late: bool) -> None:
        """Plan further trials while a worker would be idle."""
        while not late:
            # A strategy that learns is not asked before a worker is free; where none is at work,
            # one will be.
            waits = self.planner.adaptive and self.executor.busy
            free = self.executor.free if waits else max(1, self.executor.free)
            if len(self._queue) >= free:
                return
            step = self.planner.next(free - len(self._queue))
            if not step:
                return
            self._take(step, 0)

    def _take(self, step: Step, done: int) -> None:
        """Store what is new, answer what needs no training, queue the rest."""
        if step.trials:
            self.store.add_trials(step.trials)
            self._trials.update((trial.number, trial) for trial in step.trials)
            self._stored += step.trials
        self._queue.extend(self._in_order(step.trainings))
        self.reporter.planned(self._summary(step), done)
        if step.answers:
            self._acknowledge(step.answers)

    def _in_order(self, trainings: Sequence[Training]) -> list[Training]:
        """Longest first, so that no worker is left alone with a long one at the end.

        By a formula, so the order is the same each time. With a limit of time, in the order of
        the proposals: more of them come to an end.
        """
        if self.limits.time_seconds is not None or self.planner.adaptive:
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
                snapshot=self._may_go_on(training) and self.snapshots.has_room,
                objective=self.objective,
            )
        )

    def _may_go_on(self, training: Training) -> bool:
        """Whether its state is wanted; what is told its epochs is trained anew for more of them."""
        kind = self._trials[training.number].config.kind
        return kind is not Kind.WHOLE_MODEL and self.planner.may_continue(training)

    def _handle(self, events: Sequence[Event]) -> None:
        results: list[TrialResult] = []
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

    def _acknowledge(self, results: Sequence[TrialResult]) -> None:
        """Store results, then let the rest of the world know."""
        self.store.add_results(results)
        for result in results:
            # The weights are on disk now; thousands of trials must not pile up here.
            kept = replace(result, state=None, snapshot=None, curve=Curve(result.curve))
            self.results[result.trial] = kept
            self.snapshots.note(result)
            self._note_score(result)
            self._note_late(result)
            if self.medians is not None:
                self.medians.note(kept)
            self.reporter.result(self._trials[result.trial], kept)
        self.planner.learn(results)

    def _bury(self, lost: Lost, ended: list[Training]) -> list[TrialResult]:
        """A worker died: its training once more, or rows that say so."""
        training = lost.training
        left = tuple(stop for stop in training.stops if stop[1] not in lost.answered)
        if not left:
            ended.append(training)
            return []
        deaths = self._deaths[training.number] = self._deaths.get(training.number, 0) + 1
        # What was over a limit once would be so again.
        limited = lost.timed_out or lost.too_large
        retries = max(self.limits.retries, _MACHINES) if lost.machine_lost else self.limits.retries
        if not limited and deaths <= retries:
            self.reporter.note(f"trial {training.number}: {lost.reason}; trying once more")
            self._queue.appendleft(replace(training, stops=left))
            return []
        ended.append(training)
        status = Status.TIMEOUT if lost.timed_out else Status.KILLED
        return [
            TrialResult(
                trial=number,
                status=status,
                seconds=lost.seconds / len(left),
                shared_with=None if number == training.number else training.number,
                error=lost.reason,
            )
            for _, number in left
        ]

    def _judge(self, training: Training) -> None:
        """Give up when the first trainings all fail for the same reason."""
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
