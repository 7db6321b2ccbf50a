"""Plan by results: adaptive strategies, races of seeds, reuse of curves."""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache

from hpsearch.engine.planning import Planner, Step, Trials, group, prefix_of
from hpsearch.models.problem import Recipe
from hpsearch.search.halving import HalvingStrategy
from hpsearch.search.strategy import OracleEvent, Outcome, Past, Proposal, Strategy
from hpsearch.space.execution import (
    Execution,
    ExecutionKey,
    ExecutionResult,
    Repetition,
    ResumePoint,
    Status,
    Training,
)
from hpsearch.space.space import Config
from hpsearch.store.facts import installed
from hpsearch.store.store import Store
from hpsearch.training.follow import followed


class CurveReuse:
    """Answers executions from the curves of others that differ only in epochs.

    Args:
        results: The engine's results by execution, a growing mapping.
        snapshots: The epoch of each execution's stored snapshot, a growing mapping.
    """

    def __init__(
        self,
        recipe: Recipe,
        results: Mapping[int, ExecutionResult],
        snapshots: Mapping[int, int],
        executions: Iterable[Execution] = (),
    ) -> None:
        self.recipe, self.results = recipe, results
        self._snapshots = snapshots
        self._alike: dict[ExecutionKey, list[Execution]] = {}
        for execution in executions:
            self.add(execution)

    def add(self, execution: Execution) -> None:
        """Add an execution."""
        self._alike.setdefault(prefix_of(execution), []).append(execution)

    def answer(self, execution: Execution, epochs: int | None = None) -> ExecutionResult | None:
        """Return the result after `epochs` (None for all), if another one's curve contains it."""
        epochs = execution.epochs if epochs is None else epochs
        for other in self._alike.get(prefix_of(execution), ()):
            result = self.results.get(other.number)
            if other.number == execution.number or result is None or not result.curve:
                continue
            is_over = len(result.curve) <= epochs and _ended(result, other)
            if len(result.curve) >= epochs or is_over:
                whole = None if is_over else execution.epochs
                shared = followed(result.curve, epochs, self.recipe, whole)
                return replace(
                    shared,
                    number=execution.number,
                    shared_with=other.number,
                    trainer=result.trainer,
                    weights=result.weights,
                    versions=result.versions,
                )
        return None

    def source(self, execution: Execution, epochs: int) -> int | None:
        """Return the most trained execution from which this one can continue, or None."""
        able = [
            (self._snapshots[other.number], -other.number)
            for other in self._alike[prefix_of(execution)]
            if self._snapshots.get(other.number, epochs) < epochs
        ]
        return -max(able)[1] if able else None


def answered(
    executions: Sequence[Execution],
    recipe: Recipe,
    stored: Sequence[Execution],
    results: Mapping[int, ExecutionResult],
) -> list[Execution]:
    """Return the executions with a result, stored or contained in an earlier one's curve."""
    curves = CurveReuse(recipe, results, {}, stored)
    return [each for each in executions if each.number in results or curves.answer(each)]


def _ended(result: ExecutionResult, execution: Execution) -> bool:
    """Check if the training ended by itself, so that more epochs would change nothing."""
    if result.status is Status.DIVERGED:
        return True
    return result.status is Status.COMPLETED and len(result.curve) < execution.epochs


_CONFIDENCE = 0.95
#: With fewer degrees of freedom, two scores that are close by chance could end a race.
_FEWEST_DEGREES = 5


class Race:
    """Gives further seeds to configs whose score may be the best.

    These are the leader, which has the best mean, and the configs whose confidence interval
    overlaps the leader's. A config's interval is Student's interval of its mean. The variance is
    pooled over all configs with several seeds, as in an analysis of variance, which assumes that
    configs are equally noisy. All intervals overlap until the variance has a few degrees of
    freedom.

    Source: Maron and Moore, Hoeffding Races (1994), with Student's intervals.

    Args:
        most: The largest number of seeds of a config.
    """

    def __init__(self, most: int, *, maximize: bool) -> None:
        self._most = most
        self._sign = 1 if maximize else -1

    def next(self, scores: Mapping[str, Sequence[float]]) -> str | None:
        """Return the racing config with the fewest seeds, then the best mean; None if all are out.

        Args:
            scores: Each config's scores, one for each seed.
        """
        if len(scores) < 2:
            return None
        means = {config: self._sign * sum(s) / len(s) for config, s in scores.items()}
        leader = max(means, key=means.__getitem__)
        half = _half_widths(scores)
        floor = means[leader] - half[leader]
        close = [c for c in scores if c != leader and means[c] + half[c] >= floor]
        racing = [c for c in (leader, *close) if close and len(scores[c]) < self._most]
        return min(racing, key=lambda c: (len(scores[c]), -means[c]), default=None)


def _half_widths(scores: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Half of each config's confidence interval."""
    squares, freedom = 0.0, 0
    for values in scores.values():
        if len(values) > 1:
            mean = sum(values) / len(values)
            squares += sum((score - mean) ** 2 for score in values)
            freedom += len(values) - 1
    if freedom < _FEWEST_DEGREES:
        return dict.fromkeys(scores, math.inf)
    half = _quantile(freedom) * math.sqrt(squares / freedom)
    return {config: half / math.sqrt(len(values)) for config, values in scores.items()}


@cache
def _quantile(freedom: int) -> float:
    from scipy.stats import t  # slow to import

    return float(t.ppf((1 + _CONFIDENCE) / 2, freedom))


#: No snapshot is stored beyond this size; without one a training starts anew, with equal results.
_MOST_BYTES = 2**30


class Snapshots:
    """Index of the stored snapshots.

    Snapshots by other package versions are ignored, since a row names one version for its whole
    training.

    Args:
        results: The engine's results by execution, a growing mapping.

    Attributes:
        epochs: The epoch of each execution's snapshot.
    """

    def __init__(self, store: Store, results: Mapping[int, ExecutionResult]) -> None:
        self._store, self._results = store, results
        self.epochs: dict[int, int] = {}
        self._bytes: dict[int, int] = {}
        snapshots = store.snapshots()
        present = installed() if snapshots else {}
        for execution, epoch, size in snapshots:
            self._bytes[execution] = size
            versions = results[execution].versions if execution in results else {}
            if all(present[name] == version for name, version in versions.items()):
                self.epochs[execution] = epoch

    @property
    def has_room(self) -> bool:
        """True if another snapshot may be stored."""
        return sum(self._bytes.values()) < _MOST_BYTES

    def note(self, result: ExecutionResult) -> None:
        """Add a stored result's snapshot, and forget the execution's earlier one."""
        self._bytes.pop(result.number, None)
        self.epochs.pop(result.number, None)
        if result.snapshot is not None:
            self._bytes[result.number] = result.snapshot.nbytes
            self.epochs[result.number] = result.snapshot.epoch

    def past(self, training: Training) -> ResumePoint | None:
        """Return the point from which a training continues; None if it starts anew."""
        if training.source is None or training.source not in self.epochs:
            return None
        snapshot = self._store.snapshot(training.source)
        if snapshot is None:
            return None
        result = self._results[training.source]
        # The seconds of another execution count in its row only.
        continues_itself = training.source == training.number
        curve = tuple(result.curve[: snapshot.epoch])
        return ResumePoint(curve, snapshot, result.seconds if continues_itself else 0.0)


class AdaptivePlanner(Planner):
    """Plans by results; a config's outcome is its mean score over seeds and folds.

    Args:
        trials: The sweep's trials; in a race, their executions may have all the race's seeds.
        longest: The largest `epochs` of the space, if trainings may be continued; else None.
        events: What the user's oracle did in earlier runs.
        known: Results of others, which the method has before its first proposal.
    """

    adaptive = True

    def __init__(
        self,
        strategy: Strategy | None,
        trials: Trials,
        repetitions: Sequence[Repetition],
        reuse: CurveReuse,
        *,
        race: Race | None = None,
        longest: int | None = None,
        events: Sequence[OracleEvent] = (),
        known: Sequence[Outcome] = (),
    ) -> None:
        super().__init__(strategy, trials, repetitions, reuse.results)
        self._reuse, self._race, self._longest = reuse, race, longest
        self._events = tuple(events)
        self._others = known
        #: True if trainings may halt before their config's last epoch.
        self._halts = strategy is None or bool(strategy.rungs)
        #: The epochs that each config was last proposed to reach; None for the config's `epochs`.
        self._goals: dict[str, int | None] = {}

    @property
    def is_complete(self) -> bool:
        # Halted trainings may go on, a race may add seeds, and an oracle may do either.
        plain = self.strategy is not None and not self.strategy.rungs and self._race is None
        return plain and self.is_exhausted

    @property
    def expected(self) -> int | None:
        remaining, trials = self._trials.remaining, {execution.trial for execution in self.current}
        return None if remaining is None else len(trials) + remaining

    # From earlier runs

    def begin(self, answered: Collection[int]) -> Step:
        """Add the stored executions, and plan the rest of their trainings."""
        self._join(self.current, answered)
        configs = [members[0].config for members in self._members.values()]
        if self.strategy is None:
            return self._begin_of_oracle(configs)
        outcomes = tuple(self._known_outcomes(configs))
        own = {config.id for config in configs}
        # A result of this search counts more than one of others.
        others = [outcome for outcome in self._others if outcome.config.id not in own]
        # A method that ignores scores is to skip them.
        met = () if self.strategy.adaptive else (outcome.config for outcome in others)
        self.past = Past((*configs, *met), (*others, *outcomes))
        self.strategy.restore(self.past.configs, self.past.outcomes)
        for config in configs:
            self._goals[config.id] = self._goal_of(config)
        # The file may have gained a seed since.
        return self._step(configs, self._new(configs, self._repetitions))

    def _begin_of_oracle(self, configs: Sequence[Config]) -> Step:
        """Leave unfinished configs to the oracle, which proposes them again with their epochs."""
        self.past = Past(events=self._events)
        ended = {e.trial_id for e in self._events if e.config is None}
        last = {e.config.id: e for e in self._events if e.config is not None}
        over = [each for each in configs if each.id in last and last[each.id].trial_id in ended]
        self._goals.update((config.id, last[config.id].epochs) for config in over)
        return self._step(over, self._new(over, self._repetitions))

    def _goal_of(self, config: Config) -> int | None:
        """Return the epochs that a config's answered executions reached, or are to reach first."""
        if not isinstance(self.strategy, HalvingStrategy):
            return None
        members = self._members[config.id]
        answered = [each for each in members if each.number not in self._unanswered]
        reached = self._rungs_of(answered) if answered else ()
        return max([self.strategy.first_epochs(config), *(rung or 0 for rung in reached)])

    def _rungs_of(self, members: Sequence[Execution]) -> Iterator[int | None]:
        """Yield the rungs that all members reached, up to the one by which all had ended."""
        rungs: Sequence[int | None] = self.strategy.rungs if self.strategy is not None else ()
        for rung in rungs or [None]:
            if not self._complete(members, rung):
                return
            yield rung
            if all(self._ended(execution, rung) for execution in members):
                return

    def _known_outcomes(self, configs: Iterable[Config]) -> Iterator[Outcome]:
        for config in configs:
            for rung in self._rungs_of(self._members[config.id]):
                yield self._outcome(config.id, rung)

    # The next step

    def own(self) -> Step:
        """Plan a further seed of the race."""
        if self._race is None:
            return Step()
        winner = self._race.next(self._raced())
        if winner is None:
            return Step()
        members = self._members[winner]
        # Seeds that the sweep listed before it had a race may leave gaps.
        seed = next(n for n in itertools.count() if all(n != each.seed for each in members))
        return self._step([members[0].config], self._new([members[0].config], [Repetition(seed)]))

    def _raced(self) -> dict[str, list[float]]:
        """The scores of the configs for which every seed so far has ended."""
        raced: dict[str, list[float]] = {}
        last = self.strategy.rungs[-1:] if self.strategy is not None else ()
        for config, members in self._members.items():
            # A training that ended early may still be promoted.
            if not self._complete(members, None) or (last and self._goals.get(config) != last[0]):
                continue
            scores = [self._results[execution.number].score for execution in members]
            valid_scores = [score for score in scores if score is not None]
            if len(valid_scores) == len(members) >= len(self._repetitions):
                raced[config] = valid_scores
        return raced

    def room(self, free: int) -> int:
        count = max(1, free // len(self._repetitions))
        return count if self.spent else self._configs_within(count)

    def take(self, proposals: Sequence[Proposal]) -> Step:
        added = []
        for proposal in proposals:
            self._goals[proposal.config.id] = proposal.epochs
            if proposal.config.id not in self._members:
                added += self._new([proposal.config], self._repetitions, proposal.by)
        return self._step([proposal.config for proposal in proposals], added)

    def _new(
        self, configs: Iterable[Config], repetitions: Sequence[Repetition], by: str = ""
    ) -> list[Execution]:
        executions = self._trials.new(configs, repetitions, by)
        self._join(executions)
        return executions

    def _join(self, executions: Iterable[Execution], answered: Collection[int] = ()) -> None:
        super()._join(executions, answered)
        for execution in executions:
            self._reuse.add(execution)

    def _step(self, configs: Iterable[Config], added: Sequence[Execution]) -> Step:
        """Plan the trainings that take the executions of `configs` to their goals."""
        trainings, answers = [], []
        for config in configs:
            members = self._members.get(config.id, ())
            goal = self._goals.get(config.id)
            missing = [execution for execution in members if not self._reached(execution, goal)]
            for execution in missing:
                epochs = _least(goal, execution.epochs)
                answer = self._reuse.answer(execution, epochs)
                if answer is not None:
                    answers.append(answer)
                else:
                    trainings.append(self._training(execution, epochs))
            if members and not missing:
                # It has already ended, so no new result would report it.
                self._tell([config.id])
        return Step(tuple(added), tuple(trainings), tuple(answers))

    def _training(self, execution: Execution, epochs: int) -> Training:
        (training,) = group([execution])
        return replace(
            training,
            stops=((epochs, execution.number),),
            whole=execution.epochs if epochs < execution.epochs else None,
            source=self._reuse.source(execution, epochs),
        )

    def may_continue(self, training: Training) -> bool:
        return training.whole is not None or training.epochs < (self._longest or 0)

    # Results

    def _tell(self, configs: Iterable[str]) -> None:
        for identity in configs:
            members, goal = self._members[identity], self._goals.get(identity)
            if not self._complete(members, goal):
                continue
            outcomes = {goal: self._outcome(identity, goal)}
            if goal is not None and self.strategy is not None and self.strategy.rungs:
                known = {each.epochs: each for each in self._known_outcomes([members[0].config])}
                # Another seed changes the means at all rungs; a program may pass its goal before it
                # can be halted.
                least = 0 if len(members) > 1 else goal + 1
                outcomes |= {rung: known[rung] for rung in known if (rung or 0) >= least}
            self.outcomes += [outcomes[rung] for rung in sorted(outcomes, key=lambda n: n or 0)]

    def _complete(self, members: Sequence[Execution], epochs: int | None) -> bool:
        return all(self._reached(execution, epochs) for execution in members)

    def _reached(self, execution: Execution, epochs: int | None) -> bool:
        """Check if an execution was trained for `epochs` or ended earlier."""
        if execution.number in self._unanswered:
            return False
        return self._ended(execution, epochs) or (
            len(self._results[execution.number].curve) >= _least(epochs, execution.epochs)
        )

    def _ended(self, execution: Execution, epochs: int | None) -> bool:
        """Check if an execution ended by `epochs` and will not be trained further."""
        result = self._results[execution.number]
        short = len(result.curve) <= _least(epochs, execution.epochs)
        return short and (result.status is not Status.STOPPED or not self._halts)

    def _score(self, execution: Execution, epochs: int | None) -> float | None:
        result = self._results[execution.number]
        if epochs is None or len(result.curve) <= epochs:
            return super()._score(execution, epochs)
        return followed(result.curve, epochs, self._reuse.recipe).score


def _least(goal: int | None, epochs: int) -> int:
    return epochs if goal is None else min(goal, epochs)
