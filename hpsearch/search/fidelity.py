"""Histories for models in searches with rungs, where scores differ in epochs."""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from hpsearch.search.adaptive import History, Observations
from hpsearch.search.encoding import Array, Encoding
from hpsearch.search.strategy import Outcome

#: The place of the top rung, whose scores count; the lowest is at 0, the others evenly between.
_TOP = 1.0
#: With this many scores at a rung, a Parzen estimator ignores lower rungs; it needs more scores if
#: the space has more columns.
_ENOUGH = 8


class RungHistory(History):
    """Base class of both: a history with a score for each rung.

    Args:
        rungs: Epochs, ascending.
    """

    def __init__(self, encoding: Encoding, rungs: Sequence[int], *, maximize: bool) -> None:
        super().__init__(encoding, maximize=maximize)
        self._rungs = tuple(rungs)
        self._at: dict[str, dict[float, float]] = {}

    def tell(self, outcomes: Sequence[Outcome]) -> None:
        """Record outcomes; the last one for a config and rung counts."""
        super().tell(outcomes)
        for outcome in outcomes:
            reached = self._at.setdefault(outcome.config.id, {})
            reached[self._place(outcome)] = self._loss(outcome)

    def beats(self, first: str, second: str) -> bool:
        """Compare two proposals at the highest rung that both reached; a failed one never wins."""
        one, two = self._at.get(first, {}), self._at.get(second, {})
        if math.inf in one.values() or not one:
            return False
        if math.inf in two.values():
            return True
        shared = max(one.keys() & two.keys(), default=None)
        return shared is not None and one[shared] < two[shared]

    def _place(self, outcome: Outcome) -> float:
        """Return the place of an outcome's epochs among the rungs, from 0 to 1."""
        if outcome.epochs is None or len(self._rungs) == 1:
            return _TOP
        below = bisect.bisect_left(self._rungs, outcome.epochs)
        return min(below / (len(self._rungs) - 1), _TOP)

    def _usable(self) -> tuple[list[str], Array]:
        """Return the ids and rows of the configs that the space can express."""
        names, rows, usable = self._expressible()
        return [name for name, here in zip(names, usable, strict=True) if here], rows[usable]

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
        names, rows = self._usable()
        enough = max(_ENOUGH, rows.shape[1] + 1)
        for rung in sorted({rung for by_rung in self._at.values() for rung in by_rung})[::-1]:
            losses = np.array([self._loss_at(name, rung) for name in names])
            if np.isfinite(losses).sum() >= enough:
                has_loss = ~np.isnan(losses)
                return Observations(rows[has_loss], losses[has_loss], rows[self._pending(names)])
        return super().observations()

    def _loss_at(self, name: str, rung: float) -> float:
        """Return a config's loss at a rung: NaN if unknown, infinite if it failed below."""
        losses = self._at.get(name, {})
        return losses.get(rung, np.inf if np.inf in losses.values() else np.nan)


class EveryRung(RungHistory):
    """Gives a model the scores of all rungs."""

    def observations(self) -> Observations:
        """Return a row for each score; the last column is its rung's place, 1 at the top."""
        names, rows = self._usable()
        points = [
            (row, rung, loss)
            for name, row in zip(names, rows, strict=True)
            for rung, loss in sorted(self._at.get(name, {}).items())
        ]
        columns = rows.shape[1]
        data = np.array([[*row, rung] for row, rung, _ in points]).reshape(len(points), columns + 1)
        return Observations(
            data, np.array([loss for _, _, loss in points]), rows[self._pending(names)]
        )
