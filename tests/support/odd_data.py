"""Data of a user's own."""

import os
import sys

import numpy as np


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
