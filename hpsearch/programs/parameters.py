"""The key `parameters` of a program's sweep, in hpsearch's grammar or W&B's."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from hpsearch.space.distributions import ARGUMENTS, Drawn
from hpsearch.space.space import Choices, Parameter, Range
from hpsearch.spec.parameters import DISTRIBUTIONS, MOST_STEPS, parse_parameter
from hpsearch.spec.rules import Collector, InvalidValue, Loc, Rule, number, require_mapping
from hpsearch.wording import did_you_mean, listing, show

_NUMBER: Final = number()
_LIMITS: Final[Mapping[str, Rule]] = {
    "sigma": number(minimum=0),
    "q": number(above=0),
    "a": number(above=0),
    "b": number(above=0),
}
#: W&B's name of a list with probabilities.
_WEIGHTED: Final = "categorical_w_probabilities"
_NAMES: Final = (*DISTRIBUTIONS, *ARGUMENTS, _WEIGHTED)


def _value(value: Any) -> Any:
    """Check that a value is plain data, which includes None."""
    if isinstance(value, float) and not math.isfinite(value):
        raise InvalidValue.at(f"must be finite, not {show(value)}")
    if isinstance(value, list | tuple):
        return [_value(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _value(item) for key, item in value.items()}
    if isinstance(value, str) and "\0" in value:
        raise InvalidValue.at("has a zero byte, which no command line can hold")
    if value is not None and not isinstance(value, bool | int | float | str):
        raise InvalidValue.at(f"must be text, a number, true, false, null or a list: {show(value)}")
    return value


#: Any plain data: the program defines the values.
PLAIN: Final = Rule(_value, {}, kind="any")


@dataclass(frozen=True)
class ProgramParameters:
    """The parameters of a program.

    Attributes:
        given: The key as the file has it.
        parameters: The innermost parameters, named by their path with dots.
        paths: Name -> path, for nested parameters.
    """

    given: Mapping[str, Any]
    parameters: tuple[Parameter, ...]
    paths: Mapping[str, tuple[str, ...]]

    def raw(self) -> dict[str, Any]:
        """Return the key as a sweep file has it."""
        return dict(self.given)

    def for_grid(self) -> tuple[Parameter, ...]:
        """Return the parameters, with lists for those ranges that W&B's grid turns into lists."""
        return tuple(map(_enumerated, self.parameters))


def _enumerated(parameter: Parameter) -> Parameter:
    domain = parameter.domain
    if isinstance(domain, Range) and domain.integer and domain.step is None and not domain.log:
        if domain.max - domain.min <= MOST_STEPS:
            return replace(parameter, domain=replace(domain, step=1))
    elif isinstance(domain, Drawn) and domain.distribution == "q_uniform":
        low, high, step = (domain.given[name] for name in ("min", "max", "q"))
        # Like `numpy.arange`: the upper end is excluded.
        count = math.ceil((high - low) / step)
        if count <= MOST_STEPS:
            values = (low + index * step for index in range(count))
            kept = tuple(v if isinstance(v, int) else float(f"{v:.12g}") for v in values)
            return replace(parameter, domain=Choices(kept))
    return parameter


def parse_parameters(raw: Any) -> ProgramParameters:
    """Read the key `parameters`.

    Raises:
        InvalidValue: With the place of every fault.
    """
    if isinstance(raw, ProgramParameters):
        return raw
    mapping = require_mapping(raw, "must be a mapping of the program's parameters to their values")
    faults = Collector()
    found: dict[str, Parameter] = {}
    paths: dict[str, tuple[str, ...]] = {}
    for path, loc, body in _innermost(mapping, (), ()):
        name = ".".join(path)
        if any(not step or "\0" in step for step in path):
            faults.add("a name is text without a zero byte, and not empty", *loc)
        elif name in found:
            faults.add(f"there are two parameters {name}", *loc)
        elif parameter := faults.run(partial(_parameter, name), body, *loc):
            found[name] = parameter
            if len(path) > 1:
                paths[name] = path
    faults.finish()
    return ProgramParameters(dict(mapping), tuple(found.values()), paths)


def _innermost(
    mapping: Mapping[str, Any], path: tuple[str, ...], place: Loc
) -> Iterator[tuple[tuple[str, ...], Loc, Any]]:
    """Yield each parameter that holds no others: its path of names, its location, and its body."""
    for key, body in mapping.items():
        name, loc = str(key), (*place, str(key))
        if isinstance(body, Mapping) and set(body) == {"parameters"}:
            inner = body["parameters"]
            if isinstance(inner, Mapping) and inner:
                yield from _innermost(inner, (*path, name), (*loc, "parameters"))
                continue
        yield (*path, name), loc, body


def _parameter(name: str, raw: Any) -> Parameter:
    if not isinstance(raw, Mapping):
        return parse_parameter(PLAIN, raw).parameter(name)
    body = dict(require_mapping(raw, "must be a value, a list or a mapping"))
    distribution = body.get("distribution")
    if distribution is not None and distribution not in _NAMES:
        hint = did_you_mean(distribution, _NAMES)
        raise InvalidValue.at(
            f"unknown distribution {show(distribution)}; there are {listing(_NAMES)}{hint}",
            "distribution",
        )
    if "probabilities" in body or distribution == _WEIGHTED:
        return _weighted(name, body)
    if distribution in ARGUMENTS:
        return _drawn(name, str(distribution), body)
    return parse_parameter(PLAIN, body).parameter(name)


def _condition(name: str, body: dict[str, Any]) -> Mapping[str, tuple[Any, ...]]:
    """Remove `when` from a body, and check it as for any parameter."""
    if "when" not in body:
        return {}
    when = body.pop("when")
    return parse_parameter(PLAIN, {"value": 0, "when": when}).parameter(name).when


def _weighted(name: str, body: dict[str, Any]) -> Parameter:
    when = _condition(name, body)
    weights = body.pop("probabilities", None)
    if body.get("distribution") in (_WEIGHTED, "categorical"):
        del body["distribution"]
    parameter = parse_parameter(PLAIN, body).parameter(name)
    values = parameter.domain.values if isinstance(parameter.domain, Choices) else ()
    if not isinstance(weights, list) or len(weights) != len(values):
        raise InvalidValue.at(
            f"must list a probability for each of the {len(values)} values, not {show(weights)}",
            "probabilities",
        )
    checked = [number(minimum=0).check(weight) for weight in weights]
    if not math.isclose(sum(checked), 1.0, rel_tol=1e-6):
        raise InvalidValue.at(f"must add up to 1, not {sum(checked):g}", "probabilities")
    # Without a probability, a value would never be drawn.
    kept = [pair for pair in zip(values, checked, strict=True) if pair[1] > 0]
    return Parameter(name, Choices(*zip(*kept, strict=True)), when)


def _drawn(name: str, distribution: str, body: dict[str, Any]) -> Parameter:
    when = _condition(name, body)
    arguments, faults = ARGUMENTS[distribution], Collector()
    for key in body:
        if key != "distribution" and key not in arguments:
            takes = listing(arguments)
            faults.add(f"has no meaning with {distribution}, which takes {takes}", key)
    found: dict[str, Any] = {}
    for key, default in arguments.items():
        if key not in body and default is None:
            faults.add(f"{key} is missing: distribution: {distribution} needs it")
        else:
            given = body.get(key, default)
            faults.run(_LIMITS.get(key, _NUMBER).check, given, key)
            found[key] = given
    faults.finish()
    if "min" in found:
        _check_ends(distribution, found["min"], found["max"])
    return Parameter(name, Drawn(distribution, tuple(found.items())), when)


def _check_ends(distribution: str, low: float, high: float) -> None:
    if low >= high:
        raise InvalidValue.at(f"must be below max, {show(high)}, not {show(low)}", "min")
    if distribution.endswith("_values") and low <= 0:
        raise InvalidValue.at(f"must be above 0 on a log scale, not {show(low)}", "min")
    if distribution.endswith("_values") or "log" not in distribution:
        return
    hint = f"{distribution}_values takes the values themselves"
    if distribution == "inv_log_uniform" and low < -700:
        said = f"is a negative exponent of e, -700 or more, not {show(low)}; {hint}"
        raise InvalidValue.at(said, "min")
    if distribution != "inv_log_uniform" and high > 700:
        raise InvalidValue.at(f"is an exponent of e, at most 700, not {show(high)}; {hint}", "max")
