"""Stands in for W&B where it is not installed: provides the trial's settings, reports metrics.

`init`, `config`, `log`, `summary` and `finish` do what a sweep needs; everything else does nothing.
Written for Python 3.8, with the standard library only.
"""

from __future__ import annotations

import json
import os

from wandb_log import announce, tell

#: The version of W&B whose calls it accepts.
__version__ = "0.31.0"


class _Config(dict):
    """A mapping whose items are also attributes; the trial's values do not change."""

    def __init__(self) -> None:
        super().__init__()
        path = os.environ.get("HPSEARCH_VALUES")
        if path:
            with open(path, encoding="utf-8") as file:
                super().update(json.load(file))
        self._fixed = frozenset(self)

    def __setattr__(self, name, value):
        if name.startswith("_"):
            super().__setattr__(name, value)
        else:
            self[name] = value

    def __getattr__(self, name):
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    def __setitem__(self, name, value):
        if name not in self._fixed:
            super().__setitem__(name, value)

    def update(self, values=(), **named):
        """Set items other than the trial's values."""
        for name, value in dict(_mapping(values), **named).items():
            self[name] = value

    def as_dict(self):
        """Return a copy."""
        return dict(self)

    def setdefaults(self, values):
        """Set items that have no value yet."""
        for name, value in dict(values).items():
            self.setdefault(name, value)


class _Summary(dict):
    """A mapping whose items are also attributes; new items are reported to hpsearch."""

    def __setitem__(self, name, value):
        self.update({name: value})

    __setattr__ = __setitem__

    def __getattr__(self, name):
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    def update(self, values=(), **named):
        """Set items."""
        values = dict(values, **named)
        super().update(values)
        tell(values, by="summary")

    def logged(self, values):
        """Add metrics that `log` has reported."""
        super().update(values)


def _mapping(values):
    """Return the settings in a mapping, or in the result of argparse."""
    return values if hasattr(values, "keys") or not hasattr(values, "__dict__") else vars(values)


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


class _Run(_Inert):
    """The run of a trial."""

    def __init__(self):
        super().__init__()
        self.config, self.summary = config, summary
        self.id = self.name = os.environ.get("HPSEARCH_TRIAL", "")
        self.dir = os.environ.get("HPSEARCH_TRIAL_DIR", ".")

    def log(self, data, *arguments, **named):
        """Report the numbers to hpsearch."""
        summary.logged(data)
        tell(data, *arguments, **named)

    def finish(self, *_, **__):
        """Do nothing."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None


config = _Config()
summary = _Summary()
run = None


def init(*_, **named):
    """Return the run, whose `config` has the trial's values and those of `config=`."""
    global run
    announce()
    given = named.get("config")
    if given is not None:
        config.update(given)
    run = _Run()
    return run


def log(data, *arguments, **named):
    """Report the numbers to hpsearch."""
    if run is None:
        raise RuntimeError("wandb.init comes before wandb.log")
    run.log(data, *arguments, **named)


def finish(*_, **__):
    """Do nothing."""


def __getattr__(name):
    if name.startswith("__"):
        raise AttributeError(name)
    return _Inert()
