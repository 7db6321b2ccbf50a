"""Differences of configs crossed with seeds: both count, each with its own freedom."""

import math

import numpy as np
import pytest
from scipy import stats

from hpsearch.comparison.estimates import (
    Variance,
    config_variance,
    draw_effect,
    draw_variance,
    holm,
    mean_difference,
    mean_interval,
)


def crossed(rng, configs, draws, *, config=0.0, draw=0.0, noise=0.01):
    """Scores with effects of configs and draws, `(configs, draws)`."""
    effects = config * rng.standard_normal((configs, 1)) + draw * rng.standard_normal(draws)
    return effects + noise * rng.standard_normal((configs, draws))


def paired_difference(differences):
    draws = draw_effect(differences, np.zeros_like(differences), same=True)
    return mean_difference(np.nanmean(differences, axis=1), draws)


def unpaired_difference(first, second):
    draws = draw_effect(first, second, same=False)
    return mean_difference(first.mean(axis=1) - second.mean(axis=1), draws)


def test_each_part_has_the_quantile_of_its_own_freedom():
    scores = crossed(np.random.default_rng(0), 8, 3, config=0.1, draw=0.2)
    found = paired_difference(scores)
    configs = stats.sem(scores.mean(axis=1)) * stats.t.ppf(0.975, 7)
    draws = stats.sem(scores.mean(axis=0)) * stats.t.ppf(0.975, 2)
    assert found.difference == pytest.approx(scores.mean())
    assert found.high - found.difference == pytest.approx(math.hypot(configs, draws))


def test_the_interval_excludes_zero_where_p_is_below_five_percent():
    rng = np.random.default_rng(1)
    for _ in range(50):
        found = paired_difference(crossed(rng, 6, 4, config=0.1, draw=0.1) + 0.1)
        assert found.excludes_zero == (found.p_value < 0.05)


def test_one_draw_has_no_interval():
    found = paired_difference(np.array([[0.1], [0.2], [0.3]]))
    assert (found.difference, found.low, found.high) == (pytest.approx(0.2), -math.inf, math.inf)
    assert math.isnan(found.p_value)
    other = unpaired_difference(np.ones((3, 4)), np.zeros((3, 1)))
    assert (other.difference, other.bounded) == (1.0, False)
    assert mean_difference(np.empty(0), None).difference is None
    single = paired_difference(np.array([[0.1, 0.2, 0.15]]))
    assert single == mean_interval(np.array([0.1, 0.2, 0.15]))


def test_other_draws_are_two_samples():
    rng = np.random.default_rng(2)
    first, second = crossed(rng, 9, 3, draw=0.3), crossed(rng, 9, 5, draw=0.1)
    expected = stats.ttest_ind(first.mean(axis=0), second.mean(axis=0), equal_var=False)
    variance = draw_variance(first) + draw_variance(second)
    assert variance.freedom == pytest.approx(expected.df)
    found = unpaired_difference(first, second)
    gains = first.mean(axis=1) - second.mean(axis=1)
    half = stats.t.ppf(0.975, expected.df) * math.sqrt(variance.value)
    configs = stats.sem(gains) * stats.t.ppf(0.975, 8)
    assert found.high - found.low == pytest.approx(2 * math.hypot(half, configs))


def test_unequal_clusters_keep_the_mean_over_configs():
    gains, clusters = np.array([0.02, -0.01, 0.03, 0.01, 0.0, 0.02]), np.array([0, 0, 0, 1, 1, 2])
    # The variance of a ratio of cluster sums, written out.
    residuals = gains - gains.mean()
    sums = np.array([residuals[clusters == unit].sum() for unit in range(3)])
    assert config_variance(gains, clusters) == Variance(
        pytest.approx(3 / 2 * (sums**2).sum() / 36), 2
    )
    independent = Variance(0.0, math.inf)
    found = mean_difference(gains, independent)
    expected = stats.ttest_1samp(gains, 0.0)
    assert found.p_value == pytest.approx(expected.pvalue)
    assert not mean_difference(gains[:2], independent, clusters[:2]).bounded


def test_missing_scores_weigh_nothing():
    scores = crossed(np.random.default_rng(3), 5, 4, config=0.1, draw=0.2)
    gaps = scores.copy()
    gaps[2, 1] = np.nan
    assert paired_difference(gaps).difference == pytest.approx(np.nanmean(gaps, axis=1).mean())
    # A fifth of a draw is missing: its effect is taken from the other configs.
    assert draw_variance(gaps).value == pytest.approx(draw_variance(scores).value, rel=0.5)
    assert draw_variance(gaps).freedom == 3


def test_a_draw_that_some_configs_lack_does_not_count_for_them():
    scores, none = np.array([[0.5, 0.7, np.nan, np.nan]]), np.zeros((1, 4))
    assert draw_effect(scores, none, same=True) == draw_variance(scores[:, :2])
    assert draw_effect(scores[:, 1:], none[:, 1:], same=True) is None


def test_dependent_folds_are_corrected():
    """Nadeau and Bengio's example of scikit-learn's pages: 15 scores of five folds."""
    scores = np.random.default_rng(4).normal(0.8, 0.01, 15)
    found = mean_interval(scores, 1 / 4)
    deviation = scores.std(ddof=1) * math.sqrt(1 / 15 + 1 / 4)
    assert found.high - found.difference == pytest.approx(stats.t.ppf(0.975, 14) * deviation)
    plain = mean_interval(scores)
    ratio = (found.high - found.low) / (plain.high - plain.low)
    assert ratio == pytest.approx(math.sqrt(1 + 15 / 4))


def test_differences_that_do_not_vary_show_nothing():
    scores = np.repeat([[0.91], [0.81], [0.71]], 2, axis=1)
    found = paired_difference(scores - (scores - 0.01))
    assert found.difference == pytest.approx(0.01)
    assert not found.bounded
    nothing = paired_difference(np.zeros((7, 3)))
    assert (nothing.difference, nothing.low, nothing.high, nothing.p_value) == (0, 0, 0, 1)


@pytest.mark.parametrize("draws", [2, 5])
@pytest.mark.parametrize("draw", [0.0, 0.05, 0.5])
@pytest.mark.parametrize("paired", [True, False])
def test_the_interval_holds_the_truth_whatever_the_seed_does(draws, draw, paired):
    """The design; experiments/compare_trainings.py shows it on trainings."""
    rng = np.random.default_rng(5)
    held = 0
    for _ in range(400):
        one = crossed(rng, 12, draws, config=0.05, draw=draw, noise=0.1)
        if paired:
            found = paired_difference(one)
        else:
            other = crossed(rng, 12, draws, draw=draw, noise=0.1)
            found = unpaired_difference(one, other)
        held += found.low <= 0.0 <= found.high
    assert held / 400 >= 0.93


def test_holm_by_its_textbook():
    # Smallest times four, second times three, and so on, never less than the one before.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([0.2]) == [0.2]
    assert holm([]) == []
    # What was not tested does not count.
    adjusted = holm([0.01, math.nan, 0.04])
    assert adjusted[::2] == pytest.approx([0.02, 0.04])
    assert math.isnan(adjusted[1])
