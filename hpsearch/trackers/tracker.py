"""The tracker protocol, and the facts of an execution that every tracker receives."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Protocol

from hpsearch.errors import InputError
from hpsearch.space.execution import label
from hpsearch.store.tables import Record, column_of


class TrackerError(InputError):
    """Raised if a tracker's library refuses an execution or cannot reach its store."""


class Tracker(Protocol):
    """Shows executions in another program; logging an execution again replaces its entry."""

    def log(self, record: Record) -> None:
        """Log one execution: hyperparameters, metrics by epoch, tags.

        Raises:
            TrackerError: With the library's message.
        """
        ...


def run_name(record: Record) -> str:
    """Return the name of an execution's run: `trial-3`, `trial-3-seed-1`, `trial-3-fold-2`."""
    return re.sub(r"\W+", "-", label(record.trial, record.seed, record.fold))


def hyperparameters(record: Record) -> dict[str, bool | int | float | str]:
    """Return values by column, with lists and mappings as JSON, as in the table."""
    values: Mapping[str, Any] = record.values
    return {
        column_of(name): json.dumps(value) if isinstance(value, list | Mapping) else value
        for name, value in values.items()
    }


def tags(record: Record) -> dict[str, str]:
    """Return the other cells of the row that are not empty, as text."""
    result = record.result
    cells = {
        "trial": record.trial,
        "config": record.config,
        "seed": record.seed,
        "fold": record.fold,
        "status": result.status,
        "scored_epoch": result.scored_epoch,
        "epochs_trained": len(result.curve),
        "best_epoch": result.best_epoch,
        "best_score": result.best_score,
        "weights": result.weights,
        "seconds": round(result.seconds, 6),
        "trainer": result.trainer,
        "shared_with": record.shared_with,
        "error": " ".join(result.error.split()),
        **vars(record.provenance),
    }
    return {name: str(value) for name, value in cells.items() if value not in (None, "")}
