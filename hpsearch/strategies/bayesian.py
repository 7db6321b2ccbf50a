"""Bayesian optimization: a Gaussian process, and where it expects the greatest improvement.

KerasTuner's `BayesianOptimization` predicts thousands of single rows for an ask, proposes configs
again, and takes those under way for its worst; here predictions come in batches, what is known is
not proposed, and configs under way are taken for their prediction.

Sources: Jones et al., Efficient Global Optimization (1998); Ament et al., Unexpected Improvements
to Expected Improvement (2023), for its logarithm.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

import numpy as np
from scipy.special import erfcx, ndtr, ndtri

from hpsearch.space import Config, Space
from hpsearch.strategies.adaptive import Adaptive
from hpsearch.strategies.encoding import Array
from hpsearch.strategies.history import Observations
from hpsearch.strategies.process import Process

__all__ = ["Bayesian"]

#: Configs that the process is fitted to: the best of them, then the latest. An ask costs no more
#: than with so many.
_MOST_KNOWN = 200
_MOST_BEST = 50
#: Configs before the process is asked: with fewer it takes the first that fail for their category.
_LEAST_INITIAL = 10
_INITIAL_A_COLUMN = 2
#: For every other proposal less than so many standard deviations is no improvement: these look
#: further afield, where those between refine the best.
_MARGIN = 0.01
_RANDOM, _NEAR = 500, 200
_PARENTS = 10
#: How far from a parent, on [0, 1]: coarse, then finer around the best that were found.
_STEPS = (0.1, 0.02)
_REFINEMENTS = (0.05, 0.02, 0.008, 0.003)


class Bayesian(Adaptive):
    """Proposes the config with the greatest expected improvement over the best score.

    Args:
        initial: How many configs are known, or under way, before the process is asked; None for
            two a parameter that varies, at least ten.
        alpha: Noise of the scores, as in KerasTuner: what is added to the diagonal of the kernel
            matrix, where scores have a variance of 1. None to fit it.
        beta: With it, the lower confidence bound `mean - beta * deviation` decides instead, as
            in KerasTuner.
    """

    def __init__(
        self,
        space: Space,
        listed: Sequence[Config] = (),
        *,
        goal: str,
        seed: int,
        initial: int | None = None,
        alpha: float | None = None,
        beta: float | None = None,
    ) -> None:
        super().__init__(space, listed, goal=goal, seed=seed, initial=initial or _LEAST_INITIAL)
        if initial is None:
            self._initial = max(_LEAST_INITIAL, _INITIAL_A_COLUMN * len(self.encoding.dimensions))
        self._alpha = alpha
        self._beta = beta
        self._categories = np.array([not d.ordered for d in self.encoding.dimensions], bool)

    def suggest(self, random: np.random.Generator) -> Config | None:
        """A config that is not known; None where fewer than two have a score, or none is found."""
        known = _limited(self.history.observations())
        if np.isfinite(known.losses).sum() < 2 or not self.encoding.dimensions:
            return None
        # Imported here: it takes a look at all loaded libraries.
        from threadpoolctl import threadpool_limits

        with threadpool_limits(1, "blas"):
            features, losses = self._features(known.rows), _warped(known.losses)
            process = Process(features, losses, self._categories, self._alpha)
            best = float(process.y.min()) - _MARGIN * (self.history.proposed % 2)
            process.believe(self._features(known.pending))
            table = self.table()
            if table is not None:
                return self._best_of(table[0], table[1], process, best)
            return self._found(random, process, best, known)

    def _features(self, rows: Array) -> Array:
        """Rows without NaN: a dead value is in the middle, or a category of its own."""
        dead = np.where(self._categories, -1.0, 0.5)
        return np.where(np.isnan(rows), dead[None], rows)

    def _utility(self, rows: Array, process: Process, best: float) -> Array:
        mean, deviation = process.predict(self._features(rows))
        if self._beta is not None:
            return self._beta * deviation - mean
        return _log_improvement(mean, deviation, best)

    def _best_of(
        self, configs: Sequence[Config], rows: Array, process: Process, best: float
    ) -> Config | None:
        fresh = [place for place, config in enumerate(configs) if config not in self.history]
        if not fresh:
            return None
        return configs[fresh[int(np.argmax(self._utility(rows[fresh], process, best)))]]

    def _found(
        self, random: np.random.Generator, process: Process, best: float, known: Observations
    ) -> Config | None:
        """The best of random points and of those near good ones, refined around the best."""
        columns = len(self.encoding.dimensions)
        parents = self._whole(random, known.rows[np.argsort(known.losses, kind="stable")])
        pools = [self.encoding.uniform(random.random((_RANDOM, columns)))]
        pools += [self._children(random, parents[:_PARENTS], _NEAR, step) for step in _STEPS]
        points = np.concatenate(pools)
        utilities = self._utility(self.encoding.live(points), process, best)
        for step in _REFINEMENTS:
            top = self._valid(points[np.argsort(-utilities, kind="stable")])
            if not len(top):
                return None
            more = self._children(random, top, _NEAR, step)
            points = np.concatenate([points, more])
            judged = self._utility(self.encoding.live(more), process, best)
            utilities = np.concatenate([utilities, judged])
        ranked = points[np.argsort(-utilities, kind="stable")]
        return next((config for _, config in self.new_configs(ranked)), None)

    def _valid(self, points: Array) -> Array:
        """The first few that break no constraint."""
        places = (p for p, point in enumerate(points) if self.encoding.config(point) is not None)
        return points[list(islice(places, _PARENTS))]

    def _whole(self, random: np.random.Generator, rows: Array) -> Array:
        """Rows with values where they are dead."""
        fill = self.encoding.uniform(random.random(rows.shape))
        return np.where(np.isnan(rows), fill, rows)

    def _children(
        self, random: np.random.Generator, parents: Array, count: int, step: float
    ) -> Array:
        """Points near parents: about two columns of each are changed."""
        columns = len(self.encoding.dimensions)
        children = parents[random.integers(len(parents), size=count)].copy()
        changed = random.random((count, columns)) < min(1.0, 2.0 / columns)
        changed[np.arange(count), random.integers(columns, size=count)] = True
        moved = np.abs(children + step * random.standard_normal((count, columns)))
        moved = np.clip(np.where(moved > 1, 2 - moved, moved), 0.0, 1.0)
        other = self.encoding.uniform(random.random((count, columns)))
        new = np.where(self._categories[None], other, moved)
        return np.where(changed, new, children)


def _limited(known: Observations) -> Observations:
    if len(known.losses) <= _MOST_KNOWN:
        return known
    best = np.argsort(known.losses, kind="stable")[:_MOST_BEST]
    rest = np.setdiff1d(np.arange(len(known.losses)), best)
    kept = np.sort(np.concatenate([best, rest[-(_MOST_KNOWN - _MOST_BEST) :]]))
    return Observations(known.rows[kept], known.losses[kept], known.pending)


def _warped(losses: Array) -> Array:
    """Standardised losses: beyond the median by rank alone, failures like the worst.

    Source: Song et al., The Vizier Gaussian Process Bandit Algorithm (2024), "half rank".
    """
    finite = np.isfinite(losses)
    values = losses[finite]
    # Squares of huge ones would overflow.
    values = values / (np.abs(values).max() or 1.0)
    middle = np.median(values)
    good = values[values < middle]
    if len(good):
        spread = np.sqrt(np.mean((good - middle) ** 2))
        _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
        quantiles = ((np.cumsum(counts) - (counts + 1) / 2)[inverse] + 0.5) / len(values)
        ranked = middle + spread * ndtri(np.clip(quantiles, 0.5, 1 - 0.5 / len(values)))
        values = np.where(values > middle, ranked, values)
    values = values - values.mean()
    deviation = values.std()
    values = values / deviation if deviation > 0 else values
    warped = np.full(len(losses), values.max())
    warped[finite] = values
    return warped


def _log_improvement(mean: Array, deviation: Array, best: float) -> Array:
    """The logarithm of the expected improvement, where that itself would be zero, too."""
    z = (best - mean) / deviation
    high = np.maximum(z, -1.0)
    likely = np.log(np.exp(-0.5 * high**2) / np.sqrt(2 * np.pi) + high * ndtr(high))
    low = np.clip(z, -1e4, -1.0)
    tail = np.log1p(np.sqrt(np.pi / 2) * low * erfcx(-low / np.sqrt(2)))
    unlikely = -0.5 * z**2 - 0.5 * np.log(2 * np.pi) + tail
    improvement: Array = np.log(deviation) + np.where(z > -1.0, likely, unlikely)
    return improvement
