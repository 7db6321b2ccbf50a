"""Rules of hpsearch's hyperparameters, including the arguments of optimizers and initializers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final

from hpsearch.space.keras_names import ACTIVATIONS, INITIALIZERS, OPTIMIZERS, REQUIRED, SCHEDULES
from hpsearch.space.mlp import LAYER_TYPES, MOST_LAYERS, layer_of
from hpsearch.spec import words
from hpsearch.spec.rules import (
    InvalidValue,
    Rule,
    check_key,
    check_keys,
    either,
    flag,
    integer,
    number,
    one_of,
    reference,
    require_mapping,
    sequence,
    text,
)
from hpsearch.wording import show, unknown_hint

_LEARNING_RATE: Final = number(above=0, maximum=1e6)
_MOMENTUM: Final = number(minimum=0, below=1)
_POSITIVE = number(above=0)
_NOT_NEGATIVE = number(minimum=0)
_RULES: Final[tuple[tuple[Rule, tuple[str, ...]], ...]] = (
    (_LEARNING_RATE, ("learning_rate", "initial_learning_rate", "warmup_target")),
    (_MOMENTUM, ("momentum", "rho", "beta_1", "beta_2", "adam_beta_1", "adam_beta_2")),
    (number(minimum=0, maximum=1), ("ema_momentum",)),
    (
        _POSITIVE,
        (
            *("clipnorm", "clipvalue", "global_clipnorm", "clip_threshold", "decay_rate"),
            *("loss_scale_factor", "scale", "stddev"),
        ),
    ),
    (_NOT_NEGATIVE, ("weight_decay", "adam_weight_decay", "end_learning_rate")),
    (_NOT_NEGATIVE, ("epsilon", "initial_accumulator_value")),
    (integer(0), ("warmup_steps",)),
    (integer(1), ("decay_steps", "ema_overwrite_frequency", "first_decay_steps", "ns_steps")),
    (integer(2), ("gradient_accumulation_steps",)),
    (sequence(integer(1), "steps").then(list), ("boundaries",)),
    (sequence(_LEARNING_RATE, "learning rates").then(list), ("values",)),
    (one_of(("fan_in", "fan_out", "fan_avg"), "mode"), ("mode",)),
    (
        one_of(("truncated_normal", "untruncated_normal", "uniform"), "distribution"),
        ("distribution",),
    ),
)
#: Rules of arguments; for any other, the type of its default is the rule.
_ARGUMENTS: Final = {argument: rule for rule, arguments in _RULES for argument in arguments}


_FLAG, _NUMBER, _TEXT = flag(), number(), text()


def _argument_rule(name: str, default: Any) -> Rule:
    usual = _FLAG if isinstance(default, bool) else _TEXT if isinstance(default, str) else _NUMBER
    return Rule(partial(_argument, name, default, _ARGUMENTS.get(name, usual)))


def _argument(name: str, default: Any, rule: Rule, value: Any) -> Any:
    if value is None and default is None:
        return None
    is_schedule = name == "learning_rate" and isinstance(value, Mapping)
    return (_SCHEDULE if is_schedule else rule).check(value)


def _named(noun: str, names: Mapping[str, Mapping[str, Any]]) -> Rule:
    """A name of Keras', or a mapping with the name and arguments.

    Args:
        noun: The kind of thing that is named, for messages.
        names: Name -> argument -> default.
    """
    rule = one_of(names, noun, shown=30)
    rules = {
        name: {"name": rule, **{key: _argument_rule(key, item) for key, item in accepted.items()}}
        for name, accepted in names.items()
    }

    def check(value: Any) -> Any:
        if not isinstance(value, Mapping):
            return rule.check(value)
        mapping = require_mapping(value, f"must be a name or a mapping with the name of the {noun}")
        if "name" not in mapping:
            raise InvalidValue.at(f"name is missing: the {noun} that the other keys are about")
        name = check_key(rule.check, mapping, "name")
        needed = [argument for argument, default in names[name].items() if default == REQUIRED]
        return {"name": name, **check_keys(mapping, rules[name], needed)}

    described = {
        "enum": list(names),
        "description": "Keras' name; the other keys are its arguments.",
        "examples": [next(iter(names))],
    }
    body = {"type": "object", "properties": {"name": described}, "required": ["name"]}
    return Rule(check, {"anyOf": [{"enum": list(names)}, body]}, mapping=True)


_SCHEDULE: Final = _named("learning rate schedule", SCHEDULES)
_OPTIMIZERS: Final = {name: optimizer.defaults for name, optimizer in OPTIMIZERS.items()}


#: Rule of `units_2` and the other widths of single layers.
UNITS_OF_LAYER: Final = integer(1, 1_000_000).about(
    "Neurons of hidden layer 2 (or another layer, by its number), instead of units.",
    {"values": [25, 50], "when": {"hidden_layers": [2, 3]}},
)
_LAYER_TYPE = one_of(LAYER_TYPES, "layer type")


_UNITS = either(
    f"must be a whole number of at least 1, or a list of 1 to {MOST_LAYERS} such, one per layer",
    UNITS_OF_LAYER,
    sequence(UNITS_OF_LAYER, "whole numbers", most=MOST_LAYERS).then(list),
)


def _layer_type(value: Any) -> Any:
    rule = reference() if isinstance(value, str) and ":" in value else _LAYER_TYPE
    return rule.check(value)


def _check_plain(value: Any, *, of_program: bool = False) -> Any:
    """Return plain data: finite numbers and other scalars, in lists and mappings."""
    if isinstance(value, list | tuple):
        return [_check_plain(item, of_program=of_program) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _check_plain(v, of_program=of_program) for key, v in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        raise InvalidValue.at(f"must be finite, not {show(value)}")
    if of_program and isinstance(value, str) and "\0" in value:
        raise InvalidValue.at("has a zero byte, which no command line can hold")
    if not isinstance(value, bool | int | float | str) and not (of_program and value is None):
        raise InvalidValue.at(f"must be text, a number, true, false or a list, not {show(value)}")
    return value


#: Any plain data: the values of an unknown hyperparameter.
ANYTHING: Final = Rule(_check_plain, {}, kind="any")
#: Values of a program's parameter, which may also be null.
PLAIN: Final = Rule(partial(_check_plain, of_program=True), {}, kind="any").about(
    "A value, choices, a range or a distribution.", [1, 2]
)

HYPERPARAMETERS: Final[dict[str, Rule]] = {
    "hidden_layers": integer(0, MOST_LAYERS).about(
        "Number of hidden layers; 0: only the output layer.", [0, 1, 2]
    ),
    "units": replace(_UNITS, kind="int").about(
        "Neurons per hidden layer, or a list with one number per layer.", [50, [200, 100]]
    ),
    "activation": one_of(ACTIVATIONS, "activation").about(
        "Activation of the hidden layers; see `hpsearch list activations`.", ["relu", "tanh"]
    ),
    "layer_type": Rule(
        _layer_type, {"anyOf": [dict(_LAYER_TYPE.schema), dict(reference().schema)]}
    ).about(
        "Type of each hidden layer: see `hpsearch list layer-types`, or a function of your own as "
        "package.module:function.",
        ["dense", "batch_norm"],
    ),
    "batch_size": integer(1, 10_000_000).about("Rows per training step.", [32, 128]),
    "epochs": integer(1, 1_000_000).about(
        "Passes over the training rows; of several numbers, one training answers all.", [5, 10, 20]
    ),
    "optimizer": _named("optimizer", _OPTIMIZERS).about(
        "A Keras optimizer, alone or with its arguments; see `hpsearch list optimizers`.",
        ["adam", {"name": "sgd", "learning_rate": 0.1, "momentum": 0.95}],
    ),
    "learning_rate": _LEARNING_RATE.about(
        "Learning rate of the optimizer; by default the optimizer's own.",
        {"min": 1e-4, "max": 0.1, "scale": "log"},
    ),
    "momentum": _MOMENTUM.about(
        "Momentum of optimizers that have one; by default the optimizer's own.", [0.9, 0.95]
    ),
    "weight_decay": _NOT_NEGATIVE.about(
        "Weight decay of the optimizer; by default the optimizer's own.", [0.0001, 0.001]
    ),
    "dropout": number(minimum=0, below=1).about(
        "Share of units that the layer type dropout drops.",
        {"values": [0.1, 0.3], "when": {"layer_type": "dropout"}},
    ),
    "l2": number(minimum=0).about("Factor of the L2 penalty on every kernel.", [0.0, 0.0001]),
    "kernel_initializer": _named("initializer", INITIALIZERS).about(
        "A Keras initializer of every kernel, alone or with its arguments.",
        ["he_normal", {"name": "constant", "value": 0.1}],
    ),
}


def rule_of(name: str) -> Rule:
    """Return the rule of a hyperparameter; an unknown one takes any plain data."""
    if layer_of(name) is not None:
        return UNITS_OF_LAYER
    return HYPERPARAMETERS.get(name, ANYTHING)


def custom_rule_of(name: str) -> Rule:
    """Return the rule of a custom model's hyperparameter, which shares two with the MLP."""
    return HYPERPARAMETERS[name] if name in ("batch_size", "epochs") else ANYTHING


def is_known(name: str) -> bool:
    """Check if hpsearch's MLP has this hyperparameter; it has too few layers for `units_51`."""
    layer = layer_of(name)
    return name in HYPERPARAMETERS or (layer is not None and layer <= MOST_LAYERS)


def suggestion(name: str) -> str:
    """Return a hint at the intended name of an unknown hyperparameter; empty if unknown."""
    return unknown_hint(name, words.HYPERPARAMETERS, HYPERPARAMETERS)
