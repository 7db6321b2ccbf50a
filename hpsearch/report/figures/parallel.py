"""Parallel coordinates: a line a trial through its hyperparameters to its score."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hpsearch.report.dimensions import Dimension
from hpsearch.report.figures.parts import robust_range, spread
from hpsearch.report.text import inert, rounded
from hpsearch.report.theme import Spec

if TYPE_CHECKING:
    import pandas as pd

    from hpsearch.report.source import Source

__all__ = ["MOST_LINES", "parallel"]

#: Of more trials, so many are drawn: the best tenth of them, the others evenly over the ranking.
MOST_LINES = 2_000
#: More axes are not told apart on a screen: those of the most distinct values are left out.
MOST_AXES = 14
_BEST = 0.1
#: Beyond the ends of an axis, in shares of its length.
_ROOM = 0.07


def parallel(source: Source, *, most: int = MOST_LINES) -> Spec:
    """Every scored trial as a line; axes can be brushed.

    Args:
        source: The sweep.
        most: Lines that are drawn.
    """
    rows = _rows(source, most)
    scores = rows["score"].to_numpy(np.float64)
    axes = [_axis(d, rows) for d in list(source.dimensions.values())[:MOST_AXES]]
    score_axis: dict[str, Any] = {
        "label": inert(source.metric, 24),
        "name": "score",
        "values": [rounded(score) for score in scores],
    }
    limits = robust_range(scores)
    if limits is not None:
        score_axis["range"] = limits
    line: dict[str, Any] = {
        "color": score_axis["values"],
        "colorscale": "@lines",
        "reversescale": source.goal == "minimize",
    }
    if limits is not None:
        line |= {"cmin": limits[0], "cmax": limits[1]}
    trace = {
        "type": "parcoords",
        "dimensions": [*axes, score_axis],
        "line": line,
        "unselected": {"line": {"color": "@ghost", "opacity": 0.12}},
        "labelfont": {"color": "@text", "size": 13},
        "tickfont": {"color": "@muted", "size": 11},
        "rangefont": {"color": "@muted", "size": 10},
        "labelangle": -18,
    }
    layout = {"margin": {"l": 70, "r": 50, "t": 86, "b": 24}}
    return {"data": [trace], "layout": layout}


def _rows(source: Source, most: int) -> pd.DataFrame:
    """The worst first, so that the best are drawn on top."""
    ranked = source.ranked
    best = int(most * _BEST)
    rest = spread(max(0, len(ranked) - best), most - best)
    kept = [*range(min(best, len(ranked))), *(best + i for i in rest)]
    return ranked.iloc[kept[::-1]]


def _axis(dimension: Dimension, rows: pd.DataFrame) -> dict[str, Any]:
    low, high = dimension.ends
    ticks = dimension.ticks()
    # Room to begin a brush beyond the first value and end it beyond the last.
    room = _ROOM * ((high - low) or 1.0)
    low, high = low - room, high + room
    axis: dict[str, Any] = {
        "label": ("log10 " if dimension.log and ticks is None else "") + inert(dimension.name, 24),
        "name": "axis",
        "values": [rounded(p) for p in dimension.positions(rows[dimension.name])],
        "range": [rounded(low), rounded(high)],
    }
    if ticks is not None:
        # Unlike labels, these are shown as they stand.
        axis["tickvals"] = [rounded(p) for p in ticks[0]]
        axis["ticktext"] = [text if len(text) <= 20 else text[:19] + "…" for text in ticks[1]]
    return axis
