"""Models of the user's own: the graph gives Keras' numbers; what is no graph is trained by fit."""

import dataclasses

import cloudpickle
import keras
import numpy as np
import pytest
from keras import layers
from keras_curve import keras_curve
from marks import slow
from trainings import assert_agree, trained

from hpsearch.custom.building import labels_for
from hpsearch.data.dataset import several_target
from hpsearch.data.specs import ArrayPart, Target, Task
from hpsearch.models.problem import EarlyStopping
from hpsearch.training.compiled import expressible

SEED = 1


@pytest.mark.parametrize(
    "model", ["convolutional", *map(slow, ["dense", "recurrent", "conditional", "transfer"])]
)
def test_the_graph_gives_kerass_numbers(digits, model):
    problem = digits.replace(model=f"user_models:{model}")
    ours = trained(problem.trainer({}, SEED, kind="graph"), 2)
    assert_agree(ours, keras_curve(problem.model({}, SEED), problem, SEED, epochs=2))


def test_early_stopping_of_a_fit_of_ones_own(digits):
    problem = digits.replace(
        model="user_models:Fitted",
        early_stopping=EarlyStopping(1, 1.0),
        epoch="best",
        asked=("batch_size", "epochs"),
    )
    values = {"units": 4, "normalize": False, "batch_size": 32, "epochs": 6}
    trainer = problem.trainer(values, SEED, epochs=6)
    curve = [epoch["val_accuracy"] for epoch in trained(trainer)]
    # A whole accuracy better is never reached: it ends after the second epoch.
    assert len(curve) == 2
    model = trainer.model
    model.set_weights(trainer.weights())
    x, y = digits.arrays.x_val, digits.arrays.y_val
    assert model.evaluate(x, y, verbose=0)[1] == pytest.approx(max(curve), abs=1e-6)


def test_a_layer_that_remembers_and_several_outputs_for_one_target_are_trained_by_fit(digits):
    def model(**options):
        inputs = keras.Input((8, 8), batch_size=4)
        return keras.Model(inputs, layers.Dense(2)(layers.GRU(3, **options)(inputs)))

    assert expressible(model(), digits.problem)
    assert not expressible(model(stateful=True), digits.problem)
    inputs = keras.Input((4,))
    several = keras.Model(inputs, [layers.Dense(1)(inputs), layers.Dense(2)(inputs)])
    assert not expressible(several, digits.problem)
    target = several_target([ArrayPart(name, (), whole=True) for name in ("a", "b")])
    assert expressible(several, dataclasses.replace(digits.problem, target=target))


def graph_and_fit(problem):
    """The curves by the trainer that is chosen, the graph's, and by `fit`."""
    trainers = [problem.trainer({}, SEED, kind=kind) for kind in (None, "fit")]
    assert [trainer.kind for trainer in trainers] == ["graph", "fit"]
    return [trained(trainer, 2) for trainer in trainers]


def test_several_targets(digits):
    y = np.stack([digits.arrays.y_train, digits.arrays.y_train % 2], 1).astype("f4")
    parts = [ArrayPart(name, (), whole=True) for name in ("digit", "odd")]
    problem = digits.on(y_train=y, x_val=digits.arrays.x_train, y_val=y)
    problem = problem.replace(model="user_models:two_outputs")
    problem = dataclasses.replace(problem, target=several_target(parts))
    for ours, theirs in zip(*graph_and_fit(problem), strict=True):
        assert ours.keys() == theirs.keys()
        for name in ("loss", "digit_accuracy", "odd_accuracy"):
            for prefix in ("", "val_"):
                assert ours[prefix + name] == pytest.approx(theirs[prefix + name], rel=2e-5)


def two_inputs(_):
    """Takes the upper rows of an image, and places in a vocabulary."""
    upper = keras.Input((4, 8), name="upper")
    words = keras.Input((32,), name="words", dtype="int32")
    found = layers.Flatten()(layers.Embedding(17, 2)(words))
    hidden = layers.Concatenate()([layers.Flatten()(upper), found])
    model = keras.Model({"upper": upper, "words": words}, layers.Dense(10, "softmax")(hidden))
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def test_several_inputs(digits):
    parts = (ArrayPart("upper", (4, 8), whole=False), ArrayPart("words", (32,), whole=True))
    whole = np.array([1] * 32 + [16] * 32, np.float32)
    problem = digits.on(x_train=digits.arrays.x_train * whole, x_val=digits.arrays.x_val * whole)
    problem = problem.replace(model="one:own", code=cloudpickle.dumps(two_inputs))
    spec = dataclasses.replace(digits.input_spec, parts=parts)
    ours, theirs = graph_and_fit(dataclasses.replace(problem, input_spec=spec))
    assert_agree(ours, theirs, rel=2e-5)
    assert ours[1]["loss"] < ours[0]["loss"]


@pytest.mark.parametrize(
    ("loss", "one_hot"),
    [
        ("categorical_crossentropy", True),
        (keras.losses.CategoricalCrossentropy(), True),
        (keras.losses.categorical_crossentropy, True),
        ("sparse_categorical_crossentropy", False),
        (keras.losses.SparseCategoricalCrossentropy(), False),
        (lambda y, prediction: prediction - y, False),
    ],
)
def test_labels_as_the_loss_wants_them(loss, one_hot):
    model = keras.Sequential([keras.Input((3,)), layers.Dense(3)])
    model.compile("adam", loss)
    y = np.array([2, 0], np.int32)
    given = labels_for(model, y, Target(Task.MULTICLASS, 3))
    np.testing.assert_array_equal(given, np.eye(3)[[2, 0]] if one_hot else y)
    assert labels_for(model, y, Target(Task.OWN, 3)) is y
