"""Base of the model-based strategies: it orders proposals and records outcomes."""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

import numpy as np
import numpy.typing as npt

from hpsearch.search.draws import grid_draws, random_draws, stream_of
from hpsearch.search.encoding import Array, Encoding
from hpsearch.search.prior import Study, complements, features
from hpsearch.search.strategy import PRIOR, Outcome, Proposal
from hpsearch.space.space import ENDLESS, Config, Space


@dataclass(frozen=True)
class Observations:
    """Configs as rows with `D` columns.

    Attributes:
        rows: Configs that have an outcome, shape `(n, D)`; NaN where inactive.
        losses: Their losses, shape `(n,)`, lower is better; infinite if a trial failed.
        pending: Configs in training, shape `(p, D)`.
        places: The place of each loss, shape `(n,)`: of its rung, or KNOWN.
    """

    rows: Array
    losses: Array
    pending: Array
    places: Array


#: The place of the top rung, whose scores count; the lowest is at 0, the others evenly between.
TOP = 1.0
#: The place of known results, which may be of another problem; its distance from the top is that of
#: neighbouring rungs, of three.
KNOWN = 1.5
#: With this many scores at a rung, a Parzen estimator ignores lower rungs; it needs more scores if
#: the space has more columns.
_ENOUGH = 8


class History:
    """Other configs with an outcome, ordered by id, then the proposals in order."""

    def __init__(self, encoding: Encoding, *, maximize: bool) -> None:
        self._encoding = encoding
        self._sign = -1.0 if maximize else 1.0
        #: Id -> index of the config's row and loss; of the proposals, and of all configs.
        self._proposed: dict[str, int] = {}
        self._places: dict[str, int] = {}
        self._rows = np.empty((64, len(encoding.dimensions)))
        self._losses = np.empty(64)
        self._epochs: dict[str, float] = {}

    def __contains__(self, config: Config) -> bool:
        return config.id in self._places

    def __len__(self) -> int:
        return len(self._places)

    @property
    def proposed(self) -> int:
        """The number of proposed configs."""
        return len(self._proposed)

    def propose(self, config: Config) -> None:
        """Add a proposal, which may have an outcome already."""
        self._proposed[config.id] = self._index(config)

    def _index(self, config: Config) -> int:
        if config.id not in self._places:
            place = self._places[config.id] = len(self._places)
            if place == len(self._rows):
                self._rows = np.concatenate([self._rows, np.empty_like(self._rows)])
                self._losses = np.concatenate([self._losses, np.empty_like(self._losses)])
            row = self._encoding.row_if_inside(config)
            # An infinite row excludes a config that the space cannot express from the observations.
            self._rows[place] = np.inf if row is None else row
            self._losses[place] = np.nan
        return self._places[config.id]

    def is_known(self, config: Config) -> bool:
        """Check if a config has an outcome without having been proposed."""
        return config.id in self._places and config.id not in self._proposed

    def __iter__(self) -> Iterator[str]:
        """Yield the proposals' ids in order."""
        return iter(self._proposed)

    def beats(self, first: str, second: str) -> bool:
        """Check if a proposal's loss is below another's, by their ids; False if one is unknown."""
        if first not in self._proposed or second not in self._proposed:
            return False
        # An unknown loss is NaN, which compares as False.
        return bool(self._losses[self._places[first]] < self._losses[self._places[second]])

    def tell(self, outcomes: Sequence[Outcome]) -> None:
        """Record outcomes; a config's outcome with the most epochs counts."""
        for outcome in outcomes:
            place, identity = self._index(outcome.config), outcome.config.id
            epochs = math.inf if outcome.epochs is None else outcome.epochs
            if epochs >= self._epochs.get(identity, 0):
                self._epochs[identity] = epochs
                self._losses[place] = self._loss(outcome)

    def _loss(self, outcome: Outcome) -> float:
        if outcome.score is None or not math.isfinite(outcome.score):
            return math.inf
        return self._sign * outcome.score

    def observations(self) -> Observations:
        """Return the configs that the space can express."""
        names, rows, losses = self._expressible()
        places = np.array([TOP if name in self._proposed else KNOWN for name in names])
        has_loss = ~np.isnan(losses)
        return Observations(rows[has_loss], losses[has_loss], rows[~has_loss], places[has_loss])

    def _expressible(self) -> tuple[list[str], Array, Array]:
        """Return ids, rows and losses of the configs that the space can express."""
        names = sorted(self._places.keys() - self._proposed.keys())
        names += self._proposed
        places = [self._places[name] for name in names]
        rows = self._rows[places]
        usable = np.asarray(~np.isinf(rows).any(axis=1))
        if not usable.all():
            names = [name for name, here in zip(names, usable, strict=True) if here]
        return names, rows[usable], self._losses[places][usable]


class RungHistory(History):
    """Base class of both: a history with a score for each rung; rungs are epochs, ascending."""

    def __init__(self, encoding: Encoding, rungs: Sequence[int], *, maximize: bool) -> None:
        super().__init__(encoding, maximize=maximize)
        self._rungs = tuple(rungs)
        #: Config id -> index of a rung -> loss.
        self._at: dict[str, dict[int, float]] = {}

    def tell(self, outcomes: Sequence[Outcome]) -> None:
        """Record outcomes; the last one for a config and rung counts."""
        super().tell(outcomes)
        for outcome in outcomes:
            reached = self._at.setdefault(outcome.config.id, {})
            reached[self._index_of(outcome)] = self._loss(outcome)

    def beats(self, first: str, second: str) -> bool:
        """Compare two proposals at the highest rung that both reached; a failed one never wins."""
        one, two = self._at.get(first, {}), self._at.get(second, {})
        if math.inf in one.values() or not one:
            return False
        if math.inf in two.values():
            return True
        shared = max(one.keys() & two.keys(), default=None)
        return shared is not None and one[shared] < two[shared]

    def _index_of(self, outcome: Outcome) -> int:
        last = len(self._rungs) - 1
        if outcome.epochs is None:
            return last
        return min(bisect.bisect_left(self._rungs, outcome.epochs), last)

    def _pending(self, names: Sequence[str]) -> npt.NDArray[np.bool_]:
        return np.array([name not in self._at for name in names], bool)


class HighestRung(RungHistory):
    """Gives a model the scores of one rung: the highest one with enough scores.

    Source: Falkner et al., BOHB: Robust and Efficient Hyperparameter Optimization at Scale (2018).
    """

    def observations(self) -> Observations:
        """Return the configs that have a score at that rung or failed below it.

        Until a rung has enough scores, each config counts with its score at its highest rung.
        """
        names, rows, _ = self._expressible()
        enough = max(_ENOUGH, rows.shape[1] + 1)
        for rung in sorted({rung for by_rung in self._at.values() for rung in by_rung})[::-1]:
            losses = np.array([self._loss_at(name, rung) for name in names])
            if np.isfinite(losses).sum() >= enough:
                has_loss = ~np.isnan(losses)
                pending, places = rows[self._pending(names)], np.full(has_loss.sum(), TOP)
                return Observations(rows[has_loss], losses[has_loss], pending, places)
        return super().observations()

    def _loss_at(self, name: str, rung: int) -> float:
        """Return a config's loss at a rung: NaN if unknown, infinite if it failed below."""
        losses = self._at.get(name, {})
        return losses.get(rung, np.inf if np.inf in losses.values() else np.nan)


class EveryRung(RungHistory):
    """Gives a model the scores of all rungs."""

    def observations(self) -> Observations:
        """Return a row for each score.

        A program may end long before its last rung: its highest rung with a score is the top.
        """
        names, rows, _ = self._expressible()
        indices = [*range(len(self._rungs))]
        if self._rungs[-1] == ENDLESS:
            indices = sorted({index for losses in self._at.values() for index in losses})
        rungs = dict(zip(reversed(indices), np.linspace(TOP, 0, len(indices)), strict=True))
        points = [
            (row, loss, rungs[index])
            for name, row in zip(names, rows, strict=True)
            for index, loss in sorted(self._at.get(name, {}).items())
        ]
        data = np.array([row for row, _, _ in points]).reshape(len(points), rows.shape[1])
        losses, places = (np.array([point[k] for point in points]) for k in (1, 2))
        return Observations(data, losses, rows[self._pending(names)], places)


#: In a finite space of at most this size, each proposal is the best of all configs.
_SMALL = 4_096
#: Random configs before the model proposes: after fewer, one bad score rules a category out.
_INITIAL = 10
#: The number of configs that a prior proposes first, and of random points to choose them from.
_STARTS = 5
_POINTS = 4_096
#: Weight of the prior relative to one known config; this many known configs outweigh it.
_BELIEF = 5.0


class AdaptiveStrategy:
    """Proposes listed configs, then random configs, then those that a model of scores suggests.

    With a prior, some configs that it rates as good come before the random ones. Later a random
    config is compared with them: if it beats most of them, the search ignores the prior.

    Subclasses implement `suggest`.

    Args:
        initial: The number of configs, known or in training, before the model proposes; None for
            ten, or with a study for the number that it proposes.
        study: Knowledge about the space's hyperparameters, or None.

    Attributes:
        random_every: One proposal in this many is random in place of the model's; 0 for none.
        by: `Proposal.by` of the model's configs.
    """

    adaptive = True
    rungs: tuple[int, ...] = ()
    random_every = 0
    by = ""

    def __init__(
        self,
        space: Space,
        listed: Sequence[Config],
        *,
        goal: str,
        seed: int,
        initial: int | None = None,
        study: Study | None = None,
    ) -> None:
        self.space = space
        self.exhausted = False
        self.encoding = Encoding(space)
        self.history = History(self.encoding, maximize=goal == "maximize")
        self._listed = iter(listed)
        self._listed_ids = {config.id for config in listed}
        self._random = random_draws(space, seed)
        self._seed = seed
        self._stream = stream_of(type(self).__name__)
        self._study = study if self.encoding.dimensions else None
        self._initial = initial or (_INITIAL if self._study is None else _STARTS)
        self._doubts = self._study is not None and initial is None

    @property
    def foreseen(self) -> int:
        return max(0, self._initial - len(self.history))

    def suggest(self, random: np.random.Generator) -> Config | None:
        """Return a config not in `history`, or None; `random` is for this proposal only."""
        raise NotImplementedError

    def ask(self, count: int) -> list[Proposal]:
        proposals: list[Proposal] = []
        while len(proposals) < count and not self.exhausted:
            proposal = self._next()
            if proposal is None:
                self.exhausted = True
            else:
                self.history.propose(proposal.config)
                proposals.append(proposal)
        return proposals

    def close(self) -> bool:
        self.exhausted = True
        return False

    def tell(self, outcomes: Sequence[Outcome]) -> None:
        self.history.tell(outcomes)

    def restore(self, configs: Sequence[Config], outcomes: Sequence[Outcome]) -> None:
        for config in configs:
            self.history.propose(config)
        self.history.tell(outcomes)

    def _next(self) -> Proposal | None:
        listed = self._first_new(self._listed)
        if listed is not None:
            return Proposal(listed)
        if len(self.history) < len(self._listed_ids) + self._initial:
            start = self._first_new(iter(self._starts))
            if start is not None:
                return Proposal(start, by=PRIOR)
        if len(self.history) >= self._initial and not self._draws():
            entropy = np.random.SeedSequence([self._seed, self.history.proposed, self._stream])
            config = self.suggest(np.random.default_rng(entropy))
            if config is not None:
                return Proposal(config, by=self.by)
        # The random draws end, too, once the space holds no new config.
        drawn = self._first_new(self._random)
        return None if drawn is None else Proposal(drawn)

    def _draws(self) -> bool:
        """Check if a random config is due in place of the model's."""
        if self.random_every and self.history.proposed % self.random_every == 0:
            return True
        if not self._doubts or len(self._tried()) < _STARTS:
            return False
        due = self._drawn if self._misled else self._drawn[:1]
        return any(config not in self.history for config in due)

    @property
    def _misled(self) -> bool:
        """True if the first random config is better than most of the prior's first."""
        if not self._doubts or not self._drawn:
            return False
        tried = self._tried()
        if len(tried) < _STARTS:
            return False
        control = self._drawn[0].id
        return sum(self.history.beats(control, other) for other in tried) > _STARTS / 2

    def _tried(self) -> list[str]:
        """Return the ids of the first configs that the prior and the model chose."""
        others = self._listed_ids | {config.id for config in self._drawn}
        return list(islice((name for name in self.history if name not in others), _STARTS))

    @cached_property
    def _drawn(self) -> list[Config]:
        """The random configs that may come in the prior's place, none of which is one of its."""
        others = self._listed_ids | {config.id for config in self._starts}
        draws = random_draws(self.space, self._seed)
        own = (c for c in draws if c.id not in others and not self.history.is_known(c))
        return list(islice(own, _INITIAL))

    def foreseen_losses(self, rows: Array) -> Array:
        """Return the mean log regret that the prior expects, shape `(n,)`; zeros without one."""
        if self._study is None:
            return np.zeros(len(rows))
        losses: Array = self._study(features(self.encoding, rows)).mean(axis=1)
        return losses

    @property
    def belief(self) -> float:
        """Weight of `foreseen_losses` against a model's logarithms; it falls with each trial.

        Source: Hvarfner et al., piBO: Augmenting Acquisition Functions with User Beliefs (2022).
        """
        if self._study is None or self._misled:
            return 0.0
        return _BELIEF / max(len(self.history), 1)

    @cached_property
    def _starts(self) -> list[Config]:
        """The configs that the prior proposes first."""
        if self._study is None:
            return []
        if self.table is not None:
            configs, rows = self.table
            # Half of the configs, so that another seed begins with others.
            random = np.random.default_rng([self._seed, self._stream])
            half = random.permutation(len(configs))[: max(_STARTS, len(configs) // 2)]
            logs = self._study(features(self.encoding, rows[half]))
            return [configs[half[index]] for index in complements(logs, _STARTS)]
        points = self.sample()
        if not len(points):
            # The constraints exclude nearly all points.
            return []
        logs = self._study(features(self.encoding, self.encoding.rows(points)))
        starts = (self.encoding.config(points[index]) for index in complements(logs, _STARTS))
        return [config for config in starts if config is not None]

    def sample(self) -> Array:
        """Return random points that satisfy the constraints, shape `(n, D)`."""
        random = np.random.default_rng([self._seed, self._stream])
        points = random.random((_POINTS, len(self.encoding.dimensions)))
        points = self.encoding.uniform(points)
        if self.space.constraints:
            valid = [self.encoding.config(point) is not None for point in points]
            points = points[np.array(valid)]
        return points

    def _first_new(self, draws: Iterator[Config]) -> Config | None:
        """Return the next draw not in `history`; draws in it are skipped for good."""
        return next((config for config in draws if config not in self.history), None)

    @cached_property
    def table(self) -> tuple[list[Config], Array] | None:
        """Every config and its row if the space is finite and small, else None."""
        size = self.space.cardinality()
        if size is None or size > _SMALL:
            return None
        configs = list(grid_draws(self.space))
        return configs, np.array([self.encoding.row(config) for config in configs])

    def first_new_config(self, points: Array) -> Config | None:
        """Return the config of the first point whose config is valid and not in `history`."""
        configs = map(self.encoding.config, points)
        return self._first_new(config for config in configs if config is not None)
