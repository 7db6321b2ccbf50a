"""The names of layer types; `mlp` builds the layers."""

from __future__ import annotations

import importlib
from operator import attrgetter
from typing import Any

from hpsearch.errors import InputError
from hpsearch.machine import find_own_modules

#: Layer type -> the layers of its hidden block.
DESCRIPTIONS: dict[str, str] = {
    "dense": "Dense, activation",
    "dropout": "Dense, activation, Dropout (0.5 unless `dropout` says otherwise)",
    "batch_norm": "Dense (its bias is the normalisation's), BatchNormalization, activation",
    "layer_norm": "Dense, LayerNormalization, activation",
    "residual": "Dense and activation added to the block's input (projected where widths differ)",
}

#: Activations that change the width, although Keras' layers assume that they do not.
RESHAPING_ACTIVATIONS = frozenset({"glu"})


def is_custom(layer_type: str) -> bool:
    """Return whether a layer type names a user's function, as `package.module:function`."""
    return layer_type not in DESCRIPTIONS


def load_object(path: str) -> Any:
    """Return the object that `package.module:name` names.

    Raises:
        InputError: The module cannot be imported or has no such name.
    """
    module_name, _, name = path.partition(":")
    find_own_modules()
    try:
        return attrgetter(name)(importlib.import_module(module_name))
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(f"{path}: cannot be loaded: {error}") from error
