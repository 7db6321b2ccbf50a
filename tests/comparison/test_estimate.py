"""Intervals' and tests' common ground."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hpsearch.comparison.estimates import Estimate, holm, zero_if_rounding


def test_holm_by_its_textbook():
    # Smallest times four, second times three, and so on, never less than the one before.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([0.2]) == [0.2]
    assert holm([]) == []


def test_holm_leaves_out_what_was_not_tested():
    adjusted = holm([0.01, math.nan, 0.04])
    assert adjusted[::2] == pytest.approx([0.02, 0.04])
    assert math.isnan(adjusted[1])


def test_an_estimate_of_nothing_excludes_nothing():
    assert not Estimate().excludes_zero
    assert not Estimate(0.0, 0.0, 0.0, 1.0).excludes_zero
    assert Estimate(0.2, 0.1, 0.3).excludes_zero
    assert Estimate(-0.2, -0.3, -0.1).excludes_zero


def test_rounding_is_no_difference():
    left_over = float(np.float64(0.1) + np.float64(0.2) - np.float64(0.3))
    assert left_over != 0
    assert zero_if_rounding(left_over, 0.3) == 0
    assert zero_if_rounding(1e-9, 1.0) == 1e-9
