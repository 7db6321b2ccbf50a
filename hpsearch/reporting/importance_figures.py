"""Figures of hyperparameters: importance and marginal effects."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hpsearch.reporting.drawing import (
    Spec,
    band,
    error_bars,
    inert,
    log_marks,
    number_axis,
    rounded,
    shortened,
    spread,
    trace,
    value_text,
)
from hpsearch.wording import number, plain

if TYPE_CHECKING:
    from hpsearch.reporting.forest import Floats
    from hpsearch.reporting.importance import Effect, Importance
    from hpsearch.reporting.source import ReportSource

_MOST_SHARES = 16
#: Pairs with a smaller share are left out.
_LEAST_OF_PAIR = 0.005
#: An axis of at most this many numbers has a tick at each.
_MOST_MARKED = 8
#: Characters that fit below the smallest figure of an effect, and in the shortest label.
_ROOM = 32
_SHORTEST = 8
#: Most trials beside an effect, spread evenly over the ranking.
MOST_EFFECT_POINTS = 300
#: Most of an interval beyond the scores to draw, as a share of their range.
_BEYOND = 0.15
#: Width of the band of trials of a category, and of a number as a share of the axis.
_BESIDE, _NUDGE = 0.5, 0.03
_GOLDEN_ANGLE = np.pi * (3 - np.sqrt(5))


def shares_figure(importance: Importance) -> Spec:
    """A bar for each hyperparameter and pair, the largest on top."""
    kept = [s for s in importance.shares if len(s.names) == 1 or s.share >= _LEAST_OF_PAIR]
    kept = kept[:_MOST_SHARES]
    data = []
    for size, name, colour in (
        (1, "one", "@accent"),
        (2, "two together, beyond their own", "@muted"),
    ):
        members = [share for share in kept if len(share.names) == size]
        if not members:
            continue
        ends = zip(*((s.share - s.low, s.high - s.share) for s in members), strict=True)
        bars = {
            "name": name,
            "x": [rounded(s.share) for s in members],
            "y": [kept.index(s) for s in members],
            "error_x": error_bars(*ends) | {"color": "@text", "thickness": 1.4, "width": 4},
            "marker": {"color": colour},
            "hovertext": [
                f"<b>{_label(s.names)}</b><br>{s.share:.1%} ({s.low:.1%} to {s.high:.1%})"
                for s in members
            ],
        }
        data.append({"type": "bar", "orientation": "h", "hoverinfo": "text", **bars})
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


def effect_figure(source: ReportSource, name: str, *, most: int = MOST_EFFECT_POINTS) -> Spec:
    """A hyperparameter's marginal effect, with trials; all effects share one vertical axis."""
    effect = source.importance.effects[name]
    low, high = source.importance.span
    worst, best = source.scale
    # A wider interval than the scores' range would flatten them.
    room = _BEYOND * (best - worst)
    low, high = min(max(low, worst - room), worst), max(min(high, best + room), best)
    margin = 0.06 * (high - low)
    limits = [low - margin, high + margin]
    rows = source.ranked[source.ranked[name].notna()]
    rows = rows.iloc[spread(len(rows), most)]
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
    return {"data": [points, *_means(effect)], "layout": layout}


def _beside(effect: Effect, values: list[Any]) -> Floats:
    """Positions of trials; those of one value lie beside each other, evenly spread."""
    turn = np.arange(len(values)) * _GOLDEN_ANGLE / (2 * np.pi) % 1 - 0.5
    if not effect.numeric:
        index = {level: float(i) for i, level in enumerate(effect.levels)}
        return np.asarray([index[str(value)] for value in values] + _BESIDE * turn, np.float64)
    at = np.asarray(values, np.float64)
    if len(effect.levels) > _MOST_MARKED:
        return at
    levels = np.asarray(effect.levels, np.float64)
    if effect.log:
        return np.asarray(at * (levels[-1] / levels[0]) ** (_NUDGE * turn))
    return np.asarray(at + _NUDGE * (levels[-1] - levels[0]) * turn)


def _means(effect: Effect) -> list[dict[str, Any]]:
    """The mean at each level with its interval: a line in a band, or points with bars."""
    at = _positions(effect)
    look: dict[str, Any] = {"hoverinfo": "text", "hovertext": _hover_texts(effect)}
    if effect.numeric:
        line = {"color": "@accent", "width": 2.5}
        look |= {"line": line, "marker": {"color": "@accent", "size": 6}}
        interval = band(at, effect.low, effect.high, fillcolor="@soft")
        return [interval, trace("lines+markers", at, effect.mean, **look)]
    bars = error_bars(effect.mean - effect.low, effect.high - effect.mean)
    bars |= {"color": "@accent", "thickness": 1.6, "width": 6}
    marker = {"color": "@accent", "size": 10}
    return [trace("markers", at, effect.mean, marker=marker, error_y=bars, **look)]


def _hover_texts(effect: Effect) -> list[str]:
    rows = zip(effect.levels, effect.mean, effect.low, effect.high, strict=True)
    return [
        f"<b>{inert(effect.name)}: {inert(value_text(level))}</b><br>"
        f"{number(mean)} ({number(low)} to {number(high)})"
        for level, mean, low, high in rows
    ]


def _positions(effect: Effect) -> list[float]:
    """The positions of the levels: numbers at their value, categories at a distance of one."""
    return [*map(float, effect.levels if effect.numeric else range(len(effect.levels)))]


def _value_axis(effect: Effect) -> dict[str, Any]:
    """An axis of numbers, or of categories at unit distance."""
    axis: dict[str, Any] = {"title": {"text": inert(effect.name, _ROOM - 4)}}
    at = _positions(effect)
    if effect.log:
        axis["type"] = "log"
    if not effect.numeric:
        axis["range"] = [-0.5, len(at) - 0.5]
        width = _ROOM / len(at)
        longest = max(_SHORTEST, int(width) - 1)
        texts = [value_text(level) for level in effect.levels]
        if not _beside_each_other(texts, width):
            texts = _cut(texts, longest)
        axis["tickvals"] = at
        axis["ticktext"] = [inert(text) for text in texts]
        # Each upright label needs the height of a line.
        return axis | {"tickangle": 0 if _beside_each_other(texts, width) else -90}
    if effect.log or len(at) <= _MOST_MARKED:
        marks = log_marks(at[0], at[-1]) if len(at) > _MOST_MARKED else at
        ends = [np.log10(value) if effect.log else value for value in (at[0], at[-1])]
        shown = _apart(marks, ends, log=effect.log)
        axis |= {"tickvals": shown, "ticktext": [plain(mark) for mark in shown], "tickangle": 0}
    return axis


def _beside_each_other(texts: Sequence[str], width: float) -> bool:
    """Check if texts in the middle of cells of `width` characters do not overlap."""
    lengths = [len(text) for text in texts]
    pairs = itertools.pairwise(lengths)
    return max(lengths) <= 1.5 * width and all((a + b) / 2 + 1 <= width for a, b in pairs)


def _cut(texts: Sequence[str], longest: int) -> list[str]:
    """Cut texts to `longest` characters, first by leaving out arguments if they stay distinct."""
    heads = [
        f"{text.partition('(')[0]}(…)" if len(text) > longest and text.endswith(")") else text
        for text in texts
    ]
    apart = heads if len({*heads}) == len(texts) else texts
    return [shortened(text, longest) for text in apart]


def _apart(marks: Sequence[float], ends: list[float], *, log: bool) -> list[float]:
    """Return the marks whose labels do not overlap on the axis."""
    kept = _fitting(marks, ends, log=log)
    powers = [mark for mark in marks if log and math.log10(mark).is_integer()]
    # Powers of ten stay evenly spaced; a selection of other marks would not.
    if len(kept) < len(marks) and len(powers) > 1:
        return _fitting(powers, ends, log=log)
    return kept


def _fitting(marks: Sequence[float], ends: list[float], *, log: bool) -> list[float]:
    kept: list[float] = []
    free = -math.inf
    for mark in marks:
        at = math.log10(mark) if log else mark
        position = (at - ends[0]) / ((ends[1] - ends[0]) or 1.0) * _ROOM
        half = len(plain(mark)) / 2
        if position - half >= free:
            kept.append(mark)
            free = position + half + 1
    return kept
