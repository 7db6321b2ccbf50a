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
            return score if gives == "score" else [score, score]

    return Tuned


@pytest.mark.parametrize("gives", ["score", pytest.param("several", marks=pytest.mark.slow)])
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


def values_after_an_interruption(interrupt_after, most, tuner_class, *rows, **settings):
    """Search in a project that is interrupted, and in another one, which gives the same."""

    def tuner(project):
        return tuner_class(workers=1, **WHERE | {"project_name": project}, **settings)

    whole = tuner("whole")
    whole.search(*rows, verbose=0)
    interrupt_after(most)
    with pytest.raises(KeyboardInterrupt):
        tuner("p").search(*rows, verbose=0)
    again = tuner("p")
    again.search(*rows, verbose=0)
    assert values(again) == values(whole)
    assert scores(again) == scores(whole)
    return values(again)


@pytest.mark.slow
def test_interrupted_it_goes_on(interrupt_after):
    tuner_class = black_box(kt.BayesianOptimization)
    found = values_after_an_interruption(interrupt_after, 5, tuner_class, FRAME, max_trials=6)
    # Those that only some trials request, too.
    assert any("y" in each for each in found[:5])


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
    settings = {"hyperparameters": hp, "allow_new_entries": False, "objective": "val_loss"}
    settings |= {"max_epochs": 4, "factor": 2}
    found = values_after_an_interruption(interrupt_after, most, Reversed, **settings)
    assert any("tuner/trial_id" in each for each in found[:most])


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


def trained_by_fit(model, rows, validation, project="p", **given):
    """Search for two epochs on rows that change, which `fit` reads in the workers."""
    tuner = kt.RandomSearch(model, "val_loss", 2, **WHERE | {"project_name": project})
    tuner.search(rows, epochs=2, validation_data=validation, verbose=0, **given)
    found = pd.read_csv(f"d/{project}/results.csv")
    assert set(found["status"]) == {"completed"}, found["error"].tolist()
    assert set(found["trainer"]) == {"fit"}
    assert (found["epochs_trained"] == 2).all()
    loss = tuner.get_best_models()[0].evaluate(X, Y, verbose=0)[0]
    assert loss == pytest.approx(min(scores(tuner)), abs=1e-5)
    return scores(tuner)


@pytest.mark.slow
def test_rows_that_change_train_in_workers():
    stop = keras.callbacks.EarlyStopping("val_loss", patience=2)
    # Each training begins with the same rows.
    first, second = (
        trained_by_fit(build, Noisy(), (X, Y), project, callbacks=[stop]) for project in "pq"
    )
    assert first == second


@pytest.mark.slow
@pytest.mark.parametrize("own", [False, True])
def test_datasets_that_change_train_in_workers(own):
    generator = tf.random.Generator.from_seed(1)
    pairs = tf.data.Dataset.from_tensor_slices((X, Y))
    augmented = pairs.map(lambda x, y: (x + generator.normal([4]), y)).batch(10)
    trained_by_fit(Passed() if own else build, augmented, pairs.batch(10))


class Passed(kt.HyperModel):
    def build(self, hp):
        return build(hp)

    def fit(self, hp, model, *args, **kwargs):
        return model.fit(*args, **kwargs)


class Framed(Passed):
    """Its own `fit` gets a frame."""

    def fit(self, hp, model, x, y, **kwargs):
        columns = ["a", "b"] if hp.Boolean("few") else list(x.columns)
        return model.fit(x[columns].to_numpy(), y, **kwargs)


@pytest.mark.slow
def test_frames_reach_a_fit_of_ones_own_by_a_file_that_is_removed(monkeypatch):
    monkeypatch.setattr(arguments, "MOST_BYTES", 10_000)
    written, paths = arguments._written, []
    monkeypatch.setattr(
        arguments, "_written", lambda *given: paths.append(written(*given)) or paths[-1]
    )
    frame, y = pd.DataFrame(X.repeat(20, axis=0), columns=list("abcd")), Y.repeat(20)
    tuner = kt.RandomSearch(Framed(), "val_loss", 3, **WHERE)
    tuner.search(frame, y, epochs=2, validation_split=0.2, verbose=0)
    (path,) = paths
    assert not Path(path).exists()
    assert set(table()["status"]) == {"completed"}, table()["error"].tolist()
    # The rows are arrays where the engine trains for `model.fit`.
    assert set(table()["trainer"]) == {"native"}
    assert len(table()) == 3
    assert table()["few"].nunique() == 2
    for trial in tuner.oracle.get_best_trials(3):
        assert tuner.load_model(trial).layers[0].units == trial.hyperparameters.get("units")
    again = kt.RandomSearch(Framed(), "val_loss", 9, **WHERE)
    with pytest.raises(RefusedError, match="data: was"):
        again.search(frame * 2, y, epochs=2, validation_split=0.2, verbose=0)
