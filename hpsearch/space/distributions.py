"""W&B's distributions beyond uniform ones, implemented by their quantiles."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

#: The ends of [0, 1], slightly moved, since some distributions have no quantile there.
_LEAST, _MOST = 2.0**-60, 1.0 - 2.0**-53
#: Largest number to draw; the steps of a `q_` distribution may still be added to it.
_LARGEST = 1e307

#: Distribution -> its arguments -> the default, or None if the argument is required.
ARGUMENTS: Final[Mapping[str, Mapping[str, float | None]]] = {
    "q_uniform": {"min": None, "max": None, "q": 1},
    "log_uniform": {"min": None, "max": None},
    "q_log_uniform": {"min": None, "max": None, "q": 1},
    "q_log_uniform_values": {"min": None, "max": None, "q": 1},
    "inv_log_uniform": {"min": None, "max": None},
    "inv_log_uniform_values": {"min": None, "max": None},
    "normal": {"mu": 0.0, "sigma": 1.0},
    "q_normal": {"mu": 0.0, "sigma": 1.0, "q": 1},
    "log_normal": {"mu": 0.0, "sigma": 1.0},
    "q_log_normal": {"mu": 0.0, "sigma": 1.0, "q": 1},
    "beta": {"a": 1, "b": 1},
    "q_beta": {"a": 1, "b": 1, "q": 1},
}


@dataclass(frozen=True)
class Drawn:
    """A number drawn from one of W&B's distributions.

    Source: `sweeps.params.HyperParameter.ppf` of the package `sweeps`, W&B's own, 0.3.0.

    Attributes:
        distribution: A name of ARGUMENTS.
        arguments: Its arguments, all of them, in the order of ARGUMENTS.
    """

    distribution: str
    arguments: tuple[tuple[str, float], ...]

    @property
    def given(self) -> dict[str, float]:
        """The arguments by name."""
        return dict(self.arguments)

    def steps(self) -> None:
        """Return None: its values are not enumerated."""

    def at(self, position: float) -> float:
        """Return the quantile at `position` in [0, 1)."""
        value = self._quantile(min(max(position, _LEAST), _MOST))
        if self._is_log:
            value = math.exp(min(value, math.log(_LARGEST)))
        value = min(max(value, -_LARGEST), _LARGEST)
        step = self.given.get("q")
        if step is None:
            return value
        rounded = _rounded(value, step)
        # Twelve digits, so that 3 * 0.1 is 0.3.
        return int(rounded) if isinstance(step, int) else float(f"{rounded:.12g}")

    def position(self, value: float) -> float:
        """Return the share of the distribution below `value`, from 0 to 1."""
        numbers = self.given
        if self._is_log:
            value = math.log(value) if value > 0 else -math.inf
        if "mu" in numbers:
            return _normal(value, numbers["mu"], numbers["sigma"])
        if "a" in numbers:
            # Imported here because it is slow, and only this distribution needs it.
            from scipy.special import betainc

            return float(betainc(numbers["a"], numbers["b"], min(max(value, 0.0), 1.0)))
        low, high = self._ends
        return min(max((value - low) / (high - low), 0.0), 1.0)

    def contains(self, value: object) -> bool:
        """Check if the distribution can yield `value`."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        step = self.given.get("q", 0)
        if step and not math.isclose(value, _rounded(value, step), abs_tol=1e-9 * step):
            return False
        match self.distribution.removeprefix("q_"):
            case "normal":
                return math.isfinite(value)
            case "log_normal":
                return value >= 0
            case "beta":
                return -step / 2 <= value <= 1 + step / 2
        low, high = self._ends
        if self._is_log:
            low, high = math.exp(low), math.exp(high)
        # Rounding, also by `exp`, may move a number beyond the ends.
        margin = step / 2 + 1e-9 * max(abs(low), abs(high))
        return low - margin <= value <= high + margin

    @property
    def _ends(self) -> tuple[float, float]:
        """The ends of the uniform quantity: the number itself or its logarithm."""
        low, high = self.given["min"], self.given["max"]
        if self.distribution.endswith("_values"):
            return math.log(low), math.log(high)
        return (-high, -low) if self.distribution == "inv_log_uniform" else (low, high)

    @property
    def _is_log(self) -> bool:
        """True if the logarithm of the number has the distribution."""
        return "log" in self.distribution

    def _quantile(self, position: float) -> float:
        """Return the quantile of the number or its logarithm."""
        numbers = self.given
        if "mu" in numbers:
            return numbers["mu"] + numbers["sigma"] * _STANDARD(position)
        if "a" in numbers:
            # Imported here because it is slow, and only this distribution needs it.
            from scipy.special import betaincinv

            return float(betaincinv(numbers["a"], numbers["b"], position))
        low, high = self._ends
        return low + position * (high - low)


_STANDARD: Callable[[float], float] = NormalDist().inv_cdf


def _normal(value: float, mean: float, deviation: float) -> float:
    if deviation == 0:
        return 0.5
    return 0.5 * math.erfc((mean - value) / (deviation * math.sqrt(2)))


def _rounded(value: float, step: float) -> float:
    """Return the multiple of `step` next to `value`; `value` itself if their ratio is infinite."""
    count = value / step
    return round(count) * step if math.isfinite(count) else value
