"""`parameters:`: a list, a fixed value, a range or W&B's words for them, and conditions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Any, Final

from hpsearch.hyperparameters import DEFAULTS
from hpsearch.space import Choices, Parameter, Range
from hpsearch.sweep import wandb
from hpsearch.sweep.base import plain, require_mapping
from hpsearch.sweep.names import (
    ANYTHING,
    DESCRIBED,
    HYPERPARAMETERS,
    UNITS_OF_LAYER,
    rule_of,
)
from hpsearch.sweep.ranges import RANGE_KEYS, RangeSpec, parse_range
from hpsearch.sweep.rules import Collector, Invalid, Rule, one_of
from hpsearch.sweep.wording import did_you_mean, listing, show

__all__ = ["ParameterSpec", "Parameters", "parse_parameter"]

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
        raise Invalid.at(
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
    body = faults.run(partial(wandb.parameter, whole=rule.kind == "int"), known)
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
        raise Invalid.at(f"give {listing([*given, *ranged])}, not more than one of them")
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
    raise Invalid.at("needs values, a value, or min and max")


def _values(rule: Rule, raw: Any) -> tuple[Any, ...]:
    if not isinstance(raw, list | tuple):
        raise Invalid.at(f"must be a list of values, not {show(raw)}")
    if not raw:
        raise Invalid.at("must list at least one value, and is empty")
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
        raise Invalid.at(f"{law}, and is empty")
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
            "enum": list(wandb.DISTRIBUTIONS),
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
