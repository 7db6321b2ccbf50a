"""What strategies that fit a model to scores have in common: the order of proposals, and ends."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np

from hpsearch.proposal import Outcome, Proposal
from hpsearch.sampling import Draw, grid_draws, listed_draws, random_draws
from hpsearch.space import Config, Space
from hpsearch.strategies.encoding import Array, Encoding
from hpsearch.strategies.history import History

__all__ = ["Adaptive"]

#: The configs of a space no larger than this are all known, and compared, before each proposal.
_SMALL = 4_096


class Adaptive:
    """Proposes listed configs, then random ones, then what a model of the scores suggests.

    Subclasses say in `suggest` what that is.

    Args:
        listed: Configs to try first.
        goal: `maximize` or `minimize`.
        seed: Of the proposals; not negative.
        initial: How many configs are known, or under way, before the model is asked.

    Attributes:
        encoding: Configs as rows of numbers, and back.
        history: What was proposed, and what came of it.
    """

    adaptive = True
    rungs: tuple[int, ...] = ()

    def __init__(
        self, space: Space, listed: Sequence[Config], *, goal: str, seed: int, initial: int
    ) -> None:
        self.space = space
        self.exhausted = False
        self.encoding = Encoding(space)
        self.history = History(self.encoding, maximize=goal == "maximize")
        self._listed = listed_draws(listed)
        self._random = random_draws(space, seed)
        self._seed = seed
        self._stream = int.from_bytes(
            hashlib.sha256(type(self).__name__.encode()).digest()[:8], "little"
        )
        self._initial = initial
        self._table: tuple[list[Config], Array] | None = None

    def suggest(self, random: np.random.Generator) -> Config | None:
        """A config that `history` does not hold; None where the model finds none.

        Args:
            random: Of this proposal alone.
        """
        raise NotImplementedError

    def ask(self, count: int) -> list[Proposal]:
        """At most `count` configs; fewer once the space is exhausted."""
        proposals: list[Proposal] = []
        while len(proposals) < count and not self.exhausted:
            config = self._next()
            if config is None:
                self.exhausted = True
            else:
                self.history.propose(config)
                proposals.append(Proposal(config))
        return proposals

    def tell(self, outcomes: Sequence[Outcome]) -> None:
        """Learn what came of proposals, or of configs that were never proposed."""
        self.history.tell(outcomes)

    def restore(self, configs: Sequence[Config], outcomes: Sequence[Outcome]) -> None:
        """Take up a search: nothing is asked for again."""
        for config in configs:
            self.history.propose(config)
        self.history.tell(outcomes)

    def _next(self) -> Config | None:
        listed = self._first_new(self._listed)
        if listed is not None:
            return listed
        if len(self.history) >= self._initial:
            entropy = np.random.SeedSequence([self._seed, self.history.proposed, self._stream])
            config = self.suggest(np.random.default_rng(entropy))
            if config is not None:
                return config
        # Which also finds out whether the space holds any further one.
        return self._first_new(self._random)

    def _first_new(self, draws: Iterator[Draw]) -> Config | None:
        """The next draw that is not known; those before it never will be unknown again."""
        return next((config for config, _ in draws if config not in self.history), None)

    def table(self) -> tuple[list[Config], Array] | None:
        """Every config and its row, of a small finite space; None of another."""
        size = self.space.cardinality()
        if size is None or size > _SMALL:
            return None
        if self._table is None:
            configs = [config for config, _ in grid_draws(self.space)]
            self._table = configs, np.array([self.encoding.row(c) for c in configs])
        return self._table

    def new_configs(self, rows: Array) -> Iterator[tuple[int, Config]]:
        """The places of rows that give a config that is not known yet, each config once."""
        met: set[str] = set()
        for place, row in enumerate(rows):
            config = self.encoding.config(row)
            if config is not None and config not in self.history and config.id not in met:
                met.add(config.id)
                yield place, config
