"""The rule of each hyperparameter that hpsearch knows, optimizers and initializers included."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from typing import Any, Final

from hpsearch.space.keras_names import ACTIVATIONS, INITIALIZERS, OPTIMIZERS, REQUIRED, SCHEDULES
from hpsearch.space.mlp import LAYER_TYPES, OPTIMIZER_ALIASES, layer_of
from hpsearch.spec.rules import (
    Collector,
    InvalidValue,
    Rule,
    flag,
    integer,
    number,
    one_of,
    reference,
    reference_schema,
    require_mapping,
    sequence,
    text,
)
from hpsearch.wording import did_you_mean, listing, nearest, show

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
        raise InvalidValue.at(f"name is missing: the {noun} that the other keys are arguments of")
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
            raise InvalidValue.at("needs one value more than it has boundaries", "values")
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
        raise InvalidValue.at(f"Keras allows one of {listing(_CLIPPING)}, not {listing(clipping)}")
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

MOST_LAYERS: Final = 50
UNITS_OF_LAYER: Final = integer(1, 1_000_000)
_LAYER_TYPE = one_of(LAYER_TYPES, "layer type")


def _units(value: Any) -> int | list[int]:
    if isinstance(value, list | tuple):
        if not 1 <= len(value) <= MOST_LAYERS:
            raise InvalidValue.at(
                f"a list of units has one number a layer, 1 to {MOST_LAYERS}, not {len(value)}"
            )
        faults = Collector()
        widths = [faults.run(UNITS_OF_LAYER.check, item, i) for i, item in enumerate(value)]
        faults.finish()
        return [width for width in widths if width is not None]
    width: int = UNITS_OF_LAYER.check(value)
    return width


def _layer_type(value: Any) -> str:
    if isinstance(value, str) and ":" in value:
        name: str = reference().check(value)
    else:
        name = _LAYER_TYPE.check(value)
    return name


def _anything(value: Any) -> Any:
    """A value of an argument of one's own function: any plain data."""
    if isinstance(value, float) and not math.isfinite(value):
        raise InvalidValue.at(f"must be finite, not {show(value)}")
    if isinstance(value, list | tuple):
        return [_anything(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _anything(item) for key, item in value.items()}
    if not isinstance(value, bool | int | float | str):
        raise InvalidValue.at(f"must be text, a number, true, false or a list, not {show(value)}")
    return value


ANYTHING: Final = Rule(_anything, {}, kind="any")

HYPERPARAMETERS: Final[dict[str, Rule]] = {
    "hidden_layers": integer(0, MOST_LAYERS),
    "units": Rule(
        _units,
        {
            "anyOf": [
                dict(UNITS_OF_LAYER.schema),
                {
                    "type": "array",
                    "items": dict(UNITS_OF_LAYER.schema),
                    "minItems": 1,
                    "maxItems": MOST_LAYERS,
                },
            ]
        },
        kind="int",
    ),
    "activation": one_of(ACTIVATIONS, "activation"),
    "layer_type": Rule(_layer_type, {"anyOf": [dict(_LAYER_TYPE.schema), reference_schema()]}),
    "batch_size": integer(1, 10_000_000),
    "epochs": integer(1, 1_000_000),
    "optimizer": OPTIMIZER,
    "learning_rate": LEARNING_RATE,
    "momentum": MOMENTUM,
    "weight_decay": WEIGHT_DECAY,
    "dropout": number(minimum=0, below=1),
    "l2": number(minimum=0),
    "kernel_initializer": INITIALIZER,
}

#: Hyperparameter -> what it is, and an example; `units_2` stands for all of its kind.
DESCRIBED: Final[dict[str, tuple[str, Any]]] = {
    "hidden_layers": ("How many hidden layers; 0: the output layer alone.", [0, 1, 2]),
    "units": ("Neurons of each hidden layer, or a list with one number a layer.", [50, [200, 100]]),
    "units_2": (
        "Neurons of hidden layer 2 (of any other by its number), in place of units.",
        {"values": [25, 50], "when": {"hidden_layers": [2, 3]}},
    ),
    "activation": ("Of the hidden layers; see `hpsearch list activations`.", ["relu", "tanh"]),
    "layer_type": (
        "The block that each hidden layer is: see `hpsearch list layer-types`, or a function of "
        "one's own as package.module:function.",
        ["dense", "batch_norm"],
    ),
    "batch_size": ("Rows of a step.", [32, 128]),
    "epochs": ("Passes over the training rows; the longest training answers all.", [5, 10, 20]),
    "optimizer": (
        "A Keras optimizer, alone or with its arguments; see `hpsearch list optimizers`.",
        ["adam", {"name": "sgd", "learning_rate": 0.1, "momentum": 0.95}],
    ),
    "learning_rate": (
        "Of the optimizer, whose own default holds where it is absent.",
        {"min": 1e-4, "max": 0.1, "scale": "log"},
    ),
    "momentum": ("Of optimizers that have one; their own default where absent.", [0.9, 0.95]),
    "weight_decay": ("Of the optimizer; its own default where absent.", [0.0001, 0.001]),
    "dropout": (
        "Rate of the layer type dropout.",
        {"values": [0.1, 0.3], "when": {"layer_type": "dropout"}},
    ),
    "l2": ("Weight of every kernel's squared norm in the loss.", [0.0, 0.0001]),
    "kernel_initializer": (
        "Of every kernel: a Keras initializer, alone or with its arguments.",
        ["he_normal", {"name": "constant", "value": 0.1}],
    ),
}

#: What other tools call them.
_SYNONYMS: Final = {
    "lr": "learning_rate",
    "fc_layer_size": "units",
    "neurons": "units",
    "hidden_layer_sizes": "units",
    "hidden_units": "units",
    "layers": "hidden_layers",
    "n_layers": "hidden_layers",
    "num_layers": "hidden_layers",
    "dropout_rate": "dropout",
    "kernel_regularizer": "l2",
    "initializer": "kernel_initializer",
    "decay": "weight_decay",
    "layer": "layer_type",
    "batch": "batch_size",
    "optimiser": "optimizer",
}

#: Whether the names are a model's of one's own; of ours, it then has these only.
_OPEN: Final[ContextVar[bool]] = ContextVar("open_names", default=False)
_OURS: Final = ("batch_size", "epochs")


@contextlib.contextmanager
def open_names(are_open: bool) -> Iterator[None]:
    """Within it, whether a hyperparameter is what a model of one's own makes of it."""
    before = _OPEN.set(are_open)
    try:
        yield
    finally:
        _OPEN.reset(before)


def rule_of(name: str) -> Rule:
    """The rule of a hyperparameter; names of one's own take any plain data."""
    if _OPEN.get() and name not in _OURS:
        return ANYTHING
    if layer_of(name) is not None:
        return UNITS_OF_LAYER
    return HYPERPARAMETERS.get(name, ANYTHING)


def is_known(name: str) -> bool:
    """Whether hpsearch's MLP has such a hyperparameter; `units_51` is beyond its layers."""
    layer = layer_of(name)
    return name in HYPERPARAMETERS or (layer is not None and layer <= MOST_LAYERS)


def suggestion(name: str) -> str:
    """`; did you mean ...?` for a misspelt hyperparameter."""
    if name in _SYNONYMS:
        return f"; did you mean {_SYNONYMS[name]!r}?"
    near = nearest(name, [*HYPERPARAMETERS, *_SYNONYMS])
    if near in _SYNONYMS:
        return f"; did you mean {_SYNONYMS[near]!r}?"
    return did_you_mean(name, HYPERPARAMETERS)
