"""Losses, metrics, weights and layers of MLPs of the user's own: native numbers are `fit`'s."""

import cloudpickle
import compiled_mlps
import keras
import numpy as np
import pytest
from keras import callbacks as kc
from keras import layers
from keras_tuner.src.engine.hypermodel import get_hypermodel
from marks import slow
from trainings import assert_agree, trained

from hpsearch.custom.building import Tailored
from hpsearch.custom.native_model import _METRICS, dense_model
from hpsearch.custom.trainers import _give_state
from hpsearch.data.specs import Arrays
from hpsearch.native import metrics as numpy_metrics

SEED = 1
EPOCHS = 3
#: Model -> the data that it is for.
MODELS = {
    "one_hot": "digits",
    "sparse": "digits",
    "binary": "cancer",
    "squared": "diabetes",
    "absolute": "diabetes",
    "huber": "diabetes",
    "autoencoder": "digits",
    "shares": "digits",
    "normed": "digits",
    "normed_behind": "digits",
    "normed_by_adam": "digits",
    "without_biases": "digits",
    "penalised": "digits",
}
QUICK = {"normed"}
#: Models with a loss or targets of their own; weights concern nothing else.
WEIGHTED = {"one_hot", "sparse", "binary", "squared", "absolute", "huber", "shares"}


def of(request, model, *, weighted=False):
    """The problem of a model, with the targets that it takes."""
    problem = request.getfixturevalue(MODELS[model])
    if model == "one_hot":
        problem = problem.one_hot()
    elif model in ("autoencoder", "shares"):
        problem = problem.on(y_train=problem.arrays.x_train, y_val=problem.arrays.x_val)
    problem = problem.weighted() if weighted else problem
    return problem.of_model(f"compiled_mlps:{model}", metric="val_loss")


@pytest.mark.parametrize(
    "model",
    [pytest.param(model, marks=() if model in QUICK else pytest.mark.slow) for model in MODELS],
)
def test_native_gives_fits_numbers(model, request):
    problem = of(request, model, weighted=model in WEIGHTED)
    native, fit = problem.trainer({}, SEED), problem.trainer({}, SEED, kind="fit")
    assert native.kind == "native"
    # Rounding decides in what bin of AUC a prediction falls, and the sign of Adam's step for a
    # bias that normalisation takes away.
    rel = 2e-4 if model in ("one_hot", "shares", "binary", "normed_by_adam") else 1e-5
    assert_agree(trained(native, EPOCHS), trained(fit, EPOCHS), rel=rel)


def test_names_are_those_of_a_new_process(cancer):
    """Though the process has made metrics of the class before."""
    keras.metrics.AUC()
    problem = cancer.of_model("compiled_mlps:binary", metric="val_auc")
    for _ in range(2):
        assert "auc" in problem.trainer({}, SEED).run_epoch()
    assert dense_model(compiled_mlps.squared(None), cancer.arrays, 32) is None
    before = keras.metrics.AUC().name
    problem.trainer({}, SEED)
    assert keras.metrics.AUC().name == f"auc_{int(before.removeprefix('auc_')) + 1}"


def test_without_rows_to_validate_on(request):
    problem = of(request, "binary", weighted=True)
    x_val, y_val = problem.arrays.x_val[:0], problem.arrays.y_val[:0]
    told = problem.on(x_val=x_val, y_val=y_val, w_val=None).trainer({}, SEED).run_epoch()
    whole = problem.trainer({}, SEED).run_epoch()
    assert told == {name: each for name, each in whole.items() if not name.startswith("val_")}


def test_keras_goes_on_from_its_state(request):
    """With the optimizer's arrays in Keras' order, whatever parts a layer has."""
    problem = of(request, "normed")
    native, fit = problem.trainer({}, SEED), problem.trainer({}, SEED, kind="fit")
    native.run_epoch(), fit.run_epoch()
    made = native.model
    _give_state(native, made)
    for mine, theirs in zip(made.optimizer.variables, fit.model.optimizer.variables, strict=True):
        assert mine.shape == theirs.shape
        np.testing.assert_allclose(mine.numpy(), theirs.numpy(), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("kind", ["native", slow("graph")])
def test_callbacks_read_its_metrics(kind, cancer):
    """Keras tells from the metric's object that more of it is better."""
    stopping = kc.EarlyStopping("val_auc", patience=1, min_delta=0.5)
    made = Tailored(get_hypermodel(compiled_mlps.binary), custom_fit=False, callbacks=[stopping])
    weights = np.where(cancer.arrays.y_train > 0, 1.0, 3.0).astype("f4")
    problem = cancer.on(w_train=weights)
    problem = problem.of_model("one:own", code=cloudpickle.dumps(made), metric="val_auc")
    trainer = problem.trainer({}, SEED, epochs=9, kind=None if kind == "native" else kind)
    assert trainer.kind == kind
    curve = trained(trainer)
    assert len(curve) == 2
    assert curve[0]["val_auc"] < curve[1]["val_auc"]


def _arrays(task, rows=999):
    random = np.random.default_rng(3)
    p = random.uniform(-0.2, 1.2, (rows, 1)) if task == "errors" else random.uniform(size=(rows, 5))
    if task == "classes":
        p /= p.sum(axis=1, keepdims=True)
    p = np.round(p, 2).astype("f4")  # with ties
    y = np.eye(p.shape[1], dtype="f4")[random.integers(0, p.shape[1], rows)]
    if task != "classes":
        y = random.integers(0, 2, p.shape).astype("f4")
    return y, p, random.uniform(0, 2, rows).astype("f4")


ARGUMENTS = {
    "AUC": [{}, {"curve": "PR"}, {"curve": "PR", "num_thresholds": 20}, {"num_thresholds": 3}],
    "BinaryAccuracy": [{}, {"threshold": 0.3}],
    "TopKCategoricalAccuracy": [{"k": 1}, {"k": 2}],
    "SparseTopKCategoricalAccuracy": [{"k": 3}],
    "Precision": [{}, {"thresholds": 0.7}],
    "Recall": [{}, {"thresholds": 0.25}],
    "F1Score": [{"average": "macro"}, {"average": "micro", "threshold": 0.4}],
    "FBetaScore": [{"average": "weighted", "beta": 0.5}],
}


@pytest.mark.parametrize("kind", _METRICS, ids=lambda kind: kind.__name__)
def test_metrics_are_those_of_keras(kind):
    for arguments in ARGUMENTS.get(kind.__name__, [{}]):
        function = getattr(numpy_metrics, _METRICS[kind].native)
        settings = kind(name="any", **arguments).get_config()
        given = {each: settings[each] for each in _METRICS[kind].arguments if each in settings}
        given.pop("from_logits", None)
        if "thresholds" in given:
            threshold = given.pop("thresholds")
            given["threshold"] = 0.5 if threshold is None else threshold
        if kind is keras.metrics.F1Score:
            given["beta"] = 1.0
        for task in ("classes", "labels", "errors"):
            if task == "errors" and "Categorical" in kind.__name__:
                continue
            y, p, w = _arrays(task)
            y = y.argmax(axis=1) if kind.__name__.startswith("Sparse") else y
            for weights in (None, w, np.zeros_like(w)):
                if weights is not None and not weights.any() and "Score" in kind.__name__:
                    continue
                theirs = kind(**arguments)
                theirs.update_state(y, p, weights)
                ours = function(y, p, weights, **given)
                assert ours == pytest.approx(float(theirs.result()), rel=1e-5, abs=1e-6)


def test_metrics_of_a_diverged_training():
    y, p, w = _arrays("classes", rows=20)
    p[3] = np.nan
    for weights in (None, w):
        assert np.isfinite(numpy_metrics.auc(y, p, weights))
        assert np.isnan(numpy_metrics.squared_error(y, p, weights))
    alone = keras.metrics.TopKCategoricalAccuracy(5)
    alone.update_state(y, p)
    assert numpy_metrics.top_k_accuracy(y, p, None, k=5) == pytest.approx(float(alone.result()))


def _compiled(*hidden, width=30, outputs=1, activation="sigmoid", **compiled):
    last = layers.Dense(outputs, activation=activation)
    model = keras.Sequential([keras.Input((width,)), *(hidden or [layers.Dense(8)]), last])
    model.compile("adam", **{"loss": "binary_crossentropy", **compiled})
    return model


#: What the extension does not know of binary classes: how a model is made that has it.
UNKNOWN = {
    "curve": lambda: _compiled(metrics=[keras.metrics.AUC(curve="PRGAIN")]),
    "thresholds": lambda: _compiled(metrics=[keras.metrics.AUC(thresholds=[0.2, 0.5])]),
    "by label": lambda: _compiled(metrics=[keras.metrics.AUC(multi_label=True)]),
    "threshold": lambda: _compiled(metrics=[keras.metrics.Precision(0.3)]),
    "function": lambda: _compiled(metrics=[keras.metrics.mean_absolute_error]),
    "metric of sums": lambda: _compiled(
        loss=keras.losses.BinaryCrossentropy(from_logits=True),
        activation=None,
        metrics=[keras.metrics.AUC(from_logits=True)],
    ),
    "top predictions": lambda: _compiled(metrics=[keras.metrics.Precision(top_k=1)]),
    "sums": lambda: _compiled(metrics=[keras.metrics.AUC(from_logits=True)]),
    "a class alone": lambda: _compiled(metrics=["categorical_accuracy"]),
    "classes": lambda: _compiled(metrics=["sparse_categorical_accuracy"]),
    "rows of labels": lambda: _compiled(metrics=[keras.metrics.F1Score("macro")]),
    "no such metric": lambda: _compiled(metrics=["odd"]),
    "own metric": lambda: _compiled(metrics=[lambda y, p: y - p]),
    "dtype": lambda: _compiled(metrics=[keras.metrics.AUC(dtype="float64")]),
    "named loss": lambda: _compiled(metrics=[keras.metrics.AUC(name="loss")]),
    "by output": lambda: _compiled(metrics={"dense": "accuracy"}),
    "two of a name": lambda: _compiled(metrics=["acc"], weighted_metrics=["acc"]),
    "nested": lambda: _compiled(metrics=[["accuracy", "AUC"]]),
    "weights of losses": lambda: _compiled(loss_weights=2.0),
    "smoothed": lambda: _compiled(loss=keras.losses.BinaryCrossentropy(label_smoothing=0.1)),
    "summed": lambda: _compiled(loss=keras.losses.Huber(reduction="sum")),
    "activation and crossentropy": lambda: _compiled(activation="tanh"),
    "softmax and errors": lambda: _compiled(activation="softmax", loss="mse"),
    "normed rows": lambda: _compiled(layers.BatchNormalization(), layers.Dense(8)),
    "subclass": lambda: _compiled(layers.Dense(8), type("Own", (layers.BatchNormalization,), {})()),
    "normed twice": lambda: _compiled(
        layers.Dense(8), layers.BatchNormalization(), layers.BatchNormalization()
    ),
    "normed after dropout": lambda: _compiled(
        layers.Dense(8), layers.Dropout(0.1), layers.BatchNormalization()
    ),
    "normed between": lambda: _compiled(
        layers.Dense(8, "relu"), layers.BatchNormalization(), layers.ReLU()
    ),
    "frozen": lambda: _compiled(layers.Dense(8), layers.BatchNormalization(trainable=False)),
    "penalised norm": lambda: _compiled(
        layers.Dense(8), layers.BatchNormalization(gamma_regularizer="l2")
    ),
    "synchronized": lambda: _compiled(
        layers.Dense(8), layers.BatchNormalization(synchronized=True)
    ),
    "penalised bias": lambda: _compiled(layers.Dense(8, bias_regularizer="l2")),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_it_does_not_know_it_leaves_alone(name, cancer):
    assert dense_model(_compiled(), cancer.arrays, 32) is not None
    assert dense_model(UNKNOWN[name](), cancer.arrays, 32) is None


def test_normed_outputs_are_left_alone(cancer):
    model = _compiled()
    outputs = layers.Activation("sigmoid")(layers.BatchNormalization()(model.layers[0].output))
    made = keras.Model(model.inputs, layers.BatchNormalization()(outputs))
    made.compile("adam", "mse")
    assert dense_model(made, cancer.arrays, 32) is None


@pytest.mark.parametrize("y", [np.full(5, 1.5, "f4"), np.full(5, -0.5, "f4"), np.zeros((5, 2))])
def test_targets_that_are_no_shares_are_left_alone(y):
    rows = np.zeros((5, 30), "f4")
    assert dense_model(_compiled(), Arrays(rows, y, rows, y), 32) is None
