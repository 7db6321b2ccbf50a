"""The first question: the same configs in both tables, each against itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from hpsearch.comparison.estimate import LEVEL, Estimate, Floats, settled

__all__ = ["mean_difference"]


def mean_difference(
    differences: Floats, units: npt.NDArray[Any] | None = None, scale: float = 1.0
) -> Estimate:
    """The mean of paired differences, with Student's interval and test over clusters.

    Args:
        differences: One a config, `(n_configs,)`.
        units: The cluster of each, `(n_configs,)`: configs that shared trainings share their
            noise. None where each config is its own.
        scale: Size of the scores, against which rounding is told from a difference.

    Source: the mean is a ratio of cluster sums; its linearised cluster values (Cochran 1977,
    Sampling Techniques, chapter 9A) have the mean as their mean and its variance as theirs, so that
    `scipy.stats.ttest_1samp` of them is the test. For clusters of one, they are the differences.
    """
    from scipy import stats

    if not len(differences):
        return Estimate()
    mean = settled(float(differences.mean()), scale)
    values = _cluster_values(differences, units)
    if len(values) < 2:
        return Estimate(mean)
    if not settled(float(np.ptp(values)), scale):
        return Estimate(mean, mean, mean, 0.0 if mean else 1.0)
    test = stats.ttest_1samp(values, 0.0)
    low, high = test.confidence_interval(LEVEL)
    return Estimate(mean, float(low), float(high), float(test.pvalue))


def _cluster_values(differences: Floats, units: npt.NDArray[Any] | None) -> Floats:
    if units is None:
        return differences
    _, codes = np.unique(units, return_inverse=True)
    mean = differences.mean()
    residuals = np.bincount(codes, weights=differences - mean)
    return np.asarray(mean + residuals * len(residuals) / len(differences))
