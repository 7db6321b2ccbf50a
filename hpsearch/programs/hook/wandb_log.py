"""What `wandb.log` is given, told to hpsearch. Written for Python 3.8, by the standard library."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from functools import wraps


def wrapped(log):
    """Return W&B's `Run.log` such that it tells hpsearch, too."""

    @wraps(log)
    def telling(run, data, *arguments, **named):
        result = log(run, data, *arguments, **named)
        tell(data)
        return result

    return telling


def announced(begin):
    """Return `Run.__init__` of W&B such that it tells hpsearch that there is a run."""

    @wraps(begin)
    def beginning(run, *arguments, **named):
        announce()
        begin(run, *arguments, **named)

    return beginning


def announce():
    """Make the file of the trial's reports: what the program prints is not judged from here on."""
    path = os.environ.get("HPSEARCH_REPORT")
    if path:
        with suppress(OSError), open(path, "a"):
            pass


def tell(data):
    """Append the numbers of a mapping to the trial's reports."""
    path = os.environ.get("HPSEARCH_REPORT")
    values = dict(_numbers(data, ""))
    if not path or not values:
        return
    line = json.dumps({"by": "wandb", "epoch": None, "values": values}) + "\n"
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        os.write(handle, line.encode())
    finally:
        os.close(handle)


def _numbers(data, prefix):
    """Yield the numbers by name; W&B names those of nested mappings with dots."""
    for name, value in data.items():
        if hasattr(value, "items"):
            yield from _numbers(value, "{}{}.".format(prefix, name))
        elif not isinstance(value, (bool, str, bytes)):
            try:
                yield "{}{}".format(prefix, name), float(value)
            except (TypeError, ValueError):
                # A picture, a table and the like.
                continue
