"""The trainings of a run, from the queue to their results, which are stored in its ledger."""

from __future__ import annotations

from bisect import insort
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

from hpsearch.engine.learning import Snapshots
from hpsearch.engine.session import Listener, Stored, ignore
from hpsearch.models.problem import Recipe
from hpsearch.search.strategy import OracleEvent
from hpsearch.space.execution import Curve, Epoch, Execution, ExecutionResult, Status, Training
from hpsearch.store.columns import Record
from hpsearch.store.derived import Tables
from hpsearch.store.facts import installed
from hpsearch.store.store import Store
from hpsearch.store.trials import Leader
from hpsearch.training.subjects import Job, Needs, Subject
from hpsearch.workers.protocol import Answered, Executor, Finished, Lost, Said

#: The machines that one training may lose before it is blamed for the losses.
_MACHINES = 3
#: The sweep gives up if the first trainings, this many, all raise the same.
_FAILURES_ALIKE = 5
#: No more trainings are planned for idle cores while this many wait for GPUs.
_MOST_WAITING = 1000


_NO_TENSORFLOW = Needs(tensorflow=False)


@dataclass(frozen=True)
class Costs:
    """Estimates what trainings need; their time is unknown, unless a subclass knows it.

    Attributes:
        needs_of_all: The needs of each training, unless a subclass distinguishes them.
    """

    needs_of_all: Needs = _NO_TENSORFLOW

    def needs(self, training: Training) -> Needs:
        """Return what the training needs of its worker."""
        del training
        return self.needs_of_all

    def seconds(self, training: Training) -> float:
        """Estimate the seconds that the training takes; 0 if unknown."""
        del training
        return 0.0


class Queue:
    """Trainings that wait, in order, but others pass those that wait for a GPU."""

    def __init__(self) -> None:
        #: True for those that need a GPU -> trainings with their places.
        self._lines: dict[bool, deque[tuple[int, Training]]] = {False: deque(), True: deque()}
        self._first = self._last = 0

    def __len__(self) -> int:
        return sum(map(len, self._lines.values()))

    def append(self, training: Training, *, device: bool) -> None:
        """Add a training behind all others, or behind all that need a GPU, too."""
        self._last += 1
        self._lines[device].append((self._last, training))

    def put_first(self, training: Training, *, device: bool) -> None:
        """Add a training before all others."""
        self._first -= 1
        self._lines[device].appendleft((self._first, training))

    def startable(self, *, device: bool) -> int:
        """Return the number of trainings that may start; `device` is true if a GPU is free."""
        return len(self) if device else len(self._lines[False])

    def pop(self, *, device: bool) -> Training:
        """Remove and return the first training that may start."""
        lines = [line for needed, line in self._lines.items() if line and device >= needed]
        return min(lines, key=lambda line: line[0][0]).popleft()[1]


@dataclass
class Trainings:
    """The trainings of a run: queued, under way, repeated, or ended.

    Attributes:
        retries: How often to repeat a training after its worker died.
        repeat: Decides by the result and the number of runs whether to repeat a training that
            raised or diverged; None never repeats.
        say: Receives a line about each death.
        reported: Returns the epochs that a training reported whose worker was lost.
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
    reported: Callable[[Training], Sequence[Epoch]] = lambda _: ()
    queue: Queue = field(default_factory=Queue)
    running: dict[int, int] = field(default_factory=dict)
    _deaths: dict[int, int] = field(default_factory=dict)
    #: Executions -> runs without a score; then the executions to run again.
    _runs_without_score: dict[int, int] = field(default_factory=dict)
    _again: set[int] = field(default_factory=set)
    #: The errors of the first trainings; None once one has ended otherwise.
    _errors: list[str] | None = field(default_factory=list)

    def __post_init__(self) -> None:
        if any(result.status is not Status.FAILED for result in self.results.values()):
            self._errors = None

    def room(self, *, waits: bool) -> int:
        """Return how many more trainings to plan.

        Args:
            waits: Whether plans that depend on results wait for a free worker. If no worker is
                busy, one will be free.
        """
        free, queued = self.executor.free, len(self.queue)
        if free and not waits and queued < _MOST_WAITING:
            queued = self.startable
        return max(0, (free if waits and self.executor.busy else max(1, free)) - queued)

    @property
    def startable(self) -> int:
        """The number of queued trainings that need no GPU for which others have to end."""
        return self.queue.startable(device=self.executor.free_devices != 0)

    def add(self, trainings: Iterable[Training]) -> None:
        """Queue trainings."""
        for training in trainings:
            self.queue.append(training, device=self._needs_device(training))

    def _needs_device(self, training: Training) -> bool:
        return self.executor.free_devices is not None and self.costs.needs(training).device

    def next(self) -> Training | None:
        """Take the first queued training for which the executor has room, if any."""
        if not (self.executor.free and self.startable):
            return None
        return self.queue.pop(device=self.executor.free_devices != 0)

    def start(self, training: Training, keep_better_than: float | None, *, snapshot: bool) -> None:
        """Submit a training; for the arguments, see `Job`."""
        self.running.update((number, epochs) for epochs, number in training.stops)
        self.executor.submit(
            Job(
                training,
                self.recipe,
                self.subject,
                keep_better_than,
                needs=self.costs.needs(training),
                past=self.snapshots.past(training),
                snapshot=snapshot and self.snapshots.has_room,
            )
        )

    def answered(self, event: Answered) -> bool:
        """Take an answer; return True if its result counts."""
        number = event.result.number
        if number not in self.running or self._repeats(event.result):
            return False
        del self.running[number]
        # A halted training that continues later is another one.
        self._deaths.pop(number, None)
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
            self._repeat(replace(training, stops=left))
            return None
        reason = "the training ended without an answer for it"
        return self._unanswered(training, Status.FAILED, reason)

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
            self._repeat(replace(training, stops=left))
            return None
        status = Status.TIMEOUT if event.timed_out else Status.KILLED
        return self._unanswered(training, status, event.reason, event.seconds)

    def _repeat(self, training: Training) -> None:
        self.queue.put_first(training, device=self._needs_device(training))

    def reason_to_give_up(self, training: Training) -> str:
        """Return why the sweep gives up after the end of a training, or an empty text."""
        result = self.results.get(training.number)
        if result is None or self._errors is None:
            return ""
        if result.status is not Status.FAILED:
            self._errors = None
            return ""
        self._errors.append(result.error)
        if len(self._errors) < _FAILURES_ALIKE or len(set(self._errors)) > 1:
            return ""
        return f"the first {len(self._errors)} trainings all failed alike: {result.error}"

    def _unanswered(
        self, training: Training, status: Status, reason: str, seconds: float = 0.0
    ) -> list[ExecutionResult]:
        """Return results for a training's executions that will get no answer."""
        left = [number for epochs, number in training.stops if self.running.get(number) == epochs]
        for number in left:
            del self.running[number]
        return [
            ExecutionResult(
                number=number,
                status=status,
                seconds=seconds / len(left),
                shared_with=None if number == training.number else training.number,
                curve=tuple(self.reported(training)),
                error=reason,
            )
            for number in left
        ]


@dataclass
class Ledger:
    """The executions and results of a run, on disk before anyone learns of them.

    Attributes:
        results: Every stored result, by execution; initially the results of earlier runs.
        stored: Every stored execution, including those outside this sweep.
        versions: The package versions for new rows.
        keeps: The number of best executions whose weights are kept; None for all.
    """

    store: Store
    tables: Tables
    listener: Listener
    recipe: Recipe
    results: dict[int, ExecutionResult]
    stored: list[Execution]
    versions: Mapping[str, str] = field(default_factory=installed)
    keeps: int | None = 1
    #: The best scores, as many as are kept, ascending; with the other sign if less is better.
    _best_scores: list[tuple[float, int]] = field(default_factory=list)
    _executions: dict[int, Execution] = field(init=False)
    _late: set[str] = field(default_factory=set)
    _leader: Leader = field(init=False)

    @classmethod
    def open(
        cls,
        store: Store,
        tables: Tables,
        recipe: Recipe,
        listener: Listener = ignore,
        versions: Mapping[str, str] | None = None,
        *,
        keeps: int | None = 1,
    ) -> Self:
        """Return the ledger of a store.

        Every row is read first, so that a refused store stays unchanged.

        Raises:
            RefusedError: The store is damaged, or older than its table.
        """
        before = store.facts()
        if (before.kind, before.asked) != (tables.kind, recipe.asked):
            # How the rows are read depends on these facts.
            store.set_facts(kind=tables.kind, asked=recipe.asked)
        results, stored = store.results(), store.executions()
        tables.require_known({execution.key for execution in stored if execution.number in results})
        versions = versions or installed()
        return cls(store, tables, listener, recipe, results, stored, versions, keeps)

    def __post_init__(self) -> None:
        self._leader = Leader(self.recipe.goal)
        self._executions = {execution.number: execution for execution in self.stored}
        for execution in self.stored:
            if (result := self.results.get(execution.number)) is not None:
                self._note_score(execution, result)

    def __getitem__(self, number: int) -> Execution:
        return self._executions[number]

    @property
    def records(self) -> list[Record]:
        """The rows so far, including those of earlier runs."""
        return self.tables.records(self.stored, self.results)

    def write_tables(self) -> None:
        """Write the tables of every stored execution."""
        self.tables.write(self.stored, self.results)

    def add(self, executions: Sequence[Execution], events: Sequence[OracleEvent]) -> None:
        """Store new executions, and what the user's oracle did for them."""
        if executions or events:
            self.store.add_executions(executions, events)
            self._executions.update((execution.number, execution) for execution in executions)
            self.stored += executions

    def add_results(self, results: Sequence[ExecutionResult]) -> None:
        """Store results, then report them."""
        # A result from the curve of another execution names the versions of that one.
        results = [replace(result, versions=result.versions or self.versions) for result in results]
        self.store.add_results(results)
        for result in results:
            # The weights are on disk; those of thousands of executions would fill memory.
            kept = replace(result, state=None, snapshot=None, curve=Curve(result.curve))
            self.results[result.number] = kept
            execution = self._executions[result.number]
            self._note_score(execution, result)
            self._report_late(execution, result)
            self.listener(Stored(execution, kept, self.best))

    @property
    def best(self) -> tuple[int, float] | None:
        """The best trial so far and its mean score."""
        return self._leader.best

    @property
    def least_kept(self) -> float | None:
        """The score that is to be exceeded for weights to be kept; None if all are kept."""
        if self.keeps is None or len(self._best_scores) < self.keeps:
            return None
        return self._signed(self._best_scores[0][0])

    @property
    def kept(self) -> list[int] | None:
        """The executions whose weights are kept, the best first; None for all."""
        scored = [(n, r.score) for n, r in self.results.items() if r.status.scored]
        best = sorted((-self._signed(score or 0.0), number) for number, score in scored)
        return None if self.keeps is None else [number for _, number in best[: self.keeps]]

    def _note_score(self, execution: Execution, result: ExecutionResult) -> None:
        score = result.score if result.status.scored else None
        self._leader.note(execution.trial, execution.number, score)
        if self.keeps is not None:
            # A training that continued has another score.
            self._best_scores = [best for best in self._best_scores if best[1] != execution.number]
            if score is not None:
                insort(self._best_scores, (self._signed(score), execution.number))
                del self._best_scores[: -self.keeps]

    def _signed(self, score: float) -> float:
        return score if self.recipe.goal == "maximize" else -score

    def _report_late(self, execution: Execution, result: ExecutionResult) -> None:
        """Report hyperparameters that no build before the run requested."""
        for name in result.late.keys() - self._late:
            self._late.add(name)
            line = f"{execution.label}: the model asks for {name!r}, as no build before the run did"
            self.listener(Said(f"{line}; to have it searched, name it under parameters"))
