"""The built model: layers, initial weights, and the model that takes raw rows."""

import random

import keras
import numpy as np
import pytest
from trainings import assert_equal_arrays

from hpsearch.errors import InputError
from hpsearch.models.mlp import build_model, full_model
from hpsearch.space.mlp import LAYER_TYPES


def build(problem, seed=0, **values):
    return build_model(problem.problem, values, seed)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"layer_type": "dense"}, ["Dense"]),
        ({"layer_type": "dropout"}, ["Dense", "Dropout"]),
        ({"layer_type": "batch_norm"}, ["Dense", "BatchNormalization", "Activation"]),
        ({"layer_type": "layer_norm"}, ["Dense", "LayerNormalization", "Activation"]),
        ({"layer_type": "residual"}, ["Dense", "Dense", "Add"]),
        # It projects only where widths differ.
        (
            {"layer_type": "residual", "hidden_layers": 2, "units": 64},
            ["Dense", "Add", "Dense", "Add"],
        ),
        ({"hidden_layers": 0}, []),
    ],
)
def test_blocks(digits, values, expected):
    model = build(digits, **{"units": 16} | values)
    kinds = [type(layer).__name__ for layer in model.layers[1:]]
    assert sorted(kinds) == sorted([*expected, "Dense"])


def test_l2_and_initializer_are_every_kernels(digits):
    model = build(digits, layer_type="residual", l2=0.01, kernel_initializer="zeros")
    dense = [layer for layer in model.layers if isinstance(layer, keras.layers.Dense)]
    assert len(dense) == 3
    for layer in dense:
        assert float(layer.kernel_regularizer.l2) == pytest.approx(0.01)
        assert not np.any(layer.kernel.numpy())


def test_initial_weights_are_the_same_for_all_configs(digits):
    plain = build(digits, hidden_layers=2, units=16)
    other = build(
        digits, hidden_layers=2, units=16, layer_type="dropout", activation="tanh", optimizer="sgd"
    )
    assert_equal_arrays(plain.get_weights(), other.get_weights())
    deeper = build(digits, hidden_layers=3, units=16)
    np.testing.assert_array_equal(plain.get_weights()[-2], deeper.get_weights()[-2])
    assert not np.array_equal(plain.get_weights()[0], build(digits, 1, units=16).get_weights()[0])


def test_callers_random_streams_are_left_alone(digits):
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    expected = random.random(), np.random.random()  # noqa: NPY002
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    build(digits)
    assert (random.random(), np.random.random()) == expected  # noqa: NPY002


def wide_tanh(x, units, activation, l2=0.0, missing=3):
    assert (l2, missing) == (0.5, 3)
    return keras.layers.Dense(units * 2, activation=activation)(x)


def greedy(x, **values):
    assert values["learning_rate"] == 0.25
    return keras.layers.Dense(values["units"])(x)


def returns_nothing(x, units, activation):
    del x, units, activation


def test_own_layer_type(digits):
    model = build(digits, layer_type=f"{__name__}:wide_tanh", units=6, activation="tanh", l2=0.5)
    assert model.layers[1].kernel.shape == (64, 12)
    again = build(digits, layer_type=f"{__name__}:wide_tanh", units=6, activation="tanh", l2=0.5)
    np.testing.assert_array_equal(model.get_weights()[0], again.get_weights()[0])
    build(digits, layer_type=f"{__name__}:greedy", learning_rate=0.25)


@pytest.mark.parametrize(
    ("layer_type", "message"),
    [
        ("densse", "cannot be loaded"),
        ("no.such.module:f", "cannot be loaded"),
        (f"{__name__}:no_such", "cannot be loaded"),
        (f"{__name__}:random", "is not a function"),
        (f"{__name__}:returns_nothing", "must return a Keras tensor"),
    ],
)
def test_bad_layer_types(digits, layer_type, message):
    with pytest.raises(InputError, match=message):
        build(digits, layer_type=layer_type)


@pytest.mark.parametrize("layer_type", LAYER_TYPES)
def test_activation_that_halves_the_width(digits, layer_type, tmp_path):
    model = build(digits, layer_type=layer_type, activation="glu", hidden_layers=2, units=16)
    assert model(digits.arrays.x_train[:2]).shape == (2, 10)
    assert model.layers[-1].kernel.shape == (8, 10)
    full_model(model, digits.problem).save(tmp_path / "model.keras")
    keras.models.load_model(tmp_path / "model.keras", safe_mode=True)


@pytest.mark.parametrize("name", ["digits", "images", "cancer", "diabetes"])
def test_saved_model_gives_the_reported_numbers(name, request, tmp_path):
    problem = request.getfixturevalue(name)
    values = {"units": 16, "layer_type": "batch_norm", "l2": 0.001}
    trainer = problem.trainer(values, 0)
    numbers = trainer.run_epoch()
    model = full_model(trainer.model, problem.problem)
    model.save(tmp_path / "best.keras")
    loaded = keras.models.load_model(tmp_path / "best.keras", safe_mode=True)
    x, y = problem.arrays.x_val, problem.arrays.y_val
    if name == "diabetes":
        # As they were before preprocessing.
        x = x / problem.input_spec.scale[0]
        y = y * problem.target.std[0] + problem.target.mean[0]
    evaluated = loaded.evaluate(x, y, verbose=0, return_dict=True)
    assert {f"val_{key}": value for key, value in evaluated.items()} == pytest.approx(
        {key: value for key, value in numbers.items() if key.startswith("val_")}, rel=1e-5
    )
