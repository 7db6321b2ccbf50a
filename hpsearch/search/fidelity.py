"""Models for searches with rungs: they know after how many epochs a score was taken."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from hpsearch.search.adaptive import History, Observations
from hpsearch.search.bayesian import (
    _MARGIN,
    BayesianStrategy,
    GaussianProcess,
    _limited,
    _warped,
)
from hpsearch.search.encoding import Array, Encoding
from hpsearch.search.strategy import Outcome
from hpsearch.search.tpe import TPEStrategy
from hpsearch.space.space import Config

#: The place of the top rung, whose scores count; the lowest is at 0, those between evenly.
_TOP = 1.0
#: Scores at a rung, with which a Parzen estimator ignores those of lower rungs; more if the space
#: has as many columns.
_ENOUGH = 8


class RungHistory(History):
    """A history with the score of each rung.

    Args:
        rungs: Epochs, ascending.
    """

    def __init__(self, encoding: Encoding, rungs: Sequence[int], *, maximize: bool) -> None:
        super().__init__(encoding, maximize=maximize)
        self._rungs = tuple(rungs)
        self._at: dict[str, dict[float, float]] = {}

    def tell(self, outcomes: Sequence[Outcome]) -> None:
        """Note outcomes; of several for one config and rung, the last one counts."""
        super().tell(outcomes)
        for outcome in outcomes:
            self._at.setdefault(outcome.config.id, {})[self._place(outcome)] = self._loss(outcome)

    def _place(self, outcome: Outcome) -> float:
        """Return where the epochs of an outcome lie among the rungs, from 0 to 1."""
        if outcome.epochs is None or len(self._rungs) == 1:
            return _TOP
        below = bisect.bisect_left(self._rungs, outcome.epochs)
        return min(below / (len(self._rungs) - 1), _TOP)

    def _usable(self) -> tuple[list[str], Array]:
        """Return the ids and rows of the configs that the space can express."""
        foreign = {n: row for n, (row, _) in sorted(self._foreign.items()) if row is not None}
        count, columns = len(self._places), self._rows.shape[1]
        added = np.array([*foreign.values()]).reshape(-1, columns)
        rows = np.concatenate([self._rows[:count], added])
        usable = ~np.isinf(rows).any(axis=1)
        names = [*self._places, *foreign]
        return [name for name, here in zip(names, usable, strict=True) if here], rows[usable]

    def observations(self, random: np.random.Generator) -> Observations:
        """Return the configs that have a score at the highest rung where enough have one.

        Those that failed below it count, too.

        Source: Falkner et al., BOHB: Robust and Efficient Hyperparameter Optimization at Scale
        (2018).
        """
        names, rows = self._usable()
        enough = max(_ENOUGH, rows.shape[1] + 1)
        for place in sorted({place for known in self._at.values() for place in known})[::-1]:
            losses = np.array([self._loss_at(name, place) for name in names])
            if np.isfinite(losses).sum() >= enough:
                known = ~np.isnan(losses)
                return Observations(rows[known], losses[known], rows[self._pending(names)])
        return super().observations(random)

    def _loss_at(self, name: str, place: float) -> float:
        """Return a config's loss at a rung: NaN if unknown, infinite if it failed below."""
        known = self._at.get(name, {})
        return known.get(place, np.inf if np.inf in known.values() else np.nan)

    def _pending(self, names: Sequence[str]) -> npt.NDArray[np.bool_]:
        return np.array([name not in self._at for name in names], bool)

    def scores(self) -> Observations:
        """Return a row for each score, with a last column: the place of its rung."""
        names, rows = self._usable()
        known = [
            (row, place, loss)
            for name, row in zip(names, rows, strict=True)
            for place, loss in sorted(self._at.get(name, {}).items())
        ]
        columns = rows.shape[1]
        told = np.array([[*row, place] for row, place, _ in known]).reshape(-1, columns + 1)
        return Observations(
            told, np.array([loss for _, _, loss in known]), rows[self._pending(names)]
        )


class _RungProcess(GaussianProcess):
    """A process over configs and rungs; a row that lacks the rung is at the top."""

    def predict(self, x: Array) -> tuple[Array, Array]:
        """Return mean and standard deviation at rows, shape `(m,)` each."""
        return super().predict(x if x.shape[1] == self._x.shape[1] else _topped(x))


def _topped(x: Array) -> Array:
    return np.column_stack([x, np.full(len(x), _TOP)])


class RungBayesianStrategy(BayesianStrategy):
    """Proposes by a process over configs and rungs, as Bayesian optimization does.

    The expected improvement is that at the top rung over the best mean there, so that scores of
    lower rungs count as far as they have told those of higher ones.

    Source: Kandasamy et al., Multi-fidelity Bayesian Optimisation with Continuous Approximations
    (2017).

    Args:
        rungs: Epochs, ascending.
        settings: Those of `BayesianStrategy`.
    """

    history: RungHistory

    def __init__(self, rungs: Sequence[int], *settings: Any, goal: str, **more: Any) -> None:
        super().__init__(*settings, goal=goal, **more)
        self.history = RungHistory(self.encoding, rungs, maximize=goal == "maximize")

    def suggest(self, random: np.random.Generator) -> Config | None:
        """Return a new config; None if fewer than two have a score, or none is found."""
        known = _limited(self.history.scores())
        if np.isfinite(known.losses).sum() < 2 or not self.encoding.dimensions:
            return None
        with threadpool_limits(1, "blas"):
            rows, rungs = known.rows[:, :-1], known.rows[:, -1]
            features = self._features(rows)
            categories = np.append(self._categories, False)
            process = _RungProcess(
                np.column_stack([features, rungs]), _warped(known.losses), categories, self._alpha
            )
            means, _ = process.predict(features)
            best = float(means.min()) - _MARGIN * (self.history.proposed % 2)
            process.add_pending(_topped(self._features(known.pending)))
            if self.table is not None:
                return self._best_in_table(*self.table, process, best)
            _, first = np.unique(features, axis=0, return_index=True)
            parents = Observations(rows[first], means[first], known.pending)
            return self._best_found(random, process, best, parents)


class RungTPEStrategy(TPEStrategy):
    """The tree-structured Parzen estimator of the highest rung that has enough scores.

    Args:
        rungs: Epochs, ascending.
        settings: Those of `TPEStrategy`.
    """

    def __init__(self, rungs: Sequence[int], *settings: Any, goal: str, **more: Any) -> None:
        super().__init__(*settings, goal=goal, **more)
        self.history = RungHistory(self.encoding, rungs, maximize=goal == "maximize")
