"""The engine of a run, which trains proposals and stores and reports their results."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from functools import cached_property

from hpsearch.engine.limits import Limits
from hpsearch.engine.planning import Planner, Step, summarize
from hpsearch.engine.session import Planned, Stop
from hpsearch.engine.trainings import Ledger, Trainings
from hpsearch.errors import HpsearchError
from hpsearch.machine import now
from hpsearch.search.strategy import Inquiry, OracleEvent, Reply, foreseen
from hpsearch.space.execution import ExecutionResult, Training
from hpsearch.workers.protocol import Answered, Event, Finished, Heard, Lost, Said

_WAIT_SECONDS = 0.5
#: Time for importing TensorFlow on a slow machine.
_START_SECONDS = 60.0
#: This many outcomes are reported at once, even if no proposal is wanted.
_MOST_OUTCOMES = 256

#: Reasons why a search ended.
_TIME, _TRIALS = "budget.time is over", "budget.trials is spent"


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

    @property
    def waits(self) -> bool:
        """True while the proposer has to answer first."""
        return self in (Phase.ASKED, Phase.CONFIRMING)


@dataclass
class Engine:
    """Trains the executions of proposals; a `search.strategy.Exchange`.

    Attributes:
        limits: The time and the scores that end the search.
        method: The proposer's name in messages.
        patience_seconds: The longest wait for the proposer while no worker has work.
    """

    planner: Planner
    trainings: Trainings
    ledger: Ledger
    stop: Stop
    limits: Limits = field(default_factory=Limits)
    method: str = ""
    patience_seconds: float = 600.0
    phase: Phase = Phase.STARTING
    _waits_since: float = 0.0
    #: The number of proposals in the last request.
    _room_asked: int = 0
    #: The number of proposals planned before the proposer was ready.
    _foreseen: int = 0
    #: True if this run has planned anything.
    _planned: bool = False

    def begin(self, answered: Collection[int]) -> None:
        """Plan what earlier runs left; called once, first.

        Args:
            answered: The executions whose stored results count.
        """
        self.limits.begin()
        self._waits_since = now()
        step, executions = self.planner.begin(answered), self.planner.current
        waiting = {execution.trial for execution in executions if execution.number not in answered}
        self.limits.see(self.planner.outcomes_from)
        if self.limits.reason:
            step = replace(step, trainings=())
        self._take(step, {execution.trial for execution in executions} - waiting)

    # Proposals

    def exchange(self, answer: Reply) -> Inquiry | None:
        """Take proposals, and work until more are wanted; None once the run is over."""
        self.take(answer)
        while not self.over:
            if (request := self.request()) is not None:
                return request
            self.work()
        return None

    def take(self, answer: Reply) -> None:
        """Take proposals; an empty reply means that the proposer is ready for requests."""
        if answer.error:
            raise HpsearchError(answer.error)
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
        while not (self.phase.waits or self.limits.reached or self.stop.wanted):
            # 0 while all workers have work.
            room = self.trainings.room(waits=self.planner.adaptive)
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
            outcomes = tuple(self.planner.outcomes)
            if len(outcomes) < _MOST_OUTCOMES and not (
                room and (outcomes or self.phase is Phase.OPEN)
            ):
                return None
            self.planner.outcomes.clear()
            room = self.planner.room(room) if room else 0
            return self._ask(Inquiry(outcomes, room, self.planner.spent))
        return None

    def _ask(self, request: Inquiry, phase: Phase = Phase.ASKED) -> Inquiry:
        self.phase, self._room_asked = phase, request.room
        return request

    def _foresee(self) -> bool:
        """Plan proposals that no outcome can change; return True if there are any."""
        if self.planner.strategy is None or self.planner.spent:
            return False
        room = self.planner.room(self.trainings.room(waits=self.planner.adaptive))
        proposals = foreseen(self.planner.strategy, room)
        self._foreseen += len(proposals)
        self._take(self.planner.take(proposals))
        return bool(proposals)

    @property
    def over(self) -> bool:
        """True if nothing is left to do."""
        if self.stop.wanted:
            return True
        if self.trainings.executor.busy or (self.trainings.queue and not self.limits.reached):
            return False
        if self.limits.reached or self._complete:
            return True
        if self.phase is Phase.STARTING or self.phase.waits:
            return False
        return not (self._foreseen or self.planner.outcomes or self.phase is Phase.OPEN)

    @property
    def settled(self) -> bool:
        """True if no further result will come, although no tuner has confirmed that yet."""
        if self.planner.adaptive or self.trainings.queue or self.trainings.executor.busy:
            return False
        return self.planner.is_exhausted

    @property
    def _complete(self) -> bool:
        """True if earlier runs left nothing to do, so that no proposer is needed."""
        strategy = self.planner.strategy
        if self.phase is not Phase.STARTING or self._planned or strategy is None or strategy.rungs:
            # Halted trainings may have to continue.
            return False
        return self.planner.is_exhausted

    def work(self) -> None:
        """Start a training, or wait for events and handle them."""
        executor = self.trainings.executor
        if not self.limits.reached and (training := self.trainings.next()) is not None:
            self._start(training)
            return
        waiting = not self.limits.reached and (self.phase.waits or self.trainings.startable > 0)
        executor.spread(waiting=waiting)
        self._handle(executor.events(_WAIT_SECONDS))
        starting = self.phase is Phase.STARTING
        # A method of hpsearch may take longer than a training.
        patience = max(self.patience_seconds, (self.planner.strategy is not None) * _START_SECONDS)
        if executor.busy or not (self.phase.waits or starting):
            self._waits_since = now()
        elif now() - self._waits_since > patience + starting * _START_SECONDS:
            raise HpsearchError(
                f"method: {self.method} gave no answer within {patience:g} s; what "
                "was finished is stored, so the same command continues once it is faster"
            )
        if self.ledger.tables.due(len(self.ledger.results)):
            self.ledger.write_tables()

    @cached_property
    def end(self) -> str:
        """The reason why the search ended; empty if it was interrupted. Asked for at its end."""
        if self.stop.wanted or self.limits.reason:
            return "" if self.stop.wanted else self.limits.reason
        done = self.phase is Phase.EXHAUSTED or self.planner.is_complete
        if self.limits.reached and (self.trainings.queue or not done):
            return _TIME
        return _TRIALS if self.planner.spent else "the method has no further config"

    def say_end(self) -> None:
        """Report what ended the search, unless that was its budget of trials."""
        left, end = self.planner.left_over, self.end
        if end in ("", _TRIALS):
            return
        if end in (self.limits.reason, _TIME):
            self.ledger.listener(Said(f"the search ends: {end}"))
        elif self.phase is Phase.EXHAUSTED and left:
            self.ledger.listener(Said(f"{end}; budget.trials leaves room for {left} more"))
        elif self.phase is Phase.EXHAUSTED and self.limits.exist:
            self.ledger.listener(Said(f"{end}, so the search ends before its budget"))

    def _take(
        self, step: Step, done: Collection[int] = (), events: Sequence[OracleEvent] = ()
    ) -> None:
        """Store new executions, queue the trainings, and store answers that need no training."""
        self.ledger.add(step.executions, events)
        self._planned = self._planned or bool(step)
        trainings = list(step.trainings)
        # In the order of proposals, more of them finish in time, and scores end the search earlier.
        if not (self.limits.exist or self.planner.adaptive):
            # The longest first, so that workers end together.
            trainings.sort(key=self.trainings.costs.seconds, reverse=True)
        self.trainings.add(trainings)
        if step or done:
            trained = {number for training in step.trainings for number in training.executions}
            numbers = trained | {answer.number for answer in step.answers}
            executions = [self.ledger[number] for number in sorted(numbers)]
            summary = summarize(executions, step.trainings)
            self.ledger.listener(Planned(summary, done, self.ledger.best))
        if step.answers:
            self._acknowledge(step.answers)

    def _start(self, training: Training) -> None:
        kind = self.ledger[training.number].config.kind
        self.trainings.start(
            training,
            self.ledger.least_kept,
            snapshot=kind.continues and self.planner.may_continue(training),
        )

    def _handle(self, events: Sequence[Event]) -> None:
        results: list[ExecutionResult] = []
        ended: list[Training] = []
        for event in events:
            match event:
                case Answered():
                    if not self.trainings.answered(event):
                        continue
                    results.append(event.result)
                case Finished() | Lost():
                    unanswered = self.trainings.ended(event)
                    if unanswered is not None:
                        results += unanswered
                        ended.append(event.training)
                case Heard():
                    if event.ended:
                        raise HpsearchError(
                            f"method: the process of {self.method} ended ({event.ended}); "
                            "the last lines of run.log say why; what was finished is stored, so "
                            "the same command continues"
                        )
                    self.take(event.message)
                    continue
            self.ledger.listener(event)
        if results:
            self._acknowledge(results)
        for training in ended:
            self.stop.reason = self.trainings.reason_to_give_up(training) or self.stop.reason

    def _acknowledge(self, results: Sequence[ExecutionResult]) -> None:
        """Store results before anyone learns of them."""
        self.ledger.add_results(results)
        for result in results:
            self.trainings.snapshots.note(result)
        self.planner.learn(results)
        self.limits.see(self.planner.outcomes_from)
