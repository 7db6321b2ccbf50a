"""What was trained, and what did not have to be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hpsearch.report.savings import savings_of
from hpsearch.report.text import inert
from hpsearch.report.theme import Spec

if TYPE_CHECKING:
    from hpsearch.report.source import Source

__all__ = ["work"]


def work(sources: Sequence[Source]) -> Spec:
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
