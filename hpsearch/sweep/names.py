"""The hyperparameters that hpsearch knows, and what each may be."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from typing import Any, Final

from hpsearch import extensions
from hpsearch.hyperparameters import LAYER_TYPES, layer_of
from hpsearch.keras_names import ACTIVATIONS
from hpsearch.sweep.optimizers import (
    INITIALIZER,
    LEARNING_RATE,
    MOMENTUM,
    OPTIMIZER,
    WEIGHT_DECAY,
)
from hpsearch.sweep.rules import (
    Collector,
    Invalid,
    Rule,
    extensible,
    integer,
    number,
    one_of,
    reference,
    reference_schema,
)
from hpsearch.sweep.wording import did_you_mean, nearest, show

__all__ = [
    "DESCRIBED",
    "HYPERPARAMETERS",
    "LAYER_TYPES",
    "UNITS_OF_LAYER",
    "open_names",
    "rule_of",
    "suggestion",
]

MOST_LAYERS: Final = 50
UNITS_OF_LAYER: Final = integer(1, 1_000_000)
_LAYER_TYPE = extensible(LAYER_TYPES, "layer type", extensions.LAYER_TYPES)


def _units(value: Any) -> int | list[int]:
    if isinstance(value, list | tuple):
        if not 1 <= len(value) <= MOST_LAYERS:
            raise Invalid.at(
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
        raise Invalid.at(f"must be finite, not {show(value)}")
    if isinstance(value, list | tuple):
        return [_anything(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _anything(item) for key, item in value.items()}
    if not isinstance(value, bool | int | float | str):
        raise Invalid.at(f"must be text, a number, true, false or a list, not {show(value)}")
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
