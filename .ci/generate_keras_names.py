"""Write `hpsearch/space/keras_names.json` from the installed Keras; `--check` only compares.

python .ci/generate_keras_names.py [--check]
"""

from __future__ import annotations

import inspect
import json
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

TABLE = Path(__file__).parent.parent / "hpsearch" / "space" / "keras_names.json"
REQUIRED = "<required>"
#: They wrap other optimizers, so that a name and plain arguments cannot describe them.
_WRAPPERS = frozenset({"optimizer", "multioptimizer", "optimizermap", "lossscaleoptimizer"})
#: Arguments that name, seed or address parts of a model: not for a sweep file.
_NOT_SETTINGS = frozenset(
    {"name", "seed", "exclude_layers", "input_axes", "output_axes", "self", "dtype"}
)
_SNAKE_CASE = re.compile(r"[a-z][a-z0-9_]*\Z")


def table() -> dict[str, Any]:
    """Every name, with its arguments and their defaults, that the installed Keras accepts."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras

    optimizers, schedules = _optimizer_classes(), _schedule_classes()
    return {
        "keras": keras.__version__,
        "activations": _activations(),
        "optimizers": _arguments_of(keras.optimizers, optimizers),
        "optimizer_classes": optimizers,
        "losses": _losses(),
        "initializers": _initializers(),
        "schedules": _arguments_of(keras.optimizers.schedules, schedules),
        "schedule_classes": schedules,
        "metrics": _metrics(),
    }


def _activations() -> list[str]:
    import keras
    import numpy as np
    from keras.src.activations import ALL_OBJECTS_DICT

    names = []
    for name in sorted(ALL_OBJECTS_DICT):
        try:
            keras.activations.get(name)(keras.ops.convert_to_tensor(np.ones((2, 4), "float32")))
        except TypeError:
            continue  # It needs arguments, as `threshold` does.
        names.append(name)
    return names


def _optimizer_classes() -> dict[str, str]:
    import keras

    # The classes, not keras.optimizers.get(): Keras 3.15 exports Lamb, but get("lamb") fails.
    return {
        name.lower(): name
        for name in sorted(dir(keras.optimizers))
        if inspect.isclass(getattr(keras.optimizers, name)) and name.lower() not in _WRAPPERS
    }


def _losses() -> dict[str, str]:
    from keras.src.losses import ALL_OBJECTS_DICT

    return {
        name: loss.__name__
        for name, loss in sorted(ALL_OBJECTS_DICT.items())
        if inspect.isfunction(loss) and _SNAKE_CASE.match(name)
    }


def _initializers() -> dict[str, dict[str, Any]]:
    from keras.src.initializers import ALL_OBJECTS_DICT

    return {
        name: _arguments(initializer)
        for name, initializer in sorted(ALL_OBJECTS_DICT.items())
        if _SNAKE_CASE.match(name) and name not in {"initializer", "stft"}
    }


def _schedule_classes() -> dict[str, str]:
    import keras

    module = keras.optimizers.schedules
    return {
        re.sub(r"(?<!^)([A-Z])", r"_\1", name).lower(): name
        for name in sorted(dir(module))
        if inspect.isclass(getattr(module, name)) and name != "LearningRateSchedule"
    }


def _metrics() -> dict[str, list[str]]:
    """Those that need no arguments and say which way is better: class and goal."""
    import keras
    from keras.src.utils.naming import to_snake_case

    goals = {"up": "maximize", "down": "minimize"}
    found = {}
    for cls in sorted(dir(keras.metrics)):
        metric = getattr(keras.metrics, cls)
        if not inspect.isclass(metric) or REQUIRED in _arguments(metric).values():
            continue
        goal = goals.get(getattr(metric(), "_direction", None))
        if goal is not None:
            found[to_snake_case(cls)] = [cls, goal]
    return found


def _arguments_of(module: ModuleType, classes: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    return {name: _arguments(getattr(module, cls)) for name, cls in classes.items()}


def _arguments(cls: type) -> dict[str, Any]:
    return {
        name: REQUIRED if parameter.default is parameter.empty else parameter.default
        for name, parameter in inspect.signature(cls).parameters.items()
        if name not in _NOT_SETTINGS and parameter.kind is parameter.POSITIONAL_OR_KEYWORD
    }


def main() -> int:
    """Write the table, or compare it; the exit code is 1 where it is out of date."""
    text = json.dumps(table(), indent=1, sort_keys=False) + "\n"
    if "--check" in sys.argv[1:]:
        current = TABLE.exists() and TABLE.read_text(encoding="utf-8") == text
        print(f"{TABLE.name} is {'current' if current else 'out of date'}")
        return 0 if current else 1
    TABLE.write_text(text, encoding="utf-8")
    print(f"wrote {TABLE}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
