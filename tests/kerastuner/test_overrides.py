"""Tuners with a `run_trial` and hypermodels with a `fit` of their own: in the workers."""

from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from keras import layers
from marks import slow
from sklearn.model_selection import KFold

import hpsearch.tuners as kt
from hpsearch.custom.fit_arguments import NotOnEngine
from hpsearch.kerastuner.overrides import TrialNames

pytestmark = pytest.mark.usefixtures("place")
WHERE = {"directory": "d", "project_name": "p", "seed": 2}


def build(hp):
    model = keras.Sequential([layers.Flatten(), layers.Dense(hp.Int("units", 4, 8))])
    model.add(layers.Dense(10, activation="softmax"))
    model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    return model


def table():
    return pd.read_csv("d/p/results.csv")


class Tuned(kt.RandomSearch):
    """The recipe of KerasTuner's documentation for the batch size and the epochs."""

    def run_trial(self, trial, *args, **kwargs):
        kwargs["batch_size"] = trial.hyperparameters.Int("batch_size", 16, 64, step=16)
        kwargs["epochs"] = trial.hyperparameters.Int("epochs", 2, 5)
        return super().run_trial(trial, *args, **kwargs)


@pytest.mark.parametrize("named", [False, slow(True)])
def test_run_trial_that_sets_arguments_trains_on_the_engine(images, named):
    x, y, x_val, y_val = images
    tuner = Tuned(build, "val_accuracy", 2, executions_per_trial=2, **WHERE)
    rows = ((), {"x": x, "y": y}) if named else ((x, y), {})
    stop = keras.callbacks.EarlyStopping("val_loss", patience=9, restore_best_weights=True)
    tuner.search(*rows[0], **rows[1], validation_data=(x_val, y_val), callbacks=[stop], verbose=0)
    found = table()
    assert len(found) == 4
    assert set(found["status"]) == {"completed"}
    assert set(found["trainer"]) == {"native"}
    assert (found["epochs_trained"] == found["epochs"]).all()
    assert set(found["batch_size"]) <= {16, 32, 48, 64}
    best = tuner.get_best_hyperparameters()[0]
    assert best.get("batch_size") in {16, 32, 48, 64}
    model = tuner.get_best_models()[0]
    score = model.evaluate(x_val, y_val, verbose=0)[1]
    executions = found.groupby("config")["score"]
    assert score == pytest.approx(executions.max()[executions.mean().idxmax()], abs=1e-6)


class Folded(kt.GridSearch):
    """Cross-validation, as many write it: no validation data, one model a fold."""

    def run_trial(self, trial, x, y, *args, **kwargs):
        scores = []
        for train, held in KFold(3).split(x):
            model = self.hypermodel.build(trial.hyperparameters)
            model.fit(x[train], y[train], *args, **kwargs)
            scores.append(model.evaluate(x[held], y[held], verbose=0, return_dict=True)["loss"])
        units = trial.hyperparameters.get("units")
        Path(f"units-{units}").write_text(str(np.mean(scores)))
        return float(np.mean(scores))


@pytest.mark.slow
def test_cross_validation_in_run_trial(images, place):
    x, y, _, _ = images
    tuner = Folded(build, "val_loss", max_trials=2, **WHERE)
    tuner.search(x[:90], y[:90], epochs=1, verbose=0)
    found = table()
    assert len(found) == 2
    assert set(found["status"]) == {"completed"}
    returned = {int(path.name[6:]): float(path.read_text()) for path in place.glob("units-*")}
    assert dict(zip(found["units"], found["score"], strict=True)) == pytest.approx(returned)


def test_training_metrics_are_objectives_without_validation_data(images):
    x, y, _, _ = images
    tuner = kt.RandomSearch(build, "accuracy", 2, **WHERE)
    tuner.search(x, y, epochs=2, verbose=0)
    assert set(table()["status"]) == {"completed"}
    assert (table()["score"] == table()["accuracy"]).all()
    assert tuner.get_best_models()[0].predict(x[:2], verbose=0).shape == (2, 10)


@pytest.mark.slow
def test_tensorboard_has_a_directory_for_each_training(data, place):
    board = keras.callbacks.TensorBoard("logs")
    tuner = kt.RandomSearch(build, "val_loss", 2, executions_per_trial=2, **WHERE)
    tuner.search(**data, callbacks=[board], verbose=0)
    written = {str(path.parent.parent) for path in (place / "logs").rglob("train/events*")}
    expected = {f"logs/{trial}/execution{n}" for trial in tuner.oracle.trials for n in (0, 1)}
    assert {str(place / each) for each in expected} == written


class Signed(kt.RandomSearch):
    """Takes what `search` was given, and nothing else; keeps what it has seen."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.seen = []

    def run_trial(self, trial, x, y, epochs=1):
        self.seen.append(trial.trial_id)
        model = self.hypermodel.build(trial.hyperparameters)
        losses = [float(model.train_on_batch(x, y)[0]) for _ in range(epochs)]
        return {"loss": min(losses), "seen": len(self.seen)}


def test_run_trial_gets_what_search_was_given(images, capsys):
    """No callbacks, no validation data; each training begins with the program's attributes."""
    x, y, _, _ = images
    tuner = Signed(build, "loss", 2, **WHERE)
    tuner.search(x, y, epochs=2)
    assert "Signed.run_trial runs in other processes" in capsys.readouterr().out
    assert set(table()["status"]) == {"completed"}, table()["error"].tolist()
    assert set(table()["seen"]) == {1}
    assert not tuner.seen


@pytest.mark.parametrize("more", [(pd.DataFrame(np.ones((4, 2))),), (np.ones((4, 2)), [1.0], 3)])
def test_its_own_code_gets_arrays_alone(more):
    tuner = Tuned(build, "loss", 2, **WHERE)
    with pytest.raises(NotOnEngine, match="other arguments than the arrays x and y"):
        tuner._hpsearch._request(more, {})


class Loop(kt.HyperModel):
    """A training loop of one's own needs no compiled model."""

    def build(self, hp):
        return keras.Sequential(
            [layers.Flatten(), layers.Dense(hp.Int("units", 4, 8)), layers.Dense(10)]
        )

    def fit(self, hp, model, x, y, *, validation_data, callbacks=None, epochs=1):
        del hp
        loss = keras.losses.CategoricalCrossentropy(from_logits=True)
        optimizer = keras.optimizers.SGD(0.1)
        for callback in callbacks:
            callback.set_model(model)
        for epoch in range(epochs):
            with tf.GradientTape() as tape:
                value = loss(y, model(x, training=True))
            gradients = tape.gradient(value, model.trainable_variables)
            optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
            logs = {"my_metric": float(loss(validation_data[1], model(validation_data[0])))}
            for callback in callbacks:
                callback.on_epoch_end(epoch, logs=logs)
        return logs["my_metric"]


def test_a_training_loop_without_a_compiled_model(images):
    x, y, x_val, y_val = images
    objective = kt.Objective("my_metric", "min")
    tuner = kt.RandomSearch(Loop(), objective, 2, **WHERE)
    tuner.search(x, y, validation_data=(x_val, y_val), epochs=2)
    assert set(table()["status"]) == {"completed"}, table()["error"].tolist()
    model = tuner.get_best_models()[0]
    loss = keras.losses.CategoricalCrossentropy(from_logits=True)
    assert float(loss(y_val, model(x_val))) == pytest.approx(table()["score"].min(), abs=1e-5)


def test_a_tuner_needs_a_model():
    with pytest.raises(ValueError, match="hypermodel=None"):
        kt.Hyperband(None, "loss")


def test_a_model_that_is_none_ends_the_search(data):

    def nothing(hp):
        return build(hp) if hp.Choice("n", [1, 2, 3, 4]) == 1 else None

    tuner = kt.GridSearch(nothing, "val_loss", directory="d", project_name="p")
    with pytest.raises(kt.errors.FatalTypeError, match=r"must return a keras\.Model"):
        tuner.search(**data, verbose=0)


def test_names_of_trials(tmp_path):
    names = TrialNames(tmp_path)
    assert names.of("c1/execution0") == "c1"
    for config, name in (("c1", "0"), ("c2", "1"), ("c1", "2")):
        names.note({config: name})
    with (tmp_path / ".trials").open("ab") as file:
        file.write(b"\n\xff \xfe\nc3")
    assert [names.of(f"{each}/execution0") for each in ("c1", "c2", "c3")] == ["2", "1", "c3"]
    assert names.renamed("c1/execution1") == "2/execution1"


def test_a_link_in_the_place_of_the_names(tmp_path):
    other = tmp_path / "other"
    other.write_text("c1 5")
    (tmp_path / ".trials").symlink_to(other)
    names = TrialNames(tmp_path)
    names.note({"c1": "0"})
    assert names.of("c1/execution0") == "c1"
    assert other.read_text() == "c1 5"
