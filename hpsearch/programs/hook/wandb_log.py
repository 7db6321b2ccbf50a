"""What W&B is given, told to hpsearch. Written for Python 3.8, by the standard library."""

from __future__ import annotations

import os
from functools import wraps

from hpsearch_report import append, make


def log_wrapped(log):
    """Return W&B's `Run.log` such that it tells hpsearch, too."""

    @wraps(log)
    def log_and_tell(run, data, *arguments, **named):
        result = log(run, data, *arguments, **named)
        tell(data, *arguments, **named)
        return result

    return log_and_tell


def summary_wrapped(update):
    """Return W&B's `Summary.update`, which each setting of an item calls, such that it tells."""

    @wraps(update)
    def update_and_tell(summary, data):
        result = update(summary, data)
        tell(data, by="summary")
        return result

    return update_and_tell


def announced(begin):
    """Return `Run.__init__` of W&B such that it tells hpsearch that there is a run."""

    @wraps(begin)
    def announce_and_begin(run, *arguments, **named):
        announce()
        begin(run, *arguments, **named)

    return announce_and_begin


def announce():
    """Tell hpsearch that there is a run: what the program prints is not judged from here on."""
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
    """Yield the numbers by name; W&B names those of nested mappings with dots."""
    for name, value in data.items():
        if hasattr(value, "items"):
            yield from _numbers(value, "{}{}.".format(prefix, name))
        elif not isinstance(value, (bool, str, bytes)):
            try:
                number = float(value)
            except Exception:  # noqa: BLE001, S112 - of a picture, a table, several numbers
                continue
            yield "{}{}".format(prefix, name), number
