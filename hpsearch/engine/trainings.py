"""The trainings of a run, from the queue to their results."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from hpsearch.engine.costs import Costs
from hpsearch.engine.learning import Snapshots
from hpsearch.models.problem import Recipe
from hpsearch.space.execution import ExecutionResult, Status, Training
from hpsearch.training.subjects import Job, Subject
from hpsearch.workers.protocol import Answered, Executor, Finished, Lost

#: The machines that one training may lose before it is blamed for the losses.
_MACHINES = 3
#: The sweep gives up if this many trainings fail alike before any succeeds.
_FAILURES_ALIKE = 5
_FAILURES = {
    Status.FAILED: "failed alike",
    Status.TIMEOUT: "took too long",
    Status.KILLED: "were killed",
}


@dataclass
class _Failures:
    """The failures of the first trainings: if all fail alike, the sweep gives up."""

    _errors: list[str] = field(default_factory=list)
    _succeeded: bool = False
    #: The shortest training in the queue when the first ones had all exceeded a limit.
    _shortest: int | None = None

    def note(
        self,
        training: Training,
        results: Mapping[int, ExecutionResult],
        queue: deque[Training],
    ) -> str:
        """Note the end of a training; return why the sweep gives up, or an empty text.

        Lack of time or memory counts only if no training ever had enough and the shortest one in
        the queue was tried, too, since the longest trainings come first.
        """
        result = results.get(training.number)
        if result is None:
            return ""
        if self._succeeded or result.status not in _FAILURES:
            self._succeeded = True
            return ""
        # Leave out the memory or time taken, which differs between trainings.
        limited = result.error.startswith("memory: ") or result.status is Status.TIMEOUT
        self._errors.append(result.status if limited else f"{result.status}: {result.error}")
        if len(self._errors) < _FAILURES_ALIKE or len(set(self._errors)) > 1:
            return ""
        reason = f"the first {len(self._errors)} trainings all {_FAILURES[result.status]}"
        reason += f": {result.error}"
        if result.status is Status.FAILED:
            return reason
        enough = any(other.status not in _FAILURES for other in results.values())
        if enough or self._may_do_with_less(training, queue):
            return ""
        return f"{reason}; {_advice(result)}, then run it again with --retry"

    def _may_do_with_less(self, training: Training, queue: deque[Training]) -> bool:
        """Check if the shortest training is yet to be tried, and have it tried next."""
        if self._shortest is None and queue:
            queue.appendleft(queue.pop())
            self._shortest = queue[0].number
        return self._shortest is not None and training.number != self._shortest


@dataclass
class Trainings:
    """The trainings of a run: queued, under way, repeated, or ended.

    Attributes:
        subject: The kind of trial.
        costs: Estimates the time and memory of trainings.
        snapshots: Stored states from which trainings can continue.
        results: Every stored result, by execution.
        retries: How often to repeat a training after its worker died.
        repeat: Decides by the result and the number of runs whether to repeat a training that
            raised or diverged; None never repeats.
        say: Receives a line about each death.
        running: Submitted executions without an answer -> the epochs to reach: a halted training
            may end only after its execution's next training has begun.
    """

    executor: Executor
    subject: Subject
    recipe: Recipe
    costs: Costs
    snapshots: Snapshots
    results: Mapping[int, ExecutionResult]
    retries: int = 1
    repeat: Callable[[ExecutionResult, int], bool] | None = None
    say: Callable[[str], None] = lambda _: None
    queue: deque[Training] = field(default_factory=deque)
    running: dict[int, int] = field(default_factory=dict)
    _deaths: dict[int, int] = field(default_factory=dict)
    #: Executions -> runs without a score; then the executions to run again.
    _runs_without_score: dict[int, int] = field(default_factory=dict)
    _again: set[int] = field(default_factory=set)
    _failures: _Failures = field(default_factory=_Failures)

    @property
    def are_over(self) -> bool:
        """True if no training is queued or under way."""
        return not (self.queue or self.executor.busy)

    def room(self, *, waits: bool) -> int:
        """Return how many more trainings to plan.

        Args:
            waits: Whether plans that depend on results wait for a free worker. If no worker is
                busy, one will be free.
        """
        free = self.executor.free
        return max(0, (free if waits and self.executor.busy else max(1, free)) - len(self.queue))

    def add_longest_first(self, trainings: Iterable[Training]) -> None:
        """Queue trainings by their estimated time, so that workers end together."""
        seconds = self.costs.seconds
        self.queue += sorted(trainings, key=lambda training: seconds(training) or 0.0, reverse=True)

    def start(self, training: Training, keep_better_than: float | None, *, snapshot: bool) -> None:
        """Submit a training; for the arguments, see `Job`."""
        self.running.update((number, epochs) for epochs, number in training.stops)
        self.executor.submit(
            Job(
                training,
                self.recipe,
                self.subject,
                keep_better_than,
                tensorflow=self.costs.needs_tensorflow(training),
                past=self.snapshots.past(training, self.results),
                snapshot=snapshot and self.snapshots.has_room,
            )
        )

    def answered(self, event: Answered) -> bool:
        """Take an answer; return True if its result counts."""
        number = event.result.number
        if number not in self.running or self._repeats(event.result):
            return False
        del self.running[number]
        return True

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

    def ended(self, event: Finished | Lost) -> list[ExecutionResult] | None:
        """Take the end of a training, or the death of its worker.

        Returns:
            Results for its executions without an answer; None if it runs again.
        """
        return self._lost(event) if isinstance(event, Lost) else self._finished(event.training)

    def _finished(self, training: Training) -> list[ExecutionResult] | None:
        left = tuple(stop for stop in training.stops if stop[1] in self._again)
        self._again.difference_update(training.executions)
        if left:
            self.queue.appendleft(replace(training, stops=left))
            return None
        reason = "the training ended without an answer for it"
        return list(self._unanswered(training, Status.FAILED, reason))

    def _lost(self, event: Lost) -> list[ExecutionResult] | None:
        training = event.training
        # Executions that were to run again have had no answer, so they do.
        self._again.difference_update(training.executions)
        left = tuple(stop for stop in training.stops if self.running.get(stop[1]) == stop[0])
        if not left:
            return []
        deaths = self._deaths[training.number] = self._deaths.get(training.number, 0) + 1
        # A training that exceeded a limit would exceed it again.
        limited = event.timed_out or event.too_large
        retries = max(self.retries, _MACHINES) if event.machine_lost else self.retries
        if not limited and deaths <= retries:
            self.say(f"{training.label}: {event.reason}; trying once more")
            self.queue.appendleft(replace(training, stops=left))
            return None
        status = Status.TIMEOUT if event.timed_out else Status.KILLED
        return list(self._unanswered(training, status, event.reason, event.seconds))

    def reason_to_give_up(self, training: Training) -> str:
        """Return why the sweep gives up after the end of a training, or an empty text."""
        return self._failures.note(training, self.results, self.queue)

    def _unanswered(
        self, training: Training, status: Status, reason: str, seconds: float = 0.0
    ) -> Iterator[ExecutionResult]:
        """Yield results for a training's executions that will get no answer."""
        left = [number for epochs, number in training.stops if self.running.get(number) == epochs]
        for number in left:
            del self.running[number]
            yield ExecutionResult(
                number=number,
                status=status,
                seconds=seconds / len(left),
                shared_with=None if number == training.number else training.number,
                error=reason,
            )


def _advice(result: ExecutionResult) -> str:
    if result.status is Status.TIMEOUT:
        return "raise execution.timeout"
    if result.error.startswith("memory: "):
        return "raise execution.memory, or lower execution.workers"
    return "if memory ran out, lower execution.workers; run.log may say more: mend the cause"
