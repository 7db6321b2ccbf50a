"""The tracker protocol, and the facts of an execution that every tracker receives."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Protocol

from hpsearch.errors import InputError
from hpsearch.space.execution import label
from hpsearch.store.cells import cell_of
from hpsearch.store.tables import Record, cells_of, column_of


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
    return {column_of(name): cell_of(value) for name, value in values.items()}


def tags(record: Record) -> dict[str, str]:
    """Return the other cells of the row that are not empty, as text."""
    cells = cells_of(record) | {"scored_epoch": record.result.scored_epoch}
    return {
        name: str(value)
        for name, value in cells.items()
        if value not in (None, "") and name not in ("score", "method")
    }
