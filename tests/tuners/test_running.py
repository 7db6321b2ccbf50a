"""Tuners with a `run_trial` and hypermodels with a `fit` of their own: in the workers."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from keras import layers
from sklearn.model_selection import KFold

import hpsearch.tuners as kt
from hpsearch.models.fit_arguments import NotOnEngine
from hpsearch.tuners import running, trials
from hpsearch.tuners.running import TrialNames, overridden, require_one_replica

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


@pytest.mark.parametrize("named", [False, True])
def test_run_trial_that_sets_arguments_trains_on_the_engine(images, named):
    x, y, x_val, y_val = images
    tuner = Tuned(build, "val_accuracy", 4, executions_per_trial=2, **WHERE)
    rows = ((), {"x": x, "y": y}) if named else ((x, y), {})
    stop = keras.callbacks.EarlyStopping("val_loss", patience=9, restore_best_weights=True)
    tuner.search(*rows[0], **rows[1], validation_data=(x_val, y_val), callbacks=[stop], verbose=0)
    found = table()
    assert len(found) == 8
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
    tuner = Folded(build, "val_loss", **WHERE)
    tuner.search(x[:90], y[:90], epochs=2, verbose=0)
    found = table()
    assert len(found) == 5
    assert set(found["status"]) == {"completed"}
    returned = {int(path.name[6:]): float(path.read_text()) for path in place.glob("units-*")}
    assert dict(zip(found["units"], found["score"], strict=True)) == pytest.approx(returned)


class Told(kt.RandomSearch):
    """As in KerasTuner's first versions: the oracle is told, and nothing returned."""

    def run_trial(self, trial, x, y, **kwargs):
        model = self.hypermodel.build(trial.hyperparameters)
        history = model.fit(x, y, **kwargs).history
        self.oracle.update_trial(trial.trial_id, {"val_loss": min(history["val_loss"])})


def test_an_oracle_that_is_told(images):
    x, y, x_val, y_val = images
    tuner = Told(build, "val_loss", 2, **WHERE)
    tuner.search(x, y, epochs=2, validation_data=(x_val, y_val), verbose=0)
    assert set(table()["status"]) == {"completed"}
    assert tuner.oracle.get_best_trials()[0].score == table()["score"].min()


class Halved(kt.Hyperband):
    def run_trial(self, trial, *args, **kwargs):
        kwargs["batch_size"] = trial.hyperparameters.Choice("batch_size", [32, 64])
        return super().run_trial(trial, *args, **kwargs)


@pytest.mark.slow
def test_hyperband_with_run_trial(images):
    x, y, x_val, y_val = images
    tuner = Halved(build, "val_loss", max_epochs=4, factor=2, **WHERE)
    tuner.search(x, y, validation_data=(x_val, y_val), verbose=0)
    assert set(table()["epochs_trained"]) == {1, 2, 4}
    assert set(table()["status"]) <= {"completed", "stopped"}


class Continued(kt.Hyperband):
    """Continues models that it saved, as KerasTuner's documentation of Hyperband has it."""

    def run_trial(self, trial, x, y, validation_data):
        values = trial.hyperparameters.values  # noqa: PD011 - no frame
        earlier = values.get("tuner/trial_id")
        if earlier is None:
            model = self.hypermodel.build(trial.hyperparameters)
        else:
            model = self.load_model(self.oracle.get_trial(earlier))
        history = model.fit(
            x,
            y,
            validation_data=validation_data,
            initial_epoch=values["tuner/initial_epoch"],
            epochs=values["tuner/epochs"],
            verbose=0,
        )
        self.save_model(trial.trial_id, model)
        Path(f"{trial.trial_id}-{earlier}-{len(history.epoch)}.txt").touch()
        return history

    def save_model(self, trial_id, model, step=0):
        model.save(f"{trial_id}.keras")

    def load_model(self, trial):
        return keras.models.load_model(f"{trial.trial_id}.keras")


@pytest.mark.slow
def test_hyperband_that_continues_its_own_models(images):
    x, y, x_val, y_val = images
    tuner = Continued(build, "val_loss", max_epochs=4, factor=2, **WHERE)
    tuner.search(x, y, validation_data=(x_val, y_val))
    found = {tuple(path.stem.split("-")) for path in Path().glob("*.txt")}
    expected = set()
    for name, trial in tuner.oracle.trials.items():
        values = trial.hyperparameters.values  # noqa: PD011 - no frame
        count = values["tuner/epochs"] - values["tuner/initial_epoch"]
        expected.add((name, str(values.get("tuner/trial_id")), str(count)))
    assert found == expected
    assert {each.status for each in tuner.oracle.trials.values()} == {"COMPLETED"}
    assert set(table()["epochs_trained"]) == {1, 2, 4}


class Ended(kt.RandomSearch):
    begun, ended = 0, 0

    def on_trial_begin(self, trial):
        Ended.begun += 1
        super().on_trial_begin(trial)

    def on_trial_end(self, trial):
        Ended.ended += trial.score is not None
        super().on_trial_end(trial)


def test_hooks_between_trials_are_called_here(images):
    x, y, x_val, y_val = images
    tuner = Ended(build, "val_loss", 3, **WHERE)
    tuner.search(x, y, validation_data=(x_val, y_val), verbose=0)
    assert (Ended.begun, Ended.ended) == (3, 3)
    assert set(table()["trainer"]) == {"native"}


def test_training_metrics_are_objectives_without_validation_data(images):
    x, y, _, _ = images
    tuner = kt.RandomSearch(build, "accuracy", 3, **WHERE)
    tuner.search(x, y, epochs=2, verbose=0)
    assert set(table()["status"]) == {"completed"}
    assert (table()["score"] == table()["accuracy"]).all()
    assert tuner.get_best_models()[0].predict(x[:2], verbose=0).shape == (2, 10)


@pytest.mark.slow
def test_tensorboard_has_a_directory_for_each_training(images, place):
    x, y, x_val, y_val = images
    board = keras.callbacks.TensorBoard("logs")
    tuner = kt.RandomSearch(build, "val_loss", 2, executions_per_trial=2, **WHERE)
    tuner.search(x, y, validation_data=(x_val, y_val), callbacks=[board], verbose=0)
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
        assert self.oracle.get_trial(trial.trial_id) is trial
        model = self.hypermodel.build(trial.hyperparameters)
        for epoch in range(epochs):
            loss = float(model.train_on_batch(x, y)[0])
            self.oracle.update_trial(trial.trial_id, {"loss": loss, "first": loss}, step=epoch)
            # None has seen another trial.
            self.oracle.update_trial(trial.trial_id, {"loss": loss + len(self.seen)}, step=epoch)


def test_run_trial_gets_what_search_was_given(images):
    """No callbacks, no validation data; each training begins with the program's attributes."""
    x, y, _, _ = images
    tuner = Signed(build, "loss", 3, **WHERE)
    tuner.search(x, y, epochs=2)
    found = table()
    assert set(found["status"]) == {"completed"}, found["error"].tolist()
    # As in KerasTuner, the best step counts, by the mean of its reports.
    steps = pd.read_csv("d/p/curves.csv").groupby("trial")
    assert found["score"].tolist() == steps["loss"].min().tolist()
    np.testing.assert_allclose(steps["loss"].first(), steps["first"].first() + 0.5, atol=1e-6)


class Halting(kt.Hyperband):
    def run_trial(self, trial, *args, **kwargs):
        kwargs["batch_size"] = 64
        return super().run_trial(trial, *args, **kwargs)


@pytest.mark.parametrize(
    "more", [(pd.DataFrame(np.ones((4, 2))),), (np.ones((4, 2)), np.ones(4), tf.data.Dataset)]
)
def test_what_its_own_code_cannot_get_in_a_worker_runs_here(more):
    """As it does for rows that are no arrays, and for a third argument by position."""
    tuner = Halting(build, "loss", max_epochs=2, directory="d", project_name="p")
    assert tuner._hpsearch._request(more, {}).of
    with Path("file").open("w") as file, pytest.raises(NotOnEngine, match="cannot be sent"):
        tuner._hpsearch._request((*more, file), {})


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
    tuner.search(x, y, validation_data=(x_val, y_val), epochs=3)
    assert set(table()["status"]) == {"completed"}, table()["error"].tolist()
    model = tuner.get_best_models()[0]
    loss = keras.losses.CategoricalCrossentropy(from_logits=True)
    assert float(loss(y_val, model(x_val))) == pytest.approx(table()["score"].min(), abs=1e-5)


def test_every_tuner_is_a_tuner():
    for name in ("RandomSearch", "GridSearch", "Hyperband", "BayesianOptimization"):
        assert issubclass(getattr(kt, name), kt.Tuner)
        assert issubclass(getattr(kt, name), kt.engine.tuner.Tuner)
    with pytest.raises(ValueError, match="hypermodel=None"):
        kt.Hyperband(None, "loss")


def test_a_model_that_is_none_ends_the_search(images):
    x, y, x_val, y_val = images

    def nothing(hp):
        return build(hp) if hp.Choice("n", [1, 2, 3, 4]) == 1 else None

    tuner = kt.GridSearch(nothing, "val_loss", directory="d", project_name="p")
    with pytest.raises(kt.errors.FatalTypeError, match=r"must return a keras\.Model"):
        tuner.search(x, y, validation_data=(x_val, y_val), verbose=0)


class Loaded(kt.RandomSearch):
    """Saves no model of its own: KerasTuner calls neither method in a search."""

    def save_model(self, trial_id, model, step=0):
        raise AssertionError("KerasTuner does not call it")

    def load_model(self, trial):
        model = self.hypermodel.build(trial.hyperparameters)
        model.build((None, 8, 8, 1))
        model.load_weights(self._get_checkpoint_fname(trial.trial_id))
        return model, super().load_model(trial)


def test_strategies_that_change_what_is_trained():
    one = tf.distribute.OneDeviceStrategy
    usual = (tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU"))[0].name
    for strategy, why in ((one("GPU:7"), "on /job.*GPU:7"), (one(usual), "")):
        tuner = kt.RandomSearch(build, "loss", 1, distribution_strategy=strategy, **WHERE)
        with pytest.raises(NotOnEngine, match=why) if why else contextlib.nullcontext():
            require_one_replica(tuner)


@pytest.mark.slow
def test_own_load_model_and_a_strategy_of_one_replica(images, capsys, monkeypatch):
    # Whatever models a program's own method may read.
    monkeypatch.setattr(trials, "MOST_CHECKPOINTS", 1)
    x, y, x_val, y_val = images
    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    tuner = Loaded(build, "val_loss", 2, distribution_strategy=strategy, **WHERE)
    tuner.search(x, y, epochs=2, validation_data=(x_val, y_val))
    said = capsys.readouterr().out
    assert said.count("the distribution_strategy has one replica") == 1
    assert "in this process" not in said
    assert len(table()) == 2
    best = tuner.oracle.get_best_trials()[0].score
    models = tuner.get_best_models(2)
    for model in models[0]:
        assert model.evaluate(x_val, y_val, verbose=0)[0] == pytest.approx(best, rel=1e-4)


@pytest.mark.parametrize(
    ("base", "methods", "named"),
    [
        (kt.RandomSearch, ("load_model", "save_model"), ""),
        (kt.RandomSearch, ("run_trial", "save_model"), ""),
        (kt.Hyperband, ("load_model", "on_epoch_end", "save_model"), ""),
        (kt.Hyperband, ("on_trial_begin", "pre_create_trial"), ""),
        (kt.Hyperband, ("on_epoch_end", "on_trial_end"), "on_trial_end"),
        (kt.RandomSearch, ("_build_and_fit_model",), "_build_and_fit_model"),
    ],
)
def test_methods_that_only_kerastuner_calls(base, methods, named):
    own = type("Own", (base,), dict.fromkeys(methods, lambda *_: None))
    assert overridden(object.__new__(own)) == named


def test_files_that_executions_would_share():
    own = type("Own", (kt.RandomSearch,), dict.fromkeys(("run_trial", "save_model"), None))
    tuner = object.__new__(own)
    tuner.executions_per_trial = 2
    assert overridden(tuner) == "save_model"


class Storing(kt.RandomSearch):
    """Saves its models under KerasTuner's ids, and asks the oracle."""

    def run_trial(self, trial, x, y, validation_data):
        model = self.hypermodel.build(trial.hyperparameters)
        with self.distribution_strategy.scope():
            history = model.fit(x, y, validation_data=validation_data, verbose=0)
        self.save_model(trial.trial_id, model)
        done = [each for each in self.oracle.get_best_trials(9) if each.score is not None]
        assert self.oracle.get_trial(trial.trial_id) is trial
        assert trial not in done
        return {**{n: v[-1] for n, v in history.history.items()}, "done": len(done)}

    def save_model(self, trial_id, model, step=0):
        model.save(f"{trial_id}.keras")

    def load_model(self, trial):
        return keras.models.load_model(f"{trial.trial_id}.keras")


@pytest.mark.slow
def test_models_that_run_trial_saves_have_the_ids_of_trials(images, capsys):
    x, y, x_val, y_val = images
    one = tf.distribute.MirroredStrategy(["CPU:0"])
    tuner = Storing(build, "val_loss", 3, distribution_strategy=one, workers=1, **WHERE)
    tuner.search(x, y, validation_data=(x_val, y_val))
    assert "in this process" not in capsys.readouterr().out
    assert sorted(path.stem for path in Path().glob("*.keras")) == ["0", "1", "2"]
    trials = tuner.oracle.get_best_trials(3)
    counts = {each.trial_id: each.metrics.get_last_value("done") for each in trials}
    assert counts == {"0": 0, "1": 1, "2": 2}
    for trial, model in zip(trials, tuner.get_best_models(3), strict=True):
        assert model.evaluate(x_val, y_val, verbose=0)[0] == pytest.approx(trial.score, rel=1e-4)


class Hooked(kt.RandomSearch):
    """Ends each training by a hook."""

    def on_epoch_end(self, trial, model, epoch, logs=None):
        with Path(f"{trial.trial_id}.txt").open("a") as file:
            file.write(f"{epoch} {trial.hyperparameters.get('units')} {min(logs)}\n")
        model.stop_training = epoch == 1


def test_hooks_run_in_the_workers(images, capsys):
    x, y, x_val, y_val = images
    tuner = Hooked(build, "val_loss", 2, **WHERE)
    tuner.search(x, y, epochs=4, validation_data=(x_val, y_val))
    assert "Hooked.on_epoch_end runs in other processes" in capsys.readouterr().out
    assert table()["epochs_trained"].tolist() == [2, 2]
    assert set(table()["trainer"]) == {"graph"}
    for name, trial in tuner.oracle.trials.items():
        units = trial.hyperparameters.get("units")
        assert Path(f"{name}.txt").read_text() == f"0 {units} accuracy\n1 {units} accuracy\n"


class Looping(kt.HyperModel):
    """A training loop of one's own, which calls its callbacks as KerasTuner's guide does."""

    def build(self, hp):
        return build(hp)

    def fit(self, hp, model, *rows, validation_data, callbacks):
        for each in callbacks:
            each.set_model(model)
        for epoch in range(2):
            model.fit(*rows, verbose=0)
            loss = model.evaluate(*validation_data, verbose=0)[0]
            for each in callbacks:
                each.on_epoch_end(epoch, logs={"val_loss": loss})
        return loss


@pytest.mark.slow
def test_hooks_run_in_a_loop_of_ones_own_and_in_each_execution(images):
    x, y, x_val, y_val = images
    tuner = Hooked(Looping(), "val_loss", 1, executions_per_trial=2, **WHERE)
    tuner.search(x, y, validation_data=(x_val, y_val))
    assert sorted(path.stem for path in Path().glob("*.txt")) == ["0", "0-execution1"]
    for path in Path().glob("*.txt"):
        assert [line[-9:] for line in path.read_text().splitlines()] == [" val_loss"] * 2


def test_what_an_oracle_is_told_counts_before_what_is_returned():
    tuner = kt.RandomSearch(build, "val_loss", 2, **WHERE)
    told = running.Told(tuner.oracle.objective, SimpleNamespace(trial_id="0"))
    told.update_trial("0", {"other": 1.0})
    assert not told.is_told
    told.update_trial("0", {"val_loss": 2.0}, step=1)
    assert told.is_told
    assert told.history.history == {"other": [1.0], "val_loss": [2.0]}
    with pytest.raises(RuntimeError, match="hooks run in another process"):
        running.Told(told.objective, None, hears=False).update_trial("0", {"val_loss": 2.0})


def test_an_attribute_that_workers_cannot_have(place):
    tuner = Hooked(build, "val_loss", 1, **WHERE)
    assert not running.unsent_attribute(tuner)
    with (place / "log.txt").open("w") as tuner.log:
        said = running.unsent_attribute(tuner)
    assert "Hooked.on_epoch_end would run, cannot have self.log (" in said
    assert said.endswith("make it in the method")


class Batched(Hooked):
    """Has both a `run_trial` and hooks."""

    def run_trial(self, trial, *args, **kwargs):
        return super().run_trial(trial, *args, **kwargs, epochs=3)


@pytest.mark.slow
def test_hooks_of_a_tuner_with_a_run_trial(images):
    x, y, x_val, y_val = images
    tuner = Batched(build, "val_loss", 2, **WHERE)
    tuner.search(x, y, validation_data=(x_val, y_val), verbose=0)
    assert table()["epochs_trained"].tolist() == [2, 2]


def test_what_other_processes_cannot_ask_of_an_oracle():
    tuner = kt.RandomSearch(build, "val_loss", 2, **WHERE)
    trial = SimpleNamespace(trial_id="0")
    told = running.Told(tuner.oracle.objective, trial, running.OracleSnapshot.of(tuner))
    assert told.max_trials == 2
    assert list(told.trials) == ["0"]
    for name, status in (("1", "COMPLETED"), ("2", "RUNNING"), ("3", None)):
        folder = Path(f"d/p/trial_{name}")
        folder.mkdir(parents=True)
        state = kt.engine.trial.Trial(kt.HyperParameters(), name, status).get_state()
        (folder / "trial.json").write_text(json.dumps(state) if status else '{"trial')
    assert sorted(told.trials) == ["0", "1", "2"]
    assert (told.start_order, told.end_order) == (["1", "2"], ["1"])
    assert told.get_trial("1").status == "COMPLETED"
    with pytest.raises(AttributeError, match="end_trial: this runs in another process"):
        _ = told.end_trial


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
