"""Bayesian optimization with a Gaussian process and expected improvement."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from itertools import islice

import numpy as np
import numpy.typing as npt
from scipy.linalg import LinAlgError, cho_solve, cholesky, solve_triangular
from scipy.linalg.lapack import dpotri
from scipy.optimize import minimize
from scipy.spatial.distance import cdist
from scipy.special import erfcx, ndtr, ndtri
from threadpoolctl import threadpool_limits

from hpsearch.search.adaptive import KNOWN, TOP, AdaptiveStrategy, Observations
from hpsearch.search.encoding import Array
from hpsearch.space.space import Config

_ROOT5 = np.sqrt(5.0)
_LEAST_NOISE = 1e-6
_FIT_STEPS = 50
#: The process is fitted to at most this many configs; a step costs the cube of their number.
_MOST_FITTED = 150
_TINY = 1e-12


class GaussianProcess:
    """A Gaussian process with a Matern 5/2 kernel, fitted on construction.

    Length scales, variance and noise maximise the posterior, given the best and the latest rows.

    Args:
        x: Shape `(n, D)`, without NaN.
        y: Shape `(n,)`, standardised.
        categories: For the first columns, True for categories, which are only equal or different;
            all others are numbers.
        noise: Variance of `y` about the process; fitted if None.
    """

    def __init__(
        self, x: Array, y: Array, categories: npt.NDArray[np.bool_], noise: float | None = None
    ) -> None:
        self._categories = np.zeros(x.shape[1], bool)
        self._categories[: len(categories)] = categories
        kept = _best_and_latest(y, _MOST_FITTED)
        self._x, self.y = x[kept], y[kept]
        self._fit(noise)
        self._x, self.y = x, y
        self._factor()

    def _fit(self, noise: float | None) -> None:
        columns = self._x.shape[1]
        self._squares = self._differences(self._x, self._x).reshape(columns, -1)
        log_noise = np.log(1e-2 if noise is None else noise)
        between = (np.log(1e-7), 1.0) if noise is None else (log_noise, log_noise)
        start = np.concatenate([np.zeros(columns), [0.0, log_noise]])
        bounds = [(-8.0, 8.0)] * columns + [(-5.0, 5.0), between]
        optimum = minimize(
            self._loss, start, jac=True, method="L-BFGS-B", bounds=bounds,
            options={"maxiter": _FIT_STEPS},
        )  # fmt: skip
        self._inverse, self._variance = np.exp(optimum.x[:columns]), np.exp(optimum.x[columns])
        self._noise = np.exp(optimum.x[-1]) + _LEAST_NOISE
        del self._squares

    def _differences(self, a: Array, b: Array) -> Array:
        """Return the squared differences, shape `(D, len(a), len(b))`."""
        differences: Array = a.T[:, :, None] - b.T[:, None, :]
        differences[self._categories] = differences[self._categories] != 0
        return differences**2

    def _loss(self, parameters: Array) -> tuple[float, Array]:
        """Return the negative log posterior and its gradient.

        Parameters are the logarithms of the inverse squared lengths, the variance and the noise.
        """
        count, columns = self._x.shape
        inverse, variance = np.exp(parameters[:columns]), np.exp(parameters[columns])
        noise = np.exp(parameters[-1]) + _LEAST_NOISE
        squared = (inverse @ self._squares).reshape(count, count)
        distance = np.sqrt(squared)
        decay = np.exp(-_ROOT5 * distance)
        kernel = (1 + _ROOT5 * distance + 5 / 3 * squared) * decay
        covariance = variance * kernel
        covariance[np.diag_indices(count)] += noise
        try:
            factor = cholesky(covariance, lower=True, check_finite=False)
        except LinAlgError:
            return 1e10, np.zeros_like(parameters)
        solved = cho_solve((factor, True), self.y, check_finite=False)
        half, _ = dpotri(factor, lower=1)
        weight = np.tril(half) + np.tril(half, -1).T
        weight -= np.outer(solved, solved)
        loss = 0.5 * self.y @ solved + np.log(np.diag(factor)).sum()
        slope = -5 / 6 * (1 + _ROOT5 * distance) * decay
        gradient = np.empty_like(parameters)
        gradient[:columns] = 0.5 * variance * inverse * (self._squares @ (weight * slope).ravel())
        gradient[columns] = 0.5 * variance * (weight * kernel).sum()
        gradient[-1] = 0.5 * np.trace(weight) * (noise - _LEAST_NOISE)
        loss += (0.1 / inverse + 0.1 * inverse).sum()
        loss += variance - np.log(variance) + 30 * noise - 0.1 * np.log(noise)
        gradient[:columns] += 0.1 * inverse - 0.1 / inverse
        gradient[columns] += variance - 1
        gradient[-1] += (30 - 0.1 / noise) * (noise - _LEAST_NOISE)
        return float(loss), gradient

    def _kernel(self, a: Array, b: Array) -> Array:
        ordered = ~self._categories
        root = np.sqrt(self._inverse[ordered])
        squared = cdist(a[:, ordered] * root, b[:, ordered] * root, "sqeuclidean")
        for column in np.flatnonzero(self._categories):
            squared += self._inverse[column] * (a[:, None, column] != b[None, :, column])
        # In place: with many rows, allocating arrays takes longer than the arithmetic.
        distance = np.sqrt(squared)
        distance *= _ROOT5
        kernel: Array = squared
        kernel *= 5 / 3
        kernel += distance
        kernel += 1
        np.negative(distance, out=distance)
        kernel *= np.exp(distance, out=distance)
        kernel *= self._variance
        return kernel

    def _factor(self) -> None:
        covariance = self._kernel(self._x, self._x)
        covariance[np.diag_indices(len(covariance))] += self._noise
        self._root = cholesky(covariance, lower=True, check_finite=False)
        self._solved = cho_solve((self._root, True), self.y, check_finite=False)

    def _whole(self, x: Array) -> Array:
        lacking = self._x.shape[1] - x.shape[1]
        return np.column_stack([x, np.ones((len(x), lacking))]) if lacking else x

    def add_pending(self, x: Array) -> None:
        """Add configs in training, shape `(p, D)`, with their predicted means."""
        if len(x):
            x = self._whole(x)
            mean, _ = self.predict(x)
            self._x, self.y = np.concatenate([self._x, x]), np.concatenate([self.y, mean])
            self._factor()

    def predict(self, x: Array) -> tuple[Array, Array]:
        """Return mean and standard deviation at rows, shape `(m,)` each.

        In a process over configs and rungs, a row without a rung is at the top.
        """
        kernel = self._kernel(self._whole(x), self._x)
        solved = solve_triangular(self._root, kernel.T, lower=True, check_finite=False)
        variance = self._variance - np.einsum("ij,ij->j", solved, solved)
        return kernel @ self._solved, np.sqrt(np.maximum(variance, _TINY))


#: The process knows at most this many configs, which bounds the cost of an ask.
_MOST_KNOWN = 1_000
#: Every other proposal must improve by this many standard deviations, so that it explores more;
#: the proposals between refine the best config.
_MARGIN = 0.01
#: The least number of losses from which their scale is taken.
_FEW = 3
_RANDOM, _NEAR = 500, 200
_PARENTS = 10
#: Distances of children from a parent in [0, 1]: first around known configs, then around the
#: best candidates.
_STEPS = (0.1, 0.02)
_REFINEMENTS = (0.05, 0.02, 0.008, 0.003)
#: Divisor of the prior's expected losses, so that they vary by about 1, as a hyperparameter does.
_SPREADS = 4.0
#: With a smaller spread, the prior's expected losses differ by rounding only.
_LEAST_SPREAD = 1e-6


class BayesianStrategy(AdaptiveStrategy):
    """Proposes the config with the greatest expected improvement on the best score.

    With rungs it needs the history `EveryRung`. Source: Kandasamy et al., Multi-fidelity Bayesian
    Optimisation with Continuous Approximations (2017).

    Attributes:
        alpha: Observation noise on the kernel matrix's diagonal, as in KerasTuner, for scores
            scaled to a variance of 1; fitted if None.
        beta: If given, the lower confidence bound `mean - beta * deviation` decides instead, as
            in KerasTuner.
    """

    alpha: float | None = None
    beta: float | None = None

    @cached_property
    def _categories(self) -> npt.NDArray[np.bool_]:
        return np.array([not d.ordered for d in self.encoding.dimensions], bool)

    @cached_property
    def _spread(self) -> float:
        """The spread of the prior's expected losses in the space."""
        rows = self.encoding.rows(self.sample()) if self.table is None else self.table[1]
        spread = float(self.foreseen_losses(rows).std()) if len(rows) else 0.0
        return spread if spread > _LEAST_SPREAD else 1.0

    def suggest(self, random: np.random.Generator) -> Config | None:
        """Return a new config; None if fewer than two have a score, or if no new one is found."""
        seen = self.history.observations()
        kept = _best_and_latest(seen.losses, _MOST_KNOWN)
        data = Observations(seen.rows[kept], seen.losses[kept], seen.pending, seen.places[kept])
        if np.isfinite(data.losses).sum() < 2 or not self.encoding.dimensions:
            return None
        with threadpool_limits(1, "blas"):
            process, lowest, parents = self._fitted(data)
            best = lowest - _MARGIN * (self.history.proposed % 2)
            if self.table is not None:
                return self._best_in_table(*self.table, process, best)
            return self._best_found(random, process, best, parents)

    def _fitted(self, data: Observations) -> tuple[GaussianProcess, float, Observations]:
        """Return the process, the loss to improve on, and the configs to search around.

        Losses at several places have a process over configs and places, and the least mean at the
        top is to be improved on. So lower rungs and known results count as far as they have
        predicted the scores at the top.
        """
        features, losses = self._features(data.rows), _standardized(data)
        if (data.places == TOP).all():
            process = GaussianProcess(features, losses, self._categories, self.alpha)
            lowest = float(process.y.min())
        else:
            inputs = np.column_stack([features, data.places])
            process = GaussianProcess(inputs, losses, self._categories, self.alpha)
            means, _ = process.predict(features)
            lowest = float(means.min())
            _, first = np.unique(features, axis=0, return_index=True)
            data = Observations(data.rows[first], means[first], data.pending, data.places[first])
        process.add_pending(self._features(data.pending))
        return process, lowest, data

    def _features(self, rows: Array, foreseen: Array | None = None) -> Array:
        """Return rows without NaN: an inactive number is 0.5, an inactive category a separate one.

        The prior's expected loss is one more feature, from which the process learns if, and in
        which direction, the prior predicts the scores.
        """
        inactive = np.where(self._categories, -1.0, 0.5)
        features = np.where(np.isnan(rows), inactive[None], rows)
        if self._study is None:
            return features
        if foreseen is None:
            foreseen = self.foreseen_losses(rows)
        return np.column_stack([features, foreseen / (_SPREADS * self._spread)])

    def _utility(self, rows: Array, process: GaussianProcess, best: float) -> Array:
        foreseen = self.foreseen_losses(rows)
        mean, deviation = process.predict(self._features(rows, foreseen))
        if self.beta is not None:
            return self.beta * deviation - mean
        return _log_improvement(mean, deviation, best) - self.belief * foreseen

    def _best_in_table(
        self, configs: Sequence[Config], rows: Array, process: GaussianProcess, best: float
    ) -> Config | None:
        new = [index for index, config in enumerate(configs) if config not in self.history]
        if not new:
            return None
        return configs[new[int(np.argmax(self._utility(rows[new], process, best)))]]

    def _best_found(
        self,
        random: np.random.Generator,
        process: GaussianProcess,
        best: float,
        observations: Observations,
    ) -> Config | None:
        """Return the best of random points and points near good ones, after refining the best."""
        columns = len(self.encoding.dimensions)
        rows = observations.rows[np.argsort(observations.losses, kind="stable")]
        # Draw inactive values, since a child may activate them.
        parents = np.where(np.isnan(rows), self.encoding.uniform(random.random(rows.shape)), rows)
        pools = [self.encoding.uniform(random.random((_RANDOM, columns)))]
        pools += [self._children(random, parents[:_PARENTS], step) for step in _STEPS]
        points = np.concatenate(pools)
        utilities = self._utility(self.encoding.rows(points), process, best)
        for step in _REFINEMENTS:
            best_first = points[np.argsort(-utilities, kind="stable")]
            valid = (point for point in best_first if self.encoding.config(point) is not None)
            if not (top := list(islice(valid, _PARENTS))):
                return None
            more = self._children(random, np.array(top), step)
            points = np.concatenate([points, more])
            judged = self._utility(self.encoding.rows(more), process, best)
            utilities = np.concatenate([utilities, judged])
        return self.first_new_config(points[np.argsort(-utilities, kind="stable")])

    def _children(self, random: np.random.Generator, parents: Array, step: float) -> Array:
        """Return points near parents, with about two columns changed."""
        columns = len(self.encoding.dimensions)
        children = parents[random.integers(len(parents), size=_NEAR)].copy()
        changed = random.random(children.shape) < min(1.0, 2.0 / columns)
        changed[np.arange(_NEAR), random.integers(columns, size=_NEAR)] = True
        moved = np.abs(children + step * random.standard_normal(children.shape))
        moved = np.clip(np.where(moved > 1, 2 - moved, moved), 0.0, 1.0)
        other = self.encoding.uniform(random.random(children.shape))
        new = np.where(self._categories[None], other, moved)
        return np.where(changed, new, children)


def _best_and_latest(losses: Array, most: int) -> npt.NDArray[np.intp]:
    """Return the places of `most` losses, in order: the best for a quarter, then the latest."""
    if len(losses) <= most:
        return np.arange(len(losses))
    best = np.argsort(losses, kind="stable")[: most // 4]
    others = np.setdiff1d(np.arange(len(losses)), best)
    return np.sort(np.concatenate([best, others[-(most - len(best)) :]]))


def _standardized(data: Observations) -> Array:
    """Warp the losses: known ones, whose scale may be another, apart from enough others."""
    known, finite = data.places == KNOWN, np.isfinite(data.losses)
    losses = _warped(data.losses)
    if min((known & finite).sum(), (~known & finite).sum()) >= _FEW:
        losses[known], losses[~known] = _warped(data.losses[known]), _warped(data.losses[~known])
    return losses


def _warped(losses: Array) -> Array:
    """Standardise losses; those above the median count by rank only, failures as the worst.

    Source: Song et al., The Vizier Gaussian Process Bandit Algorithm (2024), "half rank".
    """
    finite = np.isfinite(losses)
    values = losses[finite]
    # Squares of huge values would overflow.
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
    """Return the logarithm of the expected improvement, accurate even if that underflows."""
    z = (best - mean) / deviation
    high = np.maximum(z, -1.0)
    likely = np.log(np.exp(-0.5 * high**2) / np.sqrt(2 * np.pi) + high * ndtr(high))
    low = np.clip(z, -1e4, -1.0)
    tail = np.log1p(np.sqrt(np.pi / 2) * low * erfcx(-low / np.sqrt(2)))
    unlikely = -0.5 * z**2 - 0.5 * np.log(2 * np.pi) + tail
    improvement: Array = np.log(deviation) + np.where(z > -1.0, likely, unlikely)
    return improvement
