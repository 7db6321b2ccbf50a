"""Successive halving over epochs: `asha` and `hyperband`."""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace

from hpsearch.search.strategy import Outcome, Proposal, Strategy
from hpsearch.space.seeds import derive
from hpsearch.space.space import Choices, Config, Parameter, Range, Space


def rungs_of(top: int, first: int, factor: float) -> tuple[int, ...]:
    """Return the epochs at which trainings halt: from `first` up by `factor`, and `top`.

    Source: Li et al., A System for Massively Parallel Hyperparameter Tuning (2020).
    """
    rungs = []
    epochs = float(first)
    while round(epochs) < top:
        rungs.append(round(epochs))
        epochs *= factor
    return (*rungs, top)


def rungs_below(top: int, factor: float, halvings: int) -> tuple[int, ...]:
    """Return the epochs at which trainings halt: `top`, and down from it by `factor`."""
    below = (max(1, round(top / factor**halving)) for halving in range(1, halvings + 1))
    return tuple(sorted({top, *below}))


def at_top(space: Space) -> Space:
    """Return the space with its largest `epochs` only, which is the top rung."""

    def topped(parameter: Parameter) -> Parameter:
        # A program's argument `epochs` is a parameter like any other.
        if parameter.name != "epochs" or not space.kind.has_budget:
            return parameter
        if parameter.choices is not None:
            return replace(parameter, domain=Choices((max(parameter.choices),)))
        assert isinstance(parameter.domain, Range)
        return replace(parameter, domain=Choices((parameter.domain.max,)))

    return replace(space, parameters=tuple(map(topped, space.parameters)))


class Rung:
    """The scores at one rung, best first; equal scores are in the order of proposals."""

    def __init__(self, *, maximize: bool) -> None:
        self._sign = -1.0 if maximize else 1.0
        # No two entries have the same order, so that configs are never compared.
        self._ranked: list[tuple[float, int, Config]] = []
        self._entries: dict[str, tuple[float, int, Config]] = {}

    def __len__(self) -> int:
        return len(self._ranked)

    def enter(self, config: Config, order: int, score: float | None) -> None:
        """Record a config's score, replacing an earlier one; None ranks last."""
        earlier = self._entries.get(config.id)
        if earlier is not None:
            del self._ranked[bisect.bisect_left(self._ranked, earlier)]
        loss = math.inf
        if score is not None and math.isfinite(score):
            loss = self._sign * score
        entry = loss, order, config
        bisect.insort(self._ranked, entry)
        self._entries[config.id] = entry

    def has(self, configs: AbstractSet[str]) -> bool:
        """Check if all of these have an entry."""
        return self._entries.keys() >= configs

    def best(self, count: int, among: AbstractSet[str] | None = None) -> Iterator[Config]:
        """Yield the best `count` configs of all, or of some, except for failed ones."""
        ranked = self._ranked
        if among is not None:
            ranked = [entry for entry in ranked if entry[2].id in among]
        for loss, _, config in ranked[:count]:
            if loss < math.inf:
                yield config


@dataclass
class _Bracket:
    """A bracket's rungs, and how far each config was sent.

    Attributes:
        first: Index of the rung at which its configs begin.
        size: The number of configs in the bracket, if it is fixed.
        sent: For each config, the index of the last rung that it was proposed for.
        over: Whether no config will continue.
    """

    rungs: list[Rung]
    first: int
    size: int = 0
    sent: dict[str, int] = field(default_factory=dict)
    over: bool = False

    def enter(self, config: Config, order: int, index: int, score: float | None) -> None:
        self.rungs[index].enter(config, order, score)
        self.sent[config.id] = max(self.sent[config.id], index)

    def waiting_at(self, index: int, configs: Iterable[Config]) -> Iterator[tuple[Config, int]]:
        for config in configs:
            if self.sent[config.id] == index:
                yield config, index + 1


class HalvingStrategy:
    """Base class of both methods: a proposal's number decides its bracket.

    Args:
        proposer: Proposes the configs; it learns the score at each rung that they reach.
        rungs: Epochs, ascending.
        factor: One config in `factor` continues from each rung.
    """

    adaptive = True

    def __init__(
        self, proposer: Strategy, rungs: Sequence[int], *, goal: str, factor: float
    ) -> None:
        self.rungs = tuple(rungs)
        self._proposer = proposer
        self._maximize = goal == "maximize"
        self._factor = factor
        self._orders: dict[str, int] = {}
        self._brackets: list[_Bracket] = []
        self._closed = False

    @property
    def exhausted(self) -> bool:
        return self._closed or self._proposer.exhausted or self._full(len(self._orders))

    @property
    def foreseen(self) -> int:
        # The first outcomes decide if one of their configs continues, or another begins.
        return 0 if self._orders else self._proposer.foreseen

    def first_epochs(self, config: Config) -> int:
        """Return the epochs at which a proposed config first halts."""
        return self.rungs[self._bracket(self._orders[config.id]).first]

    def close(self) -> bool:
        self._closed = True
        return True

    def ask(self, count: int) -> list[Proposal]:
        proposals: list[Proposal] = []
        while len(proposals) < count:
            proposal = self._promotion() or self._beginning()
            if proposal is None:
                break
            proposals.append(proposal)
        return proposals

    def _promotion(self) -> Proposal | None:
        for bracket in self._open():
            for config, index in self._promotable(bracket):
                bracket.sent[config.id] = index
                return Proposal(config, self.rungs[index])
        return None

    def _promotable(self, bracket: _Bracket) -> Iterator[tuple[Config, int]]:
        """Yield a bracket's configs that may continue, with the index of their next rung."""
        raise NotImplementedError

    def _open(self) -> Iterable[_Bracket]:
        """Return the brackets in which a config may continue."""
        return self._brackets

    def _beginning(self) -> Proposal | None:
        if self.exhausted:
            return None
        for proposal in self._proposer.ask(1):
            bracket = self._begin(proposal.config)
            return replace(proposal, epochs=self.rungs[bracket.first])
        return None

    def _begin(self, config: Config) -> _Bracket:
        number = len(self._orders)
        self._orders[config.id] = number
        bracket = self._bracket(number)
        bracket.sent[config.id] = bracket.first
        return bracket

    def _bracket(self, number: int) -> _Bracket:
        """Return the bracket of proposal `number` (from 0)."""
        index = self._index(number)
        while index >= len(self._brackets):
            self._brackets.append(self._make(len(self._brackets)))
        return self._brackets[index]

    def _index(self, number: int) -> int:
        raise NotImplementedError

    def _make(self, index: int) -> _Bracket:
        raise NotImplementedError

    def _full(self, number: int) -> bool:
        """Check if no bracket has room for proposal `number`."""
        del number
        return False

    def _new_rungs(self) -> list[Rung]:
        return [Rung(maximize=self._maximize) for _ in self.rungs]

    def tell(self, outcomes: Sequence[Outcome]) -> None:
        """Learn scores at rungs; any other outcome goes to the proposer only."""
        self._proposer.tell(self._entered(outcomes))

    def restore(self, configs: Sequence[Config], outcomes: Sequence[Outcome]) -> None:
        for config in configs:
            self._begin(config)
        self._proposer.restore(configs, self._entered(outcomes))

    def _entered(self, outcomes: Sequence[Outcome]) -> list[Outcome]:
        """Enter scores at rungs, and return the outcomes for the proposer.

        A resumed search also gets scores from below the rung at which a config began. They are left
        out, so that the search goes on as if it had not been interrupted.
        """
        for_proposer = []
        last = {outcome.config.id: outcome for outcome in outcomes}
        for outcome in outcomes:
            number = self._orders.get(outcome.config.id)
            if number is None or outcome.epochs not in self.rungs:
                for_proposer.append(outcome)
                continue
            bracket = self._bracket(number)
            index = self.rungs.index(outcome.epochs)
            if outcome is last[outcome.config.id]:
                # The training may have ended before its first rung.
                index = max(index, bracket.first)
            if index >= bracket.first:
                bracket.enter(outcome.config, number, index, outcome.score)
                for_proposer.append(replace(outcome, epochs=self.rungs[index]))
        return for_proposer


class AshaStrategy(HalvingStrategy):
    """Asynchronous successive halving: promotions do not wait for other configs.

    Args:
        brackets: Bracket b begins at rung b; a proposal's number and the seed choose its bracket,
            with weights `factor ** -b`.
    """

    def __init__(
        self,
        proposer: Strategy,
        rungs: Sequence[int],
        *,
        goal: str,
        factor: float,
        brackets: int = 1,
        seed: int = 0,
    ) -> None:
        super().__init__(proposer, rungs, goal=goal, factor=factor)
        self._count = min(brackets, len(self.rungs))
        self._seed = seed

    def _index(self, number: int) -> int:
        if self._count == 1:
            return 0
        weights = [self._factor**-index for index in range(self._count)]
        position = derive(self._seed, number) / 2**32 * sum(weights)
        for index, weight in enumerate(weights):
            position -= weight
            if position < 0:
                return index
        return self._count - 1

    def _make(self, index: int) -> _Bracket:
        return _Bracket(self._new_rungs(), index)

    def _promotable(self, bracket: _Bracket) -> Iterator[tuple[Config, int]]:
        for index in range(len(self.rungs) - 2, bracket.first - 1, -1):
            rung = bracket.rungs[index]
            yield from bracket.waiting_at(index, rung.best(int(len(rung) / self._factor)))


class HyperbandStrategy(HalvingStrategy):
    """Brackets of successive halving, from the one with the most configs to the fewest.

    A bracket begins while another waits for a rung, so workers need not wait.

    Args:
        iterations: How often to run all brackets; None repeats them without end.

    Source: Li et al., Hyperband: A Novel Bandit-Based Approach to Hyperparameter Optimization
    (2018).
    """

    def __init__(
        self,
        proposer: Strategy,
        rungs: Sequence[int],
        *,
        goal: str,
        factor: float,
        iterations: int | None = None,
    ) -> None:
        super().__init__(proposer, rungs, goal=goal, factor=factor)
        self._iterations = iterations
        self._finished = 0
        most = len(self.rungs)
        # The paper's n for bracket s: all brackets take the same epochs, or a little more.
        self._sizes = [
            math.ceil(most / (s + 1) * factor**s - 1e-9) for s in range(most - 1, -1, -1)
        ]

    def _index(self, number: int) -> int:
        whole, left = divmod(number, sum(self._sizes))
        index = 0
        while left >= self._sizes[index]:
            left -= self._sizes[index]
            index += 1
        return whole * len(self._sizes) + index

    def _make(self, index: int) -> _Bracket:
        first = index % len(self._sizes)
        return _Bracket(self._new_rungs(), first, self._sizes[first])

    def _promotable(self, bracket: _Bracket) -> Iterator[tuple[Config, int]]:
        if not self.exhausted and len(bracket.sent) < bracket.size:
            return
        going: AbstractSet[str] = bracket.sent.keys()
        for index in range(bracket.first, len(self.rungs)):
            rung = bracket.rungs[index]
            # A program that was not promoted may have passed this rung, too.
            if not rung.has(going):
                return
            if index == len(self.rungs) - 1 or not going:
                break
            best = list(rung.best(int(len(going) / self._factor), going))
            # Failed configs are missing.
            going = {config.id for config in best}
            yield from bracket.waiting_at(index, best)
        bracket.over = True

    def _full(self, number: int) -> bool:
        return self._iterations is not None and number >= self._iterations * sum(self._sizes)

    def _open(self) -> Iterable[_Bracket]:
        # Skip brackets that are over, of which there may be hundreds.
        while self._finished < len(self._brackets) and self._brackets[self._finished].over:
            self._finished += 1
        return self._brackets[self._finished :]
