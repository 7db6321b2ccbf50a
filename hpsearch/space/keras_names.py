"""Keras' names as a generated table, and what hpsearch knows of them, without importing Keras."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

#: Default of an argument that has none.
REQUIRED: Final = "<required>"

_TABLE: Final[dict[str, Any]] = json.loads(
    Path(__file__).with_suffix(".json").read_text(encoding="utf-8")
)


@dataclass(frozen=True)
class Activation:
    """An activation of `keras.activations.get`.

    Attributes:
        native: The extension's name; empty if the extension lacks it.
        like: The activation of the prior's study that behaves much like it; empty for none.
        same_as: Keras' other name of the same function.
        halves: Whether it halves a layer's width, although Keras' layers assume the same width.
    """

    native: str = ""
    like: str = ""
    same_as: str = ""
    halves: bool = False


_ACTIVATIONS: Final = {
    "celu": Activation("ELU", "elu"),  # with Keras' alpha of 1
    "elu": Activation("ELU", "elu"),
    "exponential": Activation("EXPONENTIAL"),
    "gelu": Activation("GELU", "gelu"),
    "glu": Activation(halves=True),
    "hard_sigmoid": Activation("HARD_SIGMOID", "sigmoid"),
    "hard_silu": Activation("HARD_SILU", "silu"),
    "hard_swish": Activation("HARD_SILU", "silu", same_as="hard_silu"),
    "hard_tanh": Activation("HARD_TANH", "tanh"),
    "leaky_relu": Activation("LEAKY_RELU", "relu"),
    "linear": Activation("LINEAR", "tanh"),
    "mish": Activation("MISH", "silu"),
    "relu": Activation("RELU", "relu"),
    "relu6": Activation("RELU6", "relu"),
    "selu": Activation("SELU", "selu"),
    "sigmoid": Activation("SIGMOID", "sigmoid"),
    "silu": Activation("SILU", "silu"),
    "softmax": Activation(like="sigmoid"),
    "softplus": Activation("SOFTPLUS"),
    "softsign": Activation("SOFTSIGN", "tanh"),
    "swish": Activation("SILU", "silu", same_as="silu"),
    "tanh": Activation("TANH", "tanh"),
}
#: Name -> activation.
ACTIVATIONS: Final = {name: _ACTIVATIONS.get(name, Activation()) for name in _TABLE["activations"]}


@dataclass(frozen=True)
class Optimizer:
    """An optimizer of Keras, or another name for one with certain arguments.

    Attributes:
        name: Keras' class in lower case.
        defaults: Argument -> default.
        implied: The arguments that the other name stands for.
        like: The optimizer of the prior's study that behaves much like it; empty for none.
        native: The extension's name, to which it adds `_MOMENTUM` or `_NESTEROV`; empty if the
            extension lacks it.
        arguments: The arguments that the extension supports besides rate and decay.
        slots: Keras' attributes with its arrays, in the extension's order; if `momentum` is an
            argument, the last is used with momentum only.
    """

    name: str
    defaults: Mapping[str, Any]
    implied: Mapping[str, Any] = field(default_factory=dict)
    like: str = ""
    native: str = ""
    arguments: tuple[str, ...] = ()
    slots: tuple[str, ...] = ()

    @property
    def keras(self) -> str:
        """The class in `keras.optimizers`; `keras.optimizers.get` fails for "lamb"."""
        return str(_TABLE["optimizer_classes"][self.name])


_ADAM: Final[dict[str, Any]] = {
    "like": "adam",
    "native": "ADAM",
    "arguments": ("beta_1", "beta_2", "epsilon"),
    "slots": ("_momentums", "_velocities"),
}
_OPTIMIZERS: Final[dict[str, dict[str, Any]]] = {
    "adagrad": {
        "like": "adagrad",
        "native": "ADAGRAD",
        "arguments": ("initial_accumulator_value", "epsilon"),
        "slots": ("_accumulators",),
    },
    "adam": _ADAM,
    "adamax": {"like": "adam"},
    "adamw": _ADAM,
    "ftrl": {"like": "adagrad"},
    "lamb": {"like": "adam"},
    "nadam": {"like": "adam"},
    "rmsprop": {
        "like": "rmsprop",
        "native": "RMSPROP",
        "arguments": ("momentum", "rho", "epsilon"),
        "slots": ("_velocities", "_momentums"),
    },
    "sgd": {"like": "sgd", "native": "SGD", "arguments": ("momentum",), "slots": ("momentums",)},
}
_NAMED: Final = {
    name: Optimizer(name, defaults, **_OPTIMIZERS.get(name, {}))
    for name, defaults in _TABLE["optimizers"].items()
}
#: Name -> optimizer; Keras' first, then other names.
OPTIMIZERS: Final = {
    **_NAMED,
    "momentum": replace(_NAMED["sgd"], implied={"momentum": 0.9}),
    "nesterov": replace(_NAMED["sgd"], implied={"momentum": 0.9, "nesterov": True}),
}

#: Names that `keras.losses.get` takes -> the full name (`mse` -> `mean_squared_error`).
LOSSES: Final[dict[str, str]] = _TABLE["losses"]

#: Names that `keras.initializers.get` takes -> argument -> default; hpsearch sets the seed.
INITIALIZERS: Final[dict[str, dict[str, Any]]] = _TABLE["initializers"]

#: Learning rate schedules in snake case (`cosine_decay` is Keras' CosineDecay) -> argument ->
#: default or `REQUIRED`.
SCHEDULES: Final[dict[str, dict[str, Any]]] = _TABLE["schedules"]

#: Learning rate schedule in snake case -> class in `keras.optimizers.schedules`.
SCHEDULE_CLASSES: Final[dict[str, str]] = _TABLE["schedule_classes"]


@dataclass(frozen=True)
class MetricClass:
    """A metric that needs no arguments.

    Attributes:
        keras: The class in `keras.metrics`; empty if Keras has none.
        goal: `maximize` or `minimize`.
        native: The function in `native.metrics`; empty if there is none.
        arguments: The function's arguments, by their names in Keras.
        fixed: The arguments that the name stands for, such as `k` of `top_5_accuracy`.
        of_classes: Whether it needs classes; other metrics work for any numbers.
        of_several: Whether it needs several outputs, and so does not work for one sigmoid.
    """

    keras: str
    goal: str
    native: str = ""
    arguments: tuple[str, ...] = ()
    fixed: Mapping[str, Any] = field(default_factory=dict)
    of_classes: bool = False
    of_several: bool = False

    @property
    def of_errors(self) -> bool:
        """True if only the error of a regression's predictions counts, not the targets' mean."""
        return self.keras in _OF_ERRORS

    @property
    def sparse(self) -> bool:
        """True if its targets are classes, not one-hot ones."""
        return self.keras.startswith("Sparse")

    def settings(self, outputs: int) -> dict[str, Any]:
        """Return its arguments for an MLP with so many outputs."""
        if "average" in self.arguments:
            # Without a threshold Keras takes the largest column, but binary targets have only one.
            return {"average": "macro", **({"threshold": 0.5} if outputs == 1 else {})}
        return dict(self.fixed)


_F_SCORE: Final = ("f_score", ("threshold", "average", "beta"))
#: Class -> its function in `native.metrics`, and the function's arguments.
_NATIVE: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "AUC": ("auc", ("curve", "num_thresholds", "from_logits")),
    "BinaryAccuracy": ("binary_accuracy", ("threshold",)),
    "CategoricalAccuracy": ("categorical_accuracy", ()),
    "F1Score": _F_SCORE,
    "FBetaScore": _F_SCORE,
    "MeanAbsoluteError": ("absolute_error", ()),
    "MeanSquaredError": ("squared_error", ()),
    "Precision": ("precision", ("thresholds",)),
    "R2Score": ("r2_score", ()),
    "Recall": ("recall", ("thresholds",)),
    "RootMeanSquaredError": ("root_of_squared_error", ()),
    "SparseCategoricalAccuracy": ("sparse_accuracy", ()),
    "SparseTopKCategoricalAccuracy": ("sparse_top_k_accuracy", ("k",)),
    "TopKCategoricalAccuracy": ("top_k_accuracy", ("k",)),
}
_OF_ERRORS: Final = {
    "LogCoshError", "MeanAbsoluteError", "MeanSquaredError", "R2Score", "RootMeanSquaredError"
}  # fmt: skip
#: Short name of a metric -> Keras' name.
_SHORT: Final = {
    "f1": "f1_score",
    "mape": "mean_absolute_percentage_error",
    "mse": "mean_squared_error",
    "msle": "mean_squared_logarithmic_error",
    "pr_auc": "auc",
    "r2": "r2_score",
    "rmse": "root_mean_squared_error",
    "top_k_accuracy": "top_k_categorical_accuracy",
    **{f"top_{k}_accuracy": "top_k_categorical_accuracy" for k in range(2, 21)},
}
#: Parts of the names of metrics that need classes, and of those that need several outputs.
_OF_CLASSES = re.compile(
    r"accuracy|auc|precision|recall|f1|beta|iou|io_u|crossentropy|hinge|kl_divergence|top_"
)
_OF_SEVERAL = re.compile(r"categorical|top_|correlation|similarity")
_TABULATED: Final[dict[str, list[str]]] = _TABLE["metrics"]


def _metric(name: str) -> MetricClass:
    keras, goal = _TABULATED[_SHORT.get(name, name)]
    native, arguments = _NATIVE.get(keras, ("", ()))
    of_k = re.fullmatch(r"top_(\d+)_accuracy", name)
    fixed = {"k": int(of_k[1])} if of_k else {"curve": "PR"} if name == "pr_auc" else {}
    of_classes, of_several = (bool(pattern.search(name)) for pattern in (_OF_CLASSES, _OF_SEVERAL))
    return MetricClass(keras, goal, native, arguments, fixed, of_classes, of_several)


_METRICS: Final = {
    **{name: _metric(name) for name in (*_TABULATED, *_SHORT)},
    "brier": MetricClass("", "minimize", "brier", of_classes=True),
    **{
        name: MetricClass("", "maximize", "of_counts", fixed={"metric": name}, of_classes=True)
        for name in ("balanced_accuracy", "cohen_kappa", "mcc")
    },
}
#: Name -> metric, except those that every MLP reports.
KERAS_METRICS: Final = {name: metric for name, metric in _METRICS.items() if name != "accuracy"}

_GOALS = {name: metric.goal for name, metric in _METRICS.items()}
_GOALS |= {"loss": "minimize", "mae": "minimize"}

#: Metric -> `maximize` or `minimize`; each with `val_` for the validation split.
METRICS: Final[dict[str, str]] = {
    prefix + name: goal for name, goal in _GOALS.items() for prefix in ("val_", "")
}
