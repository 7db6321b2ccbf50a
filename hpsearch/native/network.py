"""The C extension that trains dense networks, and descriptions of MLP configs for it."""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from types import ModuleType
from typing import Any, Final, NamedTuple, TypeVar

from hpsearch.data.specs import InputSpec, Task, n_features, runs_in_graph
from hpsearch.models.problem import Problem
from hpsearch.native import metrics
from hpsearch.native.metrics import Measure
from hpsearch.space.keras_names import ACTIVATIONS, KERAS_METRICS, LOSSES, OPTIMIZERS, Activation
from hpsearch.space.mlp import LAYER_TYPES, LayerType, MLPConfig
from hpsearch.space.seeds import derive

try:
    _EXTENSION: ModuleType | None = importlib.import_module("hpsearch.native._native")
except ImportError:
    # hpsearch was installed without a compiler, so TensorFlow trains everything.
    _EXTENSION = None


def native_extension() -> ModuleType:
    """Return the extension; see `_native.pyi`."""
    if _EXTENSION is None:
        raise RuntimeError("hpsearch was installed without its extension in C")
    return _EXTENSION


def native_built() -> bool:
    """Check if the extension was built, even if this processor cannot run it."""
    return _EXTENSION is not None


def instruction_sets() -> tuple[str, ...]:
    """Return the supported instruction sets of this processor, the best first."""
    return tuple(_EXTENSION.instruction_sets()) if _EXTENSION is not None else ()


def native_available() -> bool:
    """Check if the extension can train networks here."""
    return bool(instruction_sets())


def native_number(name: str) -> int:
    """Return the extension's number of a kind (`hpsearch/native/src/network.h`), by its name."""
    return int(getattr(native_extension(), name))


Supported = TypeVar("Supported")

#: Arguments of optimizers that must be below a number.
_MOST: Final = {"beta_1": 1.0, "beta_2": 1.0}
_CROSSENTROPIES: Final = {
    (Task.MULTICLASS, "softmax", "sparse_categorical_crossentropy"): "SOFTMAX_CROSSENTROPY",
    (Task.MULTICLASS, "softmax", "categorical_crossentropy"): "SOFTMAX_CROSSENTROPY",
    (Task.BINARY, "sigmoid", "binary_crossentropy"): "SIGMOID_CROSSENTROPY",
}
_ERRORS: Final = {
    "mean_squared_error": "SQUARED_ERROR",
    "mean_absolute_error": "ABSOLUTE_ERROR",
    "huber": "HUBER",
}

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
    "uniform": ("UNIFORM", "minval", "maxval"),
    "random_uniform": ("UNIFORM", "minval", "maxval"),
    "normal": ("NORMAL", "mean", "stddev"),
    "random_normal": ("NORMAL", "mean", "stddev"),
    "truncated_normal": ("TRUNCATED", "mean", "stddev"),
}
_CONSTANTS: Final = {"zero": 0.0, "zeros": 0.0, "one": 1.0, "ones": 1.0}
#: Standard deviation of a normal distribution truncated at two standard deviations.
_TRUNCATED_STDDEV = 0.87962566103423978


@dataclass(frozen=True)
class Initial:
    """The distribution of a kernel's first values.

    Attributes:
        distribution: `UNIFORM`, `NORMAL`, `TRUNCATED` or `CONSTANT`.
        first, second: Minimum and maximum, or mean and standard deviation, or the constant.
        seed: A seed for TensorFlow's stateless operations.
    """

    distribution: str
    first: float
    second: float
    seed: int


@dataclass(frozen=True)
class WeightArray:
    """One array of weights.

    Attributes:
        layer: Index of the layer.
        part: The extension's name of the part: `KERNEL`, `BIAS`, `GAMMA` and so on.
        shape: Keras' shape.
        initial: Its first values; None if a model holds them.
    """

    layer: int
    part: str
    shape: tuple[int, ...]
    initial: Initial | None

    @property
    def trained(self) -> bool:
        """True if the optimizer changes it."""
        return not self.part.startswith("MOVING_")


@dataclass(frozen=True)
class NativeOptimizer:
    """The extension's name of an optimizer, and its numbers in the extension's order.

    Attributes:
        slots: Number of arrays that it keeps for each trained array.
    """

    kind: str
    slots: int
    rate: float
    decay: float = 0.0
    momentum: float = 0.0
    rho: float = 0.0
    beta_1: float = 0.0
    beta_2: float = 0.0
    epsilon: float = 0.0
    slot_start: float = 0.0


@dataclass(frozen=True)
class DenseLayer:
    """One layer for the extension.

    Attributes:
        block: The extension's name; always plain for the last layer.
        activation: The extension's name; linear for a last layer whose activation is in the loss.
        dropout, mask_seed: Rate and seed of dropout; the rate is 0 without dropout.
        l2: The kernel's L2 weight.
        momentum, epsilon: Settings of batch normalisation.
    """

    width: int
    block: str = "DENSE"
    activation: str = "LINEAR"
    dropout: float = 0.0
    mask_seed: int = 0
    l2: float = 0.0
    momentum: float = 0.99
    epsilon: float = 1e-3


@dataclass(frozen=True)
class DenseNetwork:
    """A network's description for the extension.

    Attributes:
        features: Width of the first layer's input.
        parts: All weights, in the order of Keras' `get_weights`.
        loss: The extension's name.
        rows: `FLOAT_ROWS`, `SCALED_BYTES` (bytes * scale + shift) or `STANDARDISED_BYTES`
            ((bytes - shift) / scale).
        binned: How many of a row's first numbers have bins (see `Embedding`).
        shift, scale: One number a feature, or with bins a bin; else empty.
        measures: The reported metrics. The extension sums up accuracy for a crossentropy, and
            absolute error for other losses.
        unit: For error losses, each target's factor to its original unit; else empty.
        huber: The error above which Huber's loss is linear.
    """

    features: int
    layers: tuple[DenseLayer, ...]
    parts: tuple[WeightArray, ...]
    batch_size: int
    loss: str
    optimizer: NativeOptimizer
    rows: str
    shift: tuple[float, ...] = ()
    scale: tuple[float, ...] = ()
    binned: int = 0
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


class UnsupportedError(Exception):
    """The extension cannot train the model."""


def require(supported: Supported | None) -> Supported:
    """Return `supported`; raise UnsupportedError unless it is true."""
    if not supported:
        raise UnsupportedError
    return supported


def describe(problem: Problem, values: Mapping[str, Any], seed: int) -> DenseNetwork | None:
    """Return the network of one training, or None if the extension does not support it."""
    try:
        return _network(problem, MLPConfig(values), seed)
    except UnsupportedError:
        return None


def supports(problem: Problem, values: Mapping[str, Any]) -> bool:
    """Check if `describe` returns a network, which no seed decides, without making one."""
    try:
        _terms(problem, MLPConfig(values))
    except UnsupportedError:
        return False
    return True


class _Terms(NamedTuple):
    """A config in the extension's terms: what is the same for all seeds and widths.

    Attributes:
        kind: The layer type of the hidden layers.
        activation, last: The activation of hidden layers and of the last one.
    """

    kind: LayerType
    activation: str
    last: str
    dropout: float
    loss: str
    optimizer: NativeOptimizer
    measures: tuple[Measure, ...]


def _terms(problem: Problem, config: MLPConfig) -> _Terms:
    """Return a config's terms."""
    recipe, hidden = problem.recipe, config.widths
    kind = require(LAYER_TYPES.get(config.layer_type if hidden else "dense"))
    activation = _activation(config.activation) if hidden else "LINEAR"
    dropout = config.dropout if "Dropout" in kind.layers else 0.0
    require(kind.native and 0 <= dropout < 1)
    is_regression = problem.target.task is Task.REGRESSION
    last = _activation(recipe.output_activation) if is_regression else "LINEAR"
    # Every width has an initializer's numbers, or none has.
    _initial_numbers(*config.initializer, 1, 1)
    optimizer = optimizer_of(*config.optimizer)
    return _Terms(kind, activation, last, dropout, _loss(problem), optimizer, _measures(problem))


def _network(problem: Problem, config: MLPConfig, seed: int) -> DenseNetwork:
    recipe, target, hidden = problem.recipe, problem.target, config.widths
    terms = _terms(problem, config)
    kind, activation, dropout = terms.kind, terms.activation, terms.dropout
    embedding = problem.embedding(config)
    widths = (embedding.width, *hidden, target.outputs)
    # The output layer is number 0 at any depth (see `models.mlp`).
    seeds = [derive(recipe.sweep_seed, seed, n) for n in (*range(1, len(hidden) + 1), 0)]
    masks = [_stateless(derive(layer_seed, 2)) for layer_seed in seeds]
    rows, shift, scale = _rows(problem.input)
    if embedding.binned:
        shift, scale = embedding.offset, embedding.scale
    return DenseNetwork(
        features=widths[0],
        layers=(
            *(
                DenseLayer(width, kind.native, activation, dropout, mask, config.l2)
                for width, mask in zip(hidden, masks, strict=False)
            ),
            DenseLayer(target.outputs, activation=terms.last, l2=config.l2),
        ),
        parts=_parts(config, widths, kind, seeds),
        batch_size=config.batch_size,
        loss=terms.loss,
        optimizer=terms.optimizer,
        rows=rows,
        shift=shift,
        scale=scale,
        binned=embedding.binned,
        measures=terms.measures,
        unit=target.std if target.task is Task.REGRESSION else (),
    )


def _activation(name: str) -> str:
    return require(ACTIVATIONS.get(name, Activation()).native)


def _loss(problem: Problem) -> str:
    recipe, task = problem.recipe, problem.target.task
    if task is Task.REGRESSION:
        return require(_ERRORS.get(LOSSES.get(recipe.loss, recipe.loss)))
    return require(_CROSSENTROPIES.get((task, recipe.output_activation, recipe.loss)))


def _measures(problem: Problem) -> tuple[Measure, ...]:
    """Return an MLP's metrics, with the arguments that Keras' get in `training.measures`."""
    task = problem.target.task
    measures = [Measure("mae" if task is Task.REGRESSION else "accuracy")]
    for name in problem.recipe.more_metrics:
        metric = require(KERAS_METRICS.get(name))
        require(metric.native and (task is Task.MULTICLASS or not metric.of_several))
        # Other metrics of a regression depend on the targets' mean, which training subtracts.
        require(task is not Task.REGRESSION or not metric.of_classes)
        settings = metric.settings(problem.target.outputs)
        of = partial(getattr(metrics, metric.native), **settings)
        measures.append(Measure(name, of, sparse=metric.sparse))
    return tuple(measures)


def _stateless(seed: int) -> int:
    """Return the seed that Keras (`keras.src.backend.tensorflow.random`) passes to TensorFlow."""
    return seed % (2**31 - 2)


def _rows(spec: InputSpec) -> tuple[str, tuple[float, ...], tuple[float, ...]]:
    if not runs_in_graph(spec):
        return "FLOAT_ROWS", (), ()
    n = n_features(spec)
    if spec.mean:
        # Source: keras.layers.Normalization.
        deviations = tuple(max(math.sqrt(v), 1e-7) for v in spec.variance)
        return "STANDARDISED_BYTES", spec.mean, deviations
    scale, offset = spec.scale or (1.0,), spec.offset or (0.0,)
    return (
        "SCALED_BYTES",
        offset * n if len(offset) == 1 else offset,
        scale * n if len(scale) == 1 else scale,
    )


def _parts(
    config: MLPConfig, widths: tuple[int, ...], kind: LayerType, seeds: list[int]
) -> tuple[WeightArray, ...]:
    name, settings = config.initializer
    blocks = (*[kind] * (len(seeds) - 1), LAYER_TYPES["dense"])
    made = []
    for layer, (shape, block, seed) in enumerate(zip(pairwise(widths), blocks, seeds, strict=True)):
        numbers = _initial_numbers(name, settings, *shape)
        projects = "Add" in block.layers and shape[0] != shape[1]
        for part in ("PROJECTION", *block.parts) if projects else block.parts:
            if part in ("KERNEL", "PROJECTION"):
                # Parts are numbered as in `models.mlp`.
                kernel_seed = _stateless(derive(seed, 0 if part == "KERNEL" else 1))
                made.append(WeightArray(layer, part, shape, Initial(*numbers, seed=kernel_seed)))
            else:
                first = 1.0 if part in ("GAMMA", "MOVING_VARIANCE") else 0.0
                made.append(WeightArray(layer, part, shape[1:], Initial("CONSTANT", first, 0.0, 0)))
    return tuple(made)


def _initial_numbers(
    name: str, settings: Mapping[str, Any], fan_in: int, fan_out: int
) -> tuple[str, float, float]:
    if name in _CONSTANTS and not settings:
        return "CONSTANT", _CONSTANTS[name], 0.0
    if name == "constant" and settings.keys() == {"value"}:
        return "CONSTANT", float(settings["value"]), 0.0
    if name in _PLAIN:
        code, first, second = _PLAIN[name]
        if settings.keys() == {first, second}:
            return code, float(settings[first]), float(settings[second])
    if name in _VARIANCE_SCALING and not settings:
        scale, mode, distribution = _VARIANCE_SCALING[name]
        fan = {"fan_in": fan_in, "fan_avg": (fan_in + fan_out) / 2}[mode]
        scale /= max(1.0, fan)
        if distribution == "uniform":
            return "UNIFORM", -math.sqrt(3 * scale), math.sqrt(3 * scale)
        return "TRUNCATED", 0.0, math.sqrt(scale) / _TRUNCATED_STDDEV
    raise UnsupportedError


def optimizer_of(name: str, given: Mapping[str, Any]) -> NativeOptimizer:
    """Return the extension's form of Keras' optimizer."""
    optimizer = require(OPTIMIZERS.get(name))
    require(optimizer.native)
    settings = {**optimizer.defaults, **given}
    rate, decay = settings.pop("learning_rate"), settings.pop("weight_decay")
    numbers = [rate] if decay is None else [rate, decay]
    numbers += [value for value in settings.values() if not isinstance(value, bool | None)]
    require(all(isinstance(number, int | float) and math.isfinite(number) for number in numbers))
    used = {key: float(settings[key]) for key in optimizer.arguments}
    kind, slots = optimizer.native, len(optimizer.slots)
    if used.get("momentum"):
        kind += "_NESTEROV" if settings.get("nesterov") else "_MOMENTUM"
    elif "momentum" in used:
        slots -= 1
    # Keras trains with any other argument, such as clipping, averaging or accumulation.
    # `ema_momentum` has no effect without averaging, nor `nesterov` without momentum.
    others = {key for key, value in settings.items() if value != optimizer.defaults.get(key, ...)}
    require(others <= {*optimizer.arguments, "ema_momentum", "nesterov"})
    require(all(_MOST.get(key, math.inf) > value >= 0 for key, value in used.items()))
    require(used.get("rho", 0.0) <= 1 and used.get("epsilon", 1.0) > 0)
    start = used.pop("initial_accumulator_value", 0.0)
    return NativeOptimizer(kind, slots, float(rate), float(decay or 0.0), slot_start=start, **used)
