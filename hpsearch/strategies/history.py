"""What a strategy knows: configs as rows, in an order that no order of telling changes."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from hpsearch.proposal import Outcome
from hpsearch.space import Config
from hpsearch.strategies.encoding import Array, Encoding

__all__ = ["History", "Observations"]


@dataclass(frozen=True)
class Observations:
    """Configs that have an outcome, and those under way; `D` columns.

    Attributes:
        rows: Shape `(n, D)`, of those with an outcome; NaN where dead.
        losses: Shape `(n,)`, the less the better; infinite where a trial failed.
        pending: Shape `(p, D)`.
    """

    rows: Array
    losses: Array
    pending: Array


class History:
    """Proposals in their order, then what was told of others, by their id.

    Args:
        maximize: Whether a greater score is better.
    """

    def __init__(self, encoding: Encoding, *, maximize: bool) -> None:
        self._encoding = encoding
        self._sign = -1.0 if maximize else 1.0
        self._places: dict[str, int] = {}
        self._rows = np.empty((64, len(encoding.dimensions)))
        self._losses = np.empty(64)
        self._epochs: dict[str, float] = {}
        self._foreign: dict[str, tuple[Array | None, float]] = {}

    def __contains__(self, config: Config) -> bool:
        return config.id in self._places or config.id in self._foreign

    def __len__(self) -> int:
        return len(self._places) + len(self._foreign)

    @property
    def proposed(self) -> int:
        """How many configs were proposed."""
        return len(self._places)

    def propose(self, config: Config) -> None:
        """Note a proposal; told before or not."""
        place = self._places.setdefault(config.id, len(self._places))
        if place == len(self._rows):
            self._rows = np.concatenate([self._rows, np.empty_like(self._rows)])
            self._losses = np.concatenate([self._losses, np.empty_like(self._losses)])
        known = self._foreign.pop(config.id, None)
        row = self._encoding.foreign_row(config)
        # One that the space cannot express is in no model's data.
        self._rows[place] = np.inf if row is None else row
        self._losses[place] = np.nan if known is None else known[1]

    def tell(self, outcomes: Collection[Outcome]) -> None:
        """Note outcomes; of several of one config, the one of the most epochs counts."""
        for outcome in outcomes:
            identity = outcome.config.id
            epochs = math.inf if outcome.epochs is None else outcome.epochs
            if epochs < self._epochs.get(identity, 0):
                continue
            self._epochs[identity] = epochs
            loss = math.inf
            if outcome.score is not None and math.isfinite(outcome.score):
                loss = self._sign * outcome.score
            place = self._places.get(identity)
            if place is not None:
                self._losses[place] = loss
            elif identity in self._foreign:
                self._foreign[identity] = (self._foreign[identity][0], loss)
            else:
                self._foreign[identity] = (self._encoding.foreign_row(outcome.config), loss)

    def observations(self) -> Observations:
        """All that a model can use."""
        count = len(self._places)
        rows, losses = self._rows[:count], self._losses[:count]
        foreign = [
            (row, loss) for _, (row, loss) in sorted(self._foreign.items()) if row is not None
        ]
        if foreign:
            rows = np.concatenate([rows, [row for row, _ in foreign]])
            losses = np.concatenate([losses, [loss for _, loss in foreign]])
        usable = ~np.isinf(rows).any(axis=1)
        known = usable & ~np.isnan(losses)
        return Observations(rows[known], losses[known], rows[usable & ~known])
