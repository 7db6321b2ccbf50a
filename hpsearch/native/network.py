"""An MLP config as the C extension takes it, or None where the extension cannot train it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from hpsearch.data.specs import InputSpec, Task, n_features, runs_in_graph
from hpsearch.models.problem import Problem
from hpsearch.space import keras_names
from hpsearch.space.mlp import MLPConfig
from hpsearch.space.seeds import derive

#: The extension's codes (`src/network.h`), by Keras' names.
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
#: Arrays that an update keeps of each array that it trains.
_SLOTS: Final = {
    _SGD: 0,
    _MOMENTUM: 1,
    _NESTEROV: 1,
    _ADAM: 2,
    _RMSPROP: 1,
    _RMSPROP_MOMENTUM: 2,
    _ADAGRAD: 1,
}
SOFTMAX_LOSS, SIGMOID_LOSS, SQUARED_LOSS = range(3)
_OUTPUTS: Final = {
    (Task.MULTICLASS, "softmax", "sparse_categorical_crossentropy"): SOFTMAX_LOSS,
    (Task.MULTICLASS, "softmax", "categorical_crossentropy"): SOFTMAX_LOSS,
    (Task.BINARY, "sigmoid", "binary_crossentropy"): SIGMOID_LOSS,
    (Task.REGRESSION, "linear", "mean_squared_error"): SQUARED_LOSS,
    (Task.REGRESSION, "linear", "mse"): SQUARED_LOSS,
}
_BLOCKS: Final = {"dense": 0, "dropout": 0, "batch_norm": 1, "layer_norm": 2, "residual": 3}
#: Parts of a layer.
KERNEL, BIAS, _GAMMA, _BETA, _PROJECTION, _MOVING_MEAN, _MOVING_VARIANCE = range(7)
#: Parts of each block in the order of Keras' `get_weights`; a projection comes first.
_PARTS: Final = {
    0: (KERNEL, BIAS),
    1: (KERNEL, _GAMMA, _BETA, _MOVING_MEAN, _MOVING_VARIANCE),
    2: (KERNEL, BIAS, _GAMMA, _BETA),
    3: (KERNEL, BIAS),
}
FLOATS, SCALED_BYTES, _STANDARDISED_BYTES = range(3)
_UNIFORM, _NORMAL, _TRUNCATED, _CONSTANT = range(4)

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
    "uniform": (_UNIFORM, "minval", "maxval"),
    "random_uniform": (_UNIFORM, "minval", "maxval"),
    "normal": (_NORMAL, "mean", "stddev"),
    "random_normal": (_NORMAL, "mean", "stddev"),
    "truncated_normal": (_TRUNCATED, "mean", "stddev"),
}
_CONSTANTS: Final = {"zero": 0.0, "zeros": 0.0, "one": 1.0, "ones": 1.0}
#: What a normal distribution loses where it is cut at two standard deviations.
_TRUNCATED_STDDEV = 0.87962566103423978


@dataclass(frozen=True)
class Initial:
    """A kernel's first values.

    Attributes:
        distribution: 0 uniform, 1 normal, 2 truncated normal, 3 constant.
        first, second: Least and largest value, or mean and standard deviation, or the constant.
        seed: As TensorFlow's stateless operations take it.
    """

    distribution: int
    first: float
    second: float
    seed: int


@dataclass(frozen=True)
class WeightArray:
    """One array of weights.

    Attributes:
        layer: From 0.
        code: The extension's: kernel, bias, gamma and so on.
        shape: As Keras has it.
        initial: Its first values; None where a model at hand has them.
    """

    layer: int
    code: int
    shape: tuple[int, ...]
    initial: Initial | None

    @property
    def trained(self) -> bool:
        """Whether the optimizer changes it."""
        return self.code not in (_MOVING_MEAN, _MOVING_VARIANCE)


@dataclass(frozen=True)
class Optimizer:
    """The extension's code and the numbers of an update, in its order."""

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
        """Arrays that it keeps of each array that it trains."""
        return _SLOTS[self.code]


@dataclass(frozen=True)
class DenseNetwork:
    """An MLP as the extension takes it.

    Attributes:
        widths: Of the input, every hidden layer and the output.
        activations: A code for each layer; the last is linear, since the loss takes its sums.
        dropouts, mask_seeds: For each layer; 0 where there is none.
        blocks: A code for each layer; the last is plain.
        parts: All weights, in the order of Keras' `get_weights`.
        loss: 0 softmax and crossentropy, 1 sigmoid and crossentropy, 2 squared error.
        rows: 0 float32, 1 bytes * scale + shift, 2 (bytes - shift) / scale.
        shift, scale: One number a feature, or empty.
        metric: What is reported beside the loss, by its name; empty for nothing.
        unit: Of squared errors, each target's own: what it is multiplied by; else empty.
    """

    widths: tuple[int, ...]
    activations: tuple[int, ...]
    dropouts: tuple[float, ...]
    mask_seeds: tuple[int, ...]
    blocks: tuple[int, ...]
    parts: tuple[WeightArray, ...]
    batch_size: int
    loss: int
    optimizer: Optimizer
    l2: float
    rows: int
    shift: tuple[float, ...] = ()
    scale: tuple[float, ...] = ()
    metric: str = "accuracy"
    unit: tuple[float, ...] = ()

    @property
    def weights_count(self) -> int:
        """Numbers in all weights, trained or not."""
        return sum(math.prod(part.shape) for part in self.parts)


def describe(problem: Problem, values: Mapping[str, Any], seed: int) -> DenseNetwork | None:
    """The network of one training, or None where the extension has no such thing."""
    if not knows(problem, values):
        return None
    recipe, target, config = problem.recipe, problem.target, MLPConfig(values)
    hidden, optimizer = config.widths, optimizer_of(*config.optimizer)
    assert optimizer is not None
    layer_type = config.layer_type if hidden else "dense"
    every = (n_features(problem.input), *hidden, target.outputs)
    blocks = (*[_BLOCKS[layer_type]] * len(hidden), 0)
    activation = ACTIVATIONS[config.activation] if hidden else 0
    # The output layer's seeds are the same at every depth (see hypermodel).
    seeds = [derive(recipe.sweep_seed, seed, n) for n in (*range(1, len(hidden) + 1), 0)]
    rows, shift, scale = _rows(problem.input)
    return DenseNetwork(
        widths=every,
        blocks=blocks,
        activations=(*[activation] * len(hidden), 0),
        dropouts=(*[config.dropout if layer_type == "dropout" else 0.0] * len(hidden), 0.0),
        mask_seeds=tuple(_stateless(derive(each, 2)) for each in seeds),
        parts=_parts(config, every, blocks, seeds),
        batch_size=config.batch_size,
        loss=_OUTPUTS[target.task, recipe.output_activation, recipe.loss],
        optimizer=optimizer,
        l2=config.l2,
        rows=rows,
        shift=shift,
        scale=scale,
        metric="mae" if target.task is Task.REGRESSION else "accuracy",
        unit=target.std if target.task is Task.REGRESSION else (),
    )


def knows(problem: Problem, values: Mapping[str, Any]) -> bool:
    """Whether the extension has all that a config asks for."""
    recipe, config = problem.recipe, MLPConfig(values)
    if recipe.weighted or recipe.keras_metric:
        return False
    output = (problem.target.task, recipe.output_activation, recipe.loss)
    if recipe.model or output not in _OUTPUTS:
        return False
    if config.widths:
        if config.layer_type not in _BLOCKS or config.activation not in ACTIVATIONS:
            return False
        if config.layer_type == "dropout" and not 0 <= config.dropout < 1:
            return False
    if _initial_numbers(*_initializer(config), 1, 1) is None:
        return False
    return optimizer_of(*config.optimizer) is not None


def _stateless(seed: int) -> int:
    """A Keras seed as TensorFlow gets it; source: keras.src.backend.tensorflow.random."""
    return seed % (2**31 - 2)


def _rows(spec: InputSpec) -> tuple[int, tuple[float, ...], tuple[float, ...]]:
    if not runs_in_graph(spec):
        return FLOATS, (), ()
    n = n_features(spec)
    if spec.mean:
        # As keras.layers.Normalization divides.
        deviations = tuple(max(math.sqrt(v), 1e-7) for v in spec.variance)
        return _STANDARDISED_BYTES, spec.mean, deviations
    scale, offset = spec.scale or (1.0,), spec.offset or (0.0,)
    return (
        SCALED_BYTES,
        offset * n if len(offset) == 1 else offset,
        scale * n if len(scale) == 1 else scale,
    )


def _parts(
    config: MLPConfig, every: tuple[int, ...], blocks: tuple[int, ...], seeds: list[int]
) -> tuple[WeightArray, ...]:
    name, settings = _initializer(config)
    made = []
    for layer, (shape, block, seed) in enumerate(zip(pairwise(every), blocks, seeds, strict=True)):
        numbers = _initial_numbers(name, settings, *shape)
        assert numbers is not None
        codes = _PARTS[block]
        if blocks[layer] == _BLOCKS["residual"] and shape[0] != shape[1]:
            codes = (_PROJECTION, *codes)
        for code in codes:
            if code in (KERNEL, _PROJECTION):
                # A block's seeds by part: see layer_types.
                kernel_seed = _stateless(derive(seed, 0 if code == KERNEL else 1))
                made.append(WeightArray(layer, code, shape, Initial(*numbers, seed=kernel_seed)))
            else:
                first = 1.0 if code in (_GAMMA, _MOVING_VARIANCE) else 0.0
                made.append(WeightArray(layer, code, shape[1:], Initial(_CONSTANT, first, 0.0, 0)))
    return tuple(made)


def _initializer(config: MLPConfig) -> tuple[str, dict[str, Any]]:
    """Its name, and its arguments with Keras' defaults."""
    initializer = config.kernel_initializer
    own = {"name": initializer} if isinstance(initializer, str) else dict(initializer)
    name = own.pop("name")
    return name, {**keras_names.INITIALIZERS.get(name, {}), **own}


def _initial_numbers(
    name: str, settings: Mapping[str, Any], fan_in: int, fan_out: int
) -> tuple[int, float, float] | None:
    if name in _CONSTANTS and not settings:
        return _CONSTANT, _CONSTANTS[name], 0.0
    if name == "constant" and settings.keys() == {"value"}:
        return _CONSTANT, float(settings["value"]), 0.0
    if name in _PLAIN:
        code, first, second = _PLAIN[name]
        if settings.keys() == {first, second}:
            return code, float(settings[first]), float(settings[second])
    if name in _VARIANCE_SCALING and not settings:
        scale, mode, distribution = _VARIANCE_SCALING[name]
        fan = {"fan_in": fan_in, "fan_avg": (fan_in + fan_out) / 2}[mode]
        scale /= max(1.0, fan)
        if distribution == "uniform":
            return _UNIFORM, -math.sqrt(3 * scale), math.sqrt(3 * scale)
        return _TRUNCATED, 0.0, math.sqrt(scale) / _TRUNCATED_STDDEV
    return None


def optimizer_of(name: str, own: Mapping[str, Any]) -> Optimizer | None:
    """Keras' optimizer of that name, with arguments of its own, or None where there is none."""
    make = _OPTIMIZERS.get(name)
    if make is None:
        return None
    settings = {**keras_names.OPTIMIZERS[name], **own}
    rate, decay = settings.pop("learning_rate"), settings.pop("weight_decay")
    numbers = [rate] if decay is None else [rate, decay]
    numbers += [value for value in settings.values() if not isinstance(value, bool | None)]
    if not all(isinstance(number, int | float) and math.isfinite(number) for number in numbers):
        return None
    used, optimizer = make(settings, float(rate), float(decay or 0.0))
    plain = keras_names.OPTIMIZERS[name]
    # Clipping, averages, accumulation and what else may come: Keras' own.
    others = {key for key, value in settings.items() if value != plain.get(key, ...)} - used
    # A mean of weights that nothing reads is no difference.
    return None if others - {"ema_momentum"} else optimizer


Made = tuple[set[str], Optimizer | None]


def _sgd(settings: Mapping[str, Any], rate: float, decay: float) -> Made:
    momentum = float(settings["momentum"])
    used = {"momentum", "nesterov"}
    if not 0 <= momentum <= 1:
        return used, None
    # Keras has no velocity without momentum, and then no Nesterov's either.
    code = (_NESTEROV if settings["nesterov"] else _MOMENTUM) if momentum else _SGD
    return used, Optimizer(code, rate, decay, momentum=momentum)


def _adam(settings: Mapping[str, Any], rate: float, decay: float) -> Made:
    beta_1, beta_2 = float(settings["beta_1"]), float(settings["beta_2"])
    epsilon = float(settings["epsilon"])
    used = {"beta_1", "beta_2", "epsilon"}
    if not (0 <= beta_1 < 1 and 0 <= beta_2 < 1 and epsilon > 0):
        return used, None
    return used, Optimizer(_ADAM, rate, decay, beta_1=beta_1, beta_2=beta_2, epsilon=epsilon)


def _rmsprop(settings: Mapping[str, Any], rate: float, decay: float) -> Made:
    momentum, rho = float(settings["momentum"]), float(settings["rho"])
    epsilon = float(settings["epsilon"])
    used = {"momentum", "rho", "epsilon"}
    if not (0 <= rho <= 1 and momentum >= 0 and epsilon > 0):
        return used, None
    code = _RMSPROP_MOMENTUM if momentum else _RMSPROP
    return used, Optimizer(code, rate, decay, momentum=momentum, rho=rho, epsilon=epsilon)


def _adagrad(settings: Mapping[str, Any], rate: float, decay: float) -> Made:
    start, epsilon = float(settings["initial_accumulator_value"]), float(settings["epsilon"])
    used = {"initial_accumulator_value", "epsilon"}
    if start < 0 or epsilon <= 0:
        return used, None
    return used, Optimizer(_ADAGRAD, rate, decay, epsilon=epsilon, slot_start=start)


_OPTIMIZERS: Final = {
    "sgd": _sgd,
    "adam": _adam,
    "adamw": _adam,
    "rmsprop": _rmsprop,
    "adagrad": _adagrad,
}
