"""Many draws at once are numpy's own, one at a time."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hpsearch.space.seeds import uniform


def one(seed: int, draw: int, stream: int) -> float:
    state = np.random.SeedSequence([seed, draw, stream]).generate_state(1, np.uint64)
    return float(int(state[0]) >> 11) / 2.0**53


@given(
    st.integers(0, 2**70), st.integers(0, 2**32 - 1), st.integers(0, 5), st.integers(0, 2**64 - 1)
)
def test_the_numbers_are_those_of_numpys_seed_sequence(seed, first, count, stream):
    draws = range(first, min(first + count, 2**32))
    expected = [one(seed, draw, stream) for draw in draws]
    assert uniform(seed, draws, stream).tolist() == expected


def test_small_numbers_have_one_word():
    assert uniform(0, range(2), 0).tolist() == [one(0, 0, 0), one(0, 1, 0)]
