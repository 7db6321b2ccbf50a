"""`hpsearch.tune({"table": a, "image": b}, y, model=build)`: models with several inputs."""

from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from keras import layers
from sklearn.datasets import load_digits

import hpsearch
from hpsearch.data.dataset import are_several_inputs
from hpsearch.errors import HpsearchError, InputError


def rows():
    """A table, images, places in a vocabulary of 7 words, and the classes."""
    loaded = load_digits()
    y = loaded.target[:400]
    random = np.random.default_rng(0)
    table = random.normal(50.0, 9.0, (400, 4)) + y[:, np.newaxis]
    words = random.integers(0, 7, (400, 3))
    return {"table": table, "image": loaded.images[:400].astype("uint8") * 15, "words": words}, y


def build(hp):
    """Takes the three inputs by their names."""
    table, image = keras.Input((4,), name="table"), keras.Input((8, 8), name="image")
    words = keras.Input((3,), name="words", dtype="int32")
    parts = [
        layers.Dense(hp.Choice("units", [4, 8]), activation="relu")(table),
        layers.Dense(16, activation="relu")(layers.Flatten()(image)),
        layers.Flatten()(layers.Embedding(7, 2)(words)),
    ]
    outputs = layers.Dense(10, activation="softmax")(layers.Concatenate()(parts))
    inputs = {"table": table, "image": image, "words": words}
    model = keras.Model(inputs, outputs)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def test_a_mapping_of_arrays_and_its_model_predicts_raw_rows(tmp_path):
    """The graph trains it; tests/training/test_own_models.py has it by `fit`."""
    x, y = rows()
    tuned = hpsearch.tune(
        x, y, model=build, parameters={"epochs": 15}, out=tmp_path / "out", test=0.2
    )
    table, best = tuned.table, tuned.best
    assert table["status"].tolist() == ["completed"] * 2, table["error"].tolist()
    assert set(table["trainer"]) == {"graph"}
    assert best["val_accuracy"] > 0.3
    for part in ("validation", "test"):
        found = tuned.evaluate(part).metrics
        assert found["accuracy"].value > 0.3
        if part == "validation":
            assert found["loss"].value == pytest.approx(best["val_loss"], rel=1e-5)
    assert tuned.reproduce(int(best["trial"])).equal
    assert "dict of 3" in (tuned.directory / "sweep.yaml").read_text()
    raw = {name: each[:50] for name, each in x.items()}
    labels = tuned.predict(raw)
    assert (labels == y[:50]).mean() > 0.5
    chances = tuned.predict_proba(raw)
    assert chances.shape == (50, 10)
    # Keras alone can load it, since no layer's module is ours.
    model = keras.models.load_model(tuned.directory / "best.keras")
    assert "hpsearch." not in model.to_json()
    np.testing.assert_allclose(model.predict(raw, verbose=0), chances, rtol=1e-5)
    with pytest.raises(InputError, match="rows must be a mapping of the model's 3 inputs"):
        tuned.predict(raw["table"])
    with pytest.raises(
        HpsearchError, match=r"rows: its inputs are \[\('table', \(4,\), 'numbers'\)\]"
    ):
        tuned.predict({"table": raw["table"]})
    assert tuned.predict({name: each[:0] for name, each in x.items()}).shape == (0,)


def test_lists_of_as_many_inputs_as_targets_fold_by_fold():
    def build(hp):
        inputs = [keras.Input((3,)), keras.Input((2,))]
        joined = layers.Concatenate()(inputs)
        model = keras.Model(inputs, [layers.Dense(1)(joined), layers.Dense(1)(joined)])
        model.compile("adam", ["mse", "mse"])
        return model

    random = np.random.default_rng(0)
    x = [random.normal(size=(80, width)) for width in (3, 2)]
    y = [random.normal(size=80) for _ in x]
    weights = 1.0 + (y[0] > 0)
    results = hpsearch.tune(
        x, y, model=build, parameters={"epochs": 1}, metric="val_loss", sample_weight=weights, cv=2
    )
    assert results.table["status"].tolist() == ["completed"] * 2, results.table["error"].tolist()
    assert results.table["fold"].tolist() == [1, 2]
    assert results.table["score"].tolist() == results.table["val_loss"].tolist()
    assert results.predict([each[:3] for each in x]).shape == (2, 3, 1)


def test_rows_in_a_list_are_no_inputs():
    assert not are_several_inputs([*np.eye(9)], np.arange(9))
    assert not are_several_inputs([*np.zeros((9, 4))], [*np.eye(9)[:, :4]])
    assert are_several_inputs([np.zeros(9), np.zeros((9, 2))], [np.zeros(9), np.zeros(9)])
    assert are_several_inputs([np.zeros(9), np.zeros((9, 2))], {"a": np.zeros(9)})


def test_validation_rows_have_the_inputs_and_kinds_of_numbers_of_the_training_rows():
    x, y = rows()
    one, rest = ({n: e[s] for n, e in x.items()} for s in (slice(100), slice(100, None)))
    arguments = {"model": build, "parameters": {"epochs": 1, "units": 4}}
    image, words = one["image"] / 255, one["words"] + 0.5
    for changed, message in (
        ({"table": one["table"]}, r"validation: x: its inputs are .* training rows"),
        (
            one | {"image": image},
            r"\('image', \(8, 8\), 'numbers'\).*training rows.*'images of uint8'",
        ),
        (one | {"words": words}, r"\('words', \(3,\), 'numbers'\).*training rows.*'whole numbers'"),
    ):
        with pytest.raises(InputError, match=message):
            hpsearch.tune(rest, y[100:], validation_data=(changed, y[:100]), **arguments)
    # A table of whole numbers is a table of numbers.
    whole = one | {"table": one["table"].astype(int)}
    results = hpsearch.tune(rest, y[100:], validation_data=(whole, y[:100]), **arguments)
    assert results.predict(whole).shape == (100,)
    with pytest.raises(InputError, match=r"row 1 \(from 0\): x\['table'\]: nan is not a finite"):
        results.predict(
            one | {"table": np.where(np.arange(100)[:, None] == 1, np.nan, one["table"])}
        )
    with pytest.raises(InputError, match=r"rows: .*\('words', \(3,\), 'numbers'\)"):
        results.predict(one | {"words": one["words"] + 0.9})


def test_columns_of_numbers_are_inputs_too():
    """As in a recommender: one number a row, by name."""

    def recommender(hp):
        inputs = {name: keras.Input((1,), name=name, dtype="int32") for name in ("user", "item")}
        parts = [layers.Flatten()(layers.Embedding(9, 3)(each)) for each in inputs.values()]
        outputs = layers.Dense(1)(layers.Concatenate()(parts))
        model = keras.Model(inputs, outputs)
        model.compile("adam", "mse")
        return model

    random = np.random.default_rng(1)
    x = {"user": random.integers(0, 9, 200), "item": random.integers(0, 9, 200)}
    # No two rows are equal, of which hpsearch would warn.
    y = x["user"] * 0.5 - x["item"] + random.normal(0, 0.1, 200)
    results = hpsearch.tune(x, y, model=recommender, parameters={"epochs": 3}, metric="val_loss")
    assert results.table["status"].tolist() == ["completed"]
    assert results.predict(x).shape == (200,)


@pytest.mark.parametrize(
    ("changes", "arguments", "message"),
    [
        ({}, {"model": None, "parameters": {"units": 4}}, "x is 3 inputs.*have one.*model=build"),
        ({}, {"scale": "robust"}, "scale: is robust, and several inputs take auto"),
        ({"table": np.full((400, 4), np.nan)}, {}, r"x\['table'\]: nan is not a finite"),
        ({"table": np.zeros((399, 4))}, {}, "x: its inputs have 399, 400, 400 rows"),
        ({"more": np.full((400, 1), "a")}, {}, r"x\['more'\]: must be an array of numbers"),
        ({}, {"drop": ["table"]}, "drop: x is no table"),
    ],
)
def test_mistakes(changes, arguments, message):
    x, y = rows()
    given = {"model": build, "parameters": {"epochs": 1}} | arguments
    with pytest.raises(InputError, match=message):
        hpsearch.tune(x | changes, y, **given)


def test_a_file_names_a_function_that_returns_them(tmp_path, monkeypatch):
    home = Path(__file__).parent
    (tmp_path / "own_inputs.py").write_text(
        f"import sys\nsys.path.insert(0, {str(home)!r})\n"
        "from test_tune_inputs import build, rows as load\n"
    )
    monkeypatch.chdir(tmp_path)
    sweep = {
        "data": {"python": "own_inputs:load"},
        "model": "own_inputs:build",
        "parameters": {"epochs": 2, "units": [4]},
    }
    results = hpsearch.run(sweep, out="out")
    assert results.table["status"].tolist() == ["completed"]
    with pytest.raises(InputError, match="load: x is 3 inputs"):
        hpsearch.run({"data": sweep["data"], "parameters": {"units": 4}}, out="other")


def of_a_table(hp):
    model = keras.Sequential([keras.Input((2,)), layers.Dense(1)])
    model.compile("adam", "mse")
    return model


def test_a_frame_is_a_table_which_keeps_its_width_where_it_has_gaps():
    """Its columns make one row of numbers, and are no inputs of their own."""
    random = np.random.default_rng(0)
    table = pd.DataFrame(random.normal(size=(80, 2)), columns=["a", "b"])
    table.loc[::5, "a"] = np.nan
    results = hpsearch.tune(
        table, random.normal(size=80), model=of_a_table, parameters={"epochs": 1}, metric="val_loss"
    )
    assert results.table["status"].tolist() == ["completed"]
    assert np.isfinite(results.predict(table)).all()
    assert results.reproduce(1).equal
