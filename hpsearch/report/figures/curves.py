"""Learning curves, coloured by rank."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hpsearch.report.figures.parts import number_axis, spread
from hpsearch.report.text import rounded
from hpsearch.report.theme import Spec, scale_token

if TYPE_CHECKING:
    import pandas as pd

    from hpsearch.report.source import Source

__all__ = ["MOST_CURVES", "MOST_EPOCHS", "chosen", "curves"]

#: Of more trials, the best 30 are drawn and the others evenly spread over the ranking.
MOST_CURVES = 100
_BEST = 0.3
#: Of longer trainings, so many epochs are drawn, evenly spread, first and last among them.
MOST_EPOCHS = 60


def chosen(source: Source, most: int = MOST_CURVES) -> list[int]:
    """The trials whose curves are drawn, best first."""
    trials = [int(trial) for trial in source.ranked["trial"]]
    if len(trials) <= most:
        return trials
    best = int(most * _BEST)
    rest = trials[best:]
    return [*trials[:best], *(rest[i] for i in spread(len(rest), most - best))]


def curves(source: Source, metric: str | None = None, *, most: int = MOST_CURVES) -> Spec:
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
