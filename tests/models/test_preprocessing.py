"""Preprocessing layers: right values, the same inside an exported model, through a file."""

import keras
import numpy as np
import pandas as pd
import pytest
from datasets import made
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from hpsearch.data.specs import ColumnSpec, InputSpec, Task, n_features, runs_in_graph
from hpsearch.models import arrays, mlp

# Keras 3.15 converts TensorFlow's variables by np.array(x), which NumPy 2 warns about.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

RNG = np.random.default_rng(0)
X = RNG.normal(5, 3, size=(50, 3)).astype(np.float32)
Y = np.arange(50) % 2
IMAGES = RNG.integers(0, 256, (50, 4, 5)).astype(np.uint8)
GAPS = np.where(RNG.random(X.shape) < [0.3, 0, 0.1], np.float32(np.nan), X)
TABLE = pd.DataFrame(
    {
        "n": X[:, 0],
        "t": ["u", "v"] * 25,
        "a/b": X[:, 1],
        "scaling": ["[UNK]", "w", "w", "z", "z"] * 10,
    }
)


def datasets():
    for scale in ("none", "unit", "standard", "minmax", "robust"):
        yield f"matrix-{scale}", made(X, Y, scale=scale)
        yield f"images-{scale}", made(IMAGES, Y, scale=scale)
        yield f"table-{scale}", made(TABLE, Y, scale=scale)
        yield f"gaps-{scale}", made(GAPS, Y, scale=scale)
    frame = TABLE.assign(n=GAPS[:, 0], t=TABLE["t"].mask(GAPS[:, 0] > 5))
    yield "table with gaps", made(frame, Y)
    yield "cube", made(X.reshape(50, 3, 1), Y)
    yield "one numeric", made(TABLE[["n", "t"]], Y)
    yield "only text", made(TABLE[["t", "scaling"]], Y)
    yield "one text", made(TABLE[["t"]], Y)


ALL = dict(datasets())


@pytest.mark.parametrize("dataset", ALL.values(), ids=ALL)
@pytest.mark.filterwarnings("ignore:When providing `inputs` as a dict:UserWarning")
def test_exported_layers_give_the_features(dataset, tmp_path):
    spec, raw = dataset.input, dataset.validation.x
    given = arrays.features(spec, raw)
    if runs_in_graph(spec):
        np.testing.assert_array_equal(given, raw)
        rows = keras.Input(spec.shape, dtype=spec.dtype)
        given = np.asarray(keras.Model(rows, mlp.flat_features(spec, rows))(raw), np.float32)
    assert given.dtype == np.float32
    assert given.shape == (len(dataset.validation), n_features(spec))
    mlp.input_model(spec).save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras", safe_mode=True)
    np.testing.assert_allclose(loaded.predict(raw, verbose=0), given, rtol=1e-6, atol=1e-6)


def assert_same_bits(spec, x):
    """Equal, the signs of zeros included; NaN has many bit patterns."""
    ours = arrays.features(spec, x)
    # Keras' one-hot numbers are integers until they meet others.
    theirs = np.asarray(mlp.input_model(spec)(x), np.float32)
    np.testing.assert_array_equal(ours, theirs, strict=True)
    number = ~np.isnan(ours)
    np.testing.assert_array_equal(np.signbit(ours)[number], np.signbit(theirs)[number])


ANY = st.floats(width=32)
#: Subnormal ones, too, which TensorFlow takes for zero. But no -0.0: of two scalars that are
#: equal it keeps the first that it met.
FINITE = st.floats(-(2.0**120), 2.0**120, width=32).map(lambda value: value + 0.0)
POSITIVE = st.floats(0.0, 2.0**120, width=32)
#: What no file holds is left out: a text's terminator, and halves of characters.
WORDS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1)


@st.composite
def scalings(draw, n_features, *, in_table=False):
    """The scaling's numbers: one for each feature or, for `unit`, one for all."""
    kind = draw(st.sampled_from(["none", "standard", "unit"])) if n_features else "none"
    if kind == "none":
        return {}
    first, second = ("mean", "variance") if kind == "standard" else ("scale", "offset")
    size = 1 if kind == "unit" and not in_table and draw(st.booleans()) else n_features
    seconds = POSITIVE if kind == "standard" else FINITE
    return {
        first: tuple(draw(st.lists(FINITE, min_size=size, max_size=size))),
        second: tuple(draw(st.lists(seconds, min_size=size, max_size=size))),
    }


@st.composite
def imputations(draw, n_features):
    """What takes the place of missing numbers, and which of them have an indicator."""
    if not n_features or draw(st.booleans()):
        return {}
    places = st.lists(st.integers(0, n_features - 1), unique=True).map(sorted)
    fill = draw(st.lists(FINITE, min_size=n_features, max_size=n_features))
    return {"fill": tuple(fill), "indicators": tuple(draw(places))}


@st.composite
def matrices(draw):
    shape = draw(st.lists(st.integers(1, 4), min_size=1, max_size=3))
    size = int(np.prod(shape))
    filled = draw(imputations(size)) if len(shape) == 1 else {}
    spec = InputSpec(tuple(shape), "float32", **draw(scalings(size)), **filled)
    x = draw(npst.arrays(np.float32, (draw(st.integers(1, 6)), *shape), elements=ANY))
    return spec, np.asfortranarray(x) if draw(st.booleans()) else x


@st.composite
def tables(draw):
    n = draw(st.integers(1, 6))
    columns, x = [], {}
    for index in range(draw(st.integers(1, 4))):
        name = f"column {index}"
        if draw(st.booleans()):
            columns.append(ColumnSpec(name))
            x[name] = draw(npst.arrays(np.float32, n, elements=ANY))
        else:
            vocabulary = draw(st.lists(WORDS, min_size=1, max_size=5, unique=True))
            columns.append(ColumnSpec(name, tuple(sorted(vocabulary))))
            words = st.one_of(st.sampled_from(vocabulary), st.just("[UNK]"), WORDS)
            x[name] = np.array(draw(st.lists(words, min_size=n, max_size=n)), object)
    numeric = sum(column.vocabulary is None for column in columns)
    # A table without text is a matrix.
    assume(numeric < len(columns))
    scaling = draw(scalings(numeric, in_table=True)) | draw(imputations(numeric))
    return InputSpec((len(columns),), "float32", columns=tuple(columns), **scaling), x


@settings(max_examples=150)
@given(st.one_of(matrices(), tables()))
def test_features_are_the_layers_to_the_bit(drawn):
    assert_same_bits(*drawn)


def test_a_number_that_is_taken_for_zero_has_no_sign_once_it_is_added_to():
    filled = InputSpec((1,), "float32", fill=(0.0,))
    assert_same_bits(filled, np.array([[-3e-40], [3e-40], [-0.0], [np.nan]], np.float32))


@pytest.mark.parametrize("scale", ["unit", "standard"])
def test_constant_columns_stay_finite(scale):
    x = np.column_stack([X[:, 0], np.full(50, 1e30), np.zeros(50)]).astype(np.float32)
    dataset = made(x, Y, scale=scale)
    assert np.isfinite(arrays.features(dataset.input, dataset.train.x)).all()
    assert_same_bits(dataset.input, dataset.train.x)


def test_the_raw_rows_are_left_alone():
    x = X.copy()
    for scale in ("none", "standard"):
        dataset = made(x, Y, scale=scale)
        arrays.features(dataset.input, x)
        np.testing.assert_array_equal(x, X)


def test_numbers_come_before_one_hot_words():
    frame = pd.DataFrame({"t": ["u", "v"] * 25, "n": X[:, 0]})
    new = pd.DataFrame({"t": ["v", "never seen"], "n": X[:2, 0]})
    dataset = made(frame, Y, validation_data=(new, [0, 1]), scale="none")
    given = arrays.features(dataset.input, dataset.validation.x)
    np.testing.assert_allclose(given, [[X[0, 0], 0, 0, 1], [X[1, 0], 1, 0, 0]])


def test_big_data_is_cut_into_batches(monkeypatch):
    dataset = made(TABLE, Y)
    whole = arrays.features(dataset.input, dataset.train.x)
    monkeypatch.setattr(arrays, "_BLOCK_VALUES", 40)
    np.testing.assert_array_equal(arrays.features(dataset.input, dataset.train.x), whole)


@pytest.mark.filterwarnings("ignore:When providing `inputs` as a dict:UserWarning")
def test_any_column_name_can_be_exported(tmp_path):
    names = ["=cmd|' /C calc'!A0", "../x", "<script>", "a b", "ü", "dense"]
    frame = pd.DataFrame({name: ["u", "v"] * 25 for name in names} | {"n": X[:, 0]})
    dataset = made(frame, Y)
    inputs = mlp.input_model(dataset.input)
    model = keras.Model(inputs.input, keras.layers.Dense(1, name="output")(inputs.output))
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras", safe_mode=True)
    raw = dataset.validation.x
    np.testing.assert_allclose(
        loaded.predict(raw, verbose=0), model.predict(raw, verbose=0), rtol=1e-6
    )


@pytest.mark.parametrize("y", [X[:, 0] * 40 + 7, X[:, :2] * [3, 900]])
def test_outputs_return_to_the_targets_units(y, tmp_path):
    dataset = made(X, y, validation_data=(X + 1, y))
    assert dataset.target.task is Task.REGRESSION
    standard = keras.Input((dataset.target.outputs,))
    (layer,) = mlp.output_layers(dataset.target)
    model = keras.Model(standard, layer(standard))
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    own = loaded.predict(dataset.validation.y, verbose=0)
    np.testing.assert_allclose(own, y.reshape(50, -1), rtol=1e-4)


@pytest.mark.parametrize("class_weight", [{"0": 3.0, "1": 0.5}, "balanced"])
def test_weights_of_classes_multiply_those_of_rows(class_weight):
    own = RNG.uniform(0.5, 2, 50)
    y = (np.arange(50) % 5 == 0).astype(int)
    dataset = made(X, y, weights=own)
    found = arrays.training_weights(dataset, class_weight)
    bare = arrays.training_weights(made(X, y), class_weight)
    assert len({*bare}) == 2
    np.testing.assert_allclose(found, bare * dataset.train.weights, rtol=1e-6)
