"""Figures of hyperparameters: shares of variance, effects, contours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hpsearch.report.drawing import (
    Spec,
    inert,
    number,
    rounded,
    spread,
)
from hpsearch.store.cells import text_of

if TYPE_CHECKING:
    from hpsearch.report.importance import Effect, Importance
    from hpsearch.report.source import ReportSource

_MOST_SHARES = 16
#: A pair that explains less is left out of the picture.
_LEAST_OF_PAIR = 0.005

#: Numeric levels of no more than this are marked each.
_MOST_MARKED = 8


def shares_figure(importance: Importance) -> Spec:
    """A bar a hyperparameter or pair, the largest on top."""
    kept = [s for s in importance.shares if len(s.names) == 1 or s.share >= _LEAST_OF_PAIR]
    kept = kept[:_MOST_SHARES]
    data = []
    for size, name, colour in ((1, "one", "@accent"), (2, "two together, beyond each", "@second")):
        members = [share for share in kept if len(share.names) == size]
        if not members:
            continue
        data.append(
            {
                "type": "bar",
                "orientation": "h",
                "name": name,
                "x": [rounded(s.share) for s in members],
                "y": [kept.index(s) for s in members],
                "error_x": {
                    "type": "data",
                    "symmetric": False,
                    "array": [rounded(s.high - s.share) for s in members],
                    "arrayminus": [rounded(s.share - s.low) for s in members],
                    "color": "@text",
                    "thickness": 1.4,
                    "width": 4,
                },
                "marker": {"color": colour},
                "hoverinfo": "text",
                "hovertext": [
                    f"<b>{_label(s.names)}</b><br>{s.share:.1%} ({s.low:.1%} to {s.high:.1%})"
                    for s in members
                ],
            }
        )
    layout = {
        "xaxis": {
            "title": {"text": "share of the variance"},
            "tickformat": ".0%",
            "range": [0, min(1.0, 1.05 * max((s.high for s in kept), default=1.0))],
        },
        "yaxis": {
            "tickvals": list(range(len(kept))),
            "ticktext": [_label(s.names) for s in kept],
            "range": [len(kept) - 0.5, -0.5],
        },
        "barmode": "overlay",
        "bargap": 0.3,
        "showlegend": len(data) > 1,
        "height": 110 + 30 * len(kept),
    }
    return {"data": data, "layout": layout}


def _label(names: tuple[str, ...]) -> str:
    return " × ".join(inert(name, 24) for name in names)  # noqa: RUF001 - the sign of a product


def effect_figure(importance: Importance, name: str, metric: str = "score") -> Spec:
    """The marginal effect of one hyperparameter; all effects share the axis of the score."""
    shown = importance.effects[name]
    every = importance.effects.values()
    low, high = min(e.low.min() for e in every), max(e.high.max() for e in every)
    margin = 0.06 * (high - low)
    layout = {
        "xaxis": level_axis(shown),
        "yaxis": {
            "title": {"text": inert(f"mean {metric}")},
            "range": [rounded(low - margin), rounded(high + margin)],
        },
        "showlegend": False,
        "height": 280,
    }
    return {"data": _line(shown) if shown.numeric else [_points(shown)], "layout": layout}


def _texts(shown: Effect) -> list[str]:
    rows = zip(shown.levels, shown.mean, shown.low, shown.high, strict=True)
    return [
        f"<b>{inert(shown.name)}: {inert(text_of(level))}</b><br>"
        f"{number(mean)} ({number(low)} to {number(high)})"
        for level, mean, low, high in rows
    ]


def _line(shown: Effect) -> list[dict[str, Any]]:
    at = [rounded(position) for position in level_positions(shown)]
    band = {
        "type": "scatter",
        "mode": "lines",
        "x": [*at, *at[::-1]],
        "y": [rounded(v) for v in (*shown.high, *shown.low[::-1])],
        "fill": "toself",
        "fillcolor": "@soft",
        "line": {"width": 0},
        "hoverinfo": "skip",
    }
    line = {
        "type": "scatter",
        "mode": "lines+markers",
        "x": at,
        "y": [rounded(v) for v in shown.mean],
        "line": {"color": "@accent", "width": 2.5},
        "marker": {"color": "@accent", "size": 6},
        "hoverinfo": "text",
        "hovertext": _texts(shown),
    }
    return [band, line]


def _points(shown: Effect) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "x": level_positions(shown),
        "y": [rounded(v) for v in shown.mean],
        "marker": {"color": "@accent", "size": 10},
        "error_y": {
            "type": "data",
            "symmetric": False,
            "array": [rounded(v) for v in shown.high - shown.mean],
            "arrayminus": [rounded(v) for v in shown.mean - shown.low],
            "color": "@accent",
            "thickness": 1.6,
            "width": 6,
        },
        "hoverinfo": "text",
        "hovertext": _texts(shown),
    }


#: Of more trials, so many are marked, evenly over the ranking.
_MOST_TRIALS = 300
#: With as many numbers on both axes, lines of equal score are worth drawing.
_SMOOTH = 8
#: How far from the middle of a cell a trial is marked, and in how many steps.
_JITTER = 0.36
_RING = 97
_GOLDEN = np.pi * (3 - np.sqrt(5))


def contour_figure(source: ReportSource, x: str, y: str, *, trials: bool = True) -> Spec:
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


def _trials(source: ReportSource, first: Effect, second: Effect, *, smooth: bool) -> dict[str, Any]:
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


def level_positions(effect: Effect) -> list[float]:
    """Where a hyperparameter's levels stand: numbers as they are, categories in a row."""
    if effect.numeric:
        return [float(level) for level in effect.levels]
    return [float(index) for index in range(len(effect.levels))]


def level_axis(effect: Effect) -> dict[str, Any]:
    """The axis of a hyperparameter's levels."""
    axis: dict[str, Any] = {"title": {"text": inert(effect.name)}}
    if effect.log:
        # Decades alone: the numbers between them overlap where there is little room.
        axis |= {"type": "log", "dtick": 1, "exponentformat": "power"}
    if effect.numeric and len(effect.levels) > _MOST_MARKED:
        return axis
    axis["tickvals"] = level_positions(effect)
    axis["ticktext"] = [inert(text_of(level), 28) for level in effect.levels]
    if not effect.numeric:
        axis["range"] = [-0.5, len(effect.levels) - 0.5]
    return axis
