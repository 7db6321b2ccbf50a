"""Numbers by counter: each depends on seed, counter and stream alone, and is uniform."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest

from hpsearch.space.seeds import derive, epoch_order, uniform

SEEDS, STREAMS = st.integers(0, 2**70), st.integers(0, 2**64 - 1)


@given(SEEDS, st.integers(0, 2**32), st.integers(1, 5), st.integers(0, 5), STREAMS)
def test_a_number_is_the_same_whichever_others_come_with_it(seed, first, before, count, stream):
    together = uniform(seed, range(first, first + before + count), stream).tolist()
    counters = range(first + before, first + before + count)
    assert uniform(seed, counters, stream).tolist() == together[before:]


def test_seeds_counters_and_streams_give_other_numbers():
    numbers = [uniform(seed, range(100), stream) for seed in range(20) for stream in range(20)]
    assert len(np.unique(numbers)) == 20 * 20 * 100


def test_they_are_uniform():
    assert kstest(uniform(0, range(100_000), 1), "uniform").pvalue > 0.01
    across = [uniform(seed, range(1), 0)[0] for seed in range(5_000)]
    assert kstest(across, "uniform").pvalue > 0.01


def test_each_epoch_of_each_execution_has_an_order_of_its_own():
    numbers = [(sweep, trial, epoch) for sweep in (0, 1) for trial in (0, 1) for epoch in (1, 2)]
    orders = {tuple(epoch_order(*each, 50).tolist()) for each in numbers}
    assert len(orders) == len(numbers)
    assert all(sorted(order) == list(range(50)) for order in orders)
    assert len({derive(*each) for each in numbers}) == len(numbers)


def test_numbers_orders_and_seeds_are_those_of_other_days():
    """A later version goes on with a sweep's proposals, and reproduces its rows."""
    assert uniform(0, range(2), 0).tolist() == [0.014067035665647709, 0.9791345000654033]
    assert epoch_order(1, 2, 3, 8).tolist() == [4, 2, 6, 5, 1, 3, 7, 0]
    assert derive(1, 2, 3) == 3822189696
