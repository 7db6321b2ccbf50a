"""The mean score at each value of one hyperparameter, with its band."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpsearch.report.figures.parts import level_axis, level_positions
from hpsearch.report.text import inert, number, rounded
from hpsearch.report.theme import Spec
from hpsearch.values import text_of

if TYPE_CHECKING:
    from hpsearch.importance import Effect, Importance

__all__ = ["effect"]


def effect(importance: Importance, name: str, metric: str = "score") -> Spec:
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
