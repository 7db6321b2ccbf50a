"""Preprocessing layers: right values, the same inside an exported model, through a file."""

from __future__ import annotations

import keras
import numpy as np
import pandas as pd
import pytest

from hpsearch import preprocessing
from hpsearch.data import from_arrays
from hpsearch.trial import Task

# Keras 3.15 converts TensorFlow's variables by np.array(x), which NumPy 2 warns about.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

RNG = np.random.default_rng(0)
X = RNG.normal(5, 3, size=(50, 3)).astype(np.float32)
Y = np.arange(50) % 2
IMAGES = RNG.integers(0, 256, (50, 4, 5)).astype(np.uint8)
TABLE = pd.DataFrame(
    {
        "n": X[:, 0],
        "t": ["u", "v"] * 25,
        "a/b": X[:, 1],
        "scaling": ["[UNK]", "w", "w", "z", "z"] * 10,
    }
)


def datasets():
    for scale in ("auto", "none", "unit", "standard"):
        yield f"matrix-{scale}", from_arrays(X, Y, scale=scale)
        yield f"images-{scale}", from_arrays(IMAGES, Y, scale=scale)
        yield f"table-{scale}", from_arrays(TABLE, Y, scale=scale)
    yield "cube", from_arrays(X.reshape(50, 3, 1), Y)
    yield "one numeric", from_arrays(TABLE[["n", "t"]], Y)
    yield "only text", from_arrays(TABLE[["t", "scaling"]], Y)
    yield "one text", from_arrays(TABLE[["t"]], Y)


ALL = dict(datasets())


@pytest.mark.parametrize("dataset", ALL.values(), ids=ALL)
@pytest.mark.filterwarnings("ignore:When providing `inputs` as a dict:UserWarning")
def test_exported_layers_give_the_features(dataset, tmp_path):
    spec, raw = dataset.input, dataset.validation.x
    given = preprocessing.features(spec, raw)
    if preprocessing.runs_in_graph(spec):
        np.testing.assert_array_equal(given, raw)
        for layer in preprocessing.feature_layers(spec):
            given = layer(given)
        given = np.asarray(given, np.float32)
    assert given.dtype == np.float32
    assert given.shape == (len(dataset.validation), preprocessing.n_features(spec))
    model = preprocessing.input_model(spec)
    np.testing.assert_allclose(model.predict(raw, verbose=0), given, rtol=1e-6, atol=1e-6)
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras", safe_mode=True)
    np.testing.assert_allclose(loaded.predict(raw, verbose=0), given, rtol=1e-6, atol=1e-6)


def test_standardised_values():
    dataset = from_arrays(X, Y)
    arrays = preprocessing.arrays(dataset)
    np.testing.assert_allclose(arrays.x_train.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(arrays.x_train.std(axis=0), 1, atol=1e-5)
    train = dataset.train.x
    expected = (dataset.validation.x - train.mean(axis=0)) / train.std(axis=0)
    np.testing.assert_allclose(arrays.x_val, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(arrays.y_train, dataset.train.y)


def test_images_stay_bytes_until_the_graph():
    dataset = from_arrays(IMAGES, Y)
    assert preprocessing.runs_in_graph(dataset.input)
    assert preprocessing.arrays(dataset).x_train.dtype == np.uint8
    x = dataset.train.x
    for layer in preprocessing.feature_layers(dataset.input):
        x = layer(x)
    expected = dataset.train.x.reshape(len(dataset.train), -1) / 255
    np.testing.assert_allclose(x, expected, rtol=1e-6)


def test_numbers_come_before_one_hot_words():
    frame = pd.DataFrame({"t": ["u", "v"] * 25, "n": X[:, 0]})
    new = pd.DataFrame({"t": ["v", "never seen"], "n": X[:2, 0]})
    dataset = from_arrays(frame, Y, validation_data=(new, [0, 1]), scale="none")
    given = preprocessing.features(dataset.input, dataset.validation.x)
    np.testing.assert_allclose(given, [[X[0, 0], 0, 0, 1], [X[1, 0], 1, 0, 0]])


def test_big_data_is_cut_into_batches(monkeypatch):
    dataset = from_arrays(TABLE, Y)
    whole = preprocessing.features(dataset.input, dataset.train.x)
    monkeypatch.setattr(preprocessing, "_BATCH_VALUES", 40)
    np.testing.assert_array_equal(preprocessing.features(dataset.input, dataset.train.x), whole)


def test_a_table_has_no_chain_of_layers():
    with pytest.raises(ValueError, match="use input_model"):
        preprocessing.feature_layers(from_arrays(TABLE, Y).input)


@pytest.mark.parametrize("name", ["=cmd|' /C calc'!A0", "../x", "<script>", "a b", "ü", "dense"])
@pytest.mark.filterwarnings("ignore:When providing `inputs` as a dict:UserWarning")
def test_any_column_name_can_be_exported(name, tmp_path):
    dataset = from_arrays(pd.DataFrame({name: ["u", "v"] * 25, "n": X[:, 0]}), Y)
    inputs = preprocessing.input_model(dataset.input)
    model = keras.Model(inputs.input, keras.layers.Dense(1, name="output")(inputs.output))
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras", safe_mode=True)
    raw = dataset.validation.x
    np.testing.assert_allclose(
        loaded.predict(raw, verbose=0), model.predict(raw, verbose=0), rtol=1e-6
    )


@pytest.mark.parametrize("y", [X[:, 0] * 40 + 7, X[:, :2] * [3, 900]])
def test_outputs_return_to_the_targets_units(y, tmp_path):
    dataset = from_arrays(X, y, validation_data=(X + 1, y))
    assert dataset.target.task is Task.REGRESSION
    standard = keras.Input((dataset.target.outputs,))
    (layer,) = preprocessing.output_layers(dataset.target)
    model = keras.Model(standard, layer(standard))
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    own = loaded.predict(dataset.validation.y, verbose=0)
    np.testing.assert_allclose(own, y.reshape(50, -1), rtol=1e-4)


def test_probabilities_stay_as_they_are():
    assert preprocessing.output_layers(from_arrays(X, Y).target) == []
