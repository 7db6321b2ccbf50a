"""The hyperparameters that hpsearch knows, and what each may be."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from typing import Any, Final

from hpsearch.hyperparameters import layer_of
from hpsearch.keras_names import ACTIVATIONS
from hpsearch.sweep.optimizers import (
    INITIALIZER,
    LEARNING_RATE,
    MOMENTUM,
    OPTIMIZER,
    WEIGHT_DECAY,
)
from hpsearch.sweep.rules import (
    REFERENCE,
    Collector,
    Invalid,
    Rule,
    integer,
    number,
    one_of,
    reference,
)
from hpsearch.sweep.wording import did_you_mean, nearest, show

__all__ = [
    "HYPERPARAMETERS",
    "LAYER_TYPES",
    "UNITS_OF_LAYER",
    "open_names",
    "rule_of",
    "suggestion",
]

#: Blocks that a hidden layer can be; any other is one's own, `package.module:function`.
LAYER_TYPES: Final = ("dense", "dropout", "batch_norm", "layer_norm", "residual")
MOST_LAYERS: Final = 50
UNITS_OF_LAYER: Final = integer(1, 1_000_000)


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
        name = one_of(LAYER_TYPES, "layer type").check(value)
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
    "layer_type": Rule(
        _layer_type,
        {
            "anyOf": [
                {"enum": list(LAYER_TYPES)},
                {"type": "string", "pattern": "^" + REFERENCE.pattern.replace(r"\Z", "$")},
            ]
        },
    ),
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

#: What other tools call them.
_SYNONYMS: Final = {
    "lr": "learning_rate",
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
