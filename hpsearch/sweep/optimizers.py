"""What a file may write for an optimizer, a learning rate schedule and an initializer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from hpsearch.hyperparameters import OPTIMIZER_ALIASES
from hpsearch.keras_names import INITIALIZERS, OPTIMIZERS, REQUIRED, SCHEDULES
from hpsearch.sweep.base import require_mapping
from hpsearch.sweep.rules import (
    Collector,
    Invalid,
    Rule,
    flag,
    integer,
    number,
    one_of,
    sequence,
    text,
)
from hpsearch.sweep.wording import did_you_mean, listing

__all__ = ["INITIALIZER", "LEARNING_RATE", "MOMENTUM", "OPTIMIZER", "WEIGHT_DECAY"]

LEARNING_RATE: Final = number(above=0, maximum=1e6)
MOMENTUM: Final = number(minimum=0, below=1)
WEIGHT_DECAY: Final = number(minimum=0)
_POSITIVE = number(above=0)
_NOT_NEGATIVE = number(minimum=0)

#: Arguments whose default does not tell their range; any other takes its default's type.
_ARGUMENTS: Final[dict[str, Rule]] = {
    "learning_rate": LEARNING_RATE,
    "initial_learning_rate": LEARNING_RATE,
    "end_learning_rate": _NOT_NEGATIVE,
    "warmup_target": LEARNING_RATE,
    "momentum": MOMENTUM,
    "weight_decay": WEIGHT_DECAY,
    "adam_weight_decay": WEIGHT_DECAY,
    "rho": MOMENTUM,
    "beta_1": MOMENTUM,
    "beta_2": MOMENTUM,
    "adam_beta_1": MOMENTUM,
    "adam_beta_2": MOMENTUM,
    "ema_momentum": number(minimum=0, maximum=1),
    "epsilon": _NOT_NEGATIVE,
    "epsilon_1": _NOT_NEGATIVE,
    "epsilon_2": _NOT_NEGATIVE,
    "clipnorm": _POSITIVE,
    "clipvalue": _POSITIVE,
    "global_clipnorm": _POSITIVE,
    "clip_threshold": _POSITIVE,
    "initial_accumulator_value": _NOT_NEGATIVE,
    "learning_rate_power": number(maximum=0),
    "l1_regularization_strength": _NOT_NEGATIVE,
    "l2_regularization_strength": _NOT_NEGATIVE,
    "l2_shrinkage_regularization_strength": _NOT_NEGATIVE,
    "loss_scale_factor": _POSITIVE,
    "ema_overwrite_frequency": integer(1),
    "gradient_accumulation_steps": integer(2),
    "ns_steps": integer(1),
    "warmup_steps": integer(0),
    "decay_steps": integer(1),
    "first_decay_steps": integer(1),
    "decay_rate": _POSITIVE,
    "boundaries": sequence(integer(1), "steps"),
    "values": sequence(LEARNING_RATE, "learning rates"),
    "stddev": _POSITIVE,
    "scale": _POSITIVE,
    "mode": one_of(("fan_in", "fan_out", "fan_avg"), "mode"),
    "distribution": one_of(("truncated_normal", "untruncated_normal", "uniform"), "distribution"),
}
_CLIPPING = ("clipnorm", "clipvalue", "global_clipnorm")


def _argument_rule(name: str, default: Any) -> Rule:
    if name in _ARGUMENTS:
        return _ARGUMENTS[name]
    if isinstance(default, bool):
        return flag()
    return text() if isinstance(default, str) else number()


def _arguments(
    noun: str, name: str, accepted: Mapping[str, Any], value: Mapping[str, Any]
) -> dict[str, Any]:
    """The checked arguments of `value`, a mapping with a `name` and arguments of it."""
    faults = Collector()
    checked: dict[str, Any] = {"name": name}
    for key, item in value.items():
        if key == "name":
            continue
        if key not in accepted:
            known = listing(accepted) if accepted else "none"
            hint = did_you_mean(key, accepted)
            faults.add(f"{noun} {name} has no such argument; it takes {known}{hint}", key)
        elif item is None and accepted[key] is None:
            checked[key] = None
        elif key == "learning_rate" and isinstance(item, Mapping):
            checked[key] = faults.run(_schedule, item, key)
        else:
            checked[key] = faults.run(_argument_rule(key, accepted[key]).check, item, key)
    for key, default in accepted.items():
        if default == REQUIRED and key not in value:
            faults.add(f"{noun} {name} needs the argument {key}")
    faults.finish()
    return checked


def _named(noun: str, names: Mapping[str, Mapping[str, Any]], value: Any) -> tuple[str, Any]:
    """The name in a mapping, checked, and the arguments that it accepts."""
    mapping = require_mapping(value, f"must be a name or a mapping with the name of the {noun}")
    if "name" not in mapping:
        raise Invalid.at(f"name is missing: the {noun} that the other keys are arguments of")
    faults = Collector()
    name = faults.run(one_of(names, noun, shown=30).check, mapping["name"], "name")
    faults.finish()
    assert name is not None
    return name, names[name]


def _schedule(value: Any) -> dict[str, Any]:
    name, accepted = _named("learning rate schedule", SCHEDULES, value)
    schedule = _arguments("schedule", name, accepted, value)
    boundaries = schedule.get("boundaries")
    if boundaries is not None:
        schedule["boundaries"] = list(boundaries)
        schedule["values"] = list(schedule["values"])
        if len(schedule["values"]) != len(boundaries) + 1:
            raise Invalid.at("needs one value more than it has boundaries", "values")
    return schedule


def _optimizer_names() -> dict[str, Mapping[str, Any]]:
    aliases = {alias: OPTIMIZERS[name] for alias, (name, _) in OPTIMIZER_ALIASES.items()}
    return {**OPTIMIZERS, **aliases}


_OPTIMIZERS: Final = _optimizer_names()


def _optimizer(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return one_of(_OPTIMIZERS, "optimizer", shown=30).check(value)
    name, accepted = _named("optimizer", _OPTIMIZERS, value)
    checked = _arguments("optimizer", name, accepted, value)
    clipping = [key for key in _CLIPPING if checked.get(key) is not None]
    if len(clipping) > 1:
        raise Invalid.at(f"Keras allows one of {listing(_CLIPPING)}, not {listing(clipping)}")
    return checked


def _initializer(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return one_of(INITIALIZERS, "initializer", shown=30).check(value)
    name, accepted = _named("initializer", INITIALIZERS, value)
    return _arguments("initializer", name, accepted, value)


def _mapping_schema(names: Mapping[str, Any]) -> dict[str, Any]:
    name = {
        "enum": list(names),
        "description": "Keras' name, of which the other keys are arguments.",
        "examples": [next(iter(names))],
    }
    named = {"type": "object", "properties": {"name": name}, "required": ["name"]}
    return {"anyOf": [{"enum": list(names)}, named]}


#: An optimizer's name, `momentum` and `nesterov` included, or a mapping with its arguments.
OPTIMIZER: Final = Rule(_optimizer, _mapping_schema(_OPTIMIZERS), mapping=True)
#: An initializer's name, or a mapping with its arguments.
INITIALIZER: Final = Rule(_initializer, _mapping_schema(INITIALIZERS), mapping=True)
