"""`parameters:` lists, fixed values, ranges, conditions, and W&B's distributions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from typing import Annotated, Any, Final

from hpsearch.space.mlp import DEFAULTS
from hpsearch.space.space import Choices, Parameter, Range
from hpsearch.spec.hyperparameters import (
    ANYTHING,
    DESCRIBED,
    HYPERPARAMETERS,
    UNITS_OF_LAYER,
    rule_of,
)
from hpsearch.spec.rules import (
    Collector,
    InvalidValue,
    Rule,
    integer,
    number,
    one_of,
    plain,
    require_mapping,
)
from hpsearch.wording import did_you_mean, listing, show

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
        raise InvalidValue.at("takes names, not a range; list them: [a, b]")
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


#: W&B's distribution -> the keys that go with it.
DISTRIBUTIONS: Final[dict[str, tuple[str, ...]]] = {
    "uniform": ("min", "max"),
    "int_uniform": ("min", "max"),
    "q_uniform": ("min", "max", "q"),
    "log_uniform_values": ("min", "max"),
    "categorical": ("values",),
    "constant": ("value",),
}
_DISTRIBUTION = one_of(DISTRIBUTIONS, "distribution")
_Q = number(above=0)


def parameter(raw: Mapping[str, Any], *, whole: bool = False) -> dict[str, Any]:
    """A parameter's mapping without W&B's `distribution` and `q`.

    Args:
        raw: The mapping, `when` left out.
        whole: Whether it takes whole numbers only, so that `uniform` draws such.

    Raises:
        Invalid: An unknown distribution, or keys that do not go with it.
    """
    if "distribution" not in raw:
        if "q" in raw:
            raise InvalidValue.at(
                "has a meaning only with distribution: q_uniform; write step", "q"
            )
        return dict(raw)
    faults = Collector()
    name = faults.run(_DISTRIBUTION.check, raw["distribution"], "distribution")
    faults.finish()
    assert name is not None
    body = {key: item for key, item in raw.items() if key != "distribution"}
    for key in body:
        if key not in DISTRIBUTIONS[name]:
            takes = listing(DISTRIBUTIONS[name])
            faults.add(f"has no meaning with distribution: {name}, which takes {takes}", key)
    for key in DISTRIBUTIONS[name]:
        if key not in body and key != "q":
            faults.add(f"{key} is missing: distribution: {name} needs it")
    faults.finish()
    rendered = _RENDER.get(name, dict)(body)
    if whole and rendered.get("type") == "float":
        del rendered["type"]
    return rendered


def _quantised(body: dict[str, Any]) -> dict[str, Any]:
    low, high, step = body["min"], body["max"], body.get("q", 1)
    faults = Collector()
    faults.run(_Q.check, step, "q")
    for key in ("min", "max"):
        faults.run(number().check, body[key], key)
    faults.finish()
    # W&B rounds to multiples of q; whole steps from min are the nearest thing to list.
    exact, width = Decimal(repr(low)), Decimal(repr(step))
    count = (Decimal(repr(high)) - exact) // width
    if count >= 1:
        top = exact + count * width
        high = int(top) if isinstance(low, int) and isinstance(step, int) else float(top)
    return {"min": low, "max": high, "step": step}


_RENDER: Final[dict[str, Callable[[dict[str, Any]], dict[str, Any]]]] = {
    "int_uniform": lambda body: {**body, "type": "int"},
    "uniform": lambda body: {**body, "type": "float"},
    "q_uniform": _quantised,
    "log_uniform_values": lambda body: {**body, "scale": "log", "type": "float"},
}

_KEYS: Final = ("values", "value", *RANGE_KEYS, "distribution", "q", "when")


@dataclass(frozen=True)
class ParameterSpec:
    """One hyperparameter as the file gives it.

    Attributes:
        domain: Its values (one where it is fixed), or a range.
        when: Parent -> the values for which this one lives.
    """

    domain: tuple[Any, ...] | RangeSpec
    when: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)

    @property
    def count(self) -> int | None:
        """How many values it has; None where it is continuous."""
        return self.domain.count if isinstance(self.domain, RangeSpec) else len(self.domain)

    @property
    def first(self) -> Any:
        """The first value of the list, or the least of the range."""
        return self.domain.min if isinstance(self.domain, RangeSpec) else self.domain[0]

    def parameter(self, name: str) -> Parameter:
        """As the space knows it."""
        domain = self.domain
        if not isinstance(domain, RangeSpec):
            return Parameter(name, Choices(domain), self.when)
        if domain.log and domain.step is not None:
            return Parameter(name, Choices(domain.multiples()), self.when)
        return Parameter(
            name,
            Range(domain.min, domain.max, domain.step, domain.log, domain.integer),
            self.when,
        )

    def raw(self) -> Any:
        """As a sweep file writes it."""
        if isinstance(self.domain, RangeSpec):
            body = self.domain.raw()
        elif len(self.domain) == 1 and not isinstance(self.domain[0], list | Mapping):
            if not self.when:
                return self.domain[0]
            body = {"value": self.domain[0]}
        elif not self.when:
            return plain(self.domain)
        else:
            body = {"values": plain(self.domain)}
        if self.when:
            body["when"] = {
                parent: plain(values)
                if len(values) > 1 or isinstance(values[0], list)
                else plain(values[0])
                for parent, values in self.when.items()
            }
        return body


def parse_parameter(rule: Rule, raw: Any) -> ParameterSpec:
    """What the file says of one hyperparameter whose values follow `rule`.

    Raises:
        Invalid: With the place of every fault within `raw`.
    """
    if isinstance(raw, ParameterSpec):
        return raw
    if isinstance(raw, list | tuple):
        return ParameterSpec(_values(rule, raw))
    if not isinstance(raw, Mapping):
        return ParameterSpec((rule.check(raw),))
    if "name" in raw and rule.mapping:
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
            hint = did_you_mean(key, _KEYS)
            faults.add(f"unknown key; allowed are {listing(_KEYS)}{hint}", key)
    when = faults.run(_when, raw["when"], "when") if "when" in raw else {}
    known = {key: item for key, item in raw.items() if key in _KEYS and key != "when"}
    body = faults.run(partial(parameter, whole=rule.kind == "int"), known)
    misspelt = bool(raw.keys() - {*_KEYS})
    domain = None
    if body is not None and not (misspelt and not _is_complete(body)):
        domain = faults.run(partial(_domain, rule), body)
    faults.finish()
    assert domain is not None
    assert when is not None
    return ParameterSpec(domain, when)


def _is_complete(body: Mapping[str, Any]) -> bool:
    return "values" in body or "value" in body or {"min", "max"} <= body.keys()


def _domain(rule: Rule, body: Mapping[str, Any]) -> tuple[Any, ...] | RangeSpec:
    given = [key for key in ("values", "value") if key in body]
    ranged = [key for key in RANGE_KEYS if key in body]
    if len(given) > 1 or (given and ranged):
        raise InvalidValue.at(f"give {listing([*given, *ranged])}, not more than one of them")
    if ranged:
        return parse_range(rule, body)
    faults = Collector()
    if given == ["value"]:
        value = faults.run(rule.check, body["value"], "value")
        faults.finish()
        return (value,)
    if given == ["values"]:
        values = faults.run(partial(_values, rule), body["values"], "values")
        faults.finish()
        return values or ()
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
    """Equal for values that are the same choice; true is not 1, but 1.0 is."""
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
    law = "must be a mapping of hyperparameter to value or list of values"
    mapping = require_mapping(raw, law)
    if not mapping:
        raise InvalidValue.at(f"{law}, and is empty")
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
    specs = {
        name: faults.run(partial(parse_parameter, rule_of(name)), item, name)
        for name, item in mapping.items()
    }
    faults.finish()
    return {name: spec for name, spec in specs.items() if spec is not None}


_POSITIVE: Final = {"type": "number", "exclusiveMinimum": 0}
#: The schema of a range's keys.
_RANGE: Final[dict[str, Any]] = {
    "min": {"type": "number", "description": "The least value.", "examples": [0.0001]},
    "max": {
        "type": "number",
        "description": "The greatest value, itself included.",
        "examples": [0.1],
    },
    "step": {
        **_POSITIVE,
        "description": "Only min, min + step, ...; on a log scale min, min * step, ...",
        "examples": [0.01],
    },
    "scale": {
        **one_of(("linear", "log"), "scale").schema,
        "default": "linear",
        "description": "How values are spread.",
        "examples": ["log"],
    },
    "type": {
        **one_of(("int", "float"), "type").schema,
        "description": "Whole numbers or any; where absent, as min, max and step are written.",
        "examples": ["int"],
    },
    "q": {**_POSITIVE, "description": "W&B's word for step.", "examples": [16]},
}


def _parameter_schema(rule: Rule) -> dict[str, Any]:
    value = dict(rule.schema)
    properties: dict[str, Any] = {
        "values": {
            "type": "array",
            "items": value,
            "minItems": 1,
            "description": "The choices.",
            "examples": [[32, 128]],
        },
        "value": {**value, "description": "The only value.", "examples": [32]},
        "when": {
            "type": "object",
            "minProperties": 1,
            "description": "It lives only where other hyperparameters have these values.",
            "examples": [{"optimizer": ["sgd", "adam"], "hidden_layers": 2}],
        },
        "distribution": {
            "enum": list(DISTRIBUTIONS),
            "description": "W&B's word for the kind of values.",
            "examples": ["int_uniform"],
        },
    }
    if rule.kind != "names":
        properties |= _RANGE
    mapping = {"type": "object", "properties": properties, "additionalProperties": False}
    scalar = value or {"type": ["string", "number", "boolean"]}
    return {"anyOf": [scalar, {"type": "array", "items": value, "minItems": 1}, mapping]}


def _schema() -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {name: _described(name, rule) for name, rule in HYPERPARAMETERS.items()},
        "patternProperties": {r"^units_[1-9]\d*$": _described("units_2", UNITS_OF_LAYER)},
        "additionalProperties": {
            **_parameter_schema(ANYTHING),
            "description": "An argument of one's own layer type or model.",
            "examples": [[1, 2]],
        },
    }


def _described(name: str, rule: Rule) -> dict[str, Any]:
    description, example = DESCRIBED[name]
    default = {"default": DEFAULTS[name]} if name in DEFAULTS else {}
    about = {"description": description, "examples": [example], **default}
    if "errorMessage" in rule.schema:
        about["errorMessage"] = rule.schema["errorMessage"]
    return {**_parameter_schema(rule), **about}


#: The type of the field: hyperparameter -> ParameterSpec, in the file's order.
Parameters = Annotated[dict[str, ParameterSpec], Rule(_parameters, _schema())]
