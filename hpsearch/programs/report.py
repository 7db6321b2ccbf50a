"""`hpsearch.report`, which programs call; it imports only the standard library."""

from __future__ import annotations

import operator
import os
from collections.abc import Mapping
from contextlib import suppress
from typing import SupportsFloat

from hpsearch.programs.hook.hpsearch_report import append

#: Environment variable that names the file for the metrics of a trial's program.
REPORT_VARIABLE = "HPSEARCH_REPORT"


def report(
    metrics: Mapping[str, SupportsFloat] | None = None,
    /,
    *,
    epoch: int | None = None,
    **named: SupportsFloat,
) -> None:
    """Report the metrics of an epoch to hpsearch; outside a trial, do nothing.

    >>> import hpsearch
    >>> hpsearch.report(epoch=1, val_loss=0.5, val_accuracy=0.8)

    Args:
        metrics: Metrics whose names are not Python names.
        epoch: The epoch's number. Only a program that goes on from a checkpoint needs it; otherwise
            epochs are counted.
        named: Metrics by name.

    Raises:
        TypeError: A metric is not a number, or the epoch not a whole number.
    """
    values = {**(metrics or {}), **named}
    line = {
        "by": "report",
        "epoch": None if epoch is None else _whole(epoch),
        "values": {str(name): _number(name, value) for name, value in values.items()},
    }
    path = os.environ.get(REPORT_VARIABLE)
    if path:
        append(path, line)


def _number(name: str, value: SupportsFloat) -> float:
    if not isinstance(value, str):
        with suppress(TypeError, ValueError):
            return float(value)
    raise TypeError(f"report: {name} must be a number, not {type(value).__name__}")


def _whole(epoch: int) -> int:
    try:
        return operator.index(epoch)
    except TypeError:
        raise TypeError(f"report: epoch must be a whole number, not {epoch!r}") from None


if REPORT_VARIABLE in os.environ:
    # From now on, printed metrics are not judged while the program runs.
    append(os.environ[REPORT_VARIABLE])
