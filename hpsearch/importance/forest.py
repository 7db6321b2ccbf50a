"""Random forests over axes, and their exact means over all other axes.

A tree is constant on boxes. So the mean of a forest over all axes but some is a sum over its
leaves: of each leaf's value, times the share of the other axes that its box covers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hpsearch.importance.axes import Axis, Codes, Floats

__all__ = ["Leaves", "design", "fit", "fold", "sample"]

#: Points of the space at which a forest's variance is taken, where it has more than these.
_POINTS = 2_048
#: Splits look at so many of the columns: trees differ, and a weak hyperparameter gets its turn.
_MAX_FEATURES = 0.7


@dataclass(frozen=True)
class Leaves:
    """The leaves of a forest's trees.

    Attributes:
        values: What each predicts, divided by the number of trees `(n_leaves,)`.
        masks: Per axis, the levels that each covers `(n_leaves, n_levels)`, float.
        shares: The weight of those levels `(n_leaves, n_axes)`.
    """

    values: Floats
    masks: tuple[Floats, ...]
    shares: Floats

    def mean(self) -> float:
        """The forest's mean over the space."""
        return float(self.values @ self.shares.prod(axis=1))

    def marginal(self, axis: int) -> Floats:
        """Its mean at each level of one axis `(n_levels,)`."""
        return np.asarray(self._others(axis) @ self.masks[axis])

    def joint(self, first: int, second: int) -> Floats:
        """Its mean at each pair of levels of two axes `(n_first, n_second)`."""
        weighted = self.masks[first] * self._others(first, second)[:, None]
        return np.asarray(weighted.T @ self.masks[second])

    def _others(self, *axes: int) -> Floats:
        return np.asarray(self.values * np.delete(self.shares, axes, axis=1).prod(axis=1))


def design(axes: Sequence[Axis], codes: Codes) -> Floats:
    """Levels as a forest sees them: the order of numbers, one column a category.

    Args:
        axes: The axes.
        codes: Of levels `(n, n_axes)`.

    Returns:
        `(n, n_columns)`.
    """
    return np.hstack([_encoding(axis)[codes[:, i]] for i, axis in enumerate(axes)])


def _encoding(axis: Axis) -> Floats:
    """The columns of each level `(n_levels, n_columns)`."""
    if axis.numeric or axis.size == 2:
        return np.arange(axis.size, dtype=np.float64)[:, None]
    return np.eye(axis.size)


def fit(x: Floats, y: Floats, trees: int, seed: int, *, oob_score: bool = False) -> Any:
    """A fitted `RandomForestRegressor`."""
    from sklearn.ensemble import RandomForestRegressor

    forest = RandomForestRegressor(
        n_estimators=trees, max_features=_MAX_FEATURES, oob_score=oob_score, random_state=seed
    )
    return forest.fit(x, y)


def fold(forest: Any, axes: Sequence[Axis]) -> Leaves:
    """The leaves of a fitted forest as boxes over the axes."""
    parts = [_boxes(tree.tree_, forest.n_features_in_) for tree in forest.estimators_]
    low, high, values = (np.concatenate(part) for part in zip(*parts, strict=True))
    masks, column = [], 0
    for axis in axes:
        encoded = _encoding(axis)
        covered = np.ones((len(values), axis.size), dtype=bool)
        for index in range(encoded.shape[1]):
            at = encoded[:, index]
            covered &= (low[:, [column + index]] < at) & (at <= high[:, [column + index]])
        column += encoded.shape[1]
        masks.append(covered.astype(np.float64))
    shares = np.stack([m @ axis.weights for m, axis in zip(masks, axes, strict=True)], axis=1)
    return Leaves(values / len(forest.estimators_), tuple(masks), shares)


def _boxes(tree: Any, columns: int) -> tuple[Floats, Floats, Floats]:
    """Lower (excluded) and upper ends of each leaf's box, and its value; a depth at a time."""
    left, right = tree.children_left, tree.children_right
    low = np.full((tree.node_count, columns), -np.inf)
    high = np.full((tree.node_count, columns), np.inf)
    nodes: npt.NDArray[np.intp] = np.zeros(1, dtype=np.intp)
    while True:
        nodes = nodes[left[nodes] >= 0]
        if not len(nodes):
            break
        column, threshold = tree.feature[nodes], tree.threshold[nodes]
        for children in (left[nodes], right[nodes]):
            low[children], high[children] = low[nodes], high[nodes]
        high[left[nodes], column] = threshold
        low[right[nodes], column] = threshold
        nodes = np.concatenate([left[nodes], right[nodes]])
    leaf = left < 0
    return low[leaf], high[leaf], tree.value[leaf, 0, 0]


def sample(axes: Sequence[Axis]) -> tuple[Codes, Floats]:
    """Points of the space and their weights: every one of a small space, else an even spread.

    Source of the spread: Roberts, "The Unreasonable Effectiveness of Quasirandom Sequences"
    (2018): the additive recurrence of the generalised golden ratio.

    Returns:
        Codes of levels `(n, n_axes)`, and weights `(n,)` in sum 1.
    """
    if math.prod(axis.size for axis in axes) <= _POINTS:
        grid = np.meshgrid(*(np.arange(axis.size) for axis in axes), indexing="ij")
        codes = np.stack([part.ravel() for part in grid], axis=1)
        weights = np.prod([a.weights[codes[:, i]] for i, a in enumerate(axes)], axis=0)
        return codes, weights
    ratio = 2.0
    for _ in range(64):
        ratio = (1 + ratio) ** (1 / (len(axes) + 1))
    steps = ratio ** -np.arange(1.0, len(axes) + 1)
    positions = (0.5 + np.outer(np.arange(1, _POINTS + 1), steps)) % 1
    codes = np.stack(
        [
            np.searchsorted(np.cumsum(a.weights)[:-1], positions[:, i], side="right")
            for i, a in enumerate(axes)
        ],
        axis=1,
    )
    return codes, np.full(_POINTS, 1 / _POINTS)
