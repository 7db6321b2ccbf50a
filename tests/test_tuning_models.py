"""`hpsearch.tune(x, y, model=...)`: models of the user's own on arrays in memory."""

from __future__ import annotations

import keras
import pytest
import user_models
from keras import layers
from sklearn.datasets import load_digits

import hpsearch
from hpsearch.errors import InputError


@pytest.fixture(scope="module")
def digits():
    """Images of (8, 8) numbers, and their classes."""
    loaded = load_digits()
    return loaded.images[:500].astype("uint8"), loaded.target[:500]


def test_a_function_of_this_file_and_its_model_again(digits):
    x, y = digits
    units = [4, 8]

    def build(hp):
        # The channel is added, and the classes are one-hot, as this model wants them.
        inputs = keras.Input((8, 8, 1))
        hidden = layers.Conv2D(hp.Choice("units", units), 3, activation="relu")(inputs)
        outputs = layers.Dense(10, activation="softmax")(layers.Flatten()(hidden))
        model = keras.Model(inputs, outputs)
        model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
        return model

    results = hpsearch.tune(x, y, model=build, parameters={"epochs": [1, 3]}, workers=1)
    assert len(results.table) == 4
    assert set(results.table["units"]) == {4, 8}
    assert set(results.table["trainer"]) == {"graph"}
    assert results.best["score"] > 0.2
    assert results.model().predict(x[:3], verbose=0).shape == (3, 10)
    number = int(results.best["trial"])
    assert results.reproduce(number).equal
    look = results.evaluate("validation")
    assert look.metrics["accuracy"].value == pytest.approx(results.best["val_accuracy"], abs=1e-6)


def test_a_hypermodel_by_a_method_that_learns(digits):
    results = hpsearch.tune(*digits, model=user_models.Fitted, method="tpe", trials=3, workers=1)
    assert set(results.table["trainer"]) == {"fit"}
    assert {"normalize", "batch_size", "epochs"} <= set(results.table.columns)


def test_folds(digits):
    results = hpsearch.tune(
        *digits, model=user_models.small, cv=2, parameters={"epochs": 1, "f": "relu"}, workers=1
    )
    assert sorted(results.table["fold"]) == [1, 1, 2, 2]
    assert set(results.table["status"]) == {"completed"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "parameters: is missing.*model=build"),
        ({"model": 3}, "model: must be a function of hp"),
        ({"model": user_models.small, "loss": "mse"}, "are of hpsearch's own MLPs"),
        ({"model": user_models.dense}, "grid needs a list of values or a step.*'lr'"),
    ],
)
def test_mistakes(digits, arguments, message):
    with pytest.raises(InputError, match=message):
        hpsearch.tune(*digits, workers=1, **arguments)


def test_what_cannot_be_sent_is_said(digits, tmp_path):
    with (tmp_path / "log").open("w") as log:

        def build(hp):
            log.write("built")
            return user_models.small(hp)

        with pytest.raises(InputError, match="model: cannot be sent to the processes that train"):
            hpsearch.tune(*digits, model=build, workers=1)
