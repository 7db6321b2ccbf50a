"""Number trials and their executions, and group executions into trainings. Pure."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from hpsearch.search.strategy import Outcome, Past, Proposal, Strategy
from hpsearch.space.execution import Execution, ExecutionKey, ExecutionResult, Repetition, Training
from hpsearch.space.space import ENDLESS, Config, Space


def prefix_of(execution: Execution) -> ExecutionKey:
    """Return a key that is equal for executions that differ only in epochs."""
    return execution.config.prefix, execution.repetition


def group(executions: Iterable[Execution], answered: Collection[int] = ()) -> list[Training]:
    """Return the trainings that answer `executions`, ordered by their first executions.

    Args:
        executions: At most one execution for each key.
    """
    groups: dict[ExecutionKey, list[Execution]] = {}
    for execution in executions:
        if execution.number not in answered:
            groups.setdefault(prefix_of(execution), []).append(execution)
    trainings = []
    for members in groups.values():
        members.sort(key=lambda execution: execution.epochs)
        stops = tuple((execution.epochs, execution.number) for execution in members)
        last = members[-1]
        values = last.config.trained
        trainings.append(Training(values, last.seed, stops, fold=last.fold, trial=last.trial))
    return trainings


@dataclass(frozen=True)
class Summary:
    """The size of a plan.

    Attributes:
        of_trials: The trial of each execution that the trainings answer.
    """

    of_trials: tuple[int, ...]
    trainings: int
    epochs_asked: int
    epochs_trained: int

    @property
    def trials(self) -> int:
        """The number of trials."""
        return len(set(self.of_trials))

    @property
    def executions(self) -> int:
        """The number of executions."""
        return len(self.of_trials)

    @property
    def epochs_saved(self) -> int:
        """Epochs saved because trainings share prefixes."""
        return self.epochs_asked - self.epochs_trained


def summarize(executions: Sequence[Execution], trainings: Sequence[Training]) -> Summary:
    """Count executions, trainings, and the epochs of trainings with a fixed number."""
    bounded = [training for training in trainings if training.epochs < ENDLESS]
    answered = {number for training in trainings for number in training.executions}
    return Summary(
        of_trials=tuple(each.trial for each in executions if each.number in answered),
        trainings=len(trainings),
        epochs_asked=sum(epochs for training in bounded for epochs, _ in training.stops),
        epochs_trained=sum(training.epochs for training in bounded),
    )


#: The number of configs to request at once. Trainings are shared within such a window, so its size
#: must not depend on the number of workers.
_WINDOW = 4_096
#: No search has more trials: with a larger budget, the oracle ends the search.
_NO_BOUND = 10**8


@dataclass(frozen=True)
class Step:
    """The next step of a run.

    Attributes:
        executions: New executions, to be stored before any training.
        answers: Results that need no training.
    """

    executions: tuple[Execution, ...] = ()
    trainings: tuple[Training, ...] = ()
    answers: tuple[ExecutionResult, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.executions or self.trainings or self.answers)


class Trials:
    """The trials of a sweep: numbered configs, within its budget, and their executions.

    Args:
        listed: Ids of configs that belong to the sweep even if they lie outside its space.
        repetitions: The possible seeds and folds of this sweep's executions.
        limit: Upper bound on the trials (`budget.trials`), or None.
        skipped: Ids of stored configs that do not belong to the sweep any more.

    Attributes:
        current: The executions that belong to this sweep, the stored ones first.
        remaining: Trials that the budget leaves, or None.
    """

    def __init__(
        self,
        space: Space,
        listed: Collection[str],
        repetitions: Sequence[Repetition],
        *,
        stored: Sequence[Execution] = (),
        limit: int | None,
        method: str = "",
        skipped: Collection[str] = (),
    ) -> None:
        self._method = method
        #: Config -> the number of its trial, and the method that proposed it.
        self._trials = {each.config.id: (each.trial, each.method) for each in stored}
        self._known = {execution.key for execution in stored}
        self._executions = max((execution.number for execution in stored), default=0)
        self._last = max((execution.trial for execution in stored), default=0)
        allowed = frozenset(repetitions)
        wanted = [
            execution
            for execution in stored
            if execution.repetition in allowed
            and execution.config.id not in skipped
            and (execution.config.id in listed or space.contains(execution.config))
        ]
        #: Configs that count towards the budget.
        self._counted = set(list(dict.fromkeys(each.config.id for each in wanted))[:limit])
        self.current = [execution for execution in wanted if execution.config.id in self._counted]
        self.remaining = None if limit is None else limit - len(self._counted)

    @property
    def spent(self) -> bool:
        """True if the budget of trials is used up."""
        return self.remaining is not None and self.remaining <= 0

    def new(
        self, configs: Iterable[Config], repetitions: Sequence[Repetition], by: str = ""
    ) -> list[Execution]:
        """Return the new executions of `configs` with each repetition.

        A config that is not yet a trial of the sweep becomes one if the budget allows; `by` names
        its proposer, if that is not the method itself.
        """
        executions = []
        for config in configs:
            if config.id not in self._counted:
                if self.spent:
                    continue
                self._counted.add(config.id)
                if self.remaining is not None:
                    self.remaining -= 1
            if config.id not in self._trials:
                self._last += 1
                self._trials[config.id] = self._last, by or self._method
            trial, method = self._trials[config.id]
            for repetition in repetitions:
                key = config.id, repetition
                if key not in self._known:
                    self._known.add(key)
                    self._executions += 1
                    executions.append(
                        Execution(self._executions, trial, config, *repetition, method)
                    )
        self.current += executions
        return executions


class Planner(ABC):
    """Decides what the engine trains next.

    Args:
        strategy: The method; None if the user's oracle proposes.
        repetitions: The seeds and folds of every trial.
        results: The engine's results by execution, a growing mapping.

    Attributes:
        adaptive: Whether plans depend on results, so that nothing is planned in advance.
        past: The results of earlier runs, for the method; set by `begin`.
        outcomes: The outcomes that the method does not know yet.
    """

    adaptive: ClassVar[bool]

    def __init__(
        self,
        strategy: Strategy | None,
        trials: Trials,
        repetitions: Sequence[Repetition],
        results: Mapping[int, ExecutionResult],
    ) -> None:
        self.strategy = strategy
        self.past = Past()
        self.outcomes: list[Outcome] = []
        self._trials = trials
        self._repetitions = tuple(repetitions)
        self._results = results
        self._members: dict[str, list[Execution]] = {}
        #: The configs, in the order of their first executions.
        self._order: list[str] = []
        self._config_of: dict[int, str] = {}
        self._unanswered: set[int] = set()

    @property
    def current(self) -> Sequence[Execution]:
        """The executions of this sweep so far."""
        return self._trials.current

    @property
    def expected(self) -> int | None:
        """Upper bound on the trials, if their number is not known in advance."""
        return None

    @property
    def spent(self) -> bool:
        """True if the budget of trials is used up."""
        return self._trials.spent

    @property
    def is_exhausted(self) -> bool:
        """True if no further config will be proposed, whatever the outcomes."""
        return self.spent or (self.strategy is not None and self.strategy.exhausted)

    @property
    def is_complete(self) -> bool:
        """True if nothing will be planned any more, whatever the outcomes."""
        return self.is_exhausted

    @property
    def left_over(self) -> int:
        """The number of trials left in the budget; 0 without a bound."""
        remaining = self._trials.remaining or 0
        return 0 if remaining > _NO_BOUND else remaining

    @abstractmethod
    def begin(self, answered: Collection[int]) -> Step:
        """Plan the stored executions that have no result; called once, first."""

    def own(self) -> Step:
        """Plan executions that need no proposal."""
        return Step()

    @abstractmethod
    def room(self, free: int) -> int:
        """Return the number of proposals to ask for while `free` trainings could start."""

    @abstractmethod
    def take(self, proposals: Sequence[Proposal]) -> Step:
        """Plan the executions of proposals, except for those planned before."""

    def learn(self, results: Sequence[ExecutionResult]) -> None:
        """Record the outcome of each config whose last execution is answered."""
        numbers = [result.number for result in results if result.number in self._config_of]
        self._unanswered.difference_update(numbers)
        self._tell(dict.fromkeys(self._config_of[number] for number in numbers))

    @abstractmethod
    def _tell(self, configs: Iterable[str]) -> None:
        """Record the outcomes of those configs that are complete."""

    def _join(self, executions: Iterable[Execution], answered: Collection[int] = ()) -> None:
        """Add executions."""
        for execution in executions:
            if execution.config.id not in self._members:
                self._order.append(execution.config.id)
            self._members.setdefault(execution.config.id, []).append(execution)
            self._config_of[execution.number] = execution.config.id
            if execution.number not in answered:
                self._unanswered.add(execution.number)

    def outcomes_from(self, position: int) -> Iterator[Outcome]:
        """Yield the outcomes of the sweep's trials in their order, until one has not ended."""
        for config in self._order[position:]:
            if any(each.number in self._unanswered for each in self._members[config]):
                return
            yield self._outcome(config)

    def may_continue(self, training: Training) -> bool:
        """Check if the training may be continued later."""
        del training
        return False

    def _outcome(self, config: str, epochs: int | None = None) -> Outcome:
        """Return a config's outcome: its mean score over seeds and folds, if each has one."""
        members = self._members[config]
        values = [self._score(execution, epochs) for execution in members]
        numbers = [score for score in values if score is not None]
        mean = sum(numbers) / len(numbers) if numbers and len(numbers) == len(values) else None
        errors = (self._results[execution.number].error for execution in members)
        return Outcome(members[0].config, mean, epochs, next(filter(None, errors), ""))

    def _score(self, execution: Execution, epochs: int | None) -> float | None:
        """Return an execution's score after `epochs`; None stands for all of them."""
        del epochs
        result = self._results[execution.number]
        return result.score if result.status.scored else None

    def _configs_within(self, most: int) -> int:
        """Return `most`, or fewer if the budget has fewer trials left.

        Known configs may be proposed again; they do not count towards the budget.
        """
        remaining = self._trials.remaining
        return most if remaining is None else min(most, remaining)


class FixedPlanner(Planner):
    """Plans independently of results, a window of proposals at a time.

    Args:
        known: Returns an execution's result if an earlier run's curve contains it, else None. It
            must not depend on this run's results, which arrive in any order.
    """

    adaptive = False

    def __init__(
        self,
        strategy: Strategy,
        trials: Trials,
        repetitions: Sequence[Repetition],
        results: Mapping[int, ExecutionResult],
        known: Callable[[Execution], ExecutionResult | None] = lambda _: None,
    ) -> None:
        super().__init__(strategy, trials, repetitions, results)
        self._known = known
        self._told: set[str] = set()

    def begin(self, answered: Collection[int]) -> Step:
        configs = {execution.config.id: execution.config for execution in self.current}
        # The sweep file may have gained a seed since.
        added = self._trials.new(configs.values(), self._repetitions)
        return self._step(added, self.current, answered)

    def room(self, free: int) -> int:
        """Return the size of the next window, which does not depend on `free`."""
        del free
        return self._configs_within(_WINDOW)

    def take(self, proposals: Sequence[Proposal]) -> Step:
        configs = [proposal.config for proposal in proposals]
        self._tell(config.id for config in configs if config.id in self._members)
        executions = self._trials.new(configs, self._repetitions)
        return self._step(executions, executions)

    def _step(
        self,
        added: Sequence[Execution],
        executions: Sequence[Execution],
        answered: Collection[int] = (),
    ) -> Step:
        self._join(executions, answered)
        open_ = (execution for execution in executions if execution.number not in answered)
        answers = [answer for execution in open_ if (answer := self._known(execution)) is not None]
        done = {*answered, *(answer.number for answer in answers)}
        return Step(tuple(added), tuple(group(executions, done)), tuple(answers))

    def _tell(self, configs: Iterable[str]) -> None:
        for config in configs:
            waits = any(each.number in self._unanswered for each in self._members[config])
            if config not in self._told and not waits:
                self._told.add(config)
                self.outcomes.append(self._outcome(config))
