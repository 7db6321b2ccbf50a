"""Data of a user's own."""

import os
import sys

import numpy as np
import pandas as pd


def frames():
    """A table with a text and a boolean column, and a validation part."""
    rng = np.random.default_rng(3)
    x = pd.DataFrame(
        {
            "a": rng.normal(size=200),
            "b": rng.choice(["u", "v"], 200),
            "flag": rng.random(200) > 0.5,
        }
    )
    return (x[:150], pd.Series(x.a[:150] > 0)), (x[150:], x.a[150:] > 0)


def numbers():
    """A frame of numbers, labels that are not counted from 0."""
    rng = np.random.default_rng(4)
    x = pd.DataFrame(rng.normal(size=(120, 3)), columns=list("abc"))
    return x, np.where(x["a"] > 0, 7, np.where(x["b"] > 0, 5, 9))


def _pair():
    rng = np.random.default_rng(5)
    x = rng.normal(size=(60, 3))
    return x, (x[:, 0] > 0).astype(int)


def wandering():
    """Moves to another directory."""
    os.chdir("/")
    return _pair()


def doubling():
    """Forks; the child returns as the parent does."""
    os.fork()
    return _pair()


def leaving():
    sys.exit(4)
