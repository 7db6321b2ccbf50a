"""Random forests over hyperparameters, and the exact means of their predictions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hpsearch.space.space import Range, Space
from hpsearch.store.tables import column_of, varying_columns

if TYPE_CHECKING:
    import pandas as pd

#: A numeric hyperparameter with more distinct values is divided into this many intervals.
_MOST_LEVELS = 24
#: Without a sweep file, positive values get a log scale if their largest ratio reaches this.
_LOG_SPAN = 100.0
#: The column with the length of the training until the method stopped the execution.
_FIDELITY = "epochs_trained"

Codes = npt.NDArray[np.intp]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Axis:
    """One hyperparameter, by its column.

    Attributes:
        levels: Its values in order; for a continuous one, the middles of equal intervals.
        codes: Index of each row's level `(n_rows,)`; -1 if it is inactive.
        log: Whether the intervals are equal on a log scale.
        fidelity: True for the length of the training, which is not a hyperparameter.
    """

    name: str
    levels: tuple[Any, ...]
    codes: Codes
    numeric: bool
    log: bool = False
    fidelity: bool = False

    @property
    def size(self) -> int:
        """The number of levels."""
        return len(self.levels)

    @property
    def weights(self) -> Floats:
        """The share of each level in the space `(n_levels,)`.

        All weight of a fidelity is on the longest training, so that importance refers to its end.
        """
        return np.eye(self.size)[-1] if self.fidelity else np.full(self.size, 1 / self.size)


def axes_of(table: pd.DataFrame, space: Space | None = None) -> list[Axis]:
    """The hyperparameters that take more than one value in `table`, in the order of its columns.

    Args:
        space: Gives the ends and scales of ranges; if None, the values in `table` do.
    """
    ranges = {
        column_of(p.name): p.domain
        for p in (space.parameters if space else ())
        if isinstance(p.domain, Range)
    }
    axes = [_axis(table[name], ranges) for name in varying_columns(table)]
    if (table["status"] == "stopped").any() and table[_FIDELITY].nunique() > 1:
        axes.append(replace(_axis(table[_FIDELITY], {}), fidelity=True))
    return [axis for axis in axes if axis.size > 1]


def _axis(column: pd.Series[Any], ranges: Mapping[str, Range]) -> Axis:
    name = str(column.name)
    if column.dtype.kind not in "iuf":
        return _categories(name, column)
    values: Floats = column.to_numpy(np.float64, na_value=np.nan)
    distinct = np.unique(values[~np.isnan(values)])
    domain = ranges.get(name)
    if len(distinct) > _MOST_LEVELS:
        return _intervals(name, values, domain)
    codes: Codes = np.where(np.isnan(values), -1, np.searchsorted(distinct, values))
    number = float if column.dtype.kind == "f" else int
    levels = tuple(map(number, distinct))
    log = is_log(distinct) if domain is None else domain.log and distinct[0] > 0
    return Axis(name, levels, codes, numeric=True, log=bool(log))


def _categories(name: str, column: pd.Series[Any]) -> Axis:
    # As text, because True and 1 would be the same key of a dict.
    texts = column.dropna().astype(object).map(str)
    levels = tuple(dict.fromkeys(texts))
    index = {level: code for code, level in enumerate(levels)}
    codes = np.full(len(column), -1, dtype=np.intp)
    codes[column.notna().to_numpy()] = texts.map(index)
    return Axis(name, levels, codes, numeric=False)


def _intervals(name: str, values: Floats, domain: Range | None) -> Axis:
    """Intervals of equal width on the sweep's scale, widened to rows outside the range."""
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    if domain is not None:
        low, high = min(low, domain.min), max(high, domain.max)
    log = domain.log if domain is not None else is_log(np.array([low, high]))
    log = log and low > 0
    start, end = (math.log(low), math.log(high)) if log else (low, high)
    width = (end - start) / _MOST_LEVELS
    positions = np.log(values) if log else values
    places = np.clip((positions - start) / width, 0, _MOST_LEVELS - 1)
    codes: Codes = np.where(np.isnan(values), -1, places).astype(np.intp)
    middles = start + width * (np.arange(_MOST_LEVELS) + 0.5)
    levels = tuple(float(v) for v in (np.exp(middles) if log else middles))
    return Axis(name, levels, codes, numeric=True, log=log)


def is_log(distinct: Floats) -> bool:
    """Check if sorted values are positive and far enough apart for a log scale."""
    return bool(0 < distinct[0] <= distinct[-1] / _LOG_SPAN)


#: Most points of the space at which to compute a forest's variance; smaller spaces are used whole.
_POINTS = 2_048
#: Share of the columns that a split considers, so that trees differ and weak columns are used, too.
_MAX_FEATURES = 0.7


@dataclass(frozen=True)
class Leaves:
    """The leaves of a forest's trees, tree by tree.

    Attributes:
        values: The prediction of each leaf `(n_leaves,)`.
        masks: For each axis, 1.0 at the levels that a leaf covers `(n_leaves, n_levels)`.
        shares: The weight of those levels `(n_leaves, n_axes)`.
        starts: Index of each tree's first leaf `(n_trees,)`.
    """

    values: Floats
    masks: tuple[Floats, ...]
    shares: Floats
    starts: Codes

    def means(self) -> Floats:
        """Each tree's mean prediction over the space `(n_trees,)`."""
        return np.asarray(np.add.reduceat(self._others(), self.starts))

    def marginals(self, axis: int) -> Floats:
        """Each tree's mean prediction at each level of one axis `(n_trees, n_levels)`."""
        weighted = self._others(axis)[:, None] * self.masks[axis]
        return np.asarray(np.add.reduceat(weighted, self.starts))

    def joints(self, first: int, second: int) -> Floats:
        """Each tree's mean prediction at each pair of levels `(n_trees, n_first, n_second)`."""
        weighted = self._others(first, second)[:, None] * self.masks[first]
        ends = [*self.starts[1:], len(self.values)]
        parts = [slice(start, end) for start, end in zip(self.starts, ends, strict=True)]
        return np.stack([weighted[part].T @ self.masks[second][part] for part in parts])

    def _others(self, *axes: int) -> Floats:
        return np.asarray(self.values * np.delete(self.shares, axes, axis=1).prod(axis=1))


def design(axes: Sequence[Axis], codes: Codes) -> Floats:
    """Encode levels `(n, n_axes)` for a forest: numbers by order, categories as one-hot columns."""
    return np.hstack([_encoding(axis)[codes[:, i]] for i, axis in enumerate(axes)])


def _encoding(axis: Axis) -> Floats:
    """The columns of each level `(n_levels, n_columns)`."""
    if axis.numeric or axis.size == 2:
        return np.arange(axis.size, dtype=np.float64)[:, None]
    return np.eye(axis.size)


def fit(x: Floats, y: Floats, trees: int, seed: int) -> Any:
    """Return a fitted `RandomForestRegressor`."""
    from sklearn.ensemble import RandomForestRegressor  # Slow to import.

    forest = RandomForestRegressor(
        n_estimators=trees, max_features=_MAX_FEATURES, random_state=seed
    )
    return forest.fit(x, y)


def unseen(forest: Any, rows: int) -> Floats:
    """For each tree and row, 1.0 if the tree has not learned from the row `(n_trees, n_rows)`."""
    return np.stack([np.bincount(s, minlength=rows) == 0 for s in forest.estimators_samples_]) * 1.0


def by_tree(forest: Any, x: Floats) -> Floats:
    """Each tree's prediction of each row `(n_trees, n_rows)`."""
    # Check the rows once instead of in each tree.
    single = np.asarray(x, dtype=np.float32)
    return np.stack([tree.predict(single, check_input=False) for tree in forest.estimators_])


def fold(forest: Any, axes: Sequence[Axis]) -> Leaves:
    """The leaves of a fitted forest as boxes over the axes."""
    parts = [_boxes(tree.tree_, forest.n_features_in_) for tree in forest.estimators_]
    low, high, values = (np.concatenate(part) for part in zip(*parts, strict=True))
    starts = np.cumsum([0, *(len(part[2]) for part in parts[:-1])])
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
    return Leaves(values, tuple(masks), shares, starts)


def _boxes(tree: Any, columns: int) -> tuple[Floats, Floats, Floats]:
    """Lower (excluded) and upper ends of each leaf's box, and its value."""
    left, right = tree.children_left, tree.children_right
    low = np.full((tree.node_count, columns), -np.inf)
    high = np.full((tree.node_count, columns), np.inf)
    nodes: npt.NDArray[np.intp] = np.zeros(1, dtype=np.intp)
    while len(nodes := nodes[left[nodes] >= 0]):  # All inner nodes of one depth.
        column, threshold = tree.feature[nodes], tree.threshold[nodes]
        for children in (left[nodes], right[nodes]):
            low[children], high[children] = low[nodes], high[nodes]
        high[left[nodes], column] = threshold
        low[right[nodes], column] = threshold
        nodes = np.concatenate([left[nodes], right[nodes]])
    leaf = left < 0
    return low[leaf], high[leaf], tree.value[leaf, 0, 0]


def sample(axes: Sequence[Axis]) -> tuple[Codes, Floats]:
    """Points of the space and their weights: all points of a small space, else an even spread.

    The spread is the additive recurrence of the generalised golden ratio: Roberts, "The
    Unreasonable Effectiveness of Quasirandom Sequences", 2018.

    Returns:
        Codes of levels `(n, n_axes)`, and weights `(n,)` whose sum is 1.
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
    ends = [np.cumsum(axis.weights)[:-1] for axis in axes]
    columns = zip(ends, positions.T, strict=True)
    codes = np.stack([np.searchsorted(*pair, side="right") for pair in columns], axis=1)
    return codes, np.full(_POINTS, 1 / _POINTS)
