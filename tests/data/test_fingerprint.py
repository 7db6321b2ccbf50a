"""A fingerprint names values, labels and split; test_15_pinned_data.py has those of files."""

import numpy as np
import pandas as pd
import pytest
from datasets import made

X = np.arange(60.0).reshape(20, 3)
Y = ["p", "q"] * 10
BASE = made(X, Y).fingerprint


@pytest.mark.parametrize(
    ("x", "options"),
    [
        *((X.astype(kind), {}) for kind in (np.float32, np.int64, np.uint16, ">f8")),
        (np.asfortranarray(X), {}),
        (X, {"scale": "unit"}),
    ],
)
def test_types_of_equal_values_memory_layout_and_scaling_do_not_matter(x, options):
    assert made(x, np.array(Y), **options).fingerprint == BASE


@pytest.mark.parametrize(
    "changes", [{"seed": 43}, {"validation": 0.25}, {"test": 0.1}, {"validation_data": (X, Y)}]
)
def test_the_split_matters(changes):
    assert made(X, Y, **changes).fingerprint != BASE


def test_every_value_matters():
    changed = X.copy()
    changed[7, 1] = np.nextafter(np.float32(changed[7, 1]), np.float32(99))
    assert made(changed, Y).fingerprint != BASE


def test_text_does_not_run_together():
    one = pd.DataFrame({"a": ["x", "xy"] * 10, "b": ["yz", "z"] * 10})
    two = pd.DataFrame({"a": ["xy", "x"] * 10, "b": ["z", "yz"] * 10})
    assert made(one, Y).fingerprint != made(two, Y).fingerprint


def test_known_values_stay():
    """A change here makes every stored sweep refuse to continue: it needs a new version."""
    assert BASE == "d5b4e3ecd6a8"
