"""The engine of a run, which trains proposals and stores and reports their results."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum, auto

from hpsearch.engine.costs import Costs
from hpsearch.engine.events import Listener, Planned, Stored
from hpsearch.engine.learning import Snapshots
from hpsearch.engine.planning import Planner, Step, Summary
from hpsearch.engine.session import Stop
from hpsearch.errors import HpsearchError
from hpsearch.machine import now
from hpsearch.models.problem import Recipe
from hpsearch.search.asking import Inquiry, OracleEvent, Reply, foreseen
from hpsearch.space.execution import Curve, Execution, ExecutionResult, Status, Training
from hpsearch.store.derived import Tables
from hpsearch.store.facts import installed
from hpsearch.store.store import Store
from hpsearch.store.tables import Record
from hpsearch.store.trials import Leader, mean
from hpsearch.training.subjects import Job, Subject
from hpsearch.wording import counted
from hpsearch.workers.protocol import (
    Answered,
    Event,
    Executor,
    Finished,
    Heard,
    Lost,
    Said,
)

#: The machines that one training may lose before it is blamed for the losses.
_MACHINES = 3
#: The sweep gives up if this many trainings fail alike before any succeeds.
_FAILURES_ALIKE = 5
_FAILURES = {
    Status.FAILED: "failed alike",
    Status.TIMEOUT: "took too long",
    Status.KILLED: "were killed",
}
_WAIT_SECONDS = 0.5
#: Time for importing TensorFlow on a slow machine.
_START_SECONDS = 60.0
#: A longer wait for a proposal is reported.
_LONG_SECONDS = 10.0
#: This many outcomes are reported at once, even if no proposal is wanted.
_MOST_OUTCOMES = 256


class Phase(Enum):
    """The state of the talk with the proposer of a search."""

    #: The proposer is not ready; only what can be foreseen is planned.
    STARTING = auto()
    #: The proposer may be asked for proposals.
    OPEN = auto()
    #: It has not answered the last request.
    ASKED = auto()
    #: As ASKED, and the request is for proposals that were foreseen and are in training.
    CONFIRMING = auto()
    #: It needs an outcome before it proposes more.
    WAITING = auto()
    #: It proposes no new config any more.
    EXHAUSTED = auto()


@dataclass
class Failures:
    """The failures of the first trainings: if all fail alike, the sweep gives up."""

    _errors: list[str] = field(default_factory=list)
    _succeeded: bool = False
    #: The shortest training in the queue when the first ones had all exceeded a limit.
    _shortest: int | None = None

    def note(self, result: ExecutionResult) -> bool:
        """Note the result of a training; return True if there are enough failures alike."""
        if self._succeeded or result.status not in _FAILURES:
            self._succeeded = True
            return False
        # Leave out the memory or time taken, which differs between trainings.
        limited = result.error.startswith("memory: ") or result.status is Status.TIMEOUT
        self._errors.append(result.status if limited else f"{result.status}: {result.error}")
        return len(self._errors) >= _FAILURES_ALIKE and len(set(self._errors)) == 1

    def may_do_with_less(self, training: Training, queue: deque[Training]) -> bool:
        """Check if the shortest training is yet to be tried, and have it tried next."""
        if self._shortest is None and queue:
            queue.appendleft(queue.pop())
            self._shortest = queue[0].number
        return self._shortest is not None and training.number != self._shortest

    def reason(self, result: ExecutionResult) -> str:
        """Return why the sweep gives up."""
        reason = f"the first {len(self._errors)} trainings all {_FAILURES[result.status]}"
        reason += f": {result.error}"
        if result.status is not Status.FAILED:
            reason += f"; {_advice(result)}, then run it again with --retry"
        return reason


@dataclass
class Engine:
    """Trains the executions of proposals; an `asking.Engine`.

    Attributes:
        results: Every stored result, by execution; initially the results of earlier runs.
        keep: `best` or `all`: the executions whose weights are kept.
        costs: Estimates the time and memory of trainings.
        snapshots: Stored states from which trainings can continue.
        subject: The kind of trial.
        versions: The package versions for new rows.
        time_seconds: No training begins after it; None for no limit.
        retries: How often to repeat a training after its worker died.
        repeat: Decides by the result and the number of runs whether to repeat a training that
            raised or diverged; None never repeats.
        method: The proposer's name in messages.
        patience_seconds: The longest wait for a proposal while no worker has work.
    """

    planner: Planner
    executor: Executor
    store: Store
    tables: Tables
    listener: Listener
    recipe: Recipe
    stop: Stop
    results: dict[int, ExecutionResult]
    keep: str
    costs: Costs
    snapshots: Snapshots
    subject: Subject
    versions: Mapping[str, str] = field(default_factory=installed)
    time_seconds: float | None = None
    retries: int = 1
    repeat: Callable[[ExecutionResult, int], bool] | None = None
    method: str = ""
    patience_seconds: float = 600.0
    _queue: deque[Training] = field(default_factory=deque)
    _executions: dict[int, Execution] = field(default_factory=dict)
    _stored: list[Execution] = field(default_factory=list)
    #: Submitted executions without an answer -> the epochs to reach: a halted training may end only
    #: after its execution's next training has begun.
    _open: dict[int, int] = field(default_factory=dict)
    _deaths: dict[int, int] = field(default_factory=dict)
    #: Executions -> runs without a score; then the executions to run again.
    _runs_without_score: dict[int, int] = field(default_factory=dict)
    _again: set[int] = field(default_factory=set)
    _failures: Failures = field(default_factory=Failures)
    _came_late: set[str] = field(default_factory=set)
    _best_score: float | None = None
    phase: Phase = Phase.STARTING
    #: True if the stored executions have been read.
    begun: bool = False
    _began: float = 0.0
    _idle_since: float = 0.0
    _has_waited: bool = False
    #: The number of proposals in the last request.
    _room_asked: int = 0
    #: The number of proposals planned before the proposer was ready.
    _foreseen: int = 0
    #: True if this run has planned anything.
    _planned: bool = False
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

    def begin(self, answered: Collection[int], stored: Callable[[], Sequence[Execution]]) -> None:
        """Load what earlier runs left; called once, first.

        Args:
            answered: The executions whose stored results count.
            stored: Returns every stored execution, for the tables.
        """
        self._began = self._idle_since = now()
        self._executions = {execution.number: execution for execution in self.planner.current}
        self._stored = [self._executions.get(each.number, each) for each in stored()]
        self.begun = True
        for execution in self._stored:
            if (result := self.results.get(execution.number)) is not None:
                self._note_score(execution, result)
        step = self.planner.begin(answered)
        known = [*self.planner.current, *step.executions]
        waiting = {each.trial for each in known if each.number not in answered}
        self._take(step, {each.trial for each in known} - waiting)

    # Proposals

    def exchange(self, answer: Reply) -> Inquiry | None:
        """Take proposals, and work until more are wanted; None once the run is over.

        Raises:
            HpsearchError: A worker cannot be started, or a file cannot be written.
        """
        self.take(answer)
        while not self.over:
            if (request := self.request()) is not None:
                return request
            self.work()
        return None

    def take(self, answer: Reply) -> None:
        """Take proposals; an empty reply means that the proposer is ready for requests.

        Raises:
            HpsearchError: The reply is an error.
        """
        if answer.error:
            raise HpsearchError(answer.error)
        for line in answer.notes:
            self.listener(Said(line, warning=True))
        confirms = self.phase is Phase.CONFIRMING
        step = Step() if confirms else self.planner.take(answer.proposals)
        if answer.exhausted:
            self.phase = Phase.EXHAUSTED
        elif self._room_asked and not answer.proposals:
            self.phase = Phase.WAITING
        else:
            self.phase = Phase.OPEN
        self._take(step, events=answer.events)

    def request(self) -> Inquiry | None:
        """Return the next request, if there is one now.

        Until the proposer is ready, train the proposals that can be foreseen.
        """
        while not (self._is_asked or self._late or self._stopped):
            room = self._room()
            if room and (step := self.planner.own()):
                self._take(step)
                continue
            if self.phase is Phase.STARTING:
                if room and self._foresee():
                    continue
                return None
            if self._foreseen:
                # Request them before reporting any outcome, as if nothing had been foreseen.
                room, self._foreseen = self._foreseen, 0
                return self._ask(Inquiry((), room), Phase.CONFIRMING)
            told = self.planner.has_outcomes
            if told >= _MOST_OUTCOMES or (room and (told or self.phase is Phase.OPEN)):
                room = self.planner.room(room) if room else 0
                return self._ask(Inquiry(self.planner.outcomes(), room, self.planner.spent))
            return None
        return None

    def _room(self) -> int:
        """The number of trainings to plan; 0 while all workers have work."""
        # Plans that depend on results wait for a free worker. If no worker is busy, one will be
        # free.
        waits = self.planner.adaptive and self.executor.busy
        free = self.executor.free if waits else max(1, self.executor.free)
        return max(0, free - len(self._queue))

    def _ask(self, request: Inquiry, phase: Phase = Phase.ASKED) -> Inquiry:
        self.phase, self._room_asked = phase, request.room
        return request

    @property
    def _is_asked(self) -> bool:
        return self.phase in (Phase.ASKED, Phase.CONFIRMING)

    @property
    def _stopped(self) -> bool:
        return bool(self.stop.reason) or self.stop.signal is not None

    def _foresee(self) -> bool:
        """Plan proposals that no outcome can change; return True if there are any."""
        if self.planner.strategy is None or self.planner.spent:
            return False
        room = self.planner.room(self._room())
        proposals = foreseen(self.planner.strategy, room)
        self._foreseen += len(proposals)
        self._take(self.planner.take(proposals))
        return bool(proposals)

    @property
    def over(self) -> bool:
        """True if nothing is left to do."""
        if self._stopped:
            return True
        if self.executor.busy or (self._queue and not self._late):
            return False
        if self._late or self._complete:
            return True
        if self.phase is Phase.STARTING or self._is_asked:
            return False
        return not (self._foreseen or self.planner.has_outcomes or self.phase is Phase.OPEN)

    @property
    def settled(self) -> bool:
        """True if no further result will come, although no tuner has confirmed that yet."""
        strategy = self.planner.strategy
        if self.planner.adaptive or strategy is None or self._queue or self.executor.busy:
            return False
        return self.planner.spent or strategy.exhausted

    @property
    def _complete(self) -> bool:
        """True if earlier runs left nothing to do, so that no proposer is needed."""
        strategy = self.planner.strategy
        if self.phase is not Phase.STARTING or self._planned or strategy is None or strategy.rungs:
            # Halted trainings may have to continue.
            return False
        return self.planner.spent or strategy.exhausted

    def work(self) -> None:
        """Start a training, or wait for events and handle them."""
        if self._queue and self.executor.free and not self._late:
            self._submit(self._queue.popleft())
            return
        self._handle(self.executor.events(_WAIT_SECONDS))
        self._check_patience()
        if self.tables.due(len(self.results)):
            self.write_tables()

    def write_tables(self) -> None:
        """Write the tables of every stored execution.

        Raises:
            HpsearchError: They cannot be written.
        """
        self.tables.write(self._stored, self.results)

    def _check_patience(self) -> None:
        """Raise HpsearchError if an oracle has proposed nothing for too long."""
        instant = now()
        own = self.planner.strategy is not None
        starting = self.phase is Phase.STARTING
        if own or self.executor.busy or not (starting or self._is_asked):
            self._idle_since = instant
            return
        waited = instant - self._idle_since
        if waited > self.patience_seconds + (_START_SECONDS if starting else 0.0):
            raise HpsearchError(
                f"method: {self.method} gave no answer within {self.patience_seconds:g} s; what "
                "was finished is stored, so the same command continues once it is faster"
            )
        if waited > _LONG_SECONDS and not self._has_waited:
            self._has_waited = True
            self._say(f"method: waiting for {self.method} to propose")

    def _say(self, message: str) -> None:
        self.listener(Said(message))

    def _note_score(self, execution: Execution, result: ExecutionResult) -> None:
        score, best = result.score if result.status.scored else None, self._best_score
        self._leader.note(execution.trial, execution.number, score)
        if score is not None and (best is None or self.recipe.better(score, best)):
            self._best_score = score

    @property
    def _best(self) -> tuple[int, float] | None:
        """The best trial so far and its mean score."""
        leader = self._leader
        return None if leader.trial is None else (leader.trial, mean(leader.scores))

    def _note_late(self, result: ExecutionResult) -> None:
        """Report hyperparameters that no build before the run requested."""
        for name in result.late.keys() - self._came_late:
            self._came_late.add(name)
            how = "its default" if self.recipe.late == "default" else "drawn from its range"
            self._say(
                f"{self._executions[result.number].label}: the model asks for {name!r}, which no "
                f"build before the run did: its value is {how}, and a column of the table; to have "
                "it searched, name it under parameters"
            )

    def _summary(self, step: Step) -> Summary:
        numbers = {number for training in step.trainings for number in training.executions}
        numbers.update(answer.number for answer in step.answers)
        executions = [self._executions[number] for number in sorted(numbers)]
        return self.costs.summary(executions, step.trainings)

    def say_exhausted(self) -> None:
        """Report if the space has fewer configs than the budget allows."""
        if self.planner.spent and not self._planned:
            self._say("budget.trials is used up; a larger one tries more")
        if self.phase is Phase.EXHAUSTED and self.planner.left_over > 0:
            trials = counted(len({each.trial for each in self.executions}), "trial")
            why = (
                f"the space is exhausted: all its configs are tried, {trials}"
                if self.planner.strategy is not None
                else f"{self.method} has ended the search after {trials}"
            )
            left = self.planner.left_over
            self._say(f"{why}; budget.trials leaves room for {left} more")

    @property
    def _late(self) -> bool:
        limit = self.time_seconds
        return limit is not None and now() - self._began >= limit

    def _take(
        self, step: Step, done: Collection[int] = (), events: Sequence[OracleEvent] = ()
    ) -> None:
        """Store new executions, queue the trainings, and store answers that need no training."""
        if step.executions or events:
            self.store.add_executions(step.executions, events)
            self._executions.update((execution.number, execution) for execution in step.executions)
            self._stored += step.executions
        self._planned = self._planned or bool(step)
        self._queue.extend(self._in_order(step.trainings))
        if step or done:
            self.listener(Planned(self._summary(step), done, self._best))
        if step.answers:
            self._acknowledge(step.answers)

    def _in_order(self, trainings: Sequence[Training]) -> list[Training]:
        """Sort trainings by estimated time, longest first, so that workers end together.

        With a time limit they keep the order of the proposals, so that more of them finish.
        """
        if self.time_seconds is not None or self.planner.adaptive:
            return list(trainings)
        return sorted(trainings, key=lambda each: self.costs.seconds(each) or 0.0, reverse=True)

    def _submit(self, training: Training) -> None:
        threshold = self._best_score if self.keep == "best" else None
        self._open.update((number, epochs) for epochs, number in training.stops)
        self.executor.submit(
            Job(
                training,
                self.recipe,
                self.subject,
                threshold,
                tensorflow=self.costs.needs_tensorflow(training),
                past=self.snapshots.past(training, self.results),
                snapshot=self._needs_snapshot(training) and self.snapshots.has_room,
            )
        )

    def _needs_snapshot(self, training: Training) -> bool:
        """Check if the training's last state may be needed."""
        kind = self._executions[training.number].config.kind
        return kind.continues and self.planner.may_continue(training)

    def _handle(self, events: Sequence[Event]) -> None:
        results: list[ExecutionResult] = []
        ended: list[Training] = []
        for event in events:
            match event:
                case Answered():
                    if event.result.number not in self._open or self._repeats(event.result):
                        continue
                    del self._open[event.result.number]
                    results.append(event.result)
                case Finished():
                    if not self._requeue(event.training):
                        results += self._unanswered(event.training)
                        ended.append(event.training)
                case Lost():
                    results += self._bury(event, ended)
                case Heard():
                    if event.ended:
                        raise HpsearchError(
                            f"method: the process of {self.method} ended ({event.ended}); the last "
                            "lines of run.log say why; what was finished is stored, so the same "
                            "command continues"
                        )
                    self.take(event.message)
                    continue
            self.listener(event)
        if results:
            self._acknowledge(results)
        for training in ended:
            self._judge(training)

    def _repeats(self, result: ExecutionResult) -> bool:
        """Check if the training gave no score and is to run again."""
        if self.repeat is None or result.status not in (Status.FAILED, Status.DIVERGED):
            return False
        runs = self._runs_without_score.get(result.number, 0) + 1
        self._runs_without_score[result.number] = runs
        if not self.repeat(result, runs):
            return False
        self._again.add(result.number)
        return True

    def _requeue(self, training: Training) -> bool:
        """Queue a training again if it is to run again; return True if so."""
        left = tuple(stop for stop in training.stops if stop[1] in self._again)
        self._again.difference_update(training.executions)
        if left:
            self._queue.appendleft(replace(training, stops=left))
        return bool(left)

    def _acknowledge(self, results: Sequence[ExecutionResult]) -> None:
        """Store results before anyone learns of them."""
        # What another one's curve answers was made by the versions of that one.
        results = [replace(each, versions=each.versions or self.versions) for each in results]
        self.store.add_results(results)
        for result in results:
            # The weights are on disk; those of thousands of executions would fill memory.
            kept = replace(result, state=None, snapshot=None, curve=Curve(result.curve))
            self.results[result.number] = kept
            self.snapshots.note(result)
            execution = self._executions[result.number]
            self._note_score(execution, result)
            self._note_late(result)
            self.listener(Stored(execution, kept, self._best))
        self.planner.learn(results)

    def _bury(self, lost: Lost, ended: list[Training]) -> list[ExecutionResult]:
        """Repeat a training whose worker died, or return results with the failure."""
        training = lost.training
        # Those that were to run again have had no answer, so they do.
        self._again.difference_update(training.executions)
        left = tuple(stop for stop in training.stops if self._open.get(stop[1]) == stop[0])
        if not left:
            ended.append(training)
            return []
        deaths = self._deaths[training.number] = self._deaths.get(training.number, 0) + 1
        # A training that exceeded a limit would exceed it again.
        limited = lost.timed_out or lost.too_large
        retries = max(self.retries, _MACHINES) if lost.machine_lost else self.retries
        if not limited and deaths <= retries:
            self._say(f"{training.label}: {lost.reason}; trying once more")
            self._queue.appendleft(replace(training, stops=left))
            return []
        ended.append(training)
        status = Status.TIMEOUT if lost.timed_out else Status.KILLED
        return self._unanswered(training, status, lost.reason, lost.seconds)

    def _unanswered(
        self,
        training: Training,
        status: Status = Status.FAILED,
        reason: str = "the training ended without an answer for it",
        seconds: float = 0.0,
    ) -> list[ExecutionResult]:
        """Return results for a training's executions that will get no answer."""
        left = [n for epochs, n in training.stops if self._open.get(n) == epochs]
        for number in left:
            del self._open[number]
        return [
            ExecutionResult(
                number=number,
                status=status,
                seconds=seconds / len(left),
                shared_with=None if number == training.number else training.number,
                error=reason,
            )
            for number in left
        ]

    def _judge(self, training: Training) -> None:
        """Give up if the first trainings all fail for the same reason.

        Lack of time or memory counts only if no training ever had enough and the shortest one in
        the queue was tried, too, since the longest trainings come first.
        """
        result = self.results.get(training.number)
        if result is None or not self._failures.note(result):
            return
        if result.status is not Status.FAILED:
            enough = any(each.status not in _FAILURES for each in self.results.values())
            if enough or self._failures.may_do_with_less(training, self._queue):
                return
        self.stop.reason = self._failures.reason(result)
        if self._open:
            left = ", ".join(map(str, sorted({self._executions[n].trial for n in self._open})))
            self.stop.reason += f" (under way, and without a row: trial {left})"


def _advice(result: ExecutionResult) -> str:
    if result.status is Status.TIMEOUT:
        return "raise execution.timeout"
    if result.error.startswith("memory: "):
        return "raise execution.memory, or lower execution.workers"
    return "if memory ran out, lower execution.workers; run.log may say more: mend the cause"
