"""Searches whose arguments are sent to the workers whole: frames, datasets, code of one's own."""

from __future__ import annotations

import os
import time
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from keras import layers

import hpsearch.tuners as kt
from hpsearch.custom.fit_arguments import NotOnEngine
from hpsearch.errors import RefusedError
from hpsearch.kerastuner import arguments
from hpsearch.kerastuner.servers import kept_servers

pytestmark = pytest.mark.usefixtures("place")
WHERE = {"directory": "d", "project_name": "p", "seed": 2}
X = np.random.default_rng(0).normal(size=(50, 4)).astype("float32")
Y = (X[:, 0] > 0).astype("int64")
FRAME = pd.DataFrame(X, columns=list("abcd"))


def table():
    return pd.read_csv("d/p/results.csv")


def values(tuner):
    return [vars(each.hyperparameters)["values"] for each in tuner.oracle.trials.values()]


def scores(tuner):
    return [each.score for each in tuner.oracle.trials.values()]


def black_box(base, gives="score"):
    """A tuner of a function of rows, which notes the process and the rows of each call."""

    class Tuned(base):
        def run_trial(self, trial, rows, scale=1.0, **kwargs):
            hp = trial.hyperparameters
            x = hp.Float("x", -1.0, 1.0)
            y = hp.Float("y", -1.0, 1.0) if hp.Boolean("both") else 0.0
            with Path(f"{os.getpid()}-{len(rows)}").open("a") as file:
                file.write(f"{trial.trial_id}\n")
            score = scale * (x * x + y * y)
            metrics = {"default_objective": score, "x": x}
            return {"score": score, "metrics": metrics, "several": [score, score]}[gives]

    return Tuned


@pytest.mark.parametrize(
    "gives", ["score", *(pytest.param(e, marks=pytest.mark.slow) for e in ("metrics", "several"))]
)
def test_a_function_is_tuned_in_workers(gives, monkeypatch, tmp_path):
    monkeypatch.chdir("/")
    # Started elsewhere than the search begins.
    kept_servers()
    monkeypatch.chdir(tmp_path)
    tuner = black_box(kt.RandomSearch, gives)(max_trials=4, **WHERE)
    tuner.search(pd.concat([FRAME] * 2), scale=2.0, verbose=0)
    # A run on few rows has found the hyperparameters here, under the first trial's id.
    assert Path(f"{os.getpid()}-64").read_text() == "0\n"
    assert not Path(f"{os.getpid()}-100").exists()
    assert [each.status for each in tuner.oracle.trials.values()] == ["COMPLETED"] * 4
    assert len(table()) == 4
    for given, score in zip(values(tuner), scores(tuner), strict=True):
        y = given.get("y", 0.0) if given["both"] else 0.0
        assert score == pytest.approx(2 * (given["x"] ** 2 + y**2))
    best = tuner.get_best_hyperparameters()[0]
    assert best.get("x") == values(tuner)[int(np.argmin(scores(tuner)))]["x"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["RandomSearch", "BayesianOptimization"])
def test_interrupted_it_goes_on(name, interrupt_after):
    cls = black_box(getattr(kt, name))
    whole = cls(max_trials=6, workers=1, **WHERE | {"project_name": "whole"})
    whole.search(FRAME, verbose=0)
    interrupt_after(5)
    with pytest.raises(KeyboardInterrupt):
        cls(max_trials=6, workers=1, **WHERE).search(FRAME, verbose=0)
    again = cls(max_trials=6, workers=1, **WHERE)
    again.search(FRAME, verbose=0)
    assert values(again) == values(whole)
    # Those that only some trials request, too.
    assert any("y" in each for each in values(whole)[:5])
    assert scores(again) == scores(whole)


class Reversed(kt.Hyperband):
    """Ranks its trials the other way round in later rounds, and tells only their own epochs."""

    def run_trial(self, trial, **kwargs):
        x = trial.hyperparameters.get("x")
        given = trial.hyperparameters.values  # noqa: PD011 - no frame
        begun = given["tuner/initial_epoch"]
        history = keras.callbacks.History()
        history.epoch = list(range(begun, given["tuner/epochs"]))
        history.history = {"val_loss": [-x if begun else x] * len(history.epoch)}
        return history


@pytest.mark.slow
@pytest.mark.parametrize("most", [6, 8])
def test_an_interrupted_hyperband_continues_the_same_trials(most, interrupt_after):
    hp = kt.HyperParameters()
    hp.Float("x", 0.0, 1.0)

    def tuner(project):
        where = WHERE | {"project_name": project, "hyperparameters": hp}
        given = {"max_epochs": 4, "factor": 2, "workers": 1, "allow_new_entries": False}
        return Reversed(objective="val_loss", **given, **where)

    whole, first = tuner("whole"), tuner("p")
    whole.search(verbose=0)
    interrupt_after(most)
    with pytest.raises(KeyboardInterrupt):
        first.search(verbose=0)
    again = tuner("p")
    again.search(verbose=0)
    assert any("tuner/trial_id" in each for each in values(whole)[:most])
    assert values(again) == values(whole)
    assert scores(again) == scores(whole)


def named(base):
    """A tuner that writes a file named by the trial."""

    class Named(base):
        def run_trial(self, trial, **kwargs):
            x = trial.hyperparameters.get("x")
            Path(f"{trial.trial_id}.txt").write_text(str(x))
            awaited = {"2": "3.txt", "3": "interrupted"}.get(trial.trial_id, ".")
            for _ in range(6000):
                if Path(awaited).exists():
                    return x * x
                time.sleep(0.01)
            raise TimeoutError(awaited)

    return Named


@pytest.mark.slow
@pytest.mark.parametrize("name", ["GridSearch", "BayesianOptimization"])
def test_trials_keep_their_ids_over_an_interruption(name, interrupt_after):
    hp = kt.HyperParameters()
    hp.Float("x", -1, 1, step=0.25)

    def tuner(trials):
        given = {"hyperparameters": hp, "allow_new_entries": False, "max_trials": trials}
        return named(getattr(kt, name))(workers=2, **given, **WHERE)

    def given(tuner):
        return {n: each.hyperparameters.get("x") for n, each in tuner.oracle.trials.items()}

    first = tuner(4)
    interrupt_after(3, before=Path("interrupted").touch)
    with pytest.raises(KeyboardInterrupt):
        first.search(verbose=0)
    again = tuner(8)
    assert sorted(again.oracle.trials) == ["0", "1", "2"]
    again.search(verbose=0)
    assert len(given(again)) == 8
    assert given(first).items() <= given(again).items()
    assert given(again) == {path.stem: float(path.read_text()) for path in Path().glob("*.txt")}


def build(hp):
    model = keras.Sequential([layers.Dense(hp.Int("units", 2, 9)), layers.Dense(2)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, metrics=["accuracy"])
    return model


class Noisy(keras.utils.PyDataset):
    """Other rows in each epoch, as augmentation makes them."""

    def __init__(self):
        super().__init__()
        self._random = np.random.default_rng(1)

    def __len__(self):
        return 5

    def __getitem__(self, place):
        rows = slice(10 * place, 10 * place + 10)
        return X[rows] + self._random.normal(size=(10, 4)), Y[rows]


@pytest.mark.slow
def test_rows_that_change_train_in_workers():
    def search(project):
        tuner = kt.RandomSearch(build, "val_loss", 2, **WHERE | {"project_name": project})
        stop = keras.callbacks.EarlyStopping("val_loss", patience=2)
        tuner.search(Noisy(), epochs=2, validation_data=(X, Y), callbacks=[stop], verbose=0)
        return tuner

    tuner = search("p")
    assert set(table()["status"]) == {"completed"}, table()["error"].tolist()
    assert set(table()["trainer"]) == {"fit"}
    assert (table()["epochs_trained"] == 2).all()
    # Each training begins with the same rows.
    assert scores(search("q")) == scores(tuner)
    loss = tuner.get_best_models()[0].evaluate(X, Y, verbose=0)[0]
    assert loss == pytest.approx(min(scores(tuner)), abs=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("own", [False, True])
def test_datasets_that_change_train_in_workers(own):
    generator = tf.random.Generator.from_seed(1)
    pairs = tf.data.Dataset.from_tensor_slices((X, Y))
    augmented = pairs.map(lambda x, y: (x + generator.normal([4]), y)).batch(10)
    tuner = kt.RandomSearch(Passed() if own else build, "val_loss", 2, **WHERE)
    tuner.search(augmented, epochs=2, validation_data=pairs.batch(10), verbose=0)
    assert table()["status"].tolist() == ["completed"] * 2
    assert set(table()["trainer"]) == {"fit"}
    assert (table()["epochs_trained"] == 2).all()
    loss = tuner.get_best_models()[0].evaluate(X, Y, verbose=0)[0]
    assert loss == pytest.approx(min(scores(tuner)), abs=1e-5)


class Passed(kt.HyperModel):
    def build(self, hp):
        return build(hp)

    def fit(self, hp, model, *args, **kwargs):
        return model.fit(*args, **kwargs)


class Framed(kt.HyperModel):
    """Its own `fit` gets a frame."""

    def build(self, hp):
        return build(hp)

    def fit(self, hp, model, x, y, **kwargs):
        columns = ["a", "b"] if hp.Boolean("few") else list(x.columns)
        return model.fit(x[columns].to_numpy(), y, **kwargs)


@pytest.mark.slow
def test_frames_reach_a_fit_of_ones_own():
    tuner = kt.RandomSearch(Framed(), "val_loss", 3, **WHERE)
    tuner.search(FRAME, Y, epochs=2, validation_split=0.2, verbose=0)
    assert set(table()["status"]) == {"completed"}, table()["error"].tolist()
    # The rows are arrays where the engine trains for `model.fit`.
    assert set(table()["trainer"]) == {"native"}
    assert len(table()) == 3
    assert table()["few"].nunique() == 2
    for trial in tuner.oracle.get_best_trials(3):
        assert tuner.load_model(trial).layers[0].units == trial.hyperparameters.get("units")
    again = kt.RandomSearch(Framed(), "val_loss", 9, **WHERE)
    with pytest.raises(RefusedError, match="data: was"):
        again.search(FRAME * 2, Y, epochs=2, validation_split=0.2, verbose=0)


@pytest.mark.slow
def test_large_arguments_are_in_a_file_that_is_removed(monkeypatch, place):
    monkeypatch.setattr(arguments, "MOST_BYTES", 10_000)
    seen, written = [], arguments._written
    monkeypatch.setattr(
        arguments, "_written", lambda *given: seen.append(written(*given)) or seen[-1]
    )
    frame = pd.DataFrame(X.repeat(20, axis=0), columns=list("abcd"))
    tuner = kt.RandomSearch(Framed(), "val_loss", 1, **WHERE)
    tuner.search(frame, Y.repeat(20), epochs=2, validation_split=0.2, verbose=0)
    assert set(table()["status"]) == {"completed"}, table()["error"].tolist()
    assert len(seen) == 1
    assert not Path(seen[0]).exists()


def test_too_much_beside_arrays():
    tuner = kt.RandomSearch(build, "loss", 2, **WHERE)
    with pytest.raises(NotOnEngine, match="have 128 MB beside arrays"):
        tuner._hpsearch._request((["a" * 2**27],), {})
