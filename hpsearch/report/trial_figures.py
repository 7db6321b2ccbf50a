"""Figures of trials: progress, learning curves, parallel coordinates, work saved."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hpsearch.report.drawing import (
    Spec,
    inert,
    number_axis,
    robust_range,
    rounded,
    scale_token,
    spread,
)
from hpsearch.report.source import PlotAxis, savings_of

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd

    from hpsearch.report.source import ReportSource

#: Of more trials, so many are drawn, evenly spread; the line of the best so far is whole.
MOST_POINTS = 2_000
_MOST_MARKED = 10


def progress_figure(source: ReportSource, *, by: str = "trial", most: int = MOST_POINTS) -> Spec:
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


def overview_figure(sources: Sequence[ReportSource]) -> Spec:
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


def _places(source: ReportSource, scored: pd.DataFrame, by: str) -> npt.NDArray[np.float64]:
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


#: Of more trials, the best 30 are drawn and the others evenly spread over the ranking.
MOST_CURVES = 100
_BEST = 0.3
#: Of longer trainings, so many epochs are drawn, evenly spread, first and last among them.
MOST_EPOCHS = 60


def chosen(source: ReportSource, most: int = MOST_CURVES) -> list[int]:
    """The trials whose curves are drawn, best first."""
    trials = [int(trial) for trial in source.ranked["trial"]]
    if len(trials) <= most:
        return trials
    best = int(most * _BEST)
    rest = trials[best:]
    return [*trials[:best], *(rest[i] for i in spread(len(rest), most - best))]


def curves_figure(
    source: ReportSource, metric: str | None = None, *, most: int = MOST_CURVES
) -> Spec:
    """A metric by epoch, a line a trial; the best one stands out.

    Args:
        source: The sweep.
        metric: A column of the curves; the scored one where None.
        most: Lines that are drawn.
    """
    metric = metric or (source.metrics[0] if source.metrics else source.metric)
    trials = chosen(source, most) if metric in source.curves else []
    rows = source.curves[source.curves["trial"].isin(trials)]
    groups = {int(group["trial"].iloc[0]): group for _, group in rows.groupby("trial")}
    trials = [trial for trial in trials if trial in groups]
    best = int(source.best["trial"]) if source.best is not None else None
    shown: list[float] = []
    data = []
    # The best are drawn last, on top.
    for place in reversed(range(len(trials))):
        trial = trials[place]
        trace = _trace(groups[trial], metric, trial)
        share = 1 - place / max(1, len(trials) - 1)
        emphasis = trial == best
        trace["line"] = {
            "color": "@second" if emphasis else scale_token(share),
            "width": 3 if emphasis else 1.4,
        }
        trace["opacity"] = 1.0 if emphasis else 0.75
        shown += [y for y in trace["y"] if y is not None]
        data.append(trace)
    layout = {
        "xaxis": {"title": {"text": "epoch"}, "rangemode": "tozero"},
        "yaxis": number_axis(metric, shown),
        "showlegend": False,
    }
    return {"data": data, "layout": layout}


def _trace(group: pd.DataFrame, metric: str, trial: int) -> dict[str, Any]:
    kept = spread(len(group), MOST_EPOCHS)
    epochs = group["epoch"].to_numpy(np.int64)
    values = group[metric].to_numpy(np.float64)
    return {
        "type": "scatter",
        # One epoch is a point, which a line does not show.
        "mode": "lines" if len(kept) > 1 else "markers",
        "name": f"trial {trial}",
        "x": [int(epochs[i]) for i in kept],
        "y": [rounded(values[i]) for i in kept],
        "meta": {"trial": trial},
    }


#: Of more trials, so many are drawn: the best tenth of them, the others evenly over the ranking.
MOST_LINES = 2_000
#: More axes are not told apart on a screen: those of the most distinct values are left out.
MOST_AXES = 14
_BEST_LINES = 0.1
#: Beyond the ends of an axis, in shares of its length.
_ROOM = 0.07


def parallel_figure(source: ReportSource, *, most: int = MOST_LINES) -> Spec:
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


def _rows(source: ReportSource, most: int) -> pd.DataFrame:
    """The worst first, so that the best are drawn on top."""
    ranked = source.ranked
    best = int(most * _BEST_LINES)
    rest = spread(max(0, len(ranked) - best), most - best)
    kept = [*range(min(best, len(ranked))), *(best + i for i in rest)]
    return ranked.iloc[kept[::-1]]


def _axis(dimension: PlotAxis, rows: pd.DataFrame) -> dict[str, Any]:
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


def work_figure(sources: Sequence[ReportSource]) -> Spec:
    """Epochs that the trials asked for: trained, answered by a shared training, stopped early."""
    savings = [savings_of(source) for source in sources]
    parts = (
        ("trained", "@accent", [s.epochs_trained for s in savings]),
        ("answered by a shared training", "@good", [s.epochs_shared for s in savings]),
        ("not needed: stopped early", "@second", [s.epochs_stopped for s in savings]),
    )
    places = list(range(len(savings)))
    data = [
        {
            "type": "bar",
            "orientation": "h",
            "name": name,
            "x": values,
            "y": places,
            "marker": {"color": colour},
            "hoverinfo": "text",
            "hovertext": [f"{name}: {value:,} epochs" for value in values],
        }
        for name, colour, values in parts
        if any(values) or name == "trained"
    ]
    layout = {
        "barmode": "stack",
        "xaxis": {"title": {"text": "epochs"}},
        "yaxis": {
            "tickvals": places,
            "ticktext": [inert(source.name, 24) for source in sources],
            "range": [len(savings) - 0.5, -0.5],
        },
        "showlegend": True,
        "legend": {"traceorder": "normal"},
        "height": 130 + 44 * len(savings),
    }
    return {"data": data, "layout": layout}
