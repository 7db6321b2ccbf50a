"""Figures of trials and of hyperparameters: progress, curves, importance, effects."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hpsearch.reporting.drawing import (
    BEST_CURVES,
    MOST_EPOCHS,
    Spec,
    band,
    error_bars,
    guide,
    inert,
    line_colour,
    number_axis,
    robust_range,
    rounded,
    spread,
    trace,
    value_text,
)

if TYPE_CHECKING:
    import numpy.typing as npt

    from hpsearch.reporting.importance import Effect, Importance
    from hpsearch.reporting.source import ReportSource

#: Most trials drawn as points, spread evenly over the trials.
MOST_POINTS = 2_000
#: Most steps of an empirical distribution.
_MOST_STEPS = 400
#: Most trials drawn as learning curves.
MOST_CURVES = 100
#: An axis of at most this many trials has a tick at each.
_MOST_MARKED = 10


def progress_figure(source: ReportSource, *, most: int = MOST_POINTS) -> Spec:
    """Every score and the best so far, by trial; no line for a grid, whose order is no progress."""
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
    marker: dict[str, Any] = {"color": "@accent", "size": 6, "opacity": 0.4}
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


def distribution_figure(source: ReportSource) -> Spec:
    """The share of trials that score at most so much."""
    return distributions_figure(source.metric, {"": source.ranked["score"]}, "trials")


def distributions_figure(metric: str, scores: Mapping[str, npt.ArrayLike], what: str) -> Spec:
    """The empirical distributions of scores.

    Args:
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
    values = np.asarray(pairs, np.float64).T
    ends = [values[0].min(), values[0].max()]
    places = (np.clip(column, *(robust_range(column) or (-np.inf, np.inf))) for column in values)
    look: dict[str, Any] = {
        "marker": {"color": "@accent", "size": 6, "opacity": 0.6},
        "hovertemplate": "true %{x}<br>predicted %{y}<extra></extra>",
        "cliponaxis": False,
    }
    axes = [number_axis(*pair) for pair in zip(("true", "predicted"), values, strict=True)]
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
    """Ranks of at most `most` of `count`: the best fill a `share`, the others are evenly spread."""
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
        group = groups[trial].iloc[spread(len(groups[trial]), MOST_EPOCHS)]
        # A line would not show a single epoch, so draw a point.
        mode = "lines" if len(group) > 1 else "markers"
        look = {"name": f"trial {trial}", "meta": {"trial": trial}, "opacity": 0.75}
        look["line"] = {"color": line_colour(1 - rank / max(1, len(trials) - 1)), "width": 1.4}
        if trial == best:
            look |= {"line": {"color": "@second", "width": 3}, "opacity": 1.0}
        curve = trace(mode, group["epoch"], group[metric], **look)
        shown += [y for y in curve["y"] if y is not None]
        data.append(curve)
    layout = {
        "xaxis": {"title": {"text": "epoch"}, "rangemode": "tozero"},
        "yaxis": number_axis(metric, shown),
        "showlegend": False,
    }
    return {"data": data, "layout": layout}


_MOST_SHARES = 16
#: Pairs with a smaller share are left out.
_LEAST_OF_PAIR = 0.005
#: An axis of at most this many numbers has a tick at each.
_MOST_TICKS = 8
#: Most characters of a name; characters that fit below an effect, and in the shortest label.
_LONGEST, _ROOM, _SHORTEST = 24, 32, 8
#: Most trials beside an effect, spread evenly over the ranking.
_MOST_BESIDE = 300
#: Most of an interval beyond the scores to draw, as a share of their range.
_BEYOND = 0.15
#: Width of the band of trials of a category.
_WIDTH = 0.5
_GOLDEN_SHARE = (3 - math.sqrt(5)) / 2


def shares_figure(importance: Importance) -> Spec:
    """A bar for each hyperparameter and pair, the largest on top."""
    kept = [s for s in importance.shares if len(s.names) == 1 or s.share >= _LEAST_OF_PAIR]
    kept = kept[:_MOST_SHARES]
    ends = zip(*((s.share - s.low, s.high - s.share) for s in kept), strict=True)
    bars = {
        "type": "bar",
        "orientation": "h",
        "x": [rounded(s.share) for s in kept],
        "y": [*range(len(kept))],
        "error_x": error_bars(*ends) | {"color": "@text", "thickness": 1.4, "width": 4},
        "marker": {"color": "@accent"},
    }
    labels = [" × ".join(inert(n, _LONGEST) for n in s.names) for s in kept]  # noqa: RUF001 - a product
    layout = {
        "xaxis": {
            "title": {"text": "share of the variance"},
            "tickformat": ".0%",
            "range": [0, min(1.0, 1.05 * max((s.high for s in kept), default=1.0))],
        },
        "yaxis": {
            "tickvals": [*range(len(kept))],
            "ticktext": labels,
            "range": [len(kept) - 0.5, -0.5],
        },
        "bargap": 0.3,
        "height": 110 + 30 * len(kept),
    }
    return {"data": [bars], "layout": layout}


def effect_figure(source: ReportSource, name: str) -> Spec:
    """A hyperparameter's marginal effect, with trials; all effects share one vertical axis."""
    effect = source.importance.effects[name]
    low, high = source.importance.span
    worst, best = source.scale
    # A wider interval than the scores' range would flatten them.
    room = _BEYOND * (best - worst)
    low, high = min(max(low, worst - room), worst), max(min(high, best + room), best)
    margin = 0.06 * (high - low)
    limits = low - margin, high + margin
    rows = source.ranked[source.ranked[name].notna()]
    rows = rows.iloc[spread(len(rows), _MOST_BESIDE)]
    scores = rows["score"].to_numpy(np.float64).clip(limits[0], limits[1])
    meta = {"trials": [int(trial) for trial in rows["trial"]]}
    marker = {"color": "@ghost", "size": 5}
    points = trace("markers", _beside(effect, list(rows[name])), scores, meta=meta, marker=marker)
    layout = {
        "xaxis": _value_axis(effect),
        "yaxis": number_axis(source.metric, scores)
        | {"range": [rounded(limit) for limit in limits]},
        "showlegend": False,
        "height": 280,
    }
    return {"data": [points, *_means(effect, limits)], "layout": layout}


def _beside(effect: Effect, values: list[Any]) -> npt.NDArray[np.float64]:
    """Positions of trials; those of one category lie beside each other, evenly spread."""
    if effect.numeric:
        return np.asarray(values, np.float64)
    index = {level: float(place) for place, level in enumerate(effect.levels)}
    turn = np.arange(len(values)) * _GOLDEN_SHARE % 1 - 0.5
    return np.asarray([index[str(value)] for value in values] + _WIDTH * turn, np.float64)


def _means(effect: Effect, limits: tuple[float, float]) -> list[dict[str, Any]]:
    """The mean at each level with its interval: a line in a band, or points with bars."""
    at = _positions(effect)
    low, mean, high = (ends.clip(*limits) for ends in (effect.low, effect.mean, effect.high))
    look: dict[str, Any] = {"hovertemplate": "%{y:.5~g}<extra></extra>"}
    if effect.numeric:
        look["line"] = {"color": "@accent", "width": 2.5}
        look["marker"] = {"color": "@accent", "size": 6}
        interval = band(at, low, high, fillcolor="@soft")
        return [interval, trace("lines+markers", at, mean, **look)]
    bars = error_bars(mean - low, high - mean)
    bars |= {"color": "@accent", "thickness": 1.6, "width": 6}
    look["marker"] = {"color": "@accent", "size": 10}
    return [trace("markers", at, mean, error_y=bars, **look)]


def _positions(effect: Effect) -> list[float]:
    """The positions of the levels: numbers at their value, categories at a distance of one."""
    return [*map(float, effect.levels if effect.numeric else range(len(effect.levels)))]


def _value_axis(effect: Effect) -> dict[str, Any]:
    """An axis of numbers, or of categories at unit distance."""
    axis: dict[str, Any] = {"title": {"text": inert(effect.name, _LONGEST)}}
    at = _positions(effect)
    if effect.log:
        axis["type"] = "log"
        if at[-1] >= 100 * at[0]:
            axis["dtick"] = 1  # of the exponent
    if not effect.numeric:
        axis["range"] = [-0.5, len(at) - 0.5]
    if not effect.numeric or len(at) <= _MOST_TICKS:
        longest = max(_SHORTEST, _ROOM // len(at))
        texts = [inert(value_text(level), longest) for level in effect.levels]
        axis |= {"tickvals": at, "ticktext": texts}
    return axis
