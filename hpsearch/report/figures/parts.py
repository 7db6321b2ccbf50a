"""What several figures share: axes, ranges, and what a pointer at a trial is told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hpsearch.importance import Effect
from hpsearch.report.text import inert
from hpsearch.report.theme import Spec
from hpsearch.values import text_of

if TYPE_CHECKING:
    from hpsearch.report.source import Source

__all__ = ["level_axis", "level_positions", "number_axis", "robust_range", "spread", "with_hover"]

#: Numeric levels of no more than this are marked each.
_MOST_MARKED = 8
#: An axis is cut where some values lie this many times the usual spread away.
_FAR = 4.0


def number_axis(title: str, values: Sequence[float] | Any = ()) -> dict[str, Any]:
    """An axis of numbers; cut where a few values lie far from all others."""
    axis: dict[str, Any] = {"title": {"text": inert(title)}}
    limits = robust_range(values)
    if limits is not None:
        axis["range"] = limits
    return axis


def robust_range(values: Sequence[float] | Any) -> list[float] | None:
    """Ends of an axis that a few far values would flatten; None where all fit."""
    finite = np.asarray(values, dtype=np.float64)
    finite = finite[np.isfinite(finite)]
    if len(finite) < 8:
        return None
    low, high = np.quantile(finite, [0.05, 0.95])
    spread_ = (high - low) or abs(high) or 1.0
    bottom, top = finite.min(), finite.max()
    cut_bottom, cut_top = low - bottom > _FAR * spread_, top - high > _FAR * spread_
    if not cut_bottom and not cut_top:
        return None
    bottom = low - spread_ if cut_bottom else bottom - 0.05 * spread_
    top = high + spread_ if cut_top else top + 0.05 * spread_
    return [float(bottom), float(top)]


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


def spread(count: int, most: int) -> list[int]:
    """At most `most` of the indices below `count`, evenly spread, both ends among them."""
    if count <= most:
        return list(range(count))
    return sorted({round(i * (count - 1) / (most - 1)) for i in range(most)})


def with_hover(spec: Spec, source: Source) -> Spec:
    """`spec` with the config of each trial where a pointer rests on it.

    A trace says which trials it shows: `meta: {"trials": [...]}`, one a point, or
    `meta: {"trial": ...}`, one for all. The page adds the same from its table.
    """
    traces = []
    for trace in spec["data"]:
        meta = trace.get("meta") or {}
        said: Any = None
        if "trials" in meta:
            said = source.described(meta["trials"])
        elif "trial" in meta:
            (said,) = source.described([meta["trial"]])
        traces.append(trace if said is None else trace | {"hovertext": said, "hoverinfo": "text"})
    return spec | {"data": traces}
