"""The MLP's hyperparameters: their defaults, their activity and the equality of configs."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from hpsearch.space.keras_names import (
    ACTIVATIONS,
    INITIALIZERS,
    OPTIMIZERS,
    SCHEDULES,
    Activation,
    Optimizer,
)

#: Hyperparameter -> value as in a sweep file: an optimizer is a name or
#: `{name: ..., argument: ...}`, units a number or a list.
Values = Mapping[str, Any]

#: The hyperparameters of the lecture notes: always columns of the results table.
NOTES = ("hidden_layers", "units", "activation", "layer_type", "batch_size", "epochs", "optimizer")

#: batch_size and optimizer are Keras' defaults; one hidden layer of 100 relu is scikit-learn's.
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
    "embedding": "none",
}


@dataclass(frozen=True)
class LayerType:
    """A built-in type of hidden layers.

    Attributes:
        text: Its line in `hpsearch list layer-types`.
        layers: The layers after Dense: `activation`, a class of `keras.layers` that needs no
            arguments, `Dropout`, or `Add` for the block's input, projected if widths differ.
        native: The extension's name of the block.
        parts: The extension's names of its weights, in the order of Keras' `get_weights`.
    """

    text: str
    layers: tuple[str, ...]
    native: str
    parts: tuple[str, ...] = ("KERNEL", "BIAS")


#: Name -> built-in layer type; any other is a user's function.
LAYER_TYPES = {
    "dense": LayerType("Dense, activation", ("activation",), "DENSE"),
    "dropout": LayerType(
        "Dense, activation, Dropout (0.5 unless `dropout` says otherwise)",
        ("activation", "Dropout"),
        "DENSE",
    ),
    # No bias, which normalisation would cancel: its gradient is rounding noise, which adam and
    # rmsprop scale up to full steps, so that trainers would agree to 1e-5 only.
    "batch_norm": LayerType(
        "Dense (its bias is the normalisation's), BatchNormalization, activation",
        ("BatchNormalization", "activation"),
        "BATCH_NORM",
        ("KERNEL", "GAMMA", "BETA", "MOVING_MEAN", "MOVING_VARIANCE"),
    ),
    "layer_norm": LayerType(
        "Dense, LayerNormalization, activation",
        ("LayerNormalization", "activation"),
        "LAYER_NORM",
        ("KERNEL", "BIAS", "GAMMA", "BETA"),
    ),
    "residual": LayerType(
        "Dense and activation added to the block's input (projected where widths differ)",
        ("activation", "Add"),
        "RESIDUAL",
    ),
}

#: Arguments of an optimizer that are hyperparameters if the optimizer does not set them.
_SHARED_ARGUMENTS = ("learning_rate", "momentum", "weight_decay")
#: Below this, JSON writes a whole float with the same digits as the equal integer.
_MOST_EXACT = 1e15
MOST_LAYERS = 50
_LAYER_WIDTH = re.compile(r"units_([1-9]\d*)\Z")
_HIDDEN_KEYS = frozenset({"units", "activation", "layer_type", "dropout"})


def is_custom(layer_type: str) -> bool:
    """Check if a layer type names a user's function, as `package.module:function`."""
    return layer_type not in LAYER_TYPES


def layer_of(name: str) -> int | None:
    """Return the layer (from 1) whose width a name such as `units_2` sets, else None."""
    match = _LAYER_WIDTH.match(name)
    return int(match.group(1)) if match else None


def hashed(values: Values) -> str:
    """Return `c` and 11 hex digits of the SHA-256 of values as sorted JSON."""
    text = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return "c" + hashlib.sha256(text.encode()).hexdigest()[:11]


@dataclass(frozen=True)
class MLPConfig:
    """The typed hyperparameters of one MLP; those missing from `values` get defaults."""

    values: Values

    def _value(self, name: str) -> Any:
        return self.values.get(name, DEFAULTS[name])

    @property
    def activation(self) -> str:
        """Activation of the hidden layers."""
        return str(self._value("activation"))

    @property
    def known_activation(self) -> Activation:
        """The activation's entry, without properties if Keras has none of that name."""
        return ACTIVATIONS.get(self.activation, Activation())

    @property
    def layer_type(self) -> str:
        """Type of the hidden layers: one of LAYER_TYPES, or `package.module:function`."""
        return str(self._value("layer_type"))

    @property
    def dropout(self) -> float:
        """Share of units that each dropout layer drops."""
        return float(self._value("dropout"))

    @property
    def embedding(self) -> str:
        """The bins in place of the features: `none` or `piecewise`."""
        return str(self._value("embedding"))

    @property
    def l2(self) -> float:
        """Factor of the L2 penalty on every kernel."""
        return float(self._value("l2"))

    @property
    def initializer(self) -> tuple[str, dict[str, Any]]:
        """Keras' name of every kernel's initializer, and all its arguments but the seed."""
        given = self._value("kernel_initializer")
        arguments = {"name": given} if isinstance(given, str) else dict(given)
        name = arguments.pop("name")
        return name, {**INITIALIZERS.get(name, {}), **arguments}

    @property
    def batch_size(self) -> int:
        """Rows per training step."""
        return int(self._value("batch_size"))

    @property
    def epochs(self) -> int:
        """Passes over the training rows."""
        return int(self._value("epochs"))

    @property
    def _hidden_layers(self) -> int:
        layers, units = self._value("hidden_layers"), self.values.get("units")
        return len(units) if isinstance(units, list) and layers != 0 else int(layers)

    @cached_property
    def widths(self) -> tuple[int, ...]:
        """Units of each hidden layer, from `units` (a number or a list) and `units_K`."""
        layers, units = self._hidden_layers, self._value("units")
        listed = units if isinstance(units, list) else [units] * layers
        return tuple(
            int(self.values.get(f"units_{layer}", listed[layer - 1]))
            for layer in range(1, layers + 1)
        )

    @cached_property
    def optimizer(self) -> tuple[str, dict[str, Any]]:
        """Keras' name of the optimizer, and the arguments to create it with.

        An optimizer's own arguments override the hyperparameters `learning_rate`, `momentum` and
        `weight_decay`, which in turn override those of an alias.
        """
        optimizer = self._known_optimizer
        shared = {
            key: self.values[key]
            for key in _SHARED_ARGUMENTS
            if key in optimizer.defaults and self.values.get(key) is not None
        }
        return optimizer.name, {**optimizer.implied, **shared, **self._own_arguments}

    @property
    def _known_optimizer(self) -> Optimizer:
        given = self._value("optimizer")
        name = str(given["name"] if isinstance(given, Mapping) else given)
        return OPTIMIZERS.get(name) or Optimizer(name, {})

    @property
    def _own_arguments(self) -> dict[str, Any]:
        optimizer = self._value("optimizer")
        arguments = dict(optimizer) if isinstance(optimizer, Mapping) else {}
        arguments.pop("name", None)
        return arguments

    @property
    def inactive(self) -> frozenset[str]:
        """Names in `values` that do not affect the MLP."""
        layers = self._hidden_layers
        inactive = {name for name in self.values if (layer_of(name) or 0) > layers}
        if layers == 0:
            inactive |= _HIDDEN_KEYS
        elif all(f"units_{layer}" in self.values for layer in range(1, layers + 1)):
            inactive |= set() if isinstance(self.values.get("units"), list) else {"units"}
        if not is_custom(self.layer_type) and "Dropout" not in LAYER_TYPES[self.layer_type].layers:
            inactive.add("dropout")
        accepted, arguments = self._known_optimizer.defaults, self._own_arguments
        inactive |= {key for key in _SHARED_ARGUMENTS if key in arguments or key not in accepted}
        return frozenset(inactive & self.values.keys())

    @cached_property
    def id(self) -> str:
        """Hash of the canonical form."""
        return hashed(self.canonical())

    def canonical(self) -> dict[str, Any]:
        """Return a form that is equal for configs that train equally.

        The layers' widths replace hidden_layers, units and units_K; the optimizer's alias and
        arguments are resolved; defaults are left out.
        """
        merged = {
            key: value
            for key, value in self.values.items()
            if key not in (*_SHARED_ARGUMENTS, "units", "hidden_layers", "optimizer")
            and layer_of(key) is None
            and not _same(DEFAULTS.get(key), value)
        }
        if "activation" in merged and self.known_activation.same_as:
            merged["activation"] = self.known_activation.same_as
        initializer = _canonical_initializer(merged.pop("kernel_initializer", None))
        if initializer is not None:
            merged["kernel_initializer"] = initializer
        widths = self.widths
        if len(widths) != DEFAULTS["hidden_layers"]:
            merged["hidden_layers"] = len(widths)
        if widths and set(widths) != {DEFAULTS["units"]}:
            merged["units"] = widths[0] if len(set(widths)) == 1 else list(widths)
        name, settings = self._canonical_optimizer()
        if name != DEFAULTS["optimizer"] or settings:
            merged["optimizer"] = {"name": name, **settings} if settings else name
        return {key: _plain(value) for key, value in sorted(merged.items())}

    def _canonical_optimizer(self) -> tuple[str, dict[str, Any]]:
        name, settings = self.optimizer
        settings = _without_defaults(settings, self._known_optimizer.defaults)
        rate = settings.get("learning_rate")
        if isinstance(rate, Mapping):
            settings["learning_rate"] = _without_defaults(rate, SCHEDULES.get(rate["name"], {}))
        return name, settings

    def weight_count(self, features: int, outputs: int) -> int | None:
        """Return the number of weights, or None for a layer type of the user.

        Source: Keras' `Model.count_params` of the layers of each layer type.
        """
        kind = LAYER_TYPES.get(self.layer_type if self.widths else "dense")
        if kind is None:
            return None
        total, incoming = 0, features
        for width in self.widths:
            total += incoming * width + (len(kind.parts) - 1) * width
            outgoing = width // 2 if self.known_activation.halves else width
            if "Add" in kind.layers and incoming != outgoing:
                total += incoming * outgoing
            incoming = outgoing
        return total + (incoming + 1) * outputs


def _without_defaults(arguments: Values, defaults: Values) -> dict[str, Any]:
    """Return the arguments that differ from their defaults."""
    return {
        key: value
        for key, value in arguments.items()
        if key not in defaults or not _same(defaults[key], value)
    }


def _canonical_initializer(initializer: Any) -> Any:
    """Return a name if no argument is set, and None for the default."""
    if isinstance(initializer, Mapping):
        named = _without_defaults(initializer, INITIALIZERS.get(initializer["name"], {}))
        initializer = named if len(named) > 1 else named["name"]
    return None if initializer == DEFAULTS["kernel_initializer"] else initializer


def _same(default: Any, value: Any) -> bool:
    if isinstance(default, bool) or isinstance(value, bool):
        return default is value
    return bool(default == value)


def _plain(value: Any) -> Any:
    """Return equal numbers as the same type: 1.0 as 1."""
    if isinstance(value, float) and value.is_integer() and abs(value) < _MOST_EXACT:
        return int(value)
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in sorted(value.items())}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value
