"""Ranges: bounds, step and scale of a numeric hyperparameter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from hpsearch.sweep.rules import Collector, Invalid, Rule, integer, number, one_of
from hpsearch.sweep.wording import show

__all__ = ["RANGE_KEYS", "RangeSpec", "parse_range"]

RANGE_KEYS: Final = ("min", "max", "step", "scale", "type")
#: A range is kept as a list where it has a step: more values would not fit in memory.
MOST_STEPS: Final = 100_000
_SCALE = one_of(("linear", "log"), "scale")
_TYPE = one_of(("int", "float"), "type")
_NUMBER = number()
_INTEGER = integer()
_STEP = number(above=0)
_INTEGER_STEP = integer(1)


@dataclass(frozen=True)
class RangeSpec:
    """Numbers from `min` to `max`, both included.

    With a step, min, min + step, ...; on a log scale min, min * step, ..., as in KerasTuner.
    """

    min: float
    max: float
    step: float | None = None
    log: bool = False
    integer: bool = False

    @property
    def count(self) -> int | None:
        """How many values it has; None where it is continuous."""
        if self.step is None:
            return None
        return _steps(_decimal(self.min), _decimal(self.max), _decimal(self.step), self.log)[0] + 1

    def multiples(self) -> tuple[float, ...]:
        """The values of a log range with a step."""
        low, factor = _decimal(self.min), _decimal(self.step or 1)
        values = (low * factor**power for power in range(self.count or 0))
        return tuple(int(value) if self.integer else float(value) for value in values)

    def raw(self) -> dict[str, Any]:
        """As a sweep file writes it."""
        raw: dict[str, Any] = {"min": self.min, "max": self.max}
        if self.step is not None:
            raw["step"] = self.step
        if self.log:
            raw["scale"] = "log"
        return {**raw, "type": "int" if self.integer else "float"}


def _decimal(value: float) -> Decimal:
    # By its written form: 0.1 + 0.2 is 0.3 there, as the file's author means it.
    return Decimal(repr(value))


def _steps(low: Decimal, high: Decimal, step: Decimal, log: bool) -> tuple[int, Decimal, Decimal]:
    """Whole steps below `high`, and the valid maxima on both sides of it."""
    if not log:
        count = int((high - low) // step)
        below = low + count * step
        return count, below, below if below == high else below + step
    count, below = 0, low
    while below * step <= high and count <= MOST_STEPS:
        count, below = count + 1, below * step
    return count, below, below if below == high else below * step


def parse_range(rule: Rule, body: Mapping[str, Any]) -> RangeSpec:
    """The range that `body` describes, whose bounds follow `rule`.

    Raises:
        Invalid: With the place of every fault within `body`.
    """
    if rule.kind == "names":
        raise Invalid.at("takes names, not a range; list them: [a, b]")
    faults = Collector()
    missing = [key for key in ("min", "max") if key not in body]
    for key in missing:
        faults.add(f"{key} is missing: a range has min and max")
    log = faults.run(_SCALE.check, body.get("scale", "linear"), "scale") == "log"
    whole = _is_integer(rule, body, faults)
    bounds = {
        key: faults.run(lambda value: _bound(rule, whole, value), body[key], key)
        for key in ("min", "max")
        if key in body
    }
    step = None
    if "step" in body:
        stepping = _INTEGER_STEP if whole else _STEP
        step = faults.run(stepping.check, body["step"], "step")
    faults.finish()
    low, high = bounds["min"], bounds["max"]
    assert low is not None
    assert high is not None
    _check_order(low, high, log)
    if step is not None:
        _check_step(low, high, step, log)
    return RangeSpec(low, high, step, log, whole)


def _is_integer(rule: Rule, body: Mapping[str, Any], faults: Collector) -> bool:
    numbers = [body[key] for key in ("min", "max", "step") if key in body]
    natural = rule.kind == "int" or (
        rule.kind == "any"
        and all(isinstance(item, int) and not isinstance(item, bool) for item in numbers)
    )
    if "type" not in body:
        return natural
    kind = faults.run(_TYPE.check, body["type"], "type")
    if kind == "float" and rule.kind == "int":
        faults.add("must be int: it takes whole numbers only", "type")
    return natural if kind is None else kind == "int"


def _bound(rule: Rule, whole: bool, value: Any) -> float:
    if isinstance(value, list | tuple | Mapping):
        raise Invalid.at(f"must be a number, not {show(value)}")
    bound: float = (_INTEGER if whole and rule.kind != "int" else _NUMBER).check(value)
    if rule.kind in {"int", "float"}:
        bound = rule.check(value)
    return int(value) if whole else float(bound)


def _check_order(low: float, high: float, log: bool) -> None:
    if low == high:
        raise Invalid.at(f"min and max are both {show(low)}; write the value itself", "min")
    if low > high:
        raise Invalid.at(f"must be below max, {show(high)}, not {show(low)}", "min")
    if log and low <= 0:
        raise Invalid.at(f"must be above 0 on a log scale, not {show(low)}", "min")


def _check_step(low: float, high: float, step: float, log: bool) -> None:
    if log and step <= 1:
        raise Invalid.at(
            f"on a log scale a step multiplies, so it must be above 1, not {show(step)}", "step"
        )
    if not log and (high - low) / step > MOST_STEPS:
        raise Invalid.at(
            f"makes {(high - low) / step + 1:.4g} values; a range with a step has at most "
            f"{MOST_STEPS}",
            "step",
        )
    exact = _decimal(high)
    count, below, above = _steps(_decimal(low), exact, _decimal(step), log)
    if count > MOST_STEPS:
        raise Invalid.at(f"a range with a step has at most {MOST_STEPS} values", "step")
    if below != exact:
        near = below if exact - below <= above - exact and count else above
        raise Invalid.at(
            f"the step {show(step)} does not divide the range from {show(low)} to {show(high)}; "
            f"the nearest valid max is {float(near):.12g}",
            "max",
        )
