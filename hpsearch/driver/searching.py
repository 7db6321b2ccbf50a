"""Planning with a strategy that learns: a proposal at a time, from all that is known."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from hpsearch.driver.asking import Numbers, Step
from hpsearch.driver.racing import Race
from hpsearch.driver.reuse import Reuse
from hpsearch.plan import Trial, group
from hpsearch.proposal import Outcome, Proposal
from hpsearch.space import Config
from hpsearch.strategies import Halving, Strategy
from hpsearch.training import score_at
from hpsearch.trial import Recipe, Status, Training, TrialResult

__all__ = ["Searcher"]


class Searcher:
    """Plans what results decide.

    Args:
        strategy: Proposes, and is told the mean score over a config's seeds once all are known.
        numbers: The trials' numbers; of a race, for all its seeds.
        seeds: That every config gets.
        results: By trial; the loop's, which grows.
        reuse: What is known of trainings.
        race: Gives further seeds, or None.
        longest: The most epochs that the space has, where trainings may go on; else None.
    """

    adaptive = True

    def __init__(
        self,
        strategy: Strategy,
        numbers: Numbers,
        seeds: Sequence[int],
        *,
        recipe: Recipe,
        results: Mapping[int, TrialResult],
        reuse: Reuse,
        race: Race | None = None,
        longest: int | None = None,
    ) -> None:
        self._strategy, self._numbers, self._seeds = strategy, numbers, tuple(seeds)
        self._recipe, self._results, self._reuse = recipe, results, reuse
        self._race, self._longest = race, longest
        self._members: dict[str, list[Trial]] = {}
        self._config_of: dict[int, str] = {}
        self._unanswered: set[int] = set()
        #: Of each config, how far it was proposed to train last; None for to its end.
        self._goals: dict[str, int | None] = {}

    @property
    def current(self) -> Sequence[Trial]:
        """The trials of this sweep that are stored already."""
        return self._numbers.current

    @property
    def expected(self) -> int | None:
        """Rows of the budget."""
        remaining = self._numbers.remaining
        return None if remaining is None else len(self.current) + max(0, remaining)

    @property
    def over(self) -> bool:
        """Whether no further config will come; those that halted may go on."""
        return self._numbers.spent or self._strategy.exhausted

    @property
    def left_over(self) -> int:
        """Rows of the budget that an exhausted space leaves unused."""
        return (self._numbers.remaining or 0) if self.over else 0

    # From earlier runs

    def begin(self, answered: Collection[int]) -> Step:
        """Take up what is stored; what is under way is trained further."""
        for trial in self.current:
            self._join(trial)
            if trial.number in answered:
                self._unanswered.discard(trial.number)
        configs = [members[0].config for members in self._members.values()]
        self._strategy.restore(configs, list(self._known_outcomes(configs)))
        # A seed that the file gained since.
        added = self._numbers.new(configs, self._seeds)
        for trial in added:
            self._join(trial)
        for config in configs:
            self._goals[config.id] = self._goal_of(config)
        return self._step(configs, added)

    def _goal_of(self, config: Config) -> int | None:
        if not isinstance(self._strategy, Halving):
            return None
        first = self._strategy.first_epochs(config)
        reached = [
            rung
            for rung in self._strategy.rungs
            if rung > first and self._complete(config.id, rung)
        ]
        return max(reached, default=first)

    def _known_outcomes(self, configs: Iterable[Config]) -> Iterable[Outcome]:
        for config in configs:
            if not self._strategy.rungs:
                if self._complete(config.id, None):
                    yield self._outcome(config, None)
                continue
            for rung in self._strategy.rungs:
                if not self._complete(config.id, rung):
                    break
                yield self._outcome(config, rung)
                if all(self._ended(trial, rung) for trial in self._members[config.id]):
                    break

    # What is next

    def next(self, room: int) -> Step:
        """Further seeds of leaders first, then what the strategy proposes."""
        while room > 0:
            step = self._further_seed() or self._proposed(room)
            if step is None or step:
                return step or Step()
        return Step()

    def _further_seed(self) -> Step | None:
        if self._race is None or self._numbers.spent:
            return None
        scores = self._raced()
        winner = self._race.next(scores)
        if winner is None:
            return None
        config = self._members[winner][0].config
        trials = self._numbers.new([config], [len(self._members[winner])])
        for trial in trials:
            self._join(trial)
        return self._step([config], trials)

    def _raced(self) -> dict[str, list[float]]:
        """The scores of configs that are trained to their end with every seed so far."""
        raced: dict[str, list[float]] = {}
        for config, members in self._members.items():
            if not self._complete(config, None):
                continue
            scores = [self._results[trial.number].score for trial in members]
            known = [score for score in scores if score is not None]
            if len(known) == len(members) >= len(self._seeds):
                raced[config] = known
        return raced

    def _proposed(self, room: int) -> Step | None:
        """What the strategy proposes; None where it proposes nothing now."""
        count = max(1, room // len(self._seeds))
        if self._numbers.spent:
            if not isinstance(self._strategy, Halving):
                return None
            self._strategy.close()
        elif self._numbers.remaining is not None:
            count = min(count, -(-self._numbers.remaining // len(self._seeds)))
        proposals = self._strategy.ask(count)
        if not proposals:
            return None
        return self._planned(proposals)

    def _planned(self, proposals: Sequence[Proposal]) -> Step:
        added = []
        for proposal in proposals:
            self._goals[proposal.config.id] = proposal.epochs
            if proposal.config.id not in self._members:
                added += self._numbers.new([proposal.config], self._seeds)
        for trial in added:
            self._join(trial)
        return self._step([proposal.config for proposal in proposals], added)

    def _join(self, trial: Trial) -> None:
        self._members.setdefault(trial.config.id, []).append(trial)
        self._config_of[trial.number] = trial.config.id
        self._unanswered.add(trial.number)
        self._reuse.add(trial)

    def _step(self, configs: Iterable[Config], added: Sequence[Trial]) -> Step:
        """What takes the trials of `configs` as far as they are to go."""
        trainings, answers = [], []
        for config in configs:
            members = self._members.get(config.id, ())
            goal = self._goals.get(config.id)
            missing = [trial for trial in members if not self._reached(trial, goal)]
            for trial in missing:
                epochs = _least(goal, trial.epochs)
                answer = self._reuse.answer(trial, epochs)
                if answer is not None:
                    answers.append(answer)
                else:
                    trainings.append(self._training(trial, epochs))
            if members and not missing:
                # It ended before it came so far; nothing will be heard of it.
                self._tell([config.id])
        return Step(tuple(added), tuple(trainings), tuple(answers))

    def _training(self, trial: Trial, epochs: int) -> Training:
        (training,) = group([trial])
        return replace(
            training,
            stops=((epochs, trial.number),),
            whole=trial.epochs if epochs < trial.epochs else None,
            source=self._reuse.source(trial, epochs),
        )

    def goes_on(self, training: Training) -> bool:
        """Whether more epochs may be asked for."""
        return training.whole is not None or training.epochs < (self._longest or 0)

    # What came out

    def learn(self, results: Sequence[TrialResult]) -> None:
        """Tell the strategy of configs of which no seed is missing any more."""
        numbers = [result.trial for result in results if result.trial in self._config_of]
        self._unanswered.difference_update(numbers)
        self._tell(dict.fromkeys(self._config_of[number] for number in numbers))

    def _tell(self, configs: Iterable[str]) -> None:
        self._strategy.tell(
            [
                self._outcome(self._members[config][0].config, self._goals.get(config))
                for config in configs
                if self._complete(config, self._goals.get(config))
            ]
        )

    def _complete(self, config: str, epochs: int | None) -> bool:
        return all(self._reached(trial, epochs) for trial in self._members[config])

    def _reached(self, trial: Trial, epochs: int | None) -> bool:
        """Whether a trial was trained so far, or ended before."""
        if trial.number in self._unanswered:
            return False
        return self._ended(trial, epochs) or (
            len(self._results[trial.number].curve) >= _least(epochs, trial.epochs)
        )

    def _ended(self, trial: Trial, epochs: int | None) -> bool:
        """Whether it will not be trained further than it was, which is not beyond `epochs`."""
        result = self._results[trial.number]
        short = len(result.curve) <= _least(epochs, trial.epochs)
        return short and (result.status is not Status.STOPPED or not self._strategy.rungs)

    def _outcome(self, config: Config, epochs: int | None) -> Outcome:
        scores = [self._score(trial, epochs) for trial in self._members[config.id]]
        known = [score for score in scores if score is not None]
        mean = sum(known) / len(known) if len(known) == len(scores) else None
        return Outcome(config, mean, epochs)

    def _score(self, trial: Trial, epochs: int | None) -> float | None:
        result = self._results[trial.number]
        if epochs is None or len(result.curve) <= epochs:
            return result.score if result.status.scored else None
        return score_at(result.curve, epochs, self._recipe)


def _least(goal: int | None, epochs: int) -> int:
    return epochs if goal is None else min(goal, epochs)
