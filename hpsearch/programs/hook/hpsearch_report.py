"""Append metrics to a trial's reports. For Python 3.8, with the standard library only."""

from __future__ import annotations

import json
import math
import os
import sys
from contextlib import suppress
from fnmatch import fnmatchcase
from functools import wraps

#: Pattern of metrics, kind of extreme, and the function of two values that gives it.
_DEFINED: list = []
#: The extremes so far, such as `acc.max`.
_EXTREMES: dict = {}


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


def announce(settings=None, *_, sync_tensorboard=False, **__):
    """Announce a run of W&B's to hpsearch: from now on, printed metrics are not judged."""
    path = os.environ.get("HPSEARCH_REPORT")
    if path:
        append(path)
    if True in (sync_tensorboard, getattr(settings, "sync_tensorboard", False)):
        sys.stderr.write("sync_tensorboard: hpsearch does not read what TensorBoard gets\n")


def define(name, *_, summary=None, goal=None, **__):
    """Report the extremes of a metric, too, if its summary in W&B is to be one."""
    picks = {"min": min, "max": max, "best": {"minimize": min, "maximize": max}.get(goal)}
    kinds = map(str.strip, (summary or "").split(","))
    _DEFINED.extend((name, kind, picks[kind]) for kind in kinds if picks.get(kind))


def sweep(*_, **__):
    """Return a name in place of W&B's sweep, since hpsearch searches."""
    return "hpsearch"


def agent(sweep_id=None, function=None, *_, **__):  # noqa: ARG001 - as in W&B
    """Call the function once, as W&B's agent does for each trial."""
    if function is not None:
        function()


def tell(data, step=None, *_, by="wandb", **__):
    """Append the numbers of a mapping to the trial's reports."""
    path = os.environ.get("HPSEARCH_REPORT")
    values = dict(_numbers(data, ""))
    try:
        step = int(step)
    except (TypeError, ValueError):
        step = None
    if path and values:
        lines = [{"by": by, "epoch": None, "step": step, "values": values}]
        if by == "wandb" and _DEFINED:
            lines.append({"by": "summary", "epoch": None, "values": dict(_extremes(values))})
        append(path, *lines)


def _extremes(values):
    """Yield the extremes that `define` asks for, by name."""
    for pattern, kind, pick in _DEFINED:
        for name, value in values.items():
            if (name == pattern or fnmatchcase(name, pattern)) and not math.isnan(value):
                key = "{}.{}".format(name, kind)
                _EXTREMES[key] = pick(_EXTREMES.get(key, value), value)
                yield key, _EXTREMES[key]


def _numbers(data, prefix):
    """Yield the numbers by name; like W&B, join the names of nested mappings with dots."""
    for name, value in data.items():
        if hasattr(type(value), "items"):
            yield from _numbers(value, "{}{}.".format(prefix, name))
        elif not isinstance(value, (bool, str, bytes)):
            try:
                number = float(value)
            except Exception:  # noqa: BLE001, S112 - of a picture, a table, several numbers
                continue
            yield "{}{}".format(prefix, name), number
