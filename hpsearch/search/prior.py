"""Prior knowledge about an MLP's hyperparameters, before the first training.

A study trained the same configs on many small tables. From its results a network, with one output
for each table, learnt how well a config does on the table; its weights are in `prior.json`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np

from hpsearch.search.encoding import Array, Dimension, Encoding
from hpsearch.space.keras_names import ACTIVATIONS, OPTIMIZERS, Activation, Optimizer
from hpsearch.space.mlp import DEFAULTS, LAYER_TYPES, LayerType, layer_of
from hpsearch.space.space import Range

#: The study's activations and optimizers; others may behave much like one of them.
_ACTIVATIONS = ("relu", "elu", "selu", "gelu", "silu", "tanh", "sigmoid")
_OPTIMIZERS = ("sgd", "adagrad", "rmsprop", "adam")
_MOST_MOMENTUM = 0.99
_LEAST_L2 = 1e-7
#: Defaults of functions that differ from those of sweep files.
_OF_FUNCTIONS = {"optimizer": "adam", "epochs": 32}
#: The kinds of score that an output of the study predicts: accuracy or loss in classification, or
#: squared error in regression.
KINDS = ("accuracy", "loss", "error")
#: Added to losses before their logarithm, so that the best configs do not dominate.
OFFSET = 0.1


#: The study's hyperparameters; those in the second line also by layer, such as `units_2`.
KNOWN = (
    "hidden_layers", "layer_type", "batch_size", "epochs", "optimizer", "learning_rate", "momentum",
    "l2", *(_OF_LAYERS := ("units", "activation", "dropout")),
)  # fmt: skip


def is_known(name: str) -> bool:
    """Check if the study covers a hyperparameter."""
    return name in KNOWN or is_of_layers(name)


def is_of_layers(name: str) -> bool:
    """Check if a hyperparameter is one of hidden layers, so that a network has it."""
    stem, _, layer = name.rpartition("_")
    whole = name in ("hidden_layers", "layer_type", *_OF_LAYERS)
    return whole or (stem in _OF_LAYERS and layer_of(f"units_{layer}") is not None)


@dataclass(frozen=True)
class _Optimizer:
    """An optimizer in the study's terms; NaN for values that it leaves open."""

    family: int
    rate: float
    momentum: float
    nesterov: bool


def _number(value: Any) -> float:
    """Return a finite number as a float; NaN for any other value, which a function may have."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and math.isfinite(value) else math.nan


def _optimizer(value: Any) -> _Optimizer:
    given = dict(value) if isinstance(value, Mapping) else {"name": value}
    name = str(given.pop("name", "")).lower()
    optimizer = OPTIMIZERS.get(name) or Optimizer(name, {})
    arguments = {**optimizer.implied, **given}
    rate = arguments.get("learning_rate", math.nan)
    if isinstance(rate, Mapping):
        rate = rate.get("initial_learning_rate", math.nan)
    family = optimizer.like
    momentum = _number(arguments.get("momentum")) if family == "sgd" else 0.0
    if not family:
        # The study does not cover it: take adam with the default rate.
        return _Optimizer(_OPTIMIZERS.index("adam"), 1e-3, 0.0, nesterov=False)
    return _Optimizer(
        _OPTIMIZERS.index(family), _number(rate), momentum, bool(arguments.get("nesterov", False))
    )


def _log_units(value: Any) -> float:
    """Return the mean binary logarithm of a number, or of a list with one for each layer."""
    listed = [_number(item) for item in (value if isinstance(value, list) else [value])]
    if not listed or not all(number > 0 for number in listed):
        return math.nan
    return sum(map(math.log2, listed)) / len(listed)


def _activation(value: Any) -> float:
    name = ACTIVATIONS.get(str(value).lower(), Activation()).like
    return float(_ACTIVATIONS.index(name)) if name else math.nan


def _layer_type(value: Any) -> LayerType:
    return LAYER_TYPES.get(str(value)) or LayerType("", (), "")


class _Columns:
    """The values of rows by hyperparameter.

    Args:
        rows: Shape `(n, D)`, NaN where inactive.
    """

    def __init__(self, encoding: Encoding, rows: Array) -> None:
        self._dimensions = {d.parameter.name: (at, d) for at, d in enumerate(encoding.dimensions)}
        self._fixed = encoding.fixed
        self._rows = rows
        self.is_mlp = encoding.space.kind.is_predefined
        self.names = (*self._dimensions, *self._fixed)
        of_functions = DEFAULTS | _OF_FUNCTIONS
        if "momentum" in self.names:
            of_functions["optimizer"] = "sgd"
        self._defaults = DEFAULTS if self.is_mlp else of_functions

    def numbers(self, name: str, read: Callable[[Any], float] = _number) -> Array:
        """Apply `read` to each row's value, shape `(n,)`; NaN without a value."""
        if name in self._dimensions:
            at, dimension = self._dimensions[name]
            return _numbers(dimension, self._rows[:, at], read)
        value = self._fixed.get(name, self._defaults.get(name))
        return np.full(len(self._rows), math.nan if value is None else read(value))

    def layers(self, name: str) -> list[int]:
        """Return the layers K that have a hyperparameter `name_K`."""
        layers = (layer_of(f"units_{n.removeprefix(f'{name}_')}") for n in self.names)
        return sorted(k for k in layers if k is not None and f"{name}_{k}" in self.names)


def _numbers(dimension: Dimension, codes: Array, read: Callable[[Any], float]) -> Array:
    numbers = np.full(len(codes), np.nan)
    active = ~np.isnan(codes)
    if dimension.parameter.choices is None and isinstance(dimension.parameter.domain, Range):
        numbers[active] = dimension.numbers(codes[active])
        return numbers if read is _number else np.array([read(value) for value in numbers.tolist()])
    different, which = np.unique(codes[active], return_inverse=True)
    values = np.array([read(dimension.decode(code)) for code in different.tolist()])
    numbers[active] = values[which] if len(different) else []
    return numbers


def _filled(values: Array, default: float | Array) -> Array:
    return np.where(np.isnan(values), default, values)


def _positive(values: Array, default: float | Array) -> Array:
    return np.where(values > 0, values, default)


def _mean_of_layers(columns: _Columns, name: str, depth: Array, of_all: Array) -> Array:
    """Return the mean over hidden layers of a number, which `name_K` overrides for layer K."""
    total = of_all * depth
    for layer in columns.layers(name):
        of_layer = columns.numbers(f"{name}_{layer}", _log_units if name == "units" else _number)
        total += np.where(~np.isnan(of_layer) & (layer <= depth), of_layer - of_all, 0.0)
    return total / np.maximum(depth, 1.0)


def _depth(columns: _Columns) -> Array:
    listed = columns.numbers("units", lambda v: len(v) if isinstance(v, list) else math.nan)
    layers = columns.layers("units")
    depth = columns.numbers("hidden_layers")
    if "hidden_layers" not in columns.names and layers:
        depth = np.full(len(depth), float(max(layers)))
    return np.where(
        np.isnan(listed) | (depth == 0), _filled(depth, DEFAULTS["hidden_layers"]), listed
    )


def _activations(columns: _Columns, depth: Array) -> Array:
    """Return the share of each activation in the hidden layers, shape `(n, activations)`."""
    shares = np.zeros((len(depth), len(_ACTIVATIONS)))
    layers = [f"activation_{k}" for k in columns.layers("activation")] or ["activation"]
    for name in layers:
        codes = columns.numbers(name, _activation)
        one_hot = codes[:, None] == np.arange(len(_ACTIVATIONS))
        unknown = np.full_like(shares, 1 / len(_ACTIVATIONS))
        shares += np.where(np.isnan(codes)[:, None], unknown, one_hot) / len(layers)
    return shares * (depth > 0)[:, None]


def _dropout(columns: _Columns, depth: Array) -> Array:
    rate = _mean_of_layers(columns, "dropout", depth, _filled(columns.numbers("dropout"), 0.5))
    if "layer_type" not in columns.names and not columns.is_mlp:
        named = "dropout" in columns.names or columns.layers("dropout")
        return np.where(depth > 0, rate, 0.0) if named else np.zeros(len(depth))
    drops = columns.numbers("layer_type", lambda value: "Dropout" in _layer_type(value).layers)
    return np.where((depth > 0) & (drops == 1), rate, 0.0)


def features(encoding: Encoding, rows: Array) -> dict[str, Array]:
    """Return the network's inputs by name: arrays of shape `(n,)` for `n` rows."""
    columns = _Columns(encoding, rows)
    depth = _depth(columns)
    hidden = depth > 0
    units = _filled(columns.numbers("units", _log_units), math.log2(DEFAULTS["units"]))
    width = np.where(hidden, (_mean_of_layers(columns, "units", depth, units) - 6) / 2, 0.0)
    deep = np.where(hidden, (depth - 2.5) / 1.5, 0.0)
    normed = columns.numbers("layer_type", lambda value: "GAMMA" in _layer_type(value).parts)
    normed = _filled(normed, 0.0)
    batch = np.log2(_positive(columns.numbers("batch_size"), DEFAULTS["batch_size"]))
    epochs = np.log2(_positive(columns.numbers("epochs"), DEFAULTS["epochs"]))
    l2 = _filled(columns.numbers("l2"), 0.0)
    inputs = {
        "flat": 1.0 - hidden,
        "depth": deep,
        "width": width,
        "depth width": deep * width,
        "batch norm": np.where(hidden, normed, 0.0),
        "dropout": 2 * _dropout(columns, depth),
        "batch": (batch - 5) / 2,
        "epochs": (epochs - 4) / 1.5,
        "steps": (epochs - batch + 1) / 2,
        "l2": (np.log10(np.maximum(l2, _LEAST_L2)) + 4) / 1.5,
    }
    inputs |= dict(zip(_ACTIVATIONS, _activations(columns, depth).T, strict=True))
    return inputs | _of_optimizer(columns)


def _of_optimizer(columns: _Columns) -> dict[str, Array]:
    """Return the features of the optimizer: its family, its rate in each family, its momentum."""
    family = columns.numbers("optimizer", lambda value: _optimizer(value).family)
    nesterov = _filled(columns.numbers("optimizer", lambda v: _optimizer(v).nesterov), 0.0)
    implied = columns.numbers("optimizer", lambda value: _optimizer(value).momentum)
    momentum = np.where(
        family == 0, _filled(_filled(implied, columns.numbers("momentum")), 0.0), 0.0
    )
    heavy = -np.log10(1 - np.minimum(momentum, _MOST_MOMENTUM))
    implied = columns.numbers("optimizer", lambda value: _optimizer(value).rate)
    rate = _filled(implied, columns.numbers("learning_rate"))
    default = np.where(family == 0, 1e-2, 1e-3)
    # In the long run, momentum m multiplies a step by 1 / (1 - m).
    log_rate = (np.log10(_positive(rate, default)) + heavy + 2.5) / 1.25
    inputs = {"nesterov": nesterov, "momentum": heavy}
    for index, name in enumerate(_OPTIMIZERS):
        inputs[name] = (family == index).astype(float)
        inputs[f"rate of {name}"] = np.where(family == index, log_rate, 0.0)
    return inputs


@dataclass(frozen=True)
class Study:
    """The network that predicts how configs do on tables.

    Attributes:
        kinds: The kind of score that each of the `T` outputs predicts: one of KINDS.
        inputs: Names of the features.
        lows, highs: Limits to which each feature is clipped: its range in the study.
        kernels, biases: Weights of the layers, with tanh between them.
    """

    kinds: tuple[str, ...]
    inputs: tuple[str, ...]
    lows: Array
    highs: Array
    kernels: tuple[Array, ...]
    biases: tuple[Array, ...]

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Study:
        """Return a study from the contents of `prior.json`."""
        return cls(
            tuple(plain["kinds"]),
            tuple(plain["inputs"]),
            np.array(plain["lows"]),
            np.array(plain["highs"]),
            tuple(np.array(kernel) for kernel in plain["kernels"]),
            tuple(np.array(bias) for bias in plain["biases"]),
        )

    def __call__(self, found: Mapping[str, Array]) -> Array:
        """Return log(regret + OFFSET), shape `(n, T)`, of configs with these `features`.

        A regret is 0 for a table's best config and 1 for its median.
        """
        values = np.stack([found[name] for name in self.inputs], axis=1)
        values = np.clip(values, self.lows, self.highs)
        *hidden, last = zip(self.kernels, self.biases, strict=True)
        for kernel, bias in hidden:
            values = np.tanh(values @ kernel + bias)
        found_logs: Array = values @ last[0] + last[1]
        return found_logs

    def of(self, kinds: Collection[str]) -> Study:
        """Return the study with only the outputs of some kinds."""
        kept = [index for index, kind in enumerate(self.kinds) if kind in kinds]
        return replace(
            self,
            kinds=tuple(self.kinds[index] for index in kept),
            kernels=(*self.kernels[:-1], self.kernels[-1][:, kept]),
            biases=(*self.biases[:-1], self.biases[-1][kept]),
        )


@cache
def shipped() -> Study:
    """Return the study that the package ships."""
    text = (files("hpsearch.search") / "prior.json").read_text(encoding="utf-8")
    return Study.from_plain(json.loads(text))


def complements(logs: Array, count: int) -> list[int]:
    """Return the places of rows that complement each other on the tables.

    Each row minimises the mean over tables of the lowest regret so far.

    Args:
        logs: The predictions of a study for the rows, shape `(n, T)`.
    """
    regrets = np.exp(logs) - OFFSET
    least = np.full(regrets.shape[1], np.inf)
    places: list[int] = []
    for _ in range(min(count, len(logs))):
        means = np.minimum(regrets, least).mean(axis=1)
        means[places] = np.inf
        places.append(int(np.argmin(means)))
        least = np.minimum(least, regrets[places[-1]])
    return places
