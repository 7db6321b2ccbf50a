"""A fingerprint names values, labels and split: it moves with each of them, and only so."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from datasets import load, made

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
    "changes",
    [
        {"seed": 43},
        {"validation": 0.25},
        {"test": 0.1},
        {"validation_data": (X, Y)},
    ],
)
def test_the_split_matters(changes):
    assert made(X, Y, **changes).fingerprint != BASE


def test_every_value_matters():
    changed = X.copy()
    changed[7, 1] = np.nextafter(np.float32(changed[7, 1]), np.float32(99))
    assert made(changed, Y).fingerprint != BASE


def test_labels_and_their_names_matter():
    swapped = list(Y)
    swapped[0], swapped[1] = swapped[1], swapped[0]
    assert made(X, swapped).fingerprint != BASE
    assert made(X, ["p", "r"] * 10).fingerprint != BASE


def test_text_does_not_run_together():
    one = pd.DataFrame({"a": ["x", "xy"] * 10, "b": ["yz", "z"] * 10})
    two = pd.DataFrame({"a": ["xy", "x"] * 10, "b": ["z", "yz"] * 10})
    assert made(one, Y).fingerprint != made(two, Y).fingerprint


def test_a_byte_of_a_csv_file_matters(csv_file):
    text = "a,y\n" + "".join(f"{i},{'pq'[i % 2]}\n" for i in range(20))
    data = {"csv": csv_file(text), "target": "y"}
    before = load(**data).fingerprint
    csv_file(text.replace("\n7,", "\n8,"))
    assert load(**data).fingerprint != before
    csv_file(text.replace("\n7,", "\n7.0,"))
    assert load(**data).fingerprint == before


def test_known_values_stay():
    """A change here makes every stored sweep refuse to continue: it needs a new version."""
    assert BASE == "d5b4e3ecd6a8"
