"""Tree-structured Parzen estimator."""

from __future__ import annotations

import math

import numpy as np
from scipy.special import logsumexp, ndtr, ndtri

from hpsearch.search.adaptive import AdaptiveStrategy
from hpsearch.search.encoding import Array, Encoding
from hpsearch.space.space import Config

#: Width of a kernel on [0, 1]: at first, and the minimum to which it shrinks with more configs.
_WIDTH = 0.1
_LEAST_WIDTH = 0.01
#: The least width of a kernel, in cells of a discrete value.
_LEAST_CELLS = 0.25
_TINY = 1e-300


class Parzen:
    """A mixture of one kernel around each row and a uniform kernel.

    Args:
        rows: Shape `(n, D)`; in a column where a row is inactive (NaN), its kernel is uniform.
        weights: Weights of the rows' kernels, shape `(n,)`; the uniform kernel has their mean.
    """

    def __init__(self, encoding: Encoding, rows: Array, weights: Array) -> None:
        self._dimensions = encoding.dimensions
        self._rows = rows
        count, columns = rows.shape
        whole = np.append(weights, weights.mean() if count else 1.0)
        self._weights = whole / whole.sum()
        self._widths = np.ones((count, columns))
        for column, dimension in enumerate(self._dimensions):
            active = int((~np.isnan(rows[:, column])).sum())
            if dimension.ordered:
                shrunk = _WIDTH * max(active, 1) ** (-1.0 / (columns + 4))
                least = _LEAST_CELLS / dimension.count if dimension.count else 0.0
                self._widths[:, column] = max(shrunk, _LEAST_WIDTH, least)
            else:
                # The share of a kernel that is uniform over all categories.
                self._widths[:, column] = 1.0 / (active + 2)

    def sample(self, random: np.random.Generator, count: int) -> Array:
        """Draw points, shape `(count, D)`."""
        row_count, columns = self._rows.shape
        chosen = random.choice(row_count + 1, size=count, p=self._weights)
        first, second = random.random((count, columns)), random.random((count, columns))
        # The last kernel is the uniform one.
        centres = np.vstack([self._rows, np.full(columns, np.nan)])[chosen]
        widths = np.vstack([self._widths, np.ones(columns)])[chosen]
        sampled = np.empty((count, columns))
        for column, dimension in enumerate(self._dimensions):
            centre, width, draw = centres[:, column], widths[:, column], first[:, column]
            nowhere = np.isnan(centre)
            if dimension.ordered:
                middle = np.where(nowhere, 0.5, centre)
                low, high = ndtr(-middle / width), ndtr((1 - middle) / width)
                quantile = np.clip(low + draw * (high - low), 1e-12, 1 - 1e-12)
                near = np.clip(middle + width * ndtri(quantile), 0.0, 1.0)
                sampled[:, column] = np.where(nowhere, draw, near)
            else:
                other = np.floor(draw * (dimension.count or 1))
                moves = nowhere | (second[:, column] < width)
                sampled[:, column] = np.where(moves, other, centre)
        return sampled

    def log_density(self, rows: Array) -> Array:
        """Return the log density of rows, shape `(m, D)` with NaN where inactive: shape `(m,)`."""
        row_count = len(self._rows)
        total = np.zeros((len(rows), row_count + 1))
        for column in range(len(self._dimensions)):
            total += self._log_kernels(column, rows[:, column])
        density: Array = logsumexp(total + np.log(self._weights), axis=1)
        return density

    def _log_kernels(self, column: int, values: Array) -> Array:
        """Return one column's log densities, shape `(m, n + 1)`; the last kernel is uniform."""
        centres, widths = self._rows[:, column], self._widths[:, column]
        inactive, nowhere = np.isnan(values), np.isnan(centres)
        if self._dimensions[column].ordered:
            kernels, uniform = self._ordered(column, values, centres, widths)
        else:
            count = self._dimensions[column].count or 1
            same = values[:, None] == centres[None]
            spread = widths[None] / count
            kernels = np.log(np.where(same, 1 - widths[None] + spread, spread))
            uniform = np.full(len(values), -np.log(count))
        logs = np.column_stack([np.where(nowhere[None], uniform[:, None], kernels), uniform])
        logs[inactive] = 0.0
        return logs

    def _ordered(
        self, column: int, values: Array, centres: Array, widths: Array
    ) -> tuple[Array, Array]:
        """Return truncated normal kernels, integrated over discrete cells, and the uniform one."""
        value = np.where(np.isnan(values), 0.5, values)
        centre = np.where(np.isnan(centres), 0.5, centres)
        inside = ndtr((1 - centre) / widths) - ndtr(-centre / widths)
        cells = self._dimensions[column].cells
        if cells is None:
            scaled = (value[:, None] - centre[None]) / widths
            log = -0.5 * scaled**2 - np.log(widths * inside * np.sqrt(2 * np.pi))
            return log, np.zeros(len(value))
        cell_index = np.clip(np.searchsorted(cells, value, side="right") - 1, 0, len(cells) - 2)
        # Compute each distinct cell once: there are few.
        different, which = np.unique(cell_index, return_inverse=True)
        low, high = cells[different], cells[different + 1]
        mass = ndtr((high[:, None] - centre) / widths) - ndtr((low[:, None] - centre) / widths)
        log = np.log(np.maximum(mass, _TINY)) - np.log(inside)
        return log[which], np.log(high - low)[which]


_GOOD_SHARE = 0.1
_MOST_GOOD = 25
#: At most this many of the other configs count, the latest ones, which bounds the cost of an ask.
_MOST_OTHERS = 1_000
_ATTEMPTS = 4


class TPEStrategy(AdaptiveStrategy):
    """Proposes the candidate with the greatest ratio of good configs' density to the others'.

    Candidates are drawn near good configs. Configs in training count as others. Failed ones, too,
    but together at most as much as those with a score: failures may have another cause.

    Attributes:
        candidates: The number drawn for each proposal.
    """

    candidates = 24

    def suggest(self, random: np.random.Generator) -> Config | None:
        """Return a new config; None if fewer than two have a score, or if no new one is found."""
        observations = self.history.observations()
        finite = int(np.isfinite(observations.losses).sum())
        if finite < 2 or not self.encoding.dimensions:
            return None
        order = np.argsort(observations.losses, kind="stable")
        count = min(math.ceil(_GOOD_SHARE * finite), _MOST_GOOD)
        others = np.sort(order[count:])[-_MOST_OTHERS:]
        ranks = np.arange(1, count + 1)
        good = Parzen(self.encoding, observations.rows[order[:count]], np.log((count + 1) / ranks))
        bad_rows = np.concatenate([observations.rows[others], observations.pending])
        failed = np.isinf(observations.losses[others])
        weights = np.ones(len(bad_rows))
        weights[: len(others)][failed] = min(1.0, (finite - count) / max(failed.sum(), 1))
        bad = Parzen(self.encoding, bad_rows, weights)
        for attempt in range(_ATTEMPTS):
            points = good.sample(random, self.candidates * 2**attempt)
            rows = self.encoding.rows(points)
            ratio = good.log_density(rows) - bad.log_density(rows)
            ratio -= self.belief * self.foreseen_losses(rows)
            config = self.first_new_config(points[np.argsort(-ratio, kind="stable")])
            if config is not None:
                return config
        return None
