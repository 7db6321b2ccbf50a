"""The mean score over two hyperparameters, and where trials were."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hpsearch.report.figures.parts import level_axis, level_positions, spread
from hpsearch.report.text import inert, rounded
from hpsearch.report.theme import Spec
from hpsearch.values import text_of

if TYPE_CHECKING:
    from hpsearch.importance import Effect
    from hpsearch.report.source import Source

__all__ = ["contour"]

#: Of more trials, so many are marked, evenly over the ranking.
_MOST_TRIALS = 300
#: With as many numbers on both axes, lines of equal score are worth drawing.
_SMOOTH = 8
#: How far from the middle of a cell a trial is marked, and in how many steps.
_JITTER = 0.36
_RING = 97
_GOLDEN = np.pi * (3 - np.sqrt(5))


def contour(source: Source, x: str, y: str, *, trials: bool = True) -> Spec:
    """The forest's mean score at each pair of values.

    Args:
        source: The sweep.
        x, y: Columns of two hyperparameters.
        trials: Whether trials are marked.

    Raises:
        InputError: The joint effect of the two is not known.
    """
    grid = source.importance.joint(x, y)
    first, second = source.importance.effects[x], source.importance.effects[y]
    smooth = all(e.numeric and len(e.levels) > _SMOOTH for e in (first, second))
    field: dict[str, Any] = {
        "type": "contour" if smooth else "heatmap",
        # On an axis of numbers, cells would be as wide as the numbers are apart.
        "x": _places(first, smooth=smooth),
        "y": _places(second, smooth=smooth),
        "z": [[rounded(v) for v in row] for row in grid.T],
        "colorscale": "@field",
        "reversescale": source.goal == "minimize",
        "colorbar": {"title": {"text": source.metric, "side": "right"}, "thickness": 12},
        "hovertemplate": "%{z:.5~g}<extra></extra>",
    }
    field |= {"contours": {"coloring": "heatmap"}, "line": {"width": 0.6}} if smooth else {}
    data = [field, *([_trials(source, first, second, smooth=smooth)] if trials else [])]
    layout = {"xaxis": _axis(first, smooth=smooth), "yaxis": _axis(second, smooth=smooth)}
    return {"data": data, "layout": layout | {"showlegend": False, "height": 460}}


def _places(effect: Effect, *, smooth: bool) -> list[float]:
    return level_positions(effect) if smooth else [float(i) for i in range(len(effect.levels))]


def _axis(effect: Effect, *, smooth: bool) -> dict[str, Any]:
    axis = level_axis(effect)
    if smooth:
        return axis
    shown = spread(len(effect.levels), 12)
    axis.pop("type", None)
    axis["tickvals"] = shown
    axis["ticktext"] = _tick_texts(effect, shown)
    axis["range"] = [-0.5, len(effect.levels) - 0.5]
    axis["showgrid"] = False
    return axis


def _tick_texts(effect: Effect, shown: list[int]) -> list[str]:
    return [inert(text_of(effect.levels[i]), 28) for i in shown]


def _trials(source: Source, first: Effect, second: Effect, *, smooth: bool) -> dict[str, Any]:
    rows = source.ranked
    rows = rows[rows[first.name].notna() & rows[second.name].notna()]
    rows = rows.iloc[spread(len(rows), _MOST_TRIALS)]
    at = [
        _at(effect, list(rows[effect.name]), _JITTER * turn, smooth=smooth)
        for turn, effect in zip((1, -1), (first, second), strict=True)
    ]
    return {
        "type": "scatter",
        "mode": "markers",
        "x": at[0],
        "y": at[1],
        "meta": {"trials": [int(trial) for trial in rows["trial"]]},
        # Seen on every colour of the field.
        "marker": {"size": 5, "color": "#ffffff", "line": {"color": "#000000", "width": 1}},
    }


def _at(
    effect: Effect, cells: list[Any], jitter: float, *, smooth: bool
) -> list[float | int | None]:
    if smooth:
        return [rounded(float(cell)) for cell in cells]
    if not effect.numeric:
        index = {level: float(i) for i, level in enumerate(effect.levels)}
        places = np.array([index[str(cell)] for cell in cells], dtype=np.float64)
    else:
        levels = np.asarray(effect.levels, dtype=np.float64)
        values = np.asarray(cells, dtype=np.float64)
        if effect.log:
            levels, values = np.log(levels), np.log(values)
        places = np.interp(values, levels, np.arange(len(levels)))
    # Trials of one cell lie side by side: the golden angle spreads them evenly in a disc.
    turn = np.arange(len(places))
    radius = jitter * np.sqrt((turn % _RING + 0.5) / _RING)
    wave = np.cos(turn * _GOLDEN) if jitter > 0 else np.sin(turn * _GOLDEN)
    return [rounded(v) for v in places + radius * wave]
