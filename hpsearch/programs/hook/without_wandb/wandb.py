"""Stands in for W&B where it is not installed: provides the trial's settings, reports metrics.

Calls that a sweep needs do what W&B's do; all others do nothing. Written for Python 3.8, with the
standard library only.
"""

from __future__ import annotations

import json
import os
import sys
from types import ModuleType

from hpsearch_report import agent, announce, define, sweep, tell  # noqa: F401 - W&B's

#: The version of W&B whose calls it accepts.
__version__ = "0.31.0"


class _Items(dict):
    """A mapping whose items are also attributes."""

    def __getattr__(self, name):
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    def __setattr__(self, name, value):
        self[name] = value


class _Config(_Items):
    """The settings, of which the trial's values do not change."""

    def __setitem__(self, name, value):
        if name not in _VALUES:
            super().__setitem__(name, value)

    def update(self, values=(), **named):
        """Set items from a mapping, or from the result of argparse."""
        if not hasattr(values, "keys") and hasattr(values, "__dict__"):
            values = vars(values)
        for name, value in dict(values, **named).items():
            self[name] = value

    def setdefaults(self, values):
        """Set items that have no value yet."""
        self.update({**values, **self})

    as_dict = dict.copy


class _Summary(_Items):
    """Items that are reported to hpsearch when they are set."""

    def __setitem__(self, name, value):
        self.update({name: value})

    def update(self, values=(), **named):
        """Set items."""
        values = dict(values, **named)
        super().update(values)
        tell(values, by="summary")


class _Inert:
    """Accepts every call and every attribute, and does nothing."""

    def __init__(self, *_, **__):
        pass

    def __call__(self, *_, **__):
        return self

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return _Inert()

    def __iter__(self):
        return iter(())

    __enter__ = __getitem__ = __call__
    __exit__ = __setitem__ = __init__


class _Run(_Inert):
    """The run of a trial."""

    def __init__(self):
        super().__init__()
        self.config, self.summary = config, summary
        self.id = self.name = os.environ.get("HPSEARCH_TRIAL", "")
        self.dir = os.environ.get("HPSEARCH_TRIAL_DIR", ".")

    def log(self, data, *arguments, **named):
        """Report the numbers to hpsearch."""
        dict.update(summary, data)
        tell(data, *arguments, **named)

    define_metric = staticmethod(define)


def _values():
    path = os.environ.get("HPSEARCH_VALUES")
    if not path:
        return {}
    with open(path, encoding="utf-8") as file:
        return json.load(file)


_VALUES = _values()
config = _Config(_VALUES)
summary = _Summary()
run = None


def init(*_, **named):
    """Return the run, whose `config` has the trial's values and those of `config=`."""
    global run
    announce(**named)
    config.update(named.get("config") or {})
    run = _Run()
    return run


def log(data, *arguments, **named):
    """Report the numbers to hpsearch."""
    if run is None:
        raise RuntimeError("wandb.init comes before wandb.log")
    run.log(data, *arguments, **named)


def _error(name):
    """Return an exception of W&B's, which nothing raises."""
    if name.startswith("__"):
        raise AttributeError(name)
    vars(errors)[name] = type(name, (Exception,), {})
    return getattr(errors, name)


errors = sys.modules["wandb.errors"] = ModuleType("wandb.errors")
errors.__getattr__ = _error
define_metric = define


def __getattr__(name):
    if name.startswith("__"):
        raise AttributeError(name)
    return getattr(errors, name) if name.endswith("Error") else _Inert()
