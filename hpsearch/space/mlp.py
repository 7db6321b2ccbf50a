"""The MLP's hyperparameters: their defaults, which of them matter, when two configs are equal."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from hpsearch.space import keras_names

Values = Mapping[str, Any]

#: The hyperparameters of the lecture notes: always columns of the results table.
NOTES = (
    "hidden_layers",
    "units",
    "activation",
    "layer_type",
    "batch_size",
    "epochs",
    "optimizer",
)

#: batch_size and optimizer are Keras' own; one hidden layer of 100 relu is scikit-learn's MLP.
DEFAULTS: dict[str, Any] = {
    "hidden_layers": 1,
    "units": 100,
    "activation": "relu",
    "layer_type": "dense",
    "batch_size": 32,
    "epochs": 10,
    "optimizer": "rmsprop",
    "kernel_initializer": "glorot_uniform",
    "l2": 0.0,
    "dropout": 0.5,
}

#: The built-in blocks; any other layer type is a function of the user's or of a package.
LAYER_TYPES = ("dense", "dropout", "batch_norm", "layer_norm", "residual")

OPTIMIZER_ALIASES: dict[str, tuple[str, dict[str, Any]]] = {
    "momentum": ("sgd", {"momentum": 0.9}),
    "nesterov": ("sgd", {"momentum": 0.9, "nesterov": True}),
}

#: Keras' two names of one function.
ACTIVATION_ALIASES = {"swish": "silu", "hard_swish": "hard_silu"}

#: Arguments of an optimizer that are hyperparameters of their own where it does not set them.
_SHARED_ARGUMENTS = ("learning_rate", "momentum", "weight_decay")
#: Below it, JSON writes a whole float and the equal integer with the same digits.
_MOST_EXACT = 1e15
_LAYER_WIDTH = re.compile(r"units_([1-9]\d*)\Z")
_HIDDEN_KEYS = frozenset({"units", "activation", "layer_type", "dropout"})


def layer_of(name: str) -> int | None:
    """Layer (from 1) whose width `name` overrides, as in `units_2`; None for other names."""
    match = _LAYER_WIDTH.match(name)
    return int(match.group(1)) if match else None


def optimizer_name(optimizer: Any) -> str:
    """The name by which `when:` and the user know an optimizer."""
    return str(optimizer["name"] if isinstance(optimizer, Mapping) else optimizer)


def _own_arguments(optimizer: Any) -> dict[str, Any]:
    if not isinstance(optimizer, Mapping):
        return {}
    return {key: value for key, value in optimizer.items() if key != "name"}


def optimizer_settings(values: Values) -> tuple[str, dict[str, Any]]:
    """Keras' name of the optimizer and every argument that it is created with.

    An optimizer's own arguments beat the top-level `learning_rate`, `momentum` and
    `weight_decay`, which in turn beat what an alias implies.
    """
    optimizer = values.get("optimizer", DEFAULTS["optimizer"])
    name, arguments = OPTIMIZER_ALIASES.get(optimizer_name(optimizer), (None, {}))
    settings = dict(arguments)
    name = name or optimizer_name(optimizer)
    accepted = keras_names.OPTIMIZERS.get(name, {})
    for key in _SHARED_ARGUMENTS:
        if key in accepted and values.get(key) is not None:
            settings[key] = values[key]
    settings.update(_own_arguments(optimizer))
    return name, settings


def _hidden_layers(values: Values) -> int:
    layers = values.get("hidden_layers", DEFAULTS["hidden_layers"])
    units = values.get("units")
    if isinstance(units, list) and layers != 0:
        return len(units)
    return int(layers)


def widths(values: Values) -> tuple[int, ...]:
    """Units of each hidden layer: `units`, a list of them, or `units_K` for layer K."""
    layers = _hidden_layers(values)
    units = values.get("units", DEFAULTS["units"])
    listed = units if isinstance(units, list) else [units] * layers
    return tuple(
        int(values.get(f"units_{layer}", listed[layer - 1])) for layer in range(1, layers + 1)
    )


def dead_in_mlp(values: Values) -> frozenset[str]:
    """Names in `values` that make no difference to the MLP that the others describe."""
    layers = _hidden_layers(values)
    dead = {name for name in values if (layer := layer_of(name)) is not None and layer > layers}
    if layers == 0:
        dead |= _HIDDEN_KEYS & values.keys()
    elif all(f"units_{layer}" in values for layer in range(1, layers + 1)) and not isinstance(
        values.get("units"), list
    ):
        dead |= {"units"} & values.keys()
    layer_type = values.get("layer_type", DEFAULTS["layer_type"])
    if layer_type in LAYER_TYPES and layer_type != "dropout":
        dead |= {"dropout"} & values.keys()
    return frozenset(dead | _dead_optimizer_arguments(values))


def _dead_optimizer_arguments(values: Values) -> set[str]:
    optimizer = values.get("optimizer", DEFAULTS["optimizer"])
    own = _own_arguments(optimizer)
    name = OPTIMIZER_ALIASES.get(optimizer_name(optimizer), (optimizer_name(optimizer), {}))[0]
    accepted = keras_names.OPTIMIZERS.get(name, {})
    return {
        key for key in _SHARED_ARGUMENTS if key in values and (key in own or key not in accepted)
    }


def identity(values: Values) -> dict[str, Any]:
    """Canonical form of a config: what is equal here trains equally.

    Widths replace hidden_layers, units and units_K (equal ones as one number); the optimizer's
    alias and arguments are resolved; defaults are left out.
    """
    name, settings = optimizer_settings(values)
    defaults = keras_names.OPTIMIZERS.get(name, {})
    settings = {
        key: value
        for key, value in settings.items()
        if key not in defaults or not _same(defaults[key], value)
    }
    if isinstance(settings.get("learning_rate"), Mapping):
        settings["learning_rate"] = _without_defaults(
            settings["learning_rate"], keras_names.SCHEDULES
        )
    layers = widths(values)
    merged = {
        key: value
        for key, value in values.items()
        if key not in _SHARED_ARGUMENTS
        and layer_of(key) is None
        and not _same(DEFAULTS.get(key), value)
    }
    merged.pop("units", None)
    merged.pop("hidden_layers", None)
    merged.pop("optimizer", None)
    if merged.get("activation") in ACTIVATION_ALIASES:
        merged["activation"] = ACTIVATION_ALIASES[merged["activation"]]
    initializer = _canonical_initializer(merged.pop("kernel_initializer", None))
    if initializer is not None:
        merged["kernel_initializer"] = initializer
    if len(layers) != DEFAULTS["hidden_layers"]:
        merged["hidden_layers"] = len(layers)
    if layers and set(layers) != {DEFAULTS["units"]}:
        merged["units"] = layers[0] if len(set(layers)) == 1 else list(layers)
    if name != DEFAULTS["optimizer"] or settings:
        merged["optimizer"] = {"name": name, **settings} if settings else name
    return {key: _plain(value) for key, value in sorted(merged.items())}


def _without_defaults(
    named: Mapping[str, Any], table: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """`{name: ..., argument: ...}` without the arguments that are the name's defaults."""
    defaults = table.get(named["name"], {})
    return {
        key: value
        for key, value in named.items()
        if key not in defaults or not _same(defaults[key], value)
    }


def _canonical_initializer(initializer: Any) -> Any:
    """A name where no argument is its own; None for the default."""
    if isinstance(initializer, Mapping):
        named = _without_defaults(initializer, keras_names.INITIALIZERS)
        initializer = named if len(named) > 1 else named["name"]
    return None if initializer == DEFAULTS["kernel_initializer"] else initializer


def _same(default: Any, value: Any) -> bool:
    if isinstance(default, bool) or isinstance(value, bool):
        return default is value
    return bool(default == value)


def _plain(value: Any) -> Any:
    """Numbers that are equal are written alike: 1.0 as 1."""
    if isinstance(value, float) and value.is_integer() and abs(value) < _MOST_EXACT:
        return int(value)
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in sorted(value.items())}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value


def config_id(values: Values) -> str:
    """`c` and 11 hex digits of the SHA-256 of the canonical form as sorted JSON."""
    return hashed(identity(values))


def hashed(values: Values) -> str:
    """`c` and 11 hex digits of the SHA-256 of values as sorted JSON."""
    text = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return "c" + hashlib.sha256(text.encode()).hexdigest()[:11]


def weight_count(values: Mapping[str, Any], features: int, outputs: int) -> int | None:
    """How many numbers the MLP has; None for a layer type of one's own.

    Source: Keras' `Model.count_params` of the layers that DESIGN's layer types name.
    """
    layer_type = str(values.get("layer_type", DEFAULTS["layer_type"]))
    layers = widths(values)
    if layers and layer_type not in LAYER_TYPES:
        return None
    # Keras' glu gives half of its input's width.
    halves = values.get("activation", DEFAULTS["activation"]) == "glu"
    total, incoming = 0, features
    for width in layers:
        total += (incoming + 1) * width
        # A batch_norm block's Dense has no bias, its BatchNormalization four numbers a unit.
        total += {"batch_norm": 3, "layer_norm": 2}.get(layer_type, 0) * width
        outgoing = width // 2 if halves else width
        if layer_type == "residual" and incoming != outgoing:
            total += incoming * outgoing
        incoming = outgoing
    return total + (incoming + 1) * outputs
