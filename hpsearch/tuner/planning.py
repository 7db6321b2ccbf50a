"""Number the trials of proposed configs and group them into trainings. Pure."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

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
    """Number the trials of `configs` with every repetition that are not yet `known`.

    Args:
        known: Trials that have a number, by their key.
        first_number: The number of the first new trial.
        limit: Upper bound on the new trials, or None.
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
    """Return a key that trials share if they differ only in epochs."""
    return trial.config.prefix, trial.repetition


def group(trials: Iterable[Trial], answered: Collection[int] = ()) -> list[Training]:
    """Return the trainings that answer `trials`, in the order of their first trials.

    Args:
        trials: At most one for each key.
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
    """The size of a plan.

    Attributes:
        weights: The least and the most weights of a model; None if unknown.
    """

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
    """Count trials, trainings, epochs and weights of MLPs."""
    counts = [MLPConfig(training.values).weight_count(features, outputs) for training in trainings]
    known = [count for count in counts if count is not None]
    return replace(tally(trials, trainings), weights=(min(known), max(known)) if known else None)


def tally(trials: Sequence[Trial], trainings: Sequence[Training]) -> Summary:
    """Count trials, trainings and the epochs of trainings that do not end by themselves."""
    bounded = [training for training in trainings if training.epochs < ENDLESS]
    answered = {number for training in trainings for number in training.trials}
    return Summary(
        trials=len(answered),
        configs=len({t.config.id for t in trials if t.number in answered}),
        trainings=len(trainings),
        epochs_asked=sum(epochs for training in bounded for epochs, _ in training.stops),
        epochs_trained=sum(training.epochs for training in bounded),
        weights=None,
    )


#: Configs are asked for in windows. Trainings are shared within a window, so its size must not
#: depend on the number of workers.
_WINDOW = 4_096


@dataclass(frozen=True)
class Step:
    """The next step of a run.

    Attributes:
        trials: New trials, to be stored before anything trains.
        answers: Results that need no training.
    """

    trials: tuple[Trial, ...] = ()
    trainings: tuple[Training, ...] = ()
    answers: tuple[TrialResult, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.trials or self.trainings or self.answers)


class TrialNumbers:
    """The numbers of a sweep's trials, within its budget.

    Args:
        listed: Ids of configs that belong to the sweep even outside its space.
        repetitions: The seeds and folds of every config.
        stored: Trials that have a number already.
        limit: Upper bound on the table's rows (`budget.trials`), or None.

    Attributes:
        current: The stored trials that belong to this sweep.
        remaining: Rows that the budget leaves, or None.
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
        """Number the trials of `configs` with each repetition that had no number, within budget."""
        trials = number_trials(
            configs, repetitions, self._known, first_number=self._next_number, limit=self.remaining
        )
        self._known.update((trial.key, trial) for trial in trials)
        self._next_number += len(trials)
        if self.remaining is not None:
            self.remaining -= len(trials)
        return trials


class Planner(ABC):
    """Decides what the loop trains next.

    Args:
        strategy: Proposes configs.
        numbers: Numbers the trials.
        repetitions: The seeds and folds of every config.

    Attributes:
        adaptive: Whether plans depend on results; then nothing is planned in advance.
    """

    adaptive: ClassVar[bool]

    def __init__(
        self, strategy: Strategy, numbers: TrialNumbers, repetitions: Sequence[Repetition]
    ) -> None:
        self._strategy, self._numbers = strategy, numbers
        self._repetitions = tuple(repetitions)

    @property
    def current(self) -> Sequence[Trial]:
        """The trials of this sweep that are stored already."""
        return self._numbers.current

    @property
    def expected(self) -> int | None:
        """Upper bound on the trials, if they are not known in advance."""
        return None

    @property
    @abstractmethod
    def over(self) -> bool:
        """Whether no further config will come."""

    @property
    def left_over(self) -> int:
        """Rows of the budget that an exhausted space leaves unused."""
        return (self._numbers.remaining or 0) if self.over else 0

    @abstractmethod
    def begin(self, answered: Collection[int]) -> Step:
        """Return what was planned before and has no result; called once, first."""

    @abstractmethod
    def next(self, room: int) -> Step:
        """Plan about `room` trainings; an empty step waits for results, or is the end."""

    @abstractmethod
    def learn(self, results: Sequence[TrialResult]) -> None:
        """Take note of results that are stored."""

    @abstractmethod
    def may_continue(self, training: Training) -> bool:
        """Whether the training may be continued later."""

    def _configs_within(self, most: int) -> int:
        """At most `most`, and as many configs as the budget has rows for.

        Known configs may be among them: they are proposed again and count for nothing.
        """
        remaining = self._numbers.remaining
        return most if remaining is None else min(most, -(-remaining // len(self._repetitions)))


class FixedPlanner(Planner):
    """Plans what no result changes: listed configs first, then a strategy's.

    Args:
        first: Configs to try first.
    """

    adaptive = False

    def __init__(
        self,
        strategy: Strategy,
        numbers: TrialNumbers,
        repetitions: Sequence[Repetition],
        first: Sequence[Config],
    ) -> None:
        super().__init__(strategy, numbers, repetitions)
        self._first = list(first)
        self._ahead: list[Config] = []

    @property
    def over(self) -> bool:
        more = self._first or self._ahead or not self._strategy.exhausted
        return self._numbers.spent or not more

    def begin(self, answered: Collection[int]) -> Step:
        return Step(trainings=tuple(group(self.current, answered)))

    def next(self, room: int) -> Step:
        """Plan the next window, whatever the room."""
        del room
        while not self.over:
            trials = self.new_trials()
            if trials:
                return Step(tuple(trials), tuple(group(trials)))
        return Step()

    def learn(self, results: Sequence[TrialResult]) -> None:
        """Ask for as many configs as results came, so that no stage of a run is slower."""
        self.look_ahead(len(results))

    def may_continue(self, training: Training) -> bool:
        del training
        return False

    def look_ahead(self, count: int) -> None:
        """Ask for `count` of the next window's configs already.

        Workers would wait at the window's beginning if all were asked for at once.
        """
        if not self._first and not self._strategy.exhausted:
            missing = self._configs_within(_WINDOW) - len(self._ahead)
            if missing > 0:
                self._ahead += self._asked(min(count, missing))

    def _asked(self, count: int) -> list[Config]:
        return [proposal.config for proposal in self._strategy.ask(count)]

    def new_trials(self) -> list[Trial]:
        """Return the next window's trials without the stored ones; may be empty."""
        configs, self._first = self._first, []
        if not configs:
            configs, self._ahead = self._ahead, []
            if not self._strategy.exhausted:
                configs += self._asked(self._configs_within(_WINDOW) - len(configs))
        return self._numbers.new(configs, self._repetitions)
