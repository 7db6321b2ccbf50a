"""Append metrics to a trial's reports. For Python 3.8, with the standard library only."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from functools import wraps


def append(path: str, *lines: object) -> None:
    """Append lines in one write, so that lines of several processes do not mix.

    Without a line, the file is created if it is missing.
    """
    # Ignore that the trial is over and its directory moved, or that the disk is full: the program
    # must go on.
    with suppress(OSError):
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
        handle = os.open(path, flags, 0o666)
        try:
            os.write(handle, "".join(json.dumps(line) + "\n" for line in lines).encode())
        finally:
            os.close(handle)


def followed(method, then):
    """Return a method of W&B's after which its arguments are given to `then`, too."""

    @wraps(method)
    def call(self, *arguments, **named):
        result = method(self, *arguments, **named)
        then(*arguments, **named)
        return result

    return call


def announce(*_, **__):
    """Announce a run of W&B's to hpsearch: from now on, printed metrics are not judged."""
    path = os.environ.get("HPSEARCH_REPORT")
    if path:
        append(path)


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
