"""`hpsearch.tune(x, y, model=...)`: models of the user's own on arrays in memory."""

from threading import Lock

import keras
import pytest
import user_models
from keras import layers

import hpsearch
from hpsearch.errors import InputError

LOCK = Lock()


@pytest.mark.slow
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
    assert set(results.table["trainer"]) == {"native"}
    assert {"normalize", "batch_size", "epochs"} <= set(results.table.columns)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"configs": [{"units": 4}]}, "parameters: is missing.*model=build"),
        ({"model": user_models.small, "loss": "mse"}, "are of hpsearch's own MLPs"),
        ({"model": lambda _: LOCK}, "model: cannot be sent to the processes that train"),
    ],
)
def test_mistakes(digits, arguments, message):
    with pytest.raises(InputError, match=message):
        hpsearch.tune(*digits, workers=1, **arguments)


@pytest.mark.slow
def test_several_targets(digits):
    """The graph trains them; tests/training/test_own_models.py has them by `fit`."""
    x, y = digits[0] * 15, digits[1]
    results = hpsearch.tune(
        x,
        {"digit": y, "odd": y % 2},
        model=user_models.two_outputs,
        parameters={"epochs": 6},
        metric={"name": "val_digit_accuracy", "goal": "maximize"},
        workers=1,
    )
    assert results.table["status"].tolist() == ["completed"] * 2, results.table["error"].tolist()
    assert set(results.table["trainer"]) == {"graph"}
    best = results.best
    assert best["score"] == best["val_digit_accuracy"] > 0.25
    assert 0 < best["val_odd_loss"] < 0.8
    found = results.evaluate("validation")
    assert found.metrics["digit_accuracy"].value == pytest.approx(best["score"], abs=1e-6)
    assert found.metrics["loss"].value == pytest.approx(best["val_loss"], rel=1e-5)
    predicted = results.model().predict(x[:3], verbose=0)
    assert [predicted[name].shape for name in ("digit", "odd")] == [(3, 10), (3, 1)]
    assert results.reproduce(1).equal


def test_several_targets_are_for_models_with_as_many_outputs(digits):
    x, y = digits
    with pytest.raises(InputError, match=r"y: has 2 targets.*give model=build"):
        hpsearch.tune(x, {"digit": y, "odd": y % 2}, parameters={"units": 4})
