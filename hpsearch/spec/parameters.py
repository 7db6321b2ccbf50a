"""The key `parameters`: lists, fixed values, ranges, conditions and W&B's distributions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from typing import Any, Final

from hpsearch.space.mlp import DEFAULTS
from hpsearch.space.space import Choices, Parameter, Range
from hpsearch.spec.hyperparameters import (
    ANYTHING,
    HYPERPARAMETERS,
    UNITS_OF_LAYER,
    rule_of,
)
from hpsearch.spec.rules import (
    Collector,
    InvalidValue,
    Rule,
    check_key,
    described,
    integer,
    number,
    one_of,
    plain,
    require_mapping,
)
from hpsearch.spec.words import RANGE
from hpsearch.wording import listing, show, unknown_hint

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


#: W&B's distribution -> the keys that it takes.
DISTRIBUTIONS: Final[dict[str, tuple[str, ...]]] = {
    "uniform": ("min", "max"),
    "int_uniform": ("min", "max"),
    "q_uniform": ("min", "max", "q"),
    "log_uniform_values": ("min", "max"),
    "categorical": ("values",),
    "constant": ("value",),
}
_DISTRIBUTION = one_of(DISTRIBUTIONS, "distribution")
#: Distribution -> the keys of hpsearch that it implies.
_IMPLIED: Final[dict[str, dict[str, str]]] = {
    "int_uniform": {"type": "int"},
    "uniform": {"type": "float"},
    "log_uniform_values": {"scale": "log", "type": "float"},
}


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
    body = {key: item for key, item in raw.items() if key != "distribution"}
    faults = Collector()
    for key in body:
        if key not in DISTRIBUTIONS[name]:
            takes = listing(DISTRIBUTIONS[name])
            faults.add(f"has no meaning with distribution: {name}, which takes {takes}", key)
    for key in DISTRIBUTIONS[name]:
        if key not in body and key != "q":
            faults.add(f"{key} is missing: distribution: {name} needs it")
    faults.finish()
    body |= _IMPLIED.get(name, {})
    if whole and body.get("type") == "float":
        del body["type"]
    return _quantised(body) if name == "q_uniform" else body


def _quantised(body: dict[str, Any]) -> dict[str, Any]:
    low, high, step = body["min"], body["max"], body.get("q", 1)
    faults = Collector()
    for key, value, rule in (("q", step, _STEP), ("min", low, _NUMBER), ("max", high, _NUMBER)):
        faults.run(rule.check, value, key)
    faults.finish()
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
    def count(self) -> int | None:
        """Number of values; None for a continuous range."""
        if not isinstance(self.domain, Range):
            return len(self.domain)
        low, high, step = self.domain.min, self.domain.max, self.domain.step
        if step is None:
            return None
        return _steps(_decimal(low), _decimal(high), _decimal(step), self.domain.log)[0] + 1

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
        values = tuple(kind(low * factor**power) for power in range(self.count or 0))
        return Parameter(name, Choices(values), self.when)

    def raw(self) -> Any:
        """Return the hyperparameter as a sweep file has it."""
        domain = self.domain
        if isinstance(domain, Range):
            body = {**raw_range(domain), "type": "int" if domain.integer else "float"}
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


def raw_range(domain: Range) -> dict[str, Any]:
    """Return a range as a sweep file has it, without its type."""
    raw: dict[str, Any] = {"min": domain.min, "max": domain.max}
    if domain.step is not None:
        raw["step"] = domain.step
    if domain.log:
        raw["scale"] = "log"
    return raw


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


_POSITIVE: Final = {"type": "number", "exclusiveMinimum": 0}
#: JSON Schema of a range's keys.
_RANGE: Final[dict[str, Any]] = {
    "min": described({"type": "number"}, "Least value.", 0.0001),
    "max": described({"type": "number"}, "Greatest value (included).", 0.1),
    "step": described(
        _POSITIVE, "Take only min, min + step, ...; on a log scale min, min * step, ...", 0.01
    ),
    "scale": described(
        {**_SCALE.schema, "default": "linear"}, "Scale on which values are evenly spread.", "log"
    ),
    "type": described(
        _TYPE.schema,
        "Whole numbers or any; by default as min, max and step are written.",
        "int",
    ),
    "q": described(_POSITIVE, "W&B's name of step.", 16),
}


def parameter_schema(rule: Rule) -> dict[str, Any]:
    """Return the JSON Schema of a parameter: a single value, choices or a mapping."""
    value = dict(rule.schema)
    choices = {"type": "array", "items": value, "minItems": 1}
    properties = {
        "values": described(choices, "The choices.", [32, 128]),
        "value": described(value, "The only value.", 32),
        "when": described(
            {"type": "object", "minProperties": 1},
            "Active only when other hyperparameters have these values.",
            {"optimizer": ["sgd", "adam"], "hidden_layers": 2},
        ),
        "distribution": described(
            {"enum": list(DISTRIBUTIONS)}, "W&B's name of the kind of values.", "int_uniform"
        ),
    }
    if rule.kind != "names":
        properties |= _RANGE
    mapping = {"type": "object", "properties": properties, "additionalProperties": False}
    schema: dict[str, Any] = {
        "anyOf": [value or {"type": ["string", "number", "boolean"]}, choices, mapping]
    }
    return described(schema, rule.description, *rule.examples)


def _hyperparameter_schema(name: str, rule: Rule) -> dict[str, Any]:
    schema = parameter_schema(rule)
    if name in DEFAULTS:
        schema["default"] = DEFAULTS[name]
    if "errorMessage" in rule.schema:
        schema["errorMessage"] = rule.schema["errorMessage"]
    return schema


_SCHEMA: Final = {
    "type": "object",
    "properties": {
        name: _hyperparameter_schema(name, rule) for name, rule in HYPERPARAMETERS.items()
    },
    "patternProperties": {r"^units_[1-9]\d*$": _hyperparameter_schema("units_2", UNITS_OF_LAYER)},
    "additionalProperties": parameter_schema(
        ANYTHING.about("An argument of your own layer type or model.", [1, 2])
    ),
}


#: Hyperparameter -> ParameterSpec, in the file's order.
PARAMETERS: Final = Rule(_parameters, _SCHEMA)
