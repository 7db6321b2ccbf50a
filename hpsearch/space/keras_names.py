"""Keras' names as a generated table, so that checking a sweep file does not import Keras."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

#: Default of an argument that has none.
REQUIRED: Final = "<required>"

_TABLE: Final[dict[str, Any]] = json.loads(
    Path(__file__).with_suffix(".json").read_text(encoding="utf-8")
)

#: Names that `keras.activations.get` takes.
ACTIVATIONS: Final[tuple[str, ...]] = tuple(_TABLE["activations"])

#: Optimizer in lower case, as `keras.optimizers.get` takes it -> argument -> default.
OPTIMIZERS: Final[dict[str, dict[str, Any]]] = _TABLE["optimizers"]

#: Optimizer in lower case -> class in `keras.optimizers`. Create it from its class: Keras 3.15
#: exports Lamb, but `keras.optimizers.get("lamb")` fails.
OPTIMIZER_CLASSES: Final[dict[str, str]] = _TABLE["optimizer_classes"]

#: Names that `keras.losses.get` takes -> the full name (`mse` -> `mean_squared_error`).
LOSSES: Final[dict[str, str]] = _TABLE["losses"]

#: Names that `keras.initializers.get` takes -> argument -> default; hpsearch sets the seed.
INITIALIZERS: Final[dict[str, dict[str, Any]]] = _TABLE["initializers"]

#: Learning rate schedules in snake case (`cosine_decay` is Keras' CosineDecay) -> argument ->
#: default or `REQUIRED`.
SCHEDULES: Final[dict[str, dict[str, Any]]] = _TABLE["schedules"]

#: Learning rate schedule in snake case -> class in `keras.optimizers.schedules`.
SCHEDULE_CLASSES: Final[dict[str, str]] = _TABLE["schedule_classes"]

#: Short name of a metric -> Keras' name.
_SHORT: Final = {
    "f1": "f1_score",
    "mape": "mean_absolute_percentage_error",
    "mse": "mean_squared_error",
    "msle": "mean_squared_logarithmic_error",
    "rmse": "root_mean_squared_error",
    "top_k_accuracy": "top_k_categorical_accuracy",
    **{f"top_{k}_accuracy": "top_k_categorical_accuracy" for k in range(2, 21)},
}
_TABULATED: Final[dict[str, list[str]]] = _TABLE["metrics"]
_CLASS_AND_GOAL = _TABULATED | {short: _TABULATED[name] for short, name in _SHORT.items()}

#: Metric -> class in `keras.metrics`, except `loss`, `accuracy` and `mae`.
METRIC_CLASSES: Final[dict[str, str]] = {
    name: cls for name, (cls, _) in _CLASS_AND_GOAL.items() if name != "accuracy"
}

_GOALS = {name: goal for name, (_, goal) in _CLASS_AND_GOAL.items()}
_GOALS |= {"loss": "minimize", "mae": "minimize"}

#: Metric -> `maximize` or `minimize`; each with `val_` for the validation split.
METRICS: Final[dict[str, str]] = {
    prefix + name: goal for name, goal in _GOALS.items() for prefix in ("val_", "")
}
