"""Shares of variance with their intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpsearch.report.text import inert, rounded
from hpsearch.report.theme import Spec

if TYPE_CHECKING:
    from hpsearch.importance import Importance

__all__ = ["shares"]

_MOST_SHARES = 16
#: A pair that explains less is left out of the picture.
_LEAST_OF_PAIR = 0.005


def shares(importance: Importance) -> Spec:
    """A bar a hyperparameter or pair, the largest on top."""
    kept = [s for s in importance.shares if len(s.names) == 1 or s.share >= _LEAST_OF_PAIR]
    kept = kept[:_MOST_SHARES]
    data = []
    for size, name, colour in ((1, "one", "@accent"), (2, "two together, beyond each", "@second")):
        members = [share for share in kept if len(share.names) == size]
        if not members:
            continue
        data.append(
            {
                "type": "bar",
                "orientation": "h",
                "name": name,
                "x": [rounded(s.share) for s in members],
                "y": [kept.index(s) for s in members],
                "error_x": {
                    "type": "data",
                    "symmetric": False,
                    "array": [rounded(s.high - s.share) for s in members],
                    "arrayminus": [rounded(s.share - s.low) for s in members],
                    "color": "@text",
                    "thickness": 1.4,
                    "width": 4,
                },
                "marker": {"color": colour},
                "hoverinfo": "text",
                "hovertext": [
                    f"<b>{_label(s.names)}</b><br>{s.share:.1%} ({s.low:.1%} to {s.high:.1%})"
                    for s in members
                ],
            }
        )
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
