"""Looks at a split: each evaluation of a trial, on the record. Pure.

They stand in the store's `meta`, under one key, as a JSON list in the order in which they were
taken.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from hpsearch.errors import RefusedError

__all__ = ["Look", "Measured", "looks_in", "with_look"]

_KEY = "looks"


@dataclass(frozen=True)
class Measured:
    """A mean over rows.

    Attributes:
        low, high: Of its 95% interval; None where there is none.
        method: What gives the interval: `wilson`, `bootstrap`, `t`, or empty.
    """

    value: float
    low: float | None = None
    high: float | None = None
    method: str = ""


@dataclass(frozen=True)
class Look:
    """One evaluation of a trial on a split.

    Attributes:
        time: When, in UTC, as ISO 8601 to the second.
        trial, config, seed: Which model.
        split: `train`, `validation` or `test`.
        rows: In the split.
        metric: The name in `metrics` that the sweep scores by.
        metrics: Name, as `accuracy`, -> what was measured.
    """

    time: str
    trial: int
    config: str
    seed: int
    split: str
    rows: int
    metric: str
    metrics: Mapping[str, Measured]

    @property
    def score(self) -> Measured:
        """What was measured of the metric that the sweep scores by."""
        return self.metrics[self.metric]


def looks_in(meta: Mapping[str, str]) -> tuple[Look, ...]:
    """The looks in a store's `meta`, the first one first.

    Raises:
        RefusedError: They are not what `with_look` wrote.
    """
    try:
        return tuple(map(_look, json.loads(meta.get(_KEY, "[]"))))
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise RefusedError(f"the store's looks cannot be read: {error}") from None


def _look(record: dict[str, Any]) -> Look:
    metrics = {name: Measured(**numbers) for name, numbers in record["metrics"].items()}
    return Look(**{**record, "metrics": metrics})


def with_look(meta: Mapping[str, str], look: Look) -> dict[str, str]:
    """What to set in a store's `meta` so that it holds one look more."""
    return {_KEY: json.dumps([asdict(each) for each in (*looks_in(meta), look)])}
