"""A dataset: a function that returns rows and their targets."""

import numpy as np


def spirals(rows=240, turns=1.0, seed=7):
    """Two spirals that wind around each other: x `(rows, 2)`, and which of them each row is on."""
    random = np.random.default_rng(seed)
    which = np.arange(rows) % 2
    along = np.sqrt(random.random(rows))
    angle = 2 * np.pi * turns * along + np.pi * which
    x = np.stack([along * np.cos(angle), along * np.sin(angle)], axis=1)
    return x + random.normal(scale=0.01, size=x.shape), which
