"""The timeline of workers: their trainings and their idle times."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hpsearch.reporting.drawing import Spec, duration, line_colour, rounded
from hpsearch.wording import counted

if TYPE_CHECKING:
    from hpsearch.reporting.source import ReportSource
    from hpsearch.space.execution import Span

#: Most bars; neighbours of a longer timeline are joined.
_MOST_BARS = 1_000
#: A single training has no neighbours.
_FEWEST = 2
#: Seconds that an axis counts in minutes and in hours.
_MINUTES, _HOURS = 300.0, 3 * 3_600.0


@dataclass
class _Bar:
    """Consecutive trainings of one worker, in seconds of the timeline; idle time is left out."""

    worker: int
    began: float
    seconds: float
    trials: list[int]


@dataclass(frozen=True)
class Timeline:
    """The trainings of all runs, one run after another.

    Attributes:
        lengths: Seconds of each run, from its beginning to the end of its last training.
        busy: The share of the workers' time in which they trained.
    """

    bars: list[_Bar]
    lengths: list[float]
    workers: int
    trainings: int
    busy: float


def timeline_of(spans: Iterable[tuple[int, Span]]) -> Timeline | None:
    """Arrange the periods in which workers trained; None if nothing is known.

    Spans are clipped to their run, whose beginning is zero.
    """
    clipped = ((trial, _clipped(span)) for trial, span in spans)
    ordered = sorted(clipped, key=lambda each: (each[1].run, each[1].began_seconds))
    ends: dict[float, float] = {}
    for _, span in ordered:
        ends[span.run] = max(ends.get(span.run, 0.0), span.began_seconds + span.seconds)
    total = sum(ends.values())
    if total <= 0:
        return None
    starts = dict(zip(ends, np.cumsum([0.0, *ends.values()]), strict=False))
    workers = max(span.worker for _, span in ordered)
    slot = total * workers / _MOST_BARS if len(ordered) > _MOST_BARS else 0.0
    bars: list[_Bar] = []
    last: dict[int, _Bar] = {}
    for trial, span in ordered:
        began = float(starts[span.run]) + span.began_seconds
        bar = last.get(span.worker)
        if bar is not None and began + span.seconds - bar.began <= slot:
            bar.seconds += span.seconds
            bar.trials.append(trial)
        else:
            last[span.worker] = _Bar(span.worker, began, span.seconds, [trial])
            bars.append(last[span.worker])
    worked = sum(span.seconds for _, span in ordered)
    busy = min(1.0, worked / (total * workers))
    return Timeline(bars, [*ends.values()], workers, len(ordered), busy)


def _clipped(span: Span) -> Span:
    began, end = max(0.0, span.began_seconds), span.began_seconds + span.seconds
    return span._replace(began_seconds=began, seconds=max(0.0, end - began))


def timeline_figure(source: ReportSource) -> Spec | None:
    """A lane for each worker, a bar for each training, coloured by its trial's score."""
    timeline = timeline_of(source.spans)
    if timeline is None or timeline.trainings < _FEWEST:
        return None
    scores = dict(zip(source.ranked["trial"], source.ranked["score"], strict=True))
    unit, name = _unit(sum(timeline.lengths))
    bars = timeline.bars
    trace: dict[str, Any] = {
        "type": "bar",
        "orientation": "h",
        "base": [rounded(bar.began / unit) for bar in bars],
        "x": [rounded(bar.seconds / unit) for bar in bars],
        "y": [bar.worker for bar in bars],
        "marker": {"color": [_colour(bar, scores, source) for bar in bars], "line": {"width": 0}},
    }
    if len(bars) == timeline.trainings:
        trace["meta"] = {"trials": [bar.trials[0] for bar in bars]}
    else:
        trace["customdata"] = [len(bar.trials) for bar in bars]
        trace["hovertemplate"] = f"%{{customdata}} trainings, %{{x:.3~g}} {name}<extra></extra>"
    later = np.cumsum(timeline.lengths[:-1]) / unit
    layout = {
        "xaxis": {
            "title": {"text": f"{name} since the run began"},
            "range": [0, rounded(sum(timeline.lengths) / unit)],
        },
        "yaxis": {
            "tickvals": [*range(1, timeline.workers + 1)] if timeline.workers <= 16 else None,
            "title": {"text": "worker"},
            "range": [timeline.workers + 0.5, 0.5],
            "showgrid": False,
        },
        "shapes": [_beginning(rounded(at)) for at in later],
        "barmode": "overlay",
        "bargap": 0.25,
        "showlegend": False,
        "height": min(480, 110 + 34 * timeline.workers),
    }
    return {"data": [trace], "layout": layout}


def timeline_note(source: ReportSource) -> str:
    """Describe the share of the workers' time that went into trainings."""
    timeline = timeline_of(source.spans)
    if timeline is None:
        return ""
    runs = len(timeline.lengths)
    colours = ["from blue (worse) to orange (better)"] if len(source.ranked) else []
    colours += ["magenta without a score"] if len(source.unscored) else []
    note = (
        f"{counted(timeline.workers, 'worker')} trained for {timeline.busy:.0%} of "
        f"{duration(sum(timeline.lengths))}. A bar is a training, {', '.join(colours)}; gaps are "
        "idle. "
    )
    if runs > 1:
        note += f"A line separates {counted(runs, 'run')}; the time between them is left out. "
    if len(timeline.bars) < timeline.trainings:
        note += f"{counted(timeline.trainings, 'training')}, short neighbours joined to one bar."
    return note


def _unit(seconds: float) -> tuple[float, str]:
    if seconds < _MINUTES:
        return 1.0, "seconds"
    return (60.0, "minutes") if seconds < _HOURS else (3_600.0, "hours")


def _mean(bar: _Bar, scores: dict[int, float]) -> float | None:
    known = [scores[trial] for trial in bar.trials if trial in scores]
    return float(np.mean(known)) if known else None


def _colour(bar: _Bar, scores: dict[int, float], source: ReportSource) -> str:
    score, (low, high) = _mean(bar, scores), source.scale
    if score is None:
        return "@bad"
    share = min(1.0, max(0.0, (score - low) / ((high - low) or 1.0)))
    return line_colour(1.0 - share if source.goal == "minimize" else share)


def _beginning(at: float | None) -> dict[str, Any]:
    """A line at the beginning of a later run."""
    return {
        "type": "line",
        "x0": at,
        "x1": at,
        "y0": 0,
        "y1": 1,
        "yref": "paper",
        "line": {"color": "@text", "width": 1, "dash": "dot"},
    }
