"""Figures of hyperparameters: importance, marginal effects and contours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hpsearch.report.drawing import Spec, inert, number, rounded, spread
from hpsearch.store.cells import text_of

if TYPE_CHECKING:
    from hpsearch.report.forest import Floats
    from hpsearch.report.importance import Effect, Importance
    from hpsearch.report.source import ReportSource

_MOST_SHARES = 16
#: Pairs that explain less are left out.
_LEAST_OF_PAIR = 0.005
#: An axis of at most this many numbers has a tick at each.
_MOST_MARKED = 8
#: An axis of cells has at most this many ticks.
_MOST_TICKS = 12
#: Most trials marked on a contour, spread evenly over the ranking.
_MOST_TRIALS = 300
#: With more numbers than this on both axes, contour lines replace cells.
_SMOOTH = 8
#: Trials are spread over a disc of this radius around the middle of their cell, in this many steps.
_JITTER = 0.36
_RING = 97
_GOLDEN_ANGLE = np.pi * (3 - np.sqrt(5))


def shares_figure(importance: Importance) -> Spec:
    """A bar for each hyperparameter and pair, the largest on top."""
    kept = [s for s in importance.shares if len(s.names) == 1 or s.share >= _LEAST_OF_PAIR]
    kept = kept[:_MOST_SHARES]
    data = []
    for size, name, colour in (
        (1, "one", "@accent"),
        (2, "two together, beyond their own", "@second"),
    ):
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
    """The marginal effect of a hyperparameter; all effects have the same vertical axis."""
    effect = importance.effects[name]
    low, high = importance.span
    margin = 0.06 * (high - low)
    layout = {
        "xaxis": _value_axis(effect),
        "yaxis": {
            "title": {"text": inert(f"mean {metric}")},
            "range": [rounded(low - margin), rounded(high + margin)],
        },
        "showlegend": False,
        "height": 280,
    }
    return {"data": _line(effect) if effect.numeric else [_points(effect)], "layout": layout}


def _line(effect: Effect) -> list[dict[str, Any]]:
    at = [rounded(position) for position in _positions(effect)]
    band = {
        "type": "scatter",
        "mode": "lines",
        "x": [*at, *at[::-1]],
        "y": [rounded(v) for v in (*effect.high, *effect.low[::-1])],
        "fill": "toself",
        "fillcolor": "@soft",
        "line": {"width": 0},
        "hoverinfo": "skip",
    }
    line = {
        "type": "scatter",
        "mode": "lines+markers",
        "x": at,
        "y": [rounded(v) for v in effect.mean],
        "line": {"color": "@accent", "width": 2.5},
        "marker": {"color": "@accent", "size": 6},
        "hoverinfo": "text",
        "hovertext": _hover_texts(effect),
    }
    return [band, line]


def _points(effect: Effect) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "x": _positions(effect),
        "y": [rounded(v) for v in effect.mean],
        "marker": {"color": "@accent", "size": 10},
        "error_y": {
            "type": "data",
            "symmetric": False,
            "array": [rounded(v) for v in effect.high - effect.mean],
            "arrayminus": [rounded(v) for v in effect.mean - effect.low],
            "color": "@accent",
            "thickness": 1.6,
            "width": 6,
        },
        "hoverinfo": "text",
        "hovertext": _hover_texts(effect),
    }


def _hover_texts(effect: Effect) -> list[str]:
    rows = zip(effect.levels, effect.mean, effect.low, effect.high, strict=True)
    return [
        f"<b>{inert(effect.name)}: {inert(text_of(level))}</b><br>"
        f"{number(mean)} ({number(low)} to {number(high)})"
        for level, mean, low, high in rows
    ]


def _positions(effect: Effect) -> list[float]:
    """The positions of the levels: numbers as they are, categories one apart."""
    return [*map(float, effect.levels if effect.numeric else range(len(effect.levels)))]


def _value_axis(effect: Effect) -> dict[str, Any]:
    """An axis of numbers, or of categories one apart."""
    axis: dict[str, Any] = {"title": {"text": inert(effect.name)}}
    if effect.log:
        # Only decades have ticks, because those between them would overlap.
        axis |= {"type": "log", "dtick": 1, "exponentformat": "power"}
    if effect.numeric and len(effect.levels) > _MOST_MARKED:
        return axis
    axis["tickvals"] = _positions(effect)
    axis["ticktext"] = [inert(text_of(level), 28) for level in effect.levels]
    if not effect.numeric:
        axis["range"] = [-0.5, len(effect.levels) - 0.5]
    return axis


def _cell_axis(effect: Effect) -> dict[str, Any]:
    """An axis of cells one apart."""
    shown = spread(len(effect.levels), _MOST_TICKS)
    return {
        "title": {"text": inert(effect.name)},
        "tickvals": shown,
        "ticktext": [inert(text_of(effect.levels[i]), 28) for i in shown],
        "range": [-0.5, len(effect.levels) - 0.5],
        "showgrid": False,
    }


def contour_figure(source: ReportSource, x: str, y: str) -> Spec:
    """The forest's mean score at each pair of values of two hyperparameters, and the trials.

    Raises:
        InputError: The joint effect of the two is not known.
    """
    grid = source.importance.joint(x, y)
    effects = [source.importance.effects[name] for name in (x, y)]
    smooth = all(e.numeric and len(e.levels) > _SMOOTH for e in effects)
    # Cells are one apart: on an axis of numbers, their widths would differ.
    across, up = (
        _positions(e) if smooth else [float(i) for i in range(len(e.levels))] for e in effects
    )
    field: dict[str, Any] = {
        "type": "contour" if smooth else "heatmap",
        "x": across,
        "y": up,
        "z": [[rounded(v) for v in row] for row in grid.T],
        "colorscale": "@field",
        "reversescale": source.goal == "minimize",
        "colorbar": {"title": {"text": source.metric, "side": "right"}, "thickness": 12},
        "hovertemplate": "%{z:.5~g}<extra></extra>",
    }
    if smooth:
        field |= {"contours": {"coloring": "heatmap"}, "line": {"width": 0.6}}
    xaxis, yaxis = (_value_axis(e) if smooth else _cell_axis(e) for e in effects)
    return {
        "data": [field, _trials(source, effects, smooth=smooth)],
        "layout": {"xaxis": xaxis, "yaxis": yaxis, "showlegend": False, "height": 460},
    }


def _trials(source: ReportSource, effects: list[Effect], *, smooth: bool) -> dict[str, Any]:
    names = [effect.name for effect in effects]
    rows = source.ranked.dropna(subset=names)
    rows = rows.iloc[spread(len(rows), _MOST_TRIALS)]
    if smooth:
        x, y = (rows[name].to_numpy(np.float64) for name in names)
    else:
        x, y = (_cell_positions(effect, list(rows[effect.name])) for effect in effects)
        # The golden angle spreads the trials of a cell evenly over a disc.
        turn = np.arange(len(rows))
        radius = _JITTER * np.sqrt((turn % _RING + 0.5) / _RING)
        x = x + radius * np.cos(turn * _GOLDEN_ANGLE)
        y = y - radius * np.sin(turn * _GOLDEN_ANGLE)
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [rounded(v) for v in x],
        "y": [rounded(v) for v in y],
        "meta": {"trials": [int(trial) for trial in rows["trial"]]},
        # White in black is visible on every colour of the field.
        "marker": {"size": 5, "color": "#ffffff", "line": {"color": "#000000", "width": 1}},
    }


def _cell_positions(effect: Effect, values: list[Any]) -> Floats:
    """The cell of each value, counted from 0; numbers between two levels fall between cells."""
    if not effect.numeric:
        index = {level: float(i) for i, level in enumerate(effect.levels)}
        return np.array([index[str(value)] for value in values], dtype=np.float64)
    levels, numbers = np.asarray(effect.levels, np.float64), np.asarray(values, np.float64)
    if effect.log:
        levels, numbers = np.log(levels), np.log(numbers)
    return np.interp(numbers, levels, np.arange(len(levels)))
