"""Random forests over hyperparameters, and their exact marginal means."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hpsearch.space.space import Range, Space
from hpsearch.store.tables import column_of, varying_columns

if TYPE_CHECKING:
    import pandas as pd

#: A numeric hyperparameter with more values than this is cut into as many intervals.
MOST_LEVELS = 24
#: Without a sweep file: positive values that span more than this are taken for a log scale.
_LOG_SPAN = 100.0
#: How far a trial came, where the method stopped some early.
_FIDELITY = "epochs_trained"

Codes = npt.NDArray[np.intp]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Axis:
    """One hyperparameter.

    Attributes:
        name: Its column.
        levels: Its values in order; of a continuous one, the middles of equal intervals.
        codes: Index of each trial's level `(n_trials,)`; -1 where it is dead.
        weights: Share of each level in the space `(n_levels,)`, in sum 1.
        numeric: Whether the levels are numbers, and have an order.
        log: Whether the intervals are equal on a log scale.
        fidelity: Whether it is no hyperparameter, but how long a trial trained.
    """

    name: str
    levels: tuple[Any, ...]
    codes: Codes
    weights: Floats
    numeric: bool
    log: bool = False
    fidelity: bool = False

    @property
    def size(self) -> int:
        """How many levels there are."""
        return len(self.levels)


def axes_of(table: pd.DataFrame, space: Space | None = None) -> list[Axis]:
    """The hyperparameters that take more than one value in `table`, in the order of its columns.

    Args:
        table: Trials with a score.
        space: Where ranges begin and end, and on which scale; by the values met where None.
    """
    ranges = {
        column_of(p.name): p.domain
        for p in (space.parameters if space else ())
        if isinstance(p.domain, Range)
    }
    axes = [_axis(table[name], ranges) for name in varying_columns(table)]
    if (table["status"] == "stopped").any() and table[_FIDELITY].nunique() > 1:
        axes.append(_fidelity(table[_FIDELITY]))
    return [axis for axis in axes if axis.size > 1]


def _axis(column: pd.Series[Any], ranges: Mapping[str, Range]) -> Axis:
    import pandas as pd

    name = str(column.name)
    if not pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
        return _categories(name, column)
    values: Floats = column.to_numpy(np.float64, na_value=np.nan)
    distinct = np.unique(values[~np.isnan(values)])
    if len(distinct) > MOST_LEVELS:
        return _intervals(name, values, ranges.get(name))
    codes: Codes = np.where(np.isnan(values), -1, np.searchsorted(distinct, values))
    whole = pd.api.types.is_integer_dtype(column)
    levels = tuple(int(v) if whole else float(v) for v in distinct)
    return Axis(name, levels, codes, _equal(len(levels)), numeric=True, log=is_log(distinct))


def _categories(name: str, column: pd.Series[Any]) -> Axis:
    # The text tells True from 1, which a set would take for the same.
    cells = column.astype(object)
    text = [str(c) if alive else None for c, alive in zip(cells, cells.notna(), strict=True)]
    levels = tuple(dict.fromkeys(cell for cell in text if cell is not None))
    index = {level: code for code, level in enumerate(levels)}
    codes = np.array([-1 if cell is None else index[cell] for cell in text], dtype=np.intp)
    return Axis(name, levels, codes, _equal(len(levels)), numeric=False)


def _intervals(name: str, values: Floats, domain: Range | None) -> Axis:
    """Intervals of equal width on the sweep's scale; rows outside an edited range widen it."""
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    if domain is not None:
        low, high = min(low, domain.min), max(high, domain.max)
    log = domain.log if domain is not None else is_log(np.array([low, high]))
    log = log and low > 0
    start, end = (math.log(low), math.log(high)) if log else (low, high)
    width = (end - start) / MOST_LEVELS
    positions = np.log(values) if log else values
    with np.errstate(invalid="ignore"):
        places = np.clip((positions - start) / width, 0, MOST_LEVELS - 1)
    codes: Codes = np.where(np.isnan(values), -1, np.nan_to_num(places)).astype(np.intp)
    middles = start + width * (np.arange(MOST_LEVELS) + 0.5)
    levels = tuple(float(v) for v in (np.exp(middles) if log else middles))
    return Axis(name, levels, codes, _equal(MOST_LEVELS), numeric=True, log=log)


def _fidelity(column: pd.Series[Any]) -> Axis:
    """All weight is on the longest training: what is explained is the score at its end."""
    axis = _axis(column, {})
    weights = np.zeros(axis.size)
    weights[-1] = 1.0
    return Axis(axis.name, axis.levels, axis.codes, weights, numeric=True, fidelity=True)


def _equal(size: int) -> Floats:
    return np.full(size, 1 / size)


def is_log(distinct: Floats) -> bool:
    """Whether values, in order, are taken for those of a log scale: positive and far apart."""
    return bool(distinct[0] > 0 and distinct[-1] / distinct[0] >= _LOG_SPAN)


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
