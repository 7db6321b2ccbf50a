"""The mean of paired differences: scipy's test where configs stand alone, clusters where not."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from hpsearch.comparison.questions import mean_difference

DIFFERENCES = np.array([0.02, -0.01, 0.03, 0.01, 0.0, 0.02])


def test_it_is_student_s_interval_and_test():
    found = mean_difference(DIFFERENCES)
    expected = stats.ttest_1samp(DIFFERENCES, 0.0)
    low, high = expected.confidence_interval(0.95)
    assert (found.difference, found.low, found.high) == pytest.approx(
        (DIFFERENCES.mean(), low, high)
    )
    assert found.p_value == pytest.approx(expected.pvalue)


def test_equal_clusters_count_as_their_means():
    units = np.array([0, 0, 1, 1, 2, 2])
    found = mean_difference(DIFFERENCES, units)
    means = mean_difference(DIFFERENCES.reshape(3, 2).mean(axis=1))
    for name in ("difference", "low", "high", "p_value"):
        assert getattr(found, name) == pytest.approx(getattr(means, name))


def test_unequal_clusters_keep_the_mean_over_configs():
    units = np.array([0, 0, 0, 1, 1, 2])
    found = mean_difference(DIFFERENCES, units)
    assert found.difference == pytest.approx(DIFFERENCES.mean())
    # The variance of a ratio of cluster sums, written out.
    residuals = DIFFERENCES - DIFFERENCES.mean()
    sums = np.array([residuals[units == unit].sum() for unit in range(3)])
    error = math.sqrt(3 / 2 * (sums**2).sum()) / 6
    assert found.high - found.low == pytest.approx(2 * stats.t.ppf(0.975, 2) * error)


def test_differences_that_are_all_one_leave_no_doubt():
    found = mean_difference(np.array([0.91, 0.81, 0.71]) - np.array([0.9, 0.8, 0.7]))
    assert found.low == found.high == found.difference == pytest.approx(0.01)
    assert found.p_value == 0
    nothing = mean_difference(np.zeros(7))
    assert (nothing.difference, nothing.low, nothing.high, nothing.p_value) == (0, 0, 0, 1)


def test_too_few_bound_nothing():
    assert mean_difference(np.empty(0)).difference is None
    one = mean_difference(np.array([0.5]))
    assert (one.difference, one.low, one.high) == (0.5, -math.inf, math.inf)
    assert math.isnan(one.p_value)
    cluster = mean_difference(np.array([0.5, 0.6]), np.array([3, 3]))
    assert cluster.high == math.inf


@pytest.mark.parametrize("per_unit", [1, 3])
@pytest.mark.parametrize("count", [5, 20])
def test_the_interval_covers_what_it_says(count, per_unit):
    rng = np.random.default_rng(1)
    units = np.repeat(np.arange(count), per_unit)
    covered = 0
    for _ in range(600):
        differences = rng.standard_normal(count)[units] + 0.3 * rng.standard_normal(len(units))
        found = mean_difference(1.0 + differences, units)
        covered += found.low <= 1.0 <= found.high
    assert 0.93 <= covered / 600 <= 0.97
