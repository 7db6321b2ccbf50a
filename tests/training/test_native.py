"""The native trainer: Keras' numbers, the same bits on every instruction set."""

import dataclasses
import sys
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.datasets import load_digits
from trainings import assert_agree as assert_near
from trainings import assert_equal_arrays, trained

from hpsearch.data.specs import InputSpec, Target, Task
from hpsearch.native.network import describe, instruction_sets, native_extension, native_number
from hpsearch.space import keras_names
from hpsearch.space.keras_names import ACTIVATIONS, INITIALIZERS
from hpsearch.space.mlp import LAYER_TYPES
from hpsearch.training.native import NativeTrainer, _Rows

SEED = 1
EPOCHS = 3
NOT_NATIVE = ("identity", "orthogonal", "variance_scaling")
#: Activation -> the extension's name.
NATIVE = {name: each.native for name, each in ACTIVATIONS.items() if each.native}


def trainer(values, problem, kind, seed=SEED):
    made = problem.trainer(values, seed, kind=kind)
    assert made.kind == kind
    return made


def assert_agree(values, problem):
    """The native trainer and the graph, which other tests hold to Keras."""
    ours, theirs = (trained(trainer(values, problem, kind), EPOCHS) for kind in ("native", "graph"))
    assert list(ours[0]) == list(theirs[0])
    assert_near(ours, theirs)


def test_metrics_of_an_epoch_weigh_each_row_by_its_own_weight():
    order, places = np.array([2, 0, 1]), np.arange(3.0)
    rows = SimpleNamespace(outputs=places[order], y=places, weights=places, _unit=None, _targets=0)
    measure = SimpleNamespace(of=lambda y, p, w: 1.0 * (y == p).all() * (y == w).all(), sparse=True)
    measure.weighted = True
    assert _Rows._measured(rows, measure, order) == 1.0


#: All update biases, too, as those with a normalisation update its factors.
OPTIMIZERS = [
    *(name for name, each in keras_names.OPTIMIZERS.items() if each.native),
    {"name": "sgd", "momentum": 0.7, "weight_decay": 0.01},
    {"name": "adam", "beta_1": 0.8, "beta_2": 0.9, "epsilon": 1e-4, "weight_decay": 0.1},
    {"name": "rmsprop", "momentum": 0.5, "rho": 0.8},
    {"name": "adagrad", "initial_accumulator_value": 0.0, "learning_rate": 0.05},
]


@pytest.mark.parametrize(
    ("layer_type", "optimizer"),
    [
        *(("dense", optimizer) for optimizer in OPTIMIZERS),
        *(
            (layer_type, name)
            for layer_type in LAYER_TYPES
            for name in ("nesterov", "adamw")
            if layer_type != "dense"
        ),
    ],
    ids=str,
)
def test_every_optimizer_and_layer_type_agrees(digits, layer_type, optimizer):
    values = {"hidden_layers": 2, "units": 32, "layer_type": layer_type, "optimizer": optimizer}
    assert_agree(values, digits)


@pytest.mark.parametrize("instructions", instruction_sets())
@pytest.mark.parametrize("activation", NATIVE)
def test_activation_values_and_slopes(activation, instructions):
    z = np.concatenate([np.linspace(0, 30, 4001), np.geomspace(1e-6, 80, 1000)]).astype(np.float32)
    z = np.concatenate([z, -z])
    with tf.GradientTape() as tape:
        x = tf.constant(z)
        tape.watch(x)
        theirs = keras.activations.get(activation)(x)
    their_slope = tape.gradient(theirs, x).numpy()
    ours, slope = np.empty_like(z), np.empty_like(z)
    native_extension().activation(instructions, native_number(NATIVE[activation]), z, ours, slope)
    np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-6, atol=1e-6)
    kinks = np.isin(np.abs(z), [0, 1, 3, 6])
    np.testing.assert_allclose(slope[~kinks], their_slope[~kinks], rtol=4e-6, atol=1e-6)
    z[:16] = np.nan
    native_extension().activation(instructions, native_number(NATIVE[activation]), z, ours, slope)
    assert np.isnan(ours[:16]).all()


@pytest.mark.parametrize(
    "values",
    [
        {"hidden_layers": 0, "optimizer": "adam"},
        {"hidden_layers": 3, "units": 7, "batch_size": 1, "optimizer": "sgd"},
        {"units": 200, "batch_size": 333, "optimizer": "adam"},
        {"units": [129, 16, 3], "batch_size": 45, "optimizer": "nesterov"},
        {"units": 33, "batch_size": 1000, "optimizer": "rmsprop"},
        {"units": 16, "batch_size": 17, "l2": 0.01, "optimizer": "adam"},
        {"units": 40, "l2": 0.1, "layer_type": "dropout", "dropout": 0.3, "optimizer": "adamw"},
        {"units": 48, "layer_type": "dropout", "dropout": 0.0},
        {"units": [64, 40, 40], "layer_type": "residual", "l2": 0.01, "batch_size": 50},
        {"units": 64, "hidden_layers": 2, "layer_type": "residual", "optimizer": "nesterov"},
        {"units": [70, 7], "layer_type": "batch_norm", "batch_size": 33, "activation": "tanh"},
        {"units": [70, 7], "layer_type": "layer_norm", "batch_size": 100, "activation": "gelu"},
    ],
    ids=str,
)
def test_shapes_and_penalties_agree(digits, values):
    assert_agree(values, digits)


@pytest.mark.parametrize("problem", ["cancer", "diabetes", "images"])
@pytest.mark.parametrize("values", [{"units": 24, "optimizer": "adam"}, {"hidden_layers": 0}])
def test_every_task_and_input_agrees(problem, values, request):
    assert_agree(values, request.getfixturevalue(problem))


PIXELS = load_digits().images[:333].astype(np.uint8).reshape(333, -1)


@pytest.mark.parametrize(
    "scaling",
    [
        {"mean": PIXELS.mean(0), "variance": np.maximum(PIXELS.var(0), 0.5)},
        {"scale": np.linspace(0.05, 0.2, 64), "offset": np.linspace(-0.5, 0.5, 64)},
        {},
    ],
    ids=["standardised", "per feature", "unscaled"],
)
def test_images_agree(images, scaling):
    scaling = {name: tuple(numbers) for name, numbers in scaling.items()}
    spec = InputSpec((8, 8), "uint8", **scaling)
    values = {"units": 24, "learning_rate": 1e-3 if scaling else 1e-4}
    assert_agree(values, dataclasses.replace(images, input_spec=spec))


def test_several_regression_targets_agree(diabetes):
    arrays = diabetes.arrays
    wide = diabetes.on(
        y_train=np.hstack([arrays.y_train, -arrays.y_train, arrays.x_train[:, :1]]),
        y_val=np.hstack([arrays.y_val, -arrays.y_val, arrays.x_val[:, :1]]),
    )
    target = Target(Task.REGRESSION, 3, mean=(1.0, 2.0, 3.0), std=(77.0, 1.0, 0.5))
    assert_agree({"units": 24}, dataclasses.replace(wide, target=target))


@pytest.mark.parametrize(
    ("initializer", "layer_type"),
    [
        *((name, "residual") for name in INITIALIZERS if name not in NOT_NATIVE),
        *(("he_normal", layer_type) for layer_type in LAYER_TYPES),
    ],
)
def test_first_weights_are_those_of_keras(digits, initializer, layer_type):
    values = {"units": [33, 12, 12], "kernel_initializer": initializer, "layer_type": layer_type}
    ours = trainer(values, digits, "native").weights()
    assert_equal_arrays(ours, digits.model(values, SEED).get_weights())


@pytest.mark.parametrize("instructions", instruction_sets())
@pytest.mark.parametrize("layer_type", LAYER_TYPES)
@pytest.mark.parametrize("optimizer", ["adam", "nesterov", "rmsprop", "adagrad"])
def test_every_instruction_set_gives_the_same_bits(digits, instructions, layer_type, optimizer):
    values = {"units": [50, 17], "activation": "tanh", "l2": 1e-3, "batch_size": 45}
    values |= {"layer_type": layer_type, "optimizer": optimizer}
    network = describe(digits.problem, values, SEED)
    assert network is not None

    def weights(instructions):
        made = NativeTrainer(
            network, digits.request(values, SEED), model=lambda: None, instructions=instructions
        )
        return trained(made, 4), made.weights()

    (numbers, ours), (best_numbers, best) = weights(instructions), weights("")
    assert numbers == best_numbers
    assert_equal_arrays(ours, best)


@pytest.mark.parametrize(
    "values",
    [
        {"layer_type": "dropout", "dropout": 1.0},
        {"activation": "softmax"},
        {"optimizer": "lion"},
        {"optimizer": {"name": "adam", "amsgrad": True}},
        {"optimizer": {"name": "adam", "clipnorm": 1.0}},
        {"optimizer": {"name": "adam", "use_ema": True}},
        {"optimizer": {"name": "sgd", "gradient_accumulation_steps": 2}},
        {"optimizer": {"name": "sgd", "loss_scale_factor": 2.0}},
        {"optimizer": {"name": "rmsprop", "centered": True}},
        {"optimizer": {"name": "sgd", "learning_rate": {"name": "cosine_decay"}}},
        {"kernel_initializer": "orthogonal"},
    ],
    ids=str,
)
def test_what_it_cannot_train_it_leaves_alone(digits, values):
    assert describe(digits.problem, values, SEED) is None
    with pytest.raises(ValueError, match="cannot train"):
        digits.trainer(values, SEED, kind="native")


KERNEL_AND_BIAS = 0b11


def raw_layer(width, block=0, parts=KERNEL_AND_BIAS, activation=0, dropout=0.0):
    return (width, block, parts, activation, dropout, 0, 0.0, 0.99, 1e-3)


NETWORK = ("", 4, (raw_layer(3, activation=1), raw_layer(2)), (8, 0, 0, 0, 3))
NUMBERS = (1e-3, 0, 0, 0, 0.9, 0.999, 1e-7, 0, 1)
NOTHING = np.empty(0, np.float32)


def raw_network():
    return native_extension().Network(*NETWORK, NUMBERS, NOTHING, NOTHING, NOTHING)


@pytest.mark.parametrize(
    ("index", "value"),
    [
        (0, "sse"),
        (1, 0),
        (2, ()),
        (2, (raw_layer(2),) * 65),
        (2, (raw_layer(-3), raw_layer(2))),
        (2, (raw_layer(3, block=9), raw_layer(2))),
        (2, (raw_layer(3), raw_layer(2, block=1))),
        (2, (raw_layer(3, parts=0b10), raw_layer(2))),
        (2, (raw_layer(3, parts=0b111), raw_layer(2))),
        (2, (raw_layer(3, block=1), raw_layer(2))),
        (2, (raw_layer(3, block=4, parts=0b100001), raw_layer(2))),
        (2, (raw_layer(3, block=3), raw_layer(2))),
        (2, (raw_layer(3, parts=0b10000011), raw_layer(2))),
        (2, (raw_layer(3, activation=99), raw_layer(2))),
        (2, (raw_layer(3, dropout=1.0), raw_layer(2))),
        (3, (0, 0, 0, 0, 3)),
        (3, (8, 0, 9, 0, 3)),
        (3, (8, 0, 0, 1, 3)),
        (3, (8, 0, 0, 2, 3)),
        (3, (8, 0, 2, 0, 3)),
        (3, (8, 1, 0, 0, 3)),
        (3, (8, -1, 0, 0, 3)),
    ],
)
def test_the_extension_refuses_what_it_is_not_made_for(index, value):
    arguments = [*NETWORK]
    arguments[index] = value
    with pytest.raises(ValueError):  # noqa: PT011 - whichever it is
        native_extension().Network(*arguments, NUMBERS, NOTHING, NOTHING, NOTHING)


@pytest.mark.parametrize("numbers", [15, 16])
def test_bins_need_rows_of_floats_and_sixteen_numbers(numbers):
    layers, bins = NETWORK[2], np.ones(numbers, np.float32)
    for rows in range(1 if numbers == 16 else 0, 3):
        with pytest.raises(ValueError, match="bin"):
            native_extension().Network(
                *("", 16, layers, (8, 1, 0, rows, 3)), NUMBERS, bins, bins, NOTHING
            )


def test_a_network_that_was_not_made_does_nothing():
    kind = native_extension().Network
    network = kind.__new__(kind)
    arguments = [*NETWORK]
    arguments[2] = (raw_layer(3), raw_layer(2, block=1))
    with pytest.raises(ValueError, match="block"):
        network.__init__(*arguments, NUMBERS, NOTHING, NOTHING, NOTHING)
    with pytest.raises(RuntimeError, match="not made"):
        network.evaluate(np.zeros((5, 4), np.float32), np.zeros(5, np.int32))


def test_the_extension_lets_go_of_arrays():
    network = raw_network()
    x, y = np.zeros((5, 4), np.float32), np.zeros(5, np.int32)
    outputs, weights = np.zeros((5, 2), np.float32), np.ones(5, np.float32)
    given = (x, y, outputs, weights)
    before = [sys.getrefcount(each) for each in given]
    for _ in range(9):
        network.evaluate(x, y, weights, outputs)
        for odd in ((weights, outputs[:4]), (weights[:4], outputs), (weights, 1), (1, outputs)):
            with pytest.raises((ValueError, TypeError)):
                network.evaluate(x, y, *odd)
        del odd
    assert [sys.getrefcount(each) for each in given] == before


def test_the_extension_reads_no_rows_that_are_not_there():
    network = raw_network()
    x, y = np.zeros((5, 4), np.float32), np.zeros(5, np.int32)
    order = np.arange(5, dtype=np.int32)
    network.train(x, y, order)
    with pytest.raises(ValueError, match="order"):
        network.train(x, y, order + 1)
    with pytest.raises(ValueError, match="order"):
        network.train(x, y, order[:4])
    with pytest.raises(ValueError, match="rows"):
        network.train(x[:4], y, order)
    with pytest.raises(ValueError, match="rows"):
        network.evaluate(x.ravel()[:-1], y)
    outputs, weights = np.zeros((5, 2), np.float32), np.ones(5, np.float32)
    network.train(x, y, order, weights, outputs)
    network.train(x, y, order, None, None)
    np.testing.assert_allclose(outputs.sum(axis=1), 1)
    for odd in [(weights[:4], None), (None, outputs[:4]), (None, outputs[:, :1].copy())]:
        with pytest.raises(ValueError, match="rows"):
            network.train(x, y, order, *odd)
        with pytest.raises(ValueError, match="rows"):
            network.evaluate(x, y, *odd)
    outputs.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        network.evaluate(x, y, None, outputs)
    for layer, part, which in [(2, 0, 0), (-1, 0, 0), (0, 2, 0), (0, 9, 0), (0, 0, 3), (0, 0, -1)]:
        with pytest.raises(ValueError, match="layer"):
            network.set(layer, part, which, np.zeros((4, 3), np.float32))
    with pytest.raises(ValueError, match="shape"):
        network.get(0, 0, 0, np.zeros((4, 2), np.float32))
