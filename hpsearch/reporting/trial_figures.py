"""Figures of trials: progress, distributions, learning curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hpsearch.reporting.drawing import (
    BEST_CURVES,
    MOST_EPOCHS,
    Spec,
    band,
    guide,
    inert,
    line_colour,
    number_axis,
    robust_range,
    rounded,
    spread,
    trace,
)

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd

    from hpsearch.reporting.source import ReportSource

#: Most trials drawn as points, spread evenly over the trials.
MOST_POINTS = 2_000
#: Most points that are drawn large.
_FEW_POINTS = 500
#: Most steps of an empirical distribution.
_MOST_STEPS = 400
#: Most trials drawn as learning curves.
MOST_CURVES = 100
#: An axis of at most this many trials has a tick at each.
_MOST_MARKED = 10


def progress_figure(source: ReportSource, *, most: int = MOST_POINTS) -> Spec:
    """Every score and the best so far, by trial.

    The order of a grid shows no progress, so there is no line.
    """
    scored = source.ranked.sort_values("trial")
    scores = scored["score"].to_numpy(np.float64)
    x = scored["trial"].to_numpy(np.float64)
    axis: dict[str, Any] = {"title": {"text": "trial"}, "rangemode": "tozero"}
    if x.max(initial=0) <= _MOST_MARKED:
        axis["dtick"] = 1
    shown = spread(len(scored), most)
    limits = robust_range(scores)
    # A trial beyond the axis is a triangle at its edge.
    low, high = limits or (-np.inf, np.inf)
    places = np.clip(scores, low, high)
    symbols = np.select([scores < low, scores > high], ["triangle-down", "triangle-up"], "circle")
    marker = {"color": "@accent", **_point_look(len(shown))}
    if limits:
        marker["symbol"] = symbols[shown].tolist()
    meta = {"trials": x[shown].astype(int).tolist()}
    look = {"name": "trial", "meta": meta, "marker": marker, "cliponaxis": False}
    data = [trace("markers", x[shown], places[shown], **look)]
    if not source.in_order_of_a_grid:
        line = {"color": "@second", "width": 2.5, "shape": "hv"}
        best = _best_so_far(x, scores, source.goal)
        data.append(trace("lines", *best, name="best so far", line=line, hoverinfo="skip"))
    yaxis = number_axis(source.metric, scores)
    return {"data": data, "layout": {"xaxis": axis, "yaxis": yaxis, "showlegend": len(data) > 1}}


def _point_look(count: int) -> dict[str, Any]:
    """The size and opacity of points, of which many are fainter, so that density shows."""
    return {
        "size": 7 if count <= _FEW_POINTS else 5,
        "opacity": rounded(min(0.5, max(0.2, 0.5 * _FEW_POINTS / max(1, count)))) or 0.5,
    }


def distribution_figure(source: ReportSource) -> Spec:
    """The share of trials that score at most so much."""
    return distributions_figure(source.metric, {"": source.ranked["score"]}, "trials")


def distributions_figure(metric: str, scores: Mapping[str, npt.ArrayLike], what: str) -> Spec:
    """The empirical distributions of scores.

    Args:
        metric: The name of the scores.
        scores: Label in the legend -> scores; an empty label is not shown.
        what: The plural of what has a score.
    """
    data: list[dict[str, Any]] = []
    values = [np.sort(np.asarray(sample, np.float64)) for sample in scores.values()]
    for index, (label, sample) in enumerate(zip(scores, values, strict=True)):
        shown = spread(len(sample), _MOST_STEPS)
        shares = ((i + 1) / len(sample) for i in shown)
        look: dict[str, Any] = {
            "name": inert(label, 24),
            "line": _series_line(index) | {"simplify": False},
            "hovertemplate": "%{y:.0%} score at most %{x:.5~g}<extra></extra>",
        }
        data.append(trace("lines", sample[shown], shares, **look))
    share = {"title": {"text": f"share of {what}"}, "tickformat": ".0%", "range": [0, 1.02]}
    layout = {
        "xaxis": number_axis(metric, np.concatenate(values)),
        "yaxis": share,
        "showlegend": any(scores),
        "height": 300,
    }
    return {"data": data, "layout": layout}


def _series_line(index: int) -> dict[str, Any]:
    """The look of one of several lines; 28 differ."""
    dash = ("solid", "dash", "dot", "dashdot")[index % 4]
    return {"color": f"@series{index % 7}", "width": 2.5, "shape": "hv", "dash": dash}


def predictions_figure(pairs: Sequence[tuple[float, float]]) -> Spec:
    """Predicted against true targets, and the line on which they are equal."""
    return equality_figure(pairs, ("true", "predicted"))


def equality_figure(pairs: npt.ArrayLike, names: tuple[str, str]) -> Spec:
    """Points by two numbers, and the line on which these are equal.

    Args:
        pairs: The numbers `(n, 2)`.
        names: Titles of the axes.
    """
    values = np.asarray(pairs, np.float64).T
    ends = [values[0].min(), values[0].max()]
    places = (np.clip(column, *(robust_range(column) or (-np.inf, np.inf))) for column in values)
    look: dict[str, Any] = {
        "marker": {"color": "@accent", "size": 6, "opacity": 0.6},
        "hovertemplate": "{} %{{x}}<br>{} %{{y}}<extra></extra>".format(*map(inert, names)),
        "cliponaxis": False,
    }
    axes = [number_axis(name, column) for name, column in zip(names, values, strict=True)]
    layout = {"xaxis": axes[0], "yaxis": axes[1], "showlegend": False}
    return {"data": [guide(ends, ends), trace("markers", *places, **look)], "layout": layout}


def overview_figure(sources: Sequence[ReportSource]) -> Spec | None:
    """The best score so far of each sweep that has the metric and goal of the first.

    Grids are left out, since their order shows no progress; None if only grids have that metric.
    """
    data = []
    metric = (sources[0].metric, sources[0].goal)
    for index, source in enumerate(sources):
        if (source.metric, source.goal) != metric or source.in_order_of_a_grid:
            continue
        scored = source.ranked.sort_values("trial")
        trials, scores = (scored[name].to_numpy(np.float64) for name in ("trial", "score"))
        best = _best_so_far(trials, scores, source.goal)
        data.append(trace("lines", *best, name=inert(source.name), line=_series_line(index)))
    layout = {
        "xaxis": {"title": {"text": "trial"}, "rangemode": "tozero"},
        "yaxis": number_axis(f"best {sources[0].metric} so far"),
        "showlegend": True,
    }
    return {"data": data, "layout": layout} if data else None


def _best_so_far(
    x: npt.NDArray[np.float64], scores: npt.NDArray[np.float64], goal: str
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The points at which the best score so far changes, and the last one."""
    if not len(scores):
        return x, scores
    running = (np.maximum if goal == "maximize" else np.minimum).accumulate(scores)
    changed = np.flatnonzero(np.diff(running, prepend=np.nan) != 0)
    kept = np.unique([*changed, len(scores) - 1])
    return x[kept], running[kept]


def _best_and_spread(count: int, most: int, share: float) -> list[int]:
    """Ranks of at most `most` of `count` trials.

    A `share` of them are the best trials; the others are spread evenly over the ranking.
    """
    if count <= most:
        return list(range(count))
    best = int(most * share)
    return [*range(best), *(best + rank for rank in spread(count - best, most - best))]


def curves_figure(
    source: ReportSource, metric: str | None = None, *, most: int = MOST_CURVES
) -> Spec:
    """A metric by epoch, None for the scored one; a line for each trial, the best emphasized."""
    metric = metric or (source.metrics[0] if source.metrics else source.metric)
    ranked = source.ranked["trial"].iloc[_best_and_spread(len(source.ranked), most, BEST_CURVES)]
    curves = source.mean_curves
    rows = curves[curves["trial"].isin(ranked)]
    groups = {int(group["trial"].iloc[0]): group for _, group in rows.groupby("trial")}
    trials = [trial for trial in map(int, ranked) if trial in groups and metric in rows]
    best = int(source.best["trial"]) if source.best is not None else None
    shown: list[float] = []
    data = []
    # Draw the best trials last, on top of the others.
    for rank in reversed(range(len(trials))):
        trial = trials[rank]
        curve = _curve(groups[trial], metric, trial)
        curve |= {
            "line": {"color": line_colour(1 - rank / max(1, len(trials) - 1)), "width": 1.4},
            "opacity": 0.75,
        }
        shown += [y for y in curve["y"] if y is not None]
        if trial == best:
            curve |= {"line": {"color": "@second", "width": 3}, "opacity": 1.0}
            if source.repeated:
                data.append(_spread_of(source.curves, metric, trial))
        data.append(curve)
    layout = {
        "xaxis": {"title": {"text": "epoch"}, "rangemode": "tozero"},
        "yaxis": number_axis(metric, shown),
        "showlegend": False,
    }
    return {"data": data, "layout": layout}


def _spread_of(curves: pd.DataFrame, metric: str, trial: int) -> dict[str, Any]:
    """A band of one standard deviation around the mean of a trial's executions."""
    summary = curves[curves["trial"] == trial].groupby("epoch")[metric].agg(["mean", "std"])
    kept = summary.fillna({"std": 0.0}).iloc[spread(len(summary), MOST_EPOCHS)]
    low, high = (kept["mean"] + sign * kept["std"] for sign in (-1, 1))
    return band(kept.index, low, high, fillcolor="@band", meta={"band": trial})


def _curve(group: pd.DataFrame, metric: str, trial: int) -> dict[str, Any]:
    kept = group.iloc[spread(len(group), MOST_EPOCHS)]
    # A line would not show a single epoch, so draw a point.
    mode = "lines" if len(kept) > 1 else "markers"
    return trace(mode, kept["epoch"], kept[metric], name=f"trial {trial}", meta={"trial": trial})
