"""The key `parameters`, of models and of programs, in hpsearch's grammar and W&B's."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import partial
from typing import Any, Final

from hpsearch.space.distributions import ARGUMENTS, Drawn
from hpsearch.space.space import Choices, Parameter, Range
from hpsearch.spec.hyperparameters import ANYTHING, check_plain, rule_of
from hpsearch.spec.rules import (
    Collector,
    InvalidValue,
    Loc,
    Rule,
    check_key,
    integer,
    number,
    one_of,
    plain,
    require_mapping,
)
from hpsearch.spec.words import RANGE
from hpsearch.wording import did_you_mean, listing, show, unknown_hint

RANGE_KEYS: Final = ("min", "max", "step", "scale", "type")
#: Most values of a range with a step; all of them are kept in memory.
MOST_STEPS: Final = 100_000
_SCALE = one_of(("linear", "log"), "scale")
_TYPE = one_of(("int", "float"), "type")
_NUMBER = number()
_INTEGER = integer()
_STEP = number(above=0)
_INTEGER_STEP = integer(1)


def _decimal(value: float) -> Decimal:
    # Convert the text, so that 0.1 + 0.2 is 0.3.
    return Decimal(repr(value))


def _steps(low: Decimal, high: Decimal, step: Decimal, log: bool) -> tuple[int, Decimal, Decimal]:
    """Return the number of whole steps up to `high`, and the nearest valid maxima around it."""
    if not log:
        count = int((high - low) // step)
        below = low + count * step
        return count, below, below if below == high else below + step
    count, below = 0, low
    while below * step <= high and count <= MOST_STEPS:
        count, below = count + 1, below * step
    return count, below, below if below == high else below * step


def parse_range(rule: Rule, body: Mapping[str, Any]) -> Range:
    """Read a range whose bounds follow `rule`.

    On a log scale a step is a factor (min, min * step, ...), as in KerasTuner.

    Raises:
        InvalidValue: With the place of every fault within `body`.
    """
    if rule.kind == "names":
        raise InvalidValue.at("takes names, not a range; list them: [a, b]")
    faults = Collector()
    for key in ("min", "max"):
        if key not in body:
            faults.add(f"{key} is missing: a range has min and max")
    log = faults.run(_SCALE.check, body.get("scale", "linear"), "scale") == "log"
    whole = _is_integer(rule, body, faults)
    low, high = (
        faults.run(partial(_bound, rule, whole), body[key], key) if key in body else None
        for key in ("min", "max")
    )
    step = None
    if "step" in body:
        step = faults.run((_INTEGER_STEP if whole else _STEP).check, body["step"], "step")
    faults.finish()
    assert low is not None
    assert high is not None
    _check_order(low, high, log)
    if step is not None:
        _check_step(low, high, step, log)
    return Range(low, high, step, log, whole)


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
        raise InvalidValue.at(f"must be a number, not {show(value)}")
    bound: float = (_INTEGER if whole and rule.kind != "int" else _NUMBER).check(value)
    if rule.kind in {"int", "float"}:
        bound = rule.check(value)
    return int(value) if whole else float(bound)


def _check_order(low: float, high: float, log: bool) -> None:
    if low == high:
        raise InvalidValue.at(f"min and max are both {show(low)}; write the value itself", "min")
    if low > high:
        raise InvalidValue.at(f"must be below max, {show(high)}, not {show(low)}", "min")
    if log and low <= 0:
        raise InvalidValue.at(f"must be above 0 on a log scale, not {show(low)}", "min")


def _check_step(low: float, high: float, step: float, log: bool) -> None:
    if log and step <= 1:
        raise InvalidValue.at(
            f"on a log scale a step multiplies, so it must be above 1, not {show(step)}", "step"
        )
    if not log and (high - low) / step > MOST_STEPS:
        raise InvalidValue.at(
            f"makes {(high - low) / step + 1:.4g} values; a range with a step has at most "
            f"{MOST_STEPS}",
            "step",
        )
    exact = _decimal(high)
    count, below, above = _steps(_decimal(low), exact, _decimal(step), log)
    if count > MOST_STEPS:
        raise InvalidValue.at(f"a range with a step has at most {MOST_STEPS} values", "step")
    if below != exact:
        near = below if exact - below <= above - exact and count else above
        raise InvalidValue.at(
            f"the step {show(step)} does not divide the range from {show(low)} to {show(high)}; "
            f"the nearest valid max is {float(near):.12g}",
            "max",
        )


#: W&B's distribution -> the keys that it takes, as in ARGUMENTS.
DISTRIBUTIONS: Final[Mapping[str, Mapping[str, float | None]]] = {
    "uniform": {"min": None, "max": None},
    "int_uniform": {"min": None, "max": None},
    "q_uniform": {"min": None, "max": None, "q": 1},
    "log_uniform_values": {"min": None, "max": None},
    "categorical": {"values": None},
    "constant": {"value": None},
}
_DISTRIBUTION = one_of(DISTRIBUTIONS, "distribution")
#: Distribution -> the keys of hpsearch that it implies.
_IMPLIED: Final[dict[str, dict[str, str]]] = {
    "int_uniform": {"type": "int"},
    "uniform": {"type": "float"},
    "log_uniform_values": {"scale": "log", "type": "float"},
}
_LIMITS: Final[Mapping[str, Rule]] = {
    "sigma": number(minimum=0),
    "q": _STEP,
    "a": number(above=0),
    "b": number(above=0),
}


def _arguments(body: Mapping[str, Any], accepted: Mapping[str, float | None]) -> dict[str, Any]:
    """Return the arguments of a distribution, with the defaults of those that are not given."""
    name, faults = body["distribution"], Collector()
    for key in body:
        if key != "distribution" and key not in accepted:
            takes = listing(accepted)
            faults.add(f"has no meaning with distribution: {name}, which takes {takes}", key)
    for key, default in accepted.items():
        if key not in body and default is None:
            faults.add(f"{key} is missing: distribution: {name} needs it")
    faults.finish()
    return {key: body.get(key, default) for key, default in accepted.items()}


def _check_numbers(arguments: Mapping[str, Any]) -> None:
    faults = Collector()
    for key, value in arguments.items():
        faults.run(_LIMITS.get(key, _NUMBER).check, value, key)
    faults.finish()


def _without_distribution(whole: bool, raw: Mapping[str, Any]) -> dict[str, Any]:
    """Replace W&B's `distribution` and `q` in a parameter's mapping.

    Args:
        whole: Whether the parameter is a whole number; `uniform` then draws whole numbers.
        raw: The mapping without `when`.

    Raises:
        InvalidValue: The distribution is unknown, or does not take one of the keys.
    """
    if "distribution" not in raw:
        if "q" in raw:
            raise InvalidValue.at(
                "has a meaning only with distribution: q_uniform; write step", "q"
            )
        return dict(raw)
    name = check_key(_DISTRIBUTION.check, raw, "distribution")
    body = _arguments(raw, DISTRIBUTIONS[name]) | _IMPLIED.get(name, {})
    if whole and body.get("type") == "float":
        del body["type"]
    return _quantised(body) if name == "q_uniform" else body


def _quantised(body: dict[str, Any]) -> dict[str, Any]:
    _check_numbers(body)
    low, high, step = body["min"], body["max"], body["q"]
    # W&B rounds to multiples of q; whole steps from min come nearest to that.
    exact, width = _decimal(low), _decimal(step)
    count = (_decimal(high) - exact) // width
    if count >= 1:
        top = exact + count * width
        high = int(top) if isinstance(low, int) and isinstance(step, int) else float(top)
    return {"min": low, "max": high, "step": step}


_KEYS: Final = ("values", "value", *RANGE_KEYS, "distribution", "q", "when")


@dataclass(frozen=True)
class ParameterSpec:
    """One hyperparameter as the file gives it.

    Attributes:
        domain: Its values (one if it is fixed) or its range.
        when: Parent -> the values with which this hyperparameter is active.
    """

    domain: tuple[Any, ...] | Range
    when: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)

    @property
    def first(self) -> Any:
        """First value of the list, or least of the range."""
        return self.domain.min if isinstance(self.domain, Range) else self.domain[0]

    def parameter(self, name: str) -> Parameter:
        """Return the parameter of the space."""
        domain = self.domain
        if not isinstance(domain, Range):
            return Parameter(name, Choices(domain), self.when)
        if not domain.log or domain.step is None:
            return Parameter(name, domain, self.when)
        low, factor = _decimal(domain.min), _decimal(domain.step)
        kind = int if domain.integer else float
        count, _, _ = _steps(low, _decimal(domain.max), factor, log=True)
        values = tuple(kind(low * factor**power) for power in range(count + 1))
        return Parameter(name, Choices(values), self.when)

    def raw(self) -> Any:
        """Return the hyperparameter as a sweep file has it."""
        domain = self.domain
        if isinstance(domain, Range):
            body: dict[str, Any] = {"min": domain.min, "max": domain.max}
            if domain.step is not None:
                body["step"] = domain.step
            if domain.log:
                body["scale"] = "log"
            body["type"] = "int" if domain.integer else "float"
        elif len(domain) == 1 and not isinstance(domain[0], list | Mapping):
            body = {"value": domain[0]}
        else:
            body = {"values": plain(domain)}
        if not self.when:
            return body if isinstance(domain, Range) else next(iter(body.values()))
        when = {
            parent: values if len(values) > 1 or isinstance(values[0], list) else values[0]
            for parent, values in self.when.items()
        }
        return {**body, "when": plain(when)}


def parse_parameter(rule: Rule, raw: Any) -> ParameterSpec:
    """Read one hyperparameter whose values follow `rule`.

    Raises:
        InvalidValue: With the place of every fault within `raw`.
    """
    if isinstance(raw, ParameterSpec):
        return raw
    if isinstance(raw, list | tuple):
        return ParameterSpec(_values(rule, raw))
    if not isinstance(raw, Mapping) or ("name" in raw and rule.mapping):
        return ParameterSpec((rule.check(raw),))
    if "name" in raw and "initial_learning_rate" in raw:
        raise InvalidValue.at(
            "a schedule belongs to an optimizer; write optimizer: {name: sgd, learning_rate: "
            "{name: cosine_decay, ...}}"
        )
    return _from_mapping(rule, require_mapping(raw, "must be a value, a list or a mapping"))


def _from_mapping(rule: Rule, raw: Mapping[str, Any]) -> ParameterSpec:
    faults = Collector()
    for key in raw:
        if key not in _KEYS:
            listed = "" if key in RANGE else f"; allowed are {listing(_KEYS)}"
            faults.add(f"unknown key{listed}{unknown_hint(key, RANGE, _KEYS)}", key)
    when = faults.run(_when, raw["when"], "when") if "when" in raw else {}
    known = {key: item for key, item in raw.items() if key in _KEYS and key != "when"}
    body = faults.run(partial(_without_distribution, rule.kind == "int"), known)
    misspelt = bool(raw.keys() - {*_KEYS})
    domain = None
    # A misspelt key is not also reported as missing.
    if body is not None and (not misspelt or _is_complete(body)):
        domain = faults.run(partial(_domain, rule), body)
    faults.finish()
    assert domain is not None
    assert when is not None
    return ParameterSpec(domain, when)


def _is_complete(body: Mapping[str, Any]) -> bool:
    return "values" in body or "value" in body or {"min", "max"} <= body.keys()


def _domain(rule: Rule, body: Mapping[str, Any]) -> tuple[Any, ...] | Range:
    given = [key for key in ("values", "value") if key in body]
    ranged = [key for key in RANGE_KEYS if key in body]
    if len(given) > 1 or (given and ranged):
        raise InvalidValue.at(f"give {listing([*given, *ranged])}, not more than one of them")
    if ranged:
        return parse_range(rule, body)
    if given == ["value"]:
        return (check_key(rule.check, body, "value"),)
    if given == ["values"]:
        return check_key(partial(_values, rule), body, "values")
    raise InvalidValue.at("needs values, a value, or min and max")


def _values(rule: Rule, raw: Any) -> tuple[Any, ...]:
    if not isinstance(raw, list | tuple):
        raise InvalidValue.at(f"must be a list of values, not {show(raw)}")
    if not raw:
        raise InvalidValue.at("must list at least one value, and is empty")
    faults = Collector()
    seen: dict[Any, int] = {}
    values = []
    for index, item in enumerate(raw):
        before = len(faults.faults)
        value = faults.run(rule.check, item, index)
        values.append(value)
        if len(faults.faults) > before:
            continue
        first = seen.setdefault(_identity(value), index)
        if first != index:
            faults.add(f"{show(value)} is listed twice; every value once", index)
    faults.finish()
    return tuple(values)


def _identity(value: Any) -> Any:
    """Return a key that is equal for equal choices: for 1 and 1.0, but not for 1 and true."""
    if isinstance(value, bool):
        return ("bool", value)
    if isinstance(value, Mapping):
        return tuple(sorted((key, _identity(item)) for key, item in value.items()))
    if isinstance(value, list | tuple):
        return ("list", *(_identity(item) for item in value))
    if value is None:
        return ("none",)
    return ("text" if isinstance(value, str) else "number", value)


def _when(raw: Any) -> dict[str, tuple[Any, ...]]:
    requirement = "must be a mapping of hyperparameter to value or list of values"
    mapping = require_mapping(raw, requirement)
    if not mapping:
        raise InvalidValue.at(f"{requirement}, and is empty")
    faults = Collector()
    accepted: dict[str, tuple[Any, ...]] = {}
    for parent, item in mapping.items():
        items = tuple(item) if isinstance(item, list | tuple) else (item,)
        if not items:
            faults.add("must list at least one value, and is empty", parent)
        accepted[parent] = tuple(faults.run(ANYTHING.check, value, parent) for value in items)
    faults.finish()
    return accepted


def _parameters(raw: Any) -> dict[str, ParameterSpec]:
    mapping = require_mapping(raw, "must be a mapping of hyperparameters to their values")
    faults = Collector()
    specs: dict[str, Any] = {
        name: faults.run(partial(parse_parameter, rule_of(name)), item, name)
        for name, item in mapping.items()
    }
    faults.finish()
    return specs


#: Hyperparameter -> ParameterSpec, in the file's order.
PARAMETERS: Final = Rule(_parameters, {"type": "object"})


#: W&B's name of a list with probabilities.
_WEIGHTED: Final = "categorical_w_probabilities"
_NAMES: Final = (*DISTRIBUTIONS, *ARGUMENTS, _WEIGHTED)


def _scalar(value: Any) -> Any:
    if isinstance(value, str) and "\0" in value:
        raise InvalidValue.at("has a zero byte, which no command line can hold")
    if value is not None and not isinstance(value, bool | int | float | str):
        raise InvalidValue.at(f"must be text, a number, true, false, null or a list: {show(value)}")
    return value


#: Any plain data: the program defines the values.
PLAIN: Final = Rule(partial(check_plain, _scalar), {}, kind="any")


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


def _program_parameters(raw: Any) -> ProgramParameters:
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


#: Parameters by any names, with any values.
PROGRAM_PARAMETERS: Final = Rule(_program_parameters, {"type": "object"})


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
    weighted = "probabilities" in body or distribution == _WEIGHTED
    if not weighted and distribution not in ARGUMENTS:
        return parse_parameter(PLAIN, body).parameter(name)
    condition = {"when": body.pop("when")} if "when" in body else {}
    when = parse_parameter(PLAIN, {"value": 0, **condition}).when
    domain = _weighted(body) if weighted else _drawn(str(distribution), body)
    return Parameter(name, domain, when)


def _weighted(body: dict[str, Any]) -> Choices:
    weights = body.pop("probabilities", None)
    if body.get("distribution") in (_WEIGHTED, "categorical"):
        del body["distribution"]
    domain = parse_parameter(PLAIN, body).domain
    values = () if isinstance(domain, Range) else domain
    if not isinstance(weights, list) or len(weights) != len(values):
        raise InvalidValue.at(
            f"must list a probability for each of the {len(values)} values, not {show(weights)}",
            "probabilities",
        )
    checked = [_LIMITS["sigma"].check(weight) for weight in weights]
    if not math.isclose(sum(checked), 1.0, rel_tol=1e-6):
        raise InvalidValue.at(f"must add up to 1, not {sum(checked):g}", "probabilities")
    # Without a probability, a value would never be drawn.
    kept = [pair for pair in zip(values, checked, strict=True) if pair[1] > 0]
    return Choices(*zip(*kept, strict=True))


def _drawn(distribution: str, body: Mapping[str, Any]) -> Drawn:
    arguments = _arguments(body, ARGUMENTS[distribution])
    _check_numbers(arguments)
    if "min" in arguments:
        _check_ends(distribution, arguments["min"], arguments["max"])
    return Drawn(distribution, tuple(arguments.items()))


def _check_ends(distribution: str, low: float, high: float) -> None:
    is_log = distribution.endswith("_values")
    _check_order(low, high, is_log)
    if is_log or "log" not in distribution:
        return
    hint = f"{distribution}_values takes the values themselves"
    if distribution == "inv_log_uniform" and low < -700:
        said = f"is a negative exponent of e, -700 or more, not {show(low)}; {hint}"
        raise InvalidValue.at(said, "min")
    if distribution != "inv_log_uniform" and high > 700:
        raise InvalidValue.at(f"is an exponent of e, at most 700, not {show(high)}; {hint}", "max")
