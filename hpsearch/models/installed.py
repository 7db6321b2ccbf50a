"""Check that the installed Keras has every name that a sweep uses."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hpsearch.errors import InputError
from hpsearch.machine import version_of
from hpsearch.space.keras_names import (
    ACTIVATIONS,
    KERAS_VERSION,
    LOSSES,
    METRIC_CLASSES,
    OPTIMIZER_CLASSES,
    SCHEDULE_CLASSES,
)
from hpsearch.space.mlp import OPTIMIZER_ALIASES, optimizer_name
from hpsearch.spec.sweep import Sweep

_EXPORTED = re.compile(r"^(?:from \S+ import \w+|    \w+) as (\w+),?$", re.MULTILINE)
#: Short names of initializers; Keras exports only the full ones.
_FULL_NAMES = {
    "normal": "random_normal",
    "uniform": "random_uniform",
    "one": "ones",
    "zero": "zeros",
}


#: A name in a sweep: its key, and the folder and name of Keras' export.
_Name = tuple[str, str, str, str]


def require_names(sweep: Sweep) -> None:
    """Check that the installed Keras has every name that a sweep uses.

    Raises:
        InputError: Some are missing.
    """
    installed = version_of("keras")
    if installed == KERAS_VERSION:
        return
    lacking = [
        f"{key}: {name!r} is not in the installed Keras, {installed} (sweep files may "
        f"use the names of {KERAS_VERSION}); install that, or name another"
        for key, name, folder, export in dict.fromkeys(_names(sweep))
        # Skip the check if Keras' exports cannot be read.
        if (exported := _exported(folder)) and export not in exported
    ]
    if lacking:
        raise InputError("\n".join(lacking))


@cache
def _exported(folder: str) -> frozenset[str]:
    found = find_spec("keras")
    if found is None or found.origin is None:
        return frozenset()
    try:
        text = (Path(found.origin).parent / folder / "__init__.py").read_text(encoding="utf-8")
    except OSError:
        return frozenset()
    return frozenset(_EXPORTED.findall(text))


def _names(sweep: Sweep) -> Iterator[_Name]:
    metric = sweep.metric.name.removeprefix("val_") if sweep.metric else ""
    if metric in METRIC_CLASSES:
        yield "metric", metric, "metrics", METRIC_CLASSES[metric]
    if isinstance(sweep.model, str):
        # A custom model's hyperparameters are not Keras' names.
        return
    if sweep.model.loss in LOSSES:
        yield "model.loss", sweep.model.loss, "losses", LOSSES[sweep.model.loss]
    yield from _activation("model.output_activation", sweep.model.output_activation)
    for parameter in sweep.space.parameters:
        for value in parameter.choices or ():
            yield from _of_value(f"parameters.{parameter.name}", parameter.name, value)
    for number, point in enumerate(sweep.configs):
        for name, value in point.items():
            yield from _of_value(f"configs[{number}].{name}", name, value)


def _of_value(key: str, parameter: str, value: Any) -> Iterator[_Name]:
    match parameter:
        case "activation":
            yield from _activation(key, value)
        case "optimizer":
            yield from _optimizer(key, value)
        case "kernel_initializer":
            name = str(value["name"] if isinstance(value, Mapping) else value)
            yield key, name, "initializers", _FULL_NAMES.get(name, name)


def _activation(key: str, value: Any) -> Iterator[_Name]:
    if value in ACTIVATIONS:
        yield key, value, "activations", value


def _optimizer(key: str, value: Any) -> Iterator[_Name]:
    name = optimizer_name(value)
    name = OPTIMIZER_ALIASES.get(name, (name,))[0]
    if name in OPTIMIZER_CLASSES:
        yield key, name, "optimizers", OPTIMIZER_CLASSES[name]
    rate = value.get("learning_rate") if isinstance(value, Mapping) else None
    if isinstance(rate, Mapping):
        name = rate["name"]
        yield f"{key}.learning_rate", name, "optimizers/schedules", SCHEDULE_CLASSES[name]
