"""Hyperparameters as axes of a box: the levels of each, and where every trial lies."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hpsearch.results import column_of, varying
from hpsearch.space import Range, Space

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Axis", "axes_of", "is_log"]

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
    axes = [_axis(table[name], ranges) for name in varying(table)]
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
