"""From proposed configs to numbered trials and the trainings that answer them. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from hpsearch.search.strategy import Strategy
from hpsearch.space.mlp import MLPConfig
from hpsearch.space.space import Config, Space
from hpsearch.space.trial import ENDLESS, Repetition, Training, Trial, TrialKey, TrialResult


def number_trials(
    configs: Iterable[Config],
    repetitions: Sequence[Repetition],
    known: Mapping[TrialKey, Trial],
    *,
    first_number: int,
    limit: int | None = None,
) -> list[Trial]:
    """The trials of `configs`, each with every repetition, that are not yet `known`.

    Args:
        known: Trials that have a number, by their key.
        first_number: The number of the first new trial.
        limit: How many new trials at most.
    """
    trials: dict[TrialKey, Trial] = {}
    for config in configs:
        for repetition in repetitions:
            key = (config.id, repetition)
            if key in known or key in trials:
                continue
            if limit is not None and len(trials) >= limit:
                return list(trials.values())
            trials[key] = Trial(first_number + len(trials), config, *repetition)
    return list(trials.values())


def prefix_of(trial: Trial) -> TrialKey:
    """Equal for trials that differ only in epochs."""
    return trial.config.prefix, trial.repetition


def group(trials: Iterable[Trial], answered: Collection[int] = ()) -> list[Training]:
    """The trainings that answer `trials`, in the order of their first trial.

    Args:
        trials: At most one a key.
        answered: Numbers of trials that need no training.
    """
    groups: dict[TrialKey, list[Trial]] = {}
    for trial in trials:
        if trial.number not in answered:
            groups.setdefault(prefix_of(trial), []).append(trial)
    return [_training(members) for members in groups.values()]


def _training(trials: list[Trial]) -> Training:
    ordered = sorted(trials, key=lambda trial: trial.epochs)
    stops = tuple((trial.epochs, trial.number) for trial in ordered)
    last = ordered[-1]
    return Training(last.config.trained, last.seed, stops, fold=last.fold)


@dataclass(frozen=True)
class Summary:
    """What a plan comes to."""

    trials: int
    configs: int
    trainings: int
    epochs_asked: int
    epochs_trained: int
    weights: tuple[int, int] | None

    @property
    def epochs_saved(self) -> int:
        """Epochs that shared prefixes make unnecessary."""
        return self.epochs_asked - self.epochs_trained


def summarize(
    trials: Sequence[Trial], trainings: Sequence[Training], features: int, outputs: int
) -> Summary:
    """Counts trials, trainings, epochs and weights."""
    counts = [MLPConfig(training.values).weight_count(features, outputs) for training in trainings]
    known = [count for count in counts if count is not None]
    return replace(tally(trials, trainings), weights=(min(known), max(known)) if known else None)


def tally(trials: Sequence[Trial], trainings: Sequence[Training]) -> Summary:
    """Counts trials, trainings and epochs; those of what ends by itself are not known."""
    told = [training for training in trainings if training.epochs < ENDLESS]
    answered = {number for training in trainings for number in training.trials}
    return Summary(
        trials=len(answered),
        configs=len({t.config.id for t in trials if t.number in answered}),
        trainings=len(trainings),
        epochs_asked=sum(epochs for training in told for epochs, _ in training.stops),
        epochs_trained=sum(training.epochs for training in told),
        weights=None,
    )


#: Proposals are asked for in windows of a fixed size, whatever the number of workers, since
#: trainings are shared within a window.
_WINDOW = 4_096


@dataclass(frozen=True)
class Step:
    """What comes next.

    Attributes:
        trials: New ones, to be stored before anything trains.
        trainings: What is to be trained.
        answers: Results that need no training.
    """

    trials: tuple[Trial, ...] = ()
    trainings: tuple[Training, ...] = ()
    answers: tuple[TrialResult, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.trials or self.trainings or self.answers)


class Planner(Protocol):
    """What the loop needs to know what to train next."""

    @property
    def adaptive(self) -> bool:
        """Whether what comes next depends on results: then nothing is asked for in advance."""
        ...

    @property
    def current(self) -> Sequence[Trial]:
        """The trials of this sweep that are stored already."""
        ...

    @property
    def expected(self) -> int | None:
        """How many trials there will be at most, where they are not known in advance."""
        ...

    @property
    def left_over(self) -> int:
        """Rows of the budget that an exhausted space leaves unused."""
        ...

    def begin(self, answered: Collection[int]) -> Step:
        """What was planned before and has no result; called once, first."""
        ...

    def next(self, room: int) -> Step:
        """About `room` further trainings; an empty step where it waits for results, or is over."""
        ...

    def learn(self, results: Sequence[TrialResult]) -> None:
        """Results are stored."""
        ...

    def goes_on(self, training: Training) -> bool:
        """Whether a training may be continued later."""
        ...


class TrialNumbers:
    """The trials of a sweep and their numbers.

    Args:
        space: The sweep's.
        listed: Ids of configs that belong to the sweep wherever they lie.
        repetitions: Of every config.
        stored: Trials that have a number already.
        limit: Rows of the table at most (`budget.trials`), or None.
    """

    def __init__(
        self,
        space: Space,
        listed: Collection[str],
        repetitions: Sequence[Repetition],
        *,
        stored: Sequence[Trial],
        limit: int | None,
    ) -> None:
        self._known = {trial.key: trial for trial in stored}
        self._next_number = max((trial.number for trial in stored), default=0) + 1
        allowed = frozenset(repetitions)
        wanted = [
            trial
            for trial in stored
            if trial.repetition in allowed
            and (trial.config.id in listed or space.contains(trial.config))
        ]
        self.current = wanted if limit is None else wanted[:limit]
        self.remaining = None if limit is None else limit - len(self.current)

    @property
    def spent(self) -> bool:
        """Whether the budget of rows is used up."""
        return self.remaining is not None and self.remaining <= 0

    def new(self, configs: Iterable[Config], repetitions: Sequence[Repetition]) -> list[Trial]:
        """The trials of `configs`, with every repetition, that had no number, within the budget."""
        trials = number_trials(
            configs, repetitions, self._known, first_number=self._next_number, limit=self.remaining
        )
        self._known.update((trial.key, trial) for trial in trials)
        self._next_number += len(trials)
        if self.remaining is not None:
            self.remaining -= len(trials)
        return trials


class FixedPlanner:
    """Plans what no result changes: listed points first, then a strategy's, with every repetition.

    Args:
        space: The sweep's.
        first: Configs to try first.
        repetitions: Of every config.
        strategy: Where further configs come from; it learns nothing.
        stored: Trials that have a number already.
        limit: Rows of the table at most (`budget.trials`), or None.
    """

    adaptive = False
    expected = None

    def __init__(
        self,
        space: Space,
        first: Sequence[Config],
        repetitions: Sequence[Repetition],
        strategy: Strategy,
        *,
        stored: Sequence[Trial],
        limit: int | None,
    ) -> None:
        self._first = list(first)
        self._repetitions = tuple(repetitions)
        self._strategy = strategy
        self._ahead: list[Config] = []
        listed = {config.id for config in first}
        self._numbers = TrialNumbers(space, listed, self._repetitions, stored=stored, limit=limit)

    @property
    def current(self) -> list[Trial]:
        """The trials of this sweep that are stored already."""
        return self._numbers.current

    @property
    def left_over(self) -> int:
        """Rows of the budget that an exhausted space leaves unused."""
        return (self._numbers.remaining or 0) if self.over else 0

    @property
    def over(self) -> bool:
        """Whether no further trial will come."""
        more = self._first or self._ahead or not self._strategy.exhausted
        return self._numbers.spent or not more

    def begin(self, answered: Collection[int]) -> Step:
        """What was planned before and has no result."""
        pending = [trial for trial in self.current if trial.number not in answered]
        return Step(trainings=tuple(group(pending)))

    def next(self, room: int) -> Step:
        """The next window, whatever the room."""
        del room
        while not self.over:
            trials = self.new_trials()
            if trials:
                return Step(tuple(trials), tuple(group(trials)))
        return Step()

    def learn(self, results: Sequence[TrialResult]) -> None:
        """Ask for as many as are used up: no stage of a run is slower than another."""
        self.look_ahead(len(results))

    def goes_on(self, training: Training) -> bool:
        """Trainings run to their end."""
        del training
        return False

    def look_ahead(self, count: int) -> None:
        """Ask for `count` of the next window's configs already.

        Asked for all at once, they would keep the workers waiting at the window's beginning.
        """
        if not self._first and not self._strategy.exhausted:
            missing = self._wanted() - len(self._ahead)
            if missing > 0:
                self._ahead += self._asked(min(count, missing))

    def _asked(self, count: int) -> list[Config]:
        return [proposal.config for proposal in self._strategy.ask(count)]

    def _wanted(self) -> int:
        """How many configs the next window is to have."""
        remaining = self._numbers.remaining
        if remaining is None:
            return _WINDOW
        # Known ones are proposed again and count for nothing.
        return min(_WINDOW, -(-remaining // len(self._repetitions)))

    def new_trials(self) -> list[Trial]:
        """The next window's trials, without those that are stored; may be empty."""
        configs, self._first = self._first, []
        if not configs:
            configs, self._ahead = self._ahead, []
            if not self._strategy.exhausted:
                configs += self._asked(self._wanted() - len(configs))
        return self._numbers.new(configs, self._repetitions)
