"""The split is scikit-learn's, row for row, whatever its version draws."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import train_test_split

from hpsearch.data.splitting import split_rows

SEEDS = st.integers(0, 2**32 - 1)


@given(st.integers(2, 300), st.floats(0.01, 0.9), SEEDS)
def test_an_unstratified_split(n, fraction, seed):
    count = int(np.clip(round(fraction * n), 1, n - 1))
    train, validation, test = split_rows((n - count, count, 0), seed, None, "here")
    expected = train_test_split(np.arange(n), test_size=count, random_state=seed)
    np.testing.assert_array_equal(train, expected[0])
    np.testing.assert_array_equal(validation, expected[1])
    assert not len(test)


@settings(max_examples=200)
@given(st.lists(st.integers(2, 40), min_size=2, max_size=12), st.floats(0.1, 0.9), SEEDS)
def test_a_stratified_split(counts, fraction, seed):
    """Any class sizes, so that shares tie, and are rounded in all ways."""
    n, classes = sum(counts), len(counts)
    codes = np.random.default_rng(seed).permutation(np.repeat(np.arange(classes), counts))
    count = int(np.clip(round(fraction * n), classes, n - classes))
    train, validation, _ = split_rows((n - count, count, 0), seed, codes, "here")
    expected = train_test_split(np.arange(n), test_size=count, random_state=seed, stratify=codes)
    np.testing.assert_array_equal(train, expected[0])
    np.testing.assert_array_equal(validation, expected[1])
