"""What a question about two tables comes to: a difference, its interval and its test."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["ALPHA", "LEVEL", "ROUNDING", "Estimate", "Floats", "holm", "settled"]

Floats = npt.NDArray[np.float64]

#: Of every interval.
LEVEL = 0.95
#: Of every test.
ALPHA = 0.05
#: What sums of scores that should cancel leave over, as a share of their size.
ROUNDING = 1e-12


@dataclass(frozen=True)
class Estimate:
    """A difference in the direction of better, with its 95% interval and its test.

    Attributes:
        difference: The first minus the second, positive where the first is better; None where
            there is none to take.
        low, high: Ends of the interval; infinite where the data bound it on no side.
        p_value: Two-sided, of no difference; NaN where there is no test.
    """

    difference: float | None = None
    low: float = -math.inf
    high: float = math.inf
    p_value: float = math.nan

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval lies on one side of zero."""
        return self.low > 0 or self.high < 0


def settled(value: float, scale: float) -> float:
    """Zero where `value` is what rounding leaves of scores of size `scale`."""
    return 0.0 if abs(value) <= ROUNDING * scale else value


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted for being several; NaN, where there was no test, counts for none.

    Source: Holm (1979), A simple sequentially rejective multiple test procedure.
    """
    p = np.asarray(p_values, dtype=np.float64)
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    adjusted = p.copy()
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(factors * p[order]))
    return [float(value) for value in adjusted]
