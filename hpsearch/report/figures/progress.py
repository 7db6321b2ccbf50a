"""Scores in the order of the trials, and the best so far."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hpsearch.report.figures.parts import number_axis, spread
from hpsearch.report.text import inert, rounded
from hpsearch.report.theme import Spec

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd

    from hpsearch.report.source import Source

__all__ = ["MOST_POINTS", "overview", "progress"]

#: Of more trials, so many are drawn, evenly spread; the line of the best so far is whole.
MOST_POINTS = 2_000
_MOST_MARKED = 10


def progress(source: Source, *, by: str = "trial", most: int = MOST_POINTS) -> Spec:
    """Every score and the best so far, by trial number or by seconds of training.

    Args:
        source: The sweep.
        by: `trial`, or `seconds`: the sum of training time up to and including each trial.
        most: Points that are drawn.
    """
    scored = source.ranked.sort_values("trial")
    scores = scored["score"].to_numpy(np.float64)
    x = _places(source, scored, by)
    shown = spread(len(scored), most)
    best_x, best_y = _steps(x, scores, source.goal)
    title = "trial" if by == "trial" else "seconds of training, all trials so far"
    points = {
        "type": "scatter",
        "mode": "markers",
        "name": "trial",
        "x": [rounded(x[i]) for i in shown],
        "y": [rounded(scores[i]) for i in shown],
        "meta": {"trials": [int(scored["trial"].iloc[i]) for i in shown]},
        "marker": {"color": "@accent", "size": 7, "opacity": 0.5},
    }
    line = {
        "type": "scatter",
        "mode": "lines",
        "name": "best so far",
        "x": best_x,
        "y": best_y,
        "line": {"color": "@second", "width": 2.5, "shape": "hv"},
        "hoverinfo": "skip",
    }
    layout = {
        "xaxis": {"title": {"text": title}, "rangemode": "tozero"} | _whole(by, x),
        "yaxis": number_axis(source.metric, scores),
        "showlegend": True,
    }
    return {"data": [points, line], "layout": layout}


def overview(sources: Sequence[Source]) -> Spec:
    """The best so far of several sweeps that share a metric with the first."""
    data = []
    comparable = [s for s in sources if (s.metric, s.goal) == (sources[0].metric, sources[0].goal)]
    for index, source in enumerate(comparable):
        scored = source.ranked.sort_values("trial")
        scores = scored["score"].to_numpy(np.float64)
        x, y = _steps(scored["trial"].to_numpy(np.float64), scores, source.goal)
        data.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": inert(source.name),
                "x": x,
                "y": y,
                "line": {
                    "color": f"@series{index % 7}",
                    "width": 2.5,
                    "shape": "hv",
                    "dash": ("solid", "dash", "dot", "dashdot")[index % 4],
                },
            }
        )
    layout = {
        "xaxis": {"title": {"text": "trial"}, "rangemode": "tozero"},
        "yaxis": number_axis(f"best {sources[0].metric} so far"),
        "showlegend": True,
    }
    return {"data": data, "layout": layout}


def _whole(by: str, x: npt.NDArray[np.float64]) -> dict[str, Any]:
    """A mark at each trial where there are few: there is no half of one."""
    return {"dtick": 1} if by == "trial" and x.max(initial=0) <= _MOST_MARKED else {}


def _places(source: Source, scored: pd.DataFrame, by: str) -> npt.NDArray[np.float64]:
    if by == "trial":
        return scored["trial"].to_numpy(np.float64)
    # Trials without a score took time, too.
    ordered = source.table.sort_values("trial")
    total = ordered["seconds"].fillna(0.0).cumsum()
    return total.loc[scored.index].to_numpy(np.float64)


def _steps(
    x: npt.NDArray[np.float64], scores: npt.NDArray[np.float64], goal: str
) -> tuple[list[float | int | None], list[float | int | None]]:
    """Where the best so far changes, and the end of the line."""
    if not len(scores):
        return [], []
    running = (np.maximum if goal == "maximize" else np.minimum).accumulate(scores)
    changed = np.flatnonzero(np.diff(running, prepend=np.nan) != 0)
    kept = [*changed, len(scores) - 1] if changed[-1] != len(scores) - 1 else [*changed]
    return [rounded(x[i]) for i in kept], [rounded(running[i]) for i in kept]
