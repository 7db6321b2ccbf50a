"""The difference of two bests: an exact permutation test and its interval."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from hpsearch.comparison.estimates import Variance, best_difference, selection_luck

#: Draws that move nothing, so that only the choice of configs counts.
STILL = Variance(0.0, 1.0)

#: Hundredths, so that there are ties.
TABLES = (
    st.integers(3, 12)
    .flatmap(lambda size: arrays(np.int64, size, elements=st.integers(0, 60)))
    .map(lambda hundredths: hundredths / 100)
)


def test_it_is_the_permutation_test_of_the_bests():
    rng = np.random.default_rng(0)
    compared = 0
    while compared < 40:
        first, second = rng.standard_normal(5), rng.standard_normal(5) + 1
        if stats.levene(first, second).pvalue < 0.2:
            continue
        compared += 1
        # Between two ranks, the p-value is interpolated: it lies between theirs.
        p = best_difference(first, second, STILL).p_value
        better, worse = sorted((first, second), key=np.max, reverse=True)
        rank = int((better > worse.max()).sum())
        # Two-sided, over every share-out of the pooled configs.
        below = stats.permutation_test(
            (first, second),
            lambda one, two, axis: one.max(axis=axis) - two.max(axis=axis),
            vectorized=True,
            n_resamples=np.inf,
        ).pvalue
        above = 2 * stats.hypergeom.pmf(min(rank + 1, 5), 10, 5, min(rank + 1, 5))
        assert below == pytest.approx(2 * stats.hypergeom.pmf(rank, 10, 5, rank))
        assert min(below, above) - 1e-12 <= p <= min(1.0, max(below, above)) + 1e-12


@settings(max_examples=50)
@given(TABLES, TABLES)
def test_the_interval_and_the_test_agree(first, second):
    found = best_difference(first, second, STILL)
    # At 0.05 to the bit, rounding decides.
    assert found.excludes_zero == (found.p_value <= 0.05) or abs(found.p_value - 0.05) < 1e-9
    wider = best_difference(first, second, Variance(0.01, 3))
    assert wider.low <= found.low
    assert found.high <= wider.high
    assert wider.p_value >= found.p_value - 1e-12
    assert not best_difference(first, second, None).bounded
    assert found.low <= found.difference <= found.high
    assert found.difference == pytest.approx(first.max() - second.max(), abs=1e-12)


@settings(max_examples=40)
@given(TABLES, TABLES)
def test_tables_that_are_swapped_change_the_sign_alone(first, second):
    one, other = best_difference(first, second, STILL), best_difference(second, first, STILL)
    assert (one.low, one.high) == pytest.approx((-other.high, -other.low))
    assert one.p_value == pytest.approx(other.p_value)


def test_few_configs_bound_nothing():
    found = best_difference(np.array([0.9, 0.8, 0.7]), np.array([0.1, 0.2, 0.3]), STILL)
    assert found.difference == pytest.approx(0.6)
    assert found.low == -math.inf
    assert found.p_value == pytest.approx(0.1)
    assert best_difference(np.empty(0), np.array([0.5]), STILL).difference is None


def test_bests_that_are_equal_are_a_tie():
    table = np.array([0.5, 0.9, 0.7, 0.6, 0.8])
    found = best_difference(table, table, STILL)
    assert (found.difference, found.p_value) == (0, 1)
    assert found.low < 0 < found.high


def test_a_table_does_not_win_by_its_size():
    rng = np.random.default_rng(2)
    named = sum(
        best_difference(rng.standard_normal(200), rng.standard_normal(10), STILL).excludes_zero
        for _ in range(200)
    )
    assert named / 200 <= 0.075


def test_where_spreads_differ_the_wider_side_serves_as_both():
    narrow = 0.9 + 0.001 * np.arange(10)
    wide = 0.1 + 0.08 * np.arange(10)
    found = best_difference(narrow, wide, STILL)
    assert found.high - found.difference == pytest.approx(found.difference - found.low)
    assert not found.excludes_zero


@pytest.mark.parametrize(
    ("shape", "count"), [("normal", 5), ("normal", 20), ("beta", 5), ("exponential", 20)]
)
def test_the_interval_covers_what_it_says_whatever_the_shape(shape, count):
    rng = np.random.default_rng(3)

    def draw():
        if shape == "normal":
            return rng.standard_normal(count)
        return rng.beta(5, 1.5, count) if shape == "beta" else rng.exponential(size=count)

    estimates = [best_difference(draw() + 1, draw(), STILL) for _ in range(600)]
    covered = sum(each.low <= 1 <= each.high for each in estimates)
    assert 0.93 <= covered / 600 <= 0.98


def test_luck_is_what_the_chosen_seeds_have_over_those_left_out():
    # Each config is the best by one seed, and nothing by the others.
    assert selection_luck(np.eye(3)) == pytest.approx(0.5 - 0.0)
    # One config is the best by all of them.
    assert selection_luck(np.array([[0.935, 0.9321, 0.9367], [0.1, 0.2, 0.3]])) == 0
    assert selection_luck(np.array([[0.9], [0.1]])) is None
    assert selection_luck(np.empty((0, 3))) is None


def test_luck_of_pure_noise_is_the_expected_maximum():
    rng = np.random.default_rng(4)
    found = np.mean([selection_luck(rng.standard_normal((50, 4))) for _ in range(300)])
    # The best of 50 means of three seeds.
    expected = rng.standard_normal((20_000, 50)).max(axis=1).mean() / math.sqrt(3)
    assert found == pytest.approx(expected, rel=0.03)
