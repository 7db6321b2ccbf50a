"""The C extension that trains dense networks, and descriptions of MLP configs for it."""

from __future__ import annotations

import importlib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from types import ModuleType
from typing import Any, Final

from hpsearch.data.specs import InputSpec, Target, Task, n_features, runs_in_graph
from hpsearch.models.problem import Problem
from hpsearch.native import metrics
from hpsearch.native.metrics import Measure
from hpsearch.space import keras_names
from hpsearch.space.mlp import MLPConfig
from hpsearch.space.seeds import derive

try:
    _EXTENSION: ModuleType | None = importlib.import_module("hpsearch.native._native")
except ImportError:
    # hpsearch was installed without a compiler, so TensorFlow trains everything.
    _EXTENSION = None


def native_extension() -> ModuleType:
    """Return the extension; see `_native.pyi`.

    Raises:
        RuntimeError: The extension was not built.
    """
    if _EXTENSION is None:
        raise RuntimeError("hpsearch was installed without its extension in C")
    return _EXTENSION


def native_built() -> bool:
    """Check if the extension was built, even if this processor cannot run it."""
    return _EXTENSION is not None


def native_engines() -> tuple[str, ...]:
    """Return the supported instruction sets of this processor, the best first."""
    return tuple(_EXTENSION.engines()) if _EXTENSION is not None else ()


def native_available() -> bool:
    """Check if the extension can train networks here."""
    return bool(native_engines())


#: The extension's codes of losses (`hpsearch/native/src/network.h`).
SOFTMAX_LOSS, SIGMOID_LOSS, SQUARED_LOSS, ABSOLUTE_LOSS, HUBER_LOSS = range(5)
#: The extension's codes (`hpsearch/native/src/network.h`), by Keras' names.
ACTIVATIONS: Final = {
    "linear": 0,
    "relu": 1,
    "relu6": 2,
    "leaky_relu": 3,
    "sigmoid": 4,
    "tanh": 5,
    "elu": 6,
    "celu": 6,  # with Keras' alpha of 1
    "selu": 7,
    "softplus": 8,
    "silu": 9,
    "swish": 9,
    "softsign": 10,
    "exponential": 11,
    "hard_sigmoid": 12,
    "hard_silu": 13,
    "hard_swish": 13,
    "hard_tanh": 14,
    "gelu": 15,
    "mish": 16,
}
_SGD, _MOMENTUM, _NESTEROV, _ADAM, _RMSPROP, _RMSPROP_MOMENTUM, _ADAGRAD = range(7)
#: The code of each optimizer without momentum, and the arguments that the extension supports.
OPTIMIZERS: Final = {
    "sgd": (_SGD, ("momentum",)),
    "adam": (_ADAM, ("beta_1", "beta_2", "epsilon")),
    "adamw": (_ADAM, ("beta_1", "beta_2", "epsilon")),
    "rmsprop": (_RMSPROP, ("momentum", "rho", "epsilon")),
    "adagrad": (_ADAGRAD, ("initial_accumulator_value", "epsilon")),
}
#: The number of arrays that an optimizer keeps for each trained array.
_SLOTS: Final = {
    _SGD: 0,
    _MOMENTUM: 1,
    _NESTEROV: 1,
    _ADAM: 2,
    _RMSPROP: 1,
    _RMSPROP_MOMENTUM: 2,
    _ADAGRAD: 1,
}
_CROSSENTROPIES: Final = {
    (Task.MULTICLASS, "softmax", "sparse_categorical_crossentropy"): SOFTMAX_LOSS,
    (Task.MULTICLASS, "softmax", "categorical_crossentropy"): SOFTMAX_LOSS,
    (Task.BINARY, "sigmoid", "binary_crossentropy"): SIGMOID_LOSS,
}
_ERRORS: Final = {
    "mean_squared_error": SQUARED_LOSS,
    "mean_absolute_error": ABSOLUTE_LOSS,
    "huber": HUBER_LOSS,
}
DENSE, BATCH_NORM, _LAYER_NORM, _RESIDUAL, BATCH_NORM_BEHIND = range(5)
_BLOCKS: Final = {
    "dense": DENSE,
    "dropout": DENSE,
    "batch_norm": BATCH_NORM,
    "layer_norm": _LAYER_NORM,
    "residual": _RESIDUAL,
}
#: Parts of a layer.
KERNEL, BIAS, GAMMA, BETA, _PROJECTION, MOVING_MEAN, MOVING_VARIANCE = range(7)
#: Each block's parts in the order of Keras' `get_weights`, without a projection, which is first.
_PARTS: Final = {
    DENSE: (KERNEL, BIAS),
    BATCH_NORM: (KERNEL, GAMMA, BETA, MOVING_MEAN, MOVING_VARIANCE),
    _LAYER_NORM: (KERNEL, BIAS, GAMMA, BETA),
    _RESIDUAL: (KERNEL, BIAS),
}
FLOATS, SCALED_BYTES, _STANDARDISED_BYTES = range(3)
UNIFORM, _NORMAL, _TRUNCATED, CONSTANT = range(4)

#: Source: `keras.src.initializers.random_initializers`: scale, mode, distribution.
_VARIANCE_SCALING: Final = {
    "glorot_uniform": (1.0, "fan_avg", "uniform"),
    "glorot_normal": (1.0, "fan_avg", "truncated_normal"),
    "he_uniform": (2.0, "fan_in", "uniform"),
    "he_normal": (2.0, "fan_in", "truncated_normal"),
    "lecun_uniform": (1.0, "fan_in", "uniform"),
    "lecun_normal": (1.0, "fan_in", "truncated_normal"),
}
_PLAIN: Final = {
    "uniform": (UNIFORM, "minval", "maxval"),
    "random_uniform": (UNIFORM, "minval", "maxval"),
    "normal": (_NORMAL, "mean", "stddev"),
    "random_normal": (_NORMAL, "mean", "stddev"),
    "truncated_normal": (_TRUNCATED, "mean", "stddev"),
}
_CONSTANTS: Final = {"zero": 0.0, "zeros": 0.0, "one": 1.0, "ones": 1.0}
#: Standard deviation of a normal distribution truncated at two standard deviations.
_TRUNCATED_STDDEV = 0.87962566103423978


@dataclass(frozen=True)
class Initial:
    """The distribution of a kernel's first values.

    Attributes:
        distribution: 0 uniform, 1 normal, 2 truncated normal, 3 constant.
        first, second: Minimum and maximum, or mean and standard deviation, or the constant.
        seed: A seed for TensorFlow's stateless operations.
    """

    distribution: int
    first: float
    second: float
    seed: int


@dataclass(frozen=True)
class WeightArray:
    """One array of weights.

    Attributes:
        layer: Index of the layer.
        code: The extension's code of the part: kernel, bias, gamma and so on.
        shape: Keras' shape.
        initial: Its first values; None if a model holds them.
    """

    layer: int
    code: int
    shape: tuple[int, ...]
    initial: Initial | None

    @property
    def trained(self) -> bool:
        """True if the optimizer changes it."""
        return self.code not in (MOVING_MEAN, MOVING_VARIANCE)


@dataclass(frozen=True)
class Optimizer:
    """The extension's code of an optimizer, and its numbers in the extension's order."""

    code: int
    rate: float
    decay: float = 0.0
    momentum: float = 0.0
    rho: float = 0.0
    beta_1: float = 0.0
    beta_2: float = 0.0
    epsilon: float = 0.0
    slot_start: float = 0.0

    @property
    def slots(self) -> int:
        """Number of arrays that it keeps for each trained array."""
        return _SLOTS[self.code]


@dataclass(frozen=True)
class DenseLayer:
    """One layer for the extension.

    Attributes:
        block: The extension's code; always plain for the last layer.
        activation: The extension's code; linear for a last layer whose activation is in the loss.
        dropout, mask_seed: Rate and seed of dropout; the rate is 0 without dropout.
        l2: The kernel's L2 weight.
        momentum, epsilon: Settings of batch normalisation.
    """

    width: int
    block: int = DENSE
    activation: int = 0
    dropout: float = 0.0
    mask_seed: int = 0
    l2: float = 0.0
    momentum: float = 0.99
    epsilon: float = 1e-3


@dataclass(frozen=True)
class DenseNetwork:
    """A network's description for the extension.

    Attributes:
        features: Width of the input.
        parts: All weights, in the order of Keras' `get_weights`.
        loss: 0 softmax and crossentropy, 1 sigmoid and crossentropy, 2 squared error, 3 absolute
            error, 4 Huber's.
        rows: 0 float32, 1 bytes * scale + shift, 2 (bytes - shift) / scale.
        shift, scale: One number a feature, or empty.
        measures: The reported metrics. The extension sums up accuracy for a crossentropy, and
            absolute error for other losses.
        unit: For error losses, each target's factor to its original unit; else empty.
        huber: The error above which Huber's loss is linear.
    """

    features: int
    layers: tuple[DenseLayer, ...]
    parts: tuple[WeightArray, ...]
    batch_size: int
    loss: int
    optimizer: Optimizer
    rows: int
    shift: tuple[float, ...] = ()
    scale: tuple[float, ...] = ()
    measures: tuple[Measure, ...] = ()
    unit: tuple[float, ...] = ()
    huber: float = 1.0

    @property
    def widths(self) -> tuple[int, ...]:
        """Widths of the input, every hidden layer and the output."""
        return (self.features, *(layer.width for layer in self.layers))

    @property
    def weights_count(self) -> int:
        """Number of weights, trained or not."""
        return sum(math.prod(part.shape) for part in self.parts)


def describe(problem: Problem, values: Mapping[str, Any], seed: int) -> DenseNetwork | None:
    """Return the network of one training, or None if the extension does not support it."""
    if not knows(problem, values):
        return None
    recipe, target, config = problem.recipe, problem.target, MLPConfig(values)
    hidden, optimizer, l2 = config.widths, optimizer_of(*config.optimizer), config.l2
    assert optimizer is not None
    layer_type = config.layer_type if hidden else "dense"
    widths = (n_features(problem.input), *hidden, target.outputs)
    blocks = (*[_BLOCKS[layer_type]] * len(hidden), 0)
    activation = ACTIVATIONS[config.activation] if hidden else 0
    dropout = config.dropout if layer_type == "dropout" else 0.0
    loss = _loss(problem)
    assert loss is not None
    last = ACTIVATIONS[recipe.output_activation] if target.task is Task.REGRESSION else 0
    # The output layer is number 0 at any depth (see `models.mlp`).
    seeds = [derive(recipe.sweep_seed, seed, n) for n in (*range(1, len(hidden) + 1), 0)]
    rows, shift, scale = _rows(problem.input)
    return DenseNetwork(
        features=widths[0],
        layers=(
            *(
                DenseLayer(
                    width, _BLOCKS[layer_type], activation, dropout, _stateless(derive(seed, 2)), l2
                )
                for width, seed in zip(hidden, seeds, strict=False)
            ),
            DenseLayer(target.outputs, activation=last, l2=l2),
        ),
        parts=_parts(config, widths, blocks, seeds),
        batch_size=config.batch_size,
        loss=loss,
        optimizer=optimizer,
        rows=rows,
        shift=shift,
        scale=scale,
        measures=_measures(problem),
        unit=target.std if target.task is Task.REGRESSION else (),
    )


def knows(problem: Problem, values: Mapping[str, Any]) -> bool:
    """Check if the extension supports all of a config."""
    recipe, config = problem.recipe, MLPConfig(values)
    if recipe.model or _loss(problem) is None:
        return False
    if recipe.keras_metric and _measure(recipe.keras_metric, problem.target) is None:
        return False
    if config.widths:
        if config.layer_type not in _BLOCKS or config.activation not in ACTIVATIONS:
            return False
        if config.layer_type == "dropout" and not 0 <= config.dropout < 1:
            return False
    if _initial_numbers(*_initializer(config), 1, 1) is None:
        return False
    return optimizer_of(*config.optimizer) is not None


def _loss(problem: Problem) -> int | None:
    recipe, task = problem.recipe, problem.target.task
    if task is not Task.REGRESSION:
        return _CROSSENTROPIES.get((task, recipe.output_activation, recipe.loss))
    name = keras_names.LOSSES.get(recipe.loss, recipe.loss)
    return _ERRORS.get(name) if recipe.output_activation in ACTIVATIONS else None


def _measures(problem: Problem) -> tuple[Measure, ...]:
    usual = Measure("mae" if problem.target.task is Task.REGRESSION else "accuracy")
    if not (name := problem.recipe.keras_metric):
        return (usual,)
    scored = _measure(name, problem.target)
    assert scored is not None
    return usual, scored


_OF_ERRORS: Final = ("MeanSquaredError", "RootMeanSquaredError", "MeanAbsoluteError")
_OF_CLASSES: Final = ("AUC", "Precision", "Recall", "BinaryAccuracy", "CategoricalAccuracy")


def _measure(name: str, target: Target) -> Measure | None:
    """Return a metric of an MLP, with the arguments that Keras' gets in `training.measures`."""
    kind = keras_names.METRIC_CLASSES.get(name, "")
    # Other metrics of a regression depend on the targets' mean, which training subtracts.
    regression = target.task is Task.REGRESSION
    if kind in _OF_ERRORS or (kind in _OF_CLASSES and not regression):
        return Measure(name, metrics.KERAS[kind][0])
    if regression:
        return None
    if kind in ("F1Score", "FBetaScore"):
        threshold = 0.5 if target.outputs == 1 else None
        of = partial(metrics.f_score, beta=1.0, threshold=threshold, average="macro")
        return Measure(name, of)
    if target.task is Task.MULTICLASS and kind == "SparseCategoricalAccuracy":
        return Measure(name, metrics.sparse_accuracy, sparse=True)
    if target.task is Task.MULTICLASS and kind.endswith("TopKCategoricalAccuracy"):
        found = re.fullmatch(r"top_(\d+)_accuracy", name)
        of = partial(metrics.sparse_top_k_accuracy, k=int(found[1]) if found else 5)
        return Measure(name, of, sparse=True)
    return None


def _stateless(seed: int) -> int:
    """Return the seed that Keras passes to TensorFlow.

    Source: `keras.src.backend.tensorflow.random`.
    """
    return seed % (2**31 - 2)


def _rows(spec: InputSpec) -> tuple[int, tuple[float, ...], tuple[float, ...]]:
    if not runs_in_graph(spec):
        return FLOATS, (), ()
    n = n_features(spec)
    if spec.mean:
        # Source: keras.layers.Normalization.
        deviations = tuple(max(math.sqrt(v), 1e-7) for v in spec.variance)
        return _STANDARDISED_BYTES, spec.mean, deviations
    scale, offset = spec.scale or (1.0,), spec.offset or (0.0,)
    return (
        SCALED_BYTES,
        offset * n if len(offset) == 1 else offset,
        scale * n if len(scale) == 1 else scale,
    )


def _parts(
    config: MLPConfig, widths: tuple[int, ...], blocks: tuple[int, ...], seeds: list[int]
) -> tuple[WeightArray, ...]:
    name, settings = _initializer(config)
    made = []
    for layer, (shape, block, seed) in enumerate(zip(pairwise(widths), blocks, seeds, strict=True)):
        numbers = _initial_numbers(name, settings, *shape)
        assert numbers is not None
        codes = _PARTS[block]
        if block == _BLOCKS["residual"] and shape[0] != shape[1]:
            codes = (_PROJECTION, *codes)
        for code in codes:
            if code in (KERNEL, _PROJECTION):
                # Parts are numbered as in `models.mlp`.
                kernel_seed = _stateless(derive(seed, 0 if code == KERNEL else 1))
                made.append(WeightArray(layer, code, shape, Initial(*numbers, seed=kernel_seed)))
            else:
                first = 1.0 if code in (GAMMA, MOVING_VARIANCE) else 0.0
                made.append(WeightArray(layer, code, shape[1:], Initial(CONSTANT, first, 0.0, 0)))
    return tuple(made)


def _initializer(config: MLPConfig) -> tuple[str, dict[str, Any]]:
    """Return the initializer's name, and its arguments with Keras' defaults."""
    initializer = config.kernel_initializer
    given = {"name": initializer} if isinstance(initializer, str) else dict(initializer)
    name = given.pop("name")
    return name, {**keras_names.INITIALIZERS.get(name, {}), **given}


def _initial_numbers(
    name: str, settings: Mapping[str, Any], fan_in: int, fan_out: int
) -> tuple[int, float, float] | None:
    if name in _CONSTANTS and not settings:
        return CONSTANT, _CONSTANTS[name], 0.0
    if name == "constant" and settings.keys() == {"value"}:
        return CONSTANT, float(settings["value"]), 0.0
    if name in _PLAIN:
        code, first, second = _PLAIN[name]
        if settings.keys() == {first, second}:
            return code, float(settings[first]), float(settings[second])
    if name in _VARIANCE_SCALING and not settings:
        scale, mode, distribution = _VARIANCE_SCALING[name]
        fan = {"fan_in": fan_in, "fan_avg": (fan_in + fan_out) / 2}[mode]
        scale /= max(1.0, fan)
        if distribution == "uniform":
            return UNIFORM, -math.sqrt(3 * scale), math.sqrt(3 * scale)
        return _TRUNCATED, 0.0, math.sqrt(scale) / _TRUNCATED_STDDEV
    return None


def optimizer_of(name: str, given: Mapping[str, Any]) -> Optimizer | None:
    """Return the extension's form of Keras' optimizer, or None if it is not supported."""
    if name not in OPTIMIZERS:
        return None
    defaults = keras_names.OPTIMIZERS[name]
    settings = {**defaults, **given}
    rate, decay = settings.pop("learning_rate"), settings.pop("weight_decay")
    numbers = [rate] if decay is None else [rate, decay]
    numbers += [value for value in settings.values() if not isinstance(value, bool | None)]
    if not all(isinstance(number, int | float) and math.isfinite(number) for number in numbers):
        return None
    code, names = OPTIMIZERS[name]
    used = {key: float(settings[key]) for key in names}
    momentum = used.get("momentum")
    if momentum and name == "rmsprop":
        code = _RMSPROP_MOMENTUM
    elif momentum and name == "sgd":
        code = _NESTEROV if settings["nesterov"] else _MOMENTUM
    # Keras trains with any other argument, such as clipping, averaging or accumulation.
    # `ema_momentum` has no effect without averaging, nor `nesterov` without momentum.
    others = {key for key, value in settings.items() if value != defaults.get(key, ...)}
    if others - {*names, "ema_momentum", "nesterov"} or not _are_valid(name, used):
        return None
    start = used.pop("initial_accumulator_value", 0.0)
    return Optimizer(code, float(rate), float(decay or 0.0), slot_start=start, **used)


def _are_valid(name: str, numbers: Mapping[str, float]) -> bool:
    return (
        all(0 <= numbers.get(key, 0.0) < 1 for key in ("beta_1", "beta_2"))
        and 0 <= numbers.get("rho", 0.0) <= 1
        and 0 <= numbers.get("momentum", 0.0) <= (1 if name == "sgd" else math.inf)
        and numbers.get("epsilon", 1.0) > 0
        and numbers.get("initial_accumulator_value", 0.0) >= 0
    )
