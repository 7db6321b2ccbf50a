"""Report W&B's metrics to hpsearch. For Python 3.8, with the standard library only."""

from __future__ import annotations

import os
from functools import wraps

from hpsearch_report import append, make


def log_wrapped(log):
    """Return W&B's `Run.log`, wrapped to report to hpsearch, too."""

    @wraps(log)
    def log_and_tell(run, data, *arguments, **named):
        result = log(run, data, *arguments, **named)
        tell(data, *arguments, **named)
        return result

    return log_and_tell


def summary_wrapped(update):
    """Return W&B's `Summary.update`, which every assignment calls, wrapped to report, too."""

    @wraps(update)
    def update_and_tell(summary, data):
        result = update(summary, data)
        tell(data, by="summary")
        return result

    return update_and_tell


def announced(begin):
    """Return W&B's `Run.__init__`, wrapped to announce the run to hpsearch."""

    @wraps(begin)
    def announce_and_begin(run, *arguments, **named):
        announce()
        begin(run, *arguments, **named)

    return announce_and_begin


def announce():
    """Announce a run to hpsearch: from now on, printed metrics are not judged."""
    path = os.environ.get("HPSEARCH_REPORT")
    if path:
        make(path)


def tell(data, step=None, *_, by="wandb", **__):
    """Append the numbers of a mapping to the trial's reports."""
    path = os.environ.get("HPSEARCH_REPORT")
    values = dict(_numbers(data, ""))
    try:
        step = int(step)
    except (TypeError, ValueError):
        step = None
    if path and values:
        append(path, {"by": by, "epoch": None, "step": step, "values": values})


def _numbers(data, prefix):
    """Yield the numbers by name; like W&B, join the names of nested mappings with dots."""
    for name, value in data.items():
        if hasattr(value, "items"):
            yield from _numbers(value, "{}{}.".format(prefix, name))
        elif not isinstance(value, (bool, str, bytes)):
            try:
                number = float(value)
            except Exception:  # noqa: BLE001, S112 - of a picture, a table, several numbers
                continue
            yield "{}{}".format(prefix, name), number
