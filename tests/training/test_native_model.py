"""Custom models that are MLPs: the native trainer gives Keras' numbers, or leaves them."""

import mlp_models
import numpy as np
import pytest
from keras_curve import keras_curve
from keras_tuner import HyperParameters
from marks import slow_but
from trainings import assert_agree, assert_equal_arrays, trained

from hpsearch.custom.native_model import dense_model
from hpsearch.data.specs import Arrays
from hpsearch.training.native import NativeTrainer

SEED = 1
EPOCHS = 3
BATCH = 32
KNOWN = ("guide", "functional", "logits", "separate_softmax", "without_metrics")


def of(problem, model):
    return problem.of_model(f"mlp_models:{model}")


@pytest.mark.parametrize(
    ("data", "model"),
    slow_but(
        [("digits", "guide"), ("images", "without_metrics")],
        [
            *(("digits", model) for model in KNOWN),
            ("cancer", "binary"),
            ("diabetes", "regressor"),
            ("images", "without_metrics"),
        ],
    ),
)
def test_native_gives_kerass_numbers(data, model, request):
    given = request.getfixturevalue(data)
    problem = of(given.one_hot() if model == "guide" else given, model)
    trainer = problem.trainer({}, SEED)
    assert trainer.kind == "native"
    theirs = keras_curve(problem.model({}, SEED), problem, SEED, epochs=EPOCHS)
    assert_agree(trained(trainer, EPOCHS), theirs)


@pytest.mark.parametrize("model", mlp_models.UNKNOWN)
def test_what_it_does_not_know_it_leaves_alone(digits, model):
    assert dense_model(mlp_models.plain(), digits.arrays, BATCH) is not None
    assert dense_model(mlp_models.UNKNOWN[model](), digits.arrays, BATCH) is None


def test_the_largest_is_known(digits):
    deep = mlp_models.plain(hidden=63)
    network, _ = dense_model(deep, digits.arrays, BATCH)
    trainer = NativeTrainer(
        network, digits.request(), model=lambda: deep, weights=deep.get_weights()
    )
    assert np.isfinite(trainer.run_epoch()["loss"])


def test_a_trained_model_is_no_beginning(digits):
    model = mlp_models.without_metrics(None)
    x, y = digits.arrays.x_train.reshape(-1, 8, 8), digits.arrays.y_train
    assert dense_model(model, digits.arrays, BATCH) is not None
    model.train_on_batch(x, y)
    assert dense_model(model, digits.arrays, BATCH) is None


@pytest.mark.parametrize(
    ("model", "y"),
    [
        ("without_metrics", np.full(5, 10)),
        ("without_metrics", np.full(5, -1)),
        ("without_metrics", np.full(5, 0.5, "f4")),
        ("without_metrics", np.zeros((5, 2), "i4")),
        ("guide", np.full((5, 10), 0.1, "f4")),
        ("guide", np.zeros((5, 10), "f4")),
        ("guide", np.zeros(5, "i4")),
        ("binary", np.zeros((5, 2), "f4")),
        ("regressor", np.zeros((5, 2), "f4")),
    ],
)
def test_targets_that_it_does_not_know_it_leaves_alone(model, y):
    width = {"binary": 30, "regressor": 10}.get(model, 64)
    made = getattr(mlp_models, model)(HyperParameters())
    if not made.built:
        made.build((None, width))
    rows = np.zeros((5, width), "f4")
    assert dense_model(made, Arrays(rows, y, rows, y), BATCH) is None


def test_without_the_extension_it_is_a_graph(digits, monkeypatch):
    monkeypatch.setattr("hpsearch.custom.trainers.native_available", lambda: False)
    assert of(digits, "logits").trainer({}, SEED).kind == "graph"


def test_it_begins_with_the_models_weights_and_gives_them_back(digits):
    problem = of(digits, "functional")
    trainer = problem.trainer({}, SEED)
    assert_equal_arrays(trainer.weights(), problem.model({}, SEED).get_weights())
    told = trainer.run_epoch()
    x = problem.arrays.x_val.reshape(-1, 8, 8, 1)
    measured = trainer.model.evaluate(x, problem.arrays.y_val, verbose=0, return_dict=True)
    assert measured["right"] == pytest.approx(told["val_right"], abs=1e-6)
