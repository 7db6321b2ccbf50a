"""The tracker protocol, and the facts of a trial that every tracker receives."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Protocol

from hpsearch.errors import InputError
from hpsearch.store.tables import Record, column_of


class TrackerError(InputError):
    """A tracker's library refuses a trial or cannot reach its store."""


class Tracker(Protocol):
    """Shows trials in another program; logging a trial again replaces the earlier entry."""

    def log(self, record: Record) -> None:
        """Log one trial: hyperparameters, metrics by epoch, tags.

        Raises:
            TrackerError: With the library's message.
        """
        ...


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
        "shared_with": result.shared_with,
        "error": " ".join(result.error.split()),
        **vars(record.provenance),
    }
    return {name: str(value) for name, value in cells.items() if value not in (None, "")}
