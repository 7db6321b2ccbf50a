"""The tracker protocol, and what a tracker is told of a trial."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Protocol

from hpsearch.errors import InputError
from hpsearch.store.tables import Record, column_of


class TrackerError(InputError):
    """A tracker's library refuses what it is told, or cannot reach its store."""


class Tracker(Protocol):
    """Shows trials elsewhere; a trial that is told again replaces what was told of it."""

    def log(self, record: Record) -> None:
        """Tell of one trial: hyperparameters, metrics by epoch, tags.

        Raises:
            TrackerError: With what the library says.
        """
        ...


def hyperparameters(record: Record) -> dict[str, bool | int | float | str]:
    """Column -> value; lists and mappings as JSON, as in the table."""
    values: Mapping[str, Any] = record.values
    return {
        column_of(name): json.dumps(value) if isinstance(value, list | Mapping) else value
        for name, value in values.items()
    }


def tags(record: Record) -> dict[str, str]:
    """What else the row says, as text; without what is empty."""
    result = record.result
    every = {
        "trial": record.trial,
        "config": record.config,
        "seed": record.seed,
        **({} if record.fold is None else {"fold": record.fold}),
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
    return {name: str(value) for name, value in every.items() if value not in (None, "")}
