"""Searches without arrays, or without a model: the arguments are sent to the workers."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import keras
import keras_tuner
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from keras import layers

import hpsearch.tuners as kt
from hpsearch.errors import RefusedError
from hpsearch.models.fit_arguments import NotOnEngine
from hpsearch.tuners import arguments, recorded
from hpsearch.tuners.digests import digest_of
from hpsearch.tuners.servers import kept_servers

pytestmark = pytest.mark.usefixtures("place")
WHERE = {"directory": "d", "project_name": "p", "seed": 2}


def table():
    return pd.read_csv("d/p/results.csv")


def values(tuner):
    return [vars(each.hyperparameters)["values"] for each in tuner.oracle.trials.values()]


def scores(tuner):
    return [each.score for each in tuner.oracle.trials.values()]


class Stopping:
    """What ends a search of a tuner after so many trials, as Ctrl-C does."""

    stops_after = 0

    def on_trial_end(self, trial):
        super().on_trial_end(trial)
        self.stops_after -= 1
        if not self.stops_after:
            raise KeyboardInterrupt


def black_box(base, gives="score"):
    """A tuner of a function, which notes the process of each call."""

    class Tuned(Stopping, base):
        def run_trial(self, trial, scale=1.0, **kwargs):
            hp = trial.hyperparameters
            x = hp.Float("x", -1.0, 1.0)
            y = hp.Float("y", -1.0, 1.0) if hp.Boolean("both") else 0.0
            with Path("processes").open("a") as file:
                file.write(f"{os.getpid()}\n")
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
    tuner = black_box(kt.RandomSearch, gives)(max_trials=6, **WHERE)
    tuner.search(scale=2.0, verbose=0)
    assert [each.status for each in tuner.oracle.trials.values()] == ["COMPLETED"] * 6
    # The first runs here, and tells what hyperparameters there are.
    processes = Path("processes").read_text().split()
    assert len(processes) == 6
    assert processes.count(str(os.getpid())) == 1
    assert len(table()) == 5
    for given, score in zip(values(tuner), scores(tuner), strict=True):
        y = given.get("y", 0.0) if given["both"] else 0.0
        assert score == pytest.approx(2 * (given["x"] ** 2 + y**2))
    best = tuner.get_best_hyperparameters()[0]
    assert best.get("x") == values(tuner)[int(np.argmin(scores(tuner)))]["x"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["RandomSearch", "BayesianOptimization"])
def test_interrupted_it_goes_on(name):
    cls = black_box(getattr(kt, name))
    whole = cls(max_trials=6, workers=1, **WHERE | {"project_name": "whole"})
    whole.search(verbose=0)
    first = cls(max_trials=6, workers=1, **WHERE)
    first.stops_after = 5
    with pytest.raises(KeyboardInterrupt):
        first.search(verbose=0)
    again = cls(max_trials=6, workers=1, **WHERE)
    again.search(verbose=0)
    assert values(again) == values(whole)
    # Those that only some trials request, too.
    assert any("y" in each for each in values(whole)[:5])
    assert scores(again) == scores(whole)


class Reversed(Stopping, kt.Hyperband):
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
def test_an_interrupted_hyperband_continues_the_same_trials(most):
    hp = kt.HyperParameters()
    hp.Float("x", 0.0, 1.0)

    def tuner(project):
        where = WHERE | {"project_name": project, "hyperparameters": hp}
        return Reversed(objective="val_loss", max_epochs=4, factor=2, workers=1, **where)

    whole, first = tuner("whole"), tuner("p")
    whole.search(verbose=0)
    first.stops_after = most
    with pytest.raises(KeyboardInterrupt):
        first.search(verbose=0)
    again = tuner("p")
    again.search(verbose=0)
    assert any("tuner/trial_id" in each for each in values(whole)[:most])
    assert values(again) == values(whole)
    assert scores(again) == scores(whole)


def named(base):
    """A tuner that writes a file named by the trial, and is interrupted in its fourth one."""

    class Named(black_box(base)):
        def on_trial_end(self, trial):
            if self.stops_after == 1:
                Path("interrupted").touch()
            super().on_trial_end(trial)

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
def test_trials_keep_their_ids_over_an_interruption(name):
    hp = kt.HyperParameters()
    hp.Float("x", -1, 1, step=0.25)

    def tuner(trials):
        given = {"hyperparameters": hp, "allow_new_entries": False, "max_trials": trials}
        return named(getattr(kt, name))(workers=2, **given, **WHERE)

    def given(tuner):
        return {n: each.hyperparameters.get("x") for n, each in tuner.oracle.trials.items()}

    first = tuner(4)
    first.stops_after = 3
    with pytest.raises(KeyboardInterrupt):
        first.search(verbose=0)
    again = tuner(8)
    assert sorted(again.oracle.trials) == ["0", "1", "2"]
    again.search(verbose=0)
    assert len(given(again)) == 8
    assert given(first).items() <= given(again).items()
    assert given(again) == {path.stem: float(path.read_text()) for path in Path().glob("*.txt")}


@pytest.mark.slow
def test_the_same_seed_proposes_what_kerastuner_does():
    """Of a space whose hyperparameters the first trial has all."""

    def of(base):
        class Tuned(base):
            def run_trial(self, trial, **kwargs):
                return trial.hyperparameters.Float("x", 0, 1) + trial.hyperparameters.Int("n", 1, 9)

        return Tuned

    found = []
    for module, project in ((kt, "p"), (keras_tuner, "theirs")):
        tuner = of(module.RandomSearch)(max_trials=5, **WHERE | {"project_name": project})
        tuner.search(verbose=0)
        found.append((values(tuner), scores(tuner)))
    assert found[0] == found[1]


def build(hp):
    model = keras.Sequential([layers.Dense(hp.Int("units", 2, 9)), layers.Dense(2)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, metrics=["accuracy"])
    return model


X = np.random.default_rng(0).normal(size=(50, 4)).astype("float32")
Y = (X[:, 0] > 0).astype("int64")


class Noisy(keras.utils.PyDataset):
    """Other rows in each epoch, as augmentation makes them."""

    def __init__(self, endless=False):
        super().__init__()
        self._random = np.random.default_rng(1)
        self._endless = endless

    @property
    def num_batches(self):
        return None if self._endless else 5

    def __getitem__(self, place):
        rows = slice(10 * (place % 5), 10 * (place % 5) + 10)
        return X[rows] + self._random.normal(size=(10, 4)), Y[rows]


@pytest.mark.slow
@pytest.mark.parametrize("endless", [False, True])
def test_rows_that_change_train_in_workers(endless):
    def search(project):
        tuner = kt.RandomSearch(build, "val_loss", 3, **WHERE | {"project_name": project})
        data = {"steps_per_epoch": 4} if endless else {}
        stop = keras.callbacks.EarlyStopping("val_loss", patience=2)
        tuner.search(
            Noisy(endless=endless),
            epochs=3,
            validation_data=(X, Y),
            callbacks=[stop],
            verbose=0,
            **data,
        )
        return tuner

    tuner = search("p")
    assert set(table()["status"]) == {"completed"}, table()["error"].tolist()
    assert set(table()["trainer"]) == {"fit"}
    assert (table()["epochs_trained"] == 3).all()
    # Each training begins with the same rows.
    assert scores(search("q")) == scores(tuner)
    loss = tuner.get_best_models()[0].evaluate(X, Y, verbose=0)[0]
    assert loss == pytest.approx(min(scores(tuner)), abs=1e-5)


def pairs():
    return tf.data.Dataset.from_tensor_slices((X, Y))


def augmented():
    generator = tf.random.Generator.from_seed(1)
    return pairs().map(lambda x, y: (x + generator.normal([4]), y)).batch(10)


CHANGING = {
    "augmented": (augmented, {}),
    "endless": (lambda: pairs().shuffle(50, seed=3).repeat().batch(10), {"steps_per_epoch": 3}),
}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.shuffle=True. was passed")
@pytest.mark.parametrize(("name", "own"), [("augmented", False), ("endless", True)])
def test_datasets_that_change_train_in_workers(name, own):
    make, given = CHANGING[name]
    tuner = kt.RandomSearch(Passed() if own else build, "val_loss", 3, **WHERE)
    tuner.search(make(), epochs=3, validation_data=pairs().batch(10), verbose=0, **given)
    # Own code runs once in the program, to tell its hyperparameters.
    assert table()["status"].tolist() == ["completed"] * (2 if own else 3)
    assert set(table()["trainer"]) == {"fit"}
    assert (table()["epochs_trained"] == 3).all()
    loss = tuner.get_best_models()[0].evaluate(X, Y, verbose=0)[0]
    assert loss == pytest.approx(min(scores(tuner)), abs=1e-5)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.shuffle=True. was passed")
def test_a_seeded_dataset_gives_the_scores_of_fit():
    """The rows of each epoch are those that Keras itself reads in its first training."""

    def make():
        return pairs().shuffle(50, seed=3).batch(10).repeat()

    def linear(hp):
        model = keras.Sequential([keras.Input((4,)), layers.Dense(1, kernel_initializer="zeros")])
        model.compile(keras.optimizers.SGD(hp.Choice("rate", [0.1])), "mse")
        return model

    tuner = kt.RandomSearch(linear, "loss", 1, **WHERE)
    tuner.search(make(), epochs=3, steps_per_epoch=4, verbose=0)
    curve = pd.read_csv("d/p/curves.csv")["loss"].tolist()
    history = linear(tuner.get_best_hyperparameters()[0]).fit(
        make(), epochs=3, steps_per_epoch=4, verbose=0
    )
    np.testing.assert_allclose(curve, history.history["loss"], rtol=1e-5)


class Passed(kt.HyperModel):
    def build(self, hp):
        return build(hp)

    def fit(self, hp, model, *args, **kwargs):
        return model.fit(*args, **kwargs)


@pytest.mark.slow
def test_large_arguments_are_in_a_file_that_is_removed(monkeypatch, place):
    monkeypatch.setattr(arguments, "MOST_BYTES", 10_000)
    seen = []
    written = arguments._written
    monkeypatch.setattr(
        arguments, "_written", lambda *given: seen.append(written(*given)) or seen[-1]
    )
    frame = pd.DataFrame(X.repeat(20, axis=0), columns=list("abcd"))
    tuner = kt.RandomSearch(Framed(), "val_loss", 3, **WHERE)
    tuner.search(frame, Y.repeat(20), epochs=2, validation_split=0.2, verbose=0)
    assert set(table()["status"]) == {"completed"}, table()["error"].tolist()
    assert len(seen) == 1
    assert not Path(seen[0]).exists()


@pytest.mark.slow
def test_hyperband_sets_the_epochs():
    tuner = kt.Hyperband(build, "val_loss", max_epochs=4, factor=2, **WHERE)
    tuner.search(Noisy(), validation_data=(X, Y), verbose=0)
    assert set(table()["epochs_trained"]) == {1, 2, 4}


class Framed(kt.HyperModel):
    """Its own `fit` gets a frame."""

    def build(self, hp):
        return build(hp)

    def fit(self, hp, model, x, y, **kwargs):
        columns = ["a", "b"] if hp.Boolean("few") else list(x.columns)
        return model.fit(x[columns].to_numpy(), y, **kwargs)


@pytest.mark.slow
def test_frames_reach_a_fit_of_ones_own():
    frame = pd.DataFrame(X, columns=list("abcd"))
    tuner = kt.RandomSearch(Framed(), "val_loss", 5, **WHERE)
    tuner.search(frame, Y, epochs=2, validation_split=0.2, verbose=0)
    assert set(table()["status"]) == {"completed"}, table()["error"].tolist()
    # The rows are arrays where the engine trains for `model.fit`.
    assert set(table()["trainer"]) == {"native"}
    assert table()["few"].nunique() == 2
    for trial in tuner.oracle.get_best_trials(5)[:-1]:
        assert tuner.load_model(trial).layers[0].units == trial.hyperparameters.get("units")
    again = kt.RandomSearch(Framed(), "val_loss", 9, **WHERE)
    with pytest.raises(RefusedError, match="data: was"):
        again.search(frame * 2, Y, epochs=2, validation_split=0.2, verbose=0)


@pytest.mark.parametrize("column", ["text", "when", "number"])
def test_one_other_cell_is_other_data(column):
    rows = {"text": ["a", "b"], "when": pd.to_datetime(["2020", "2021"]), "number": [1.5, None]}
    frame = pd.DataFrame(rows)
    changed = frame.copy()
    changed.loc[0, column] = {"text": "c", "when": pd.Timestamp("2022"), "number": 1.6}[column]
    digests = {digest_of([each, 1], {}) for each in (frame, frame.copy(), changed)}
    assert len(digests) == 2


def endless():
    while True:
        yield X, Y


@pytest.mark.parametrize(
    ("x", "why"),
    [
        (endless(), "x is no array but generator, and there are too many batches"),
        ([threading.local()], "x is no array but list.*cannot be sent.*PyDataset"),
        (["a" * 2**27], "have 128 MB beside arrays"),
    ],
)
def test_why_not(x, why, monkeypatch):
    monkeypatch.setattr(recorded, "MOST_BYTES", 10_000)
    tuner = kt.RandomSearch(build, "loss", 2, **WHERE)
    with pytest.raises(NotOnEngine, match=why):
        tuner._hpsearch._request((x,), {})


@pytest.mark.slow
def test_a_function_that_keeps_what_it_found_runs_here(capsys):
    class Counted(kt.RandomSearch):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.found = []

        def run_trial(self, trial, **kwargs):
            self.found.append(trial.hyperparameters.Float("x", 0, 1))
            return self.found[-1]

    tuner = Counted(max_trials=4, **WHERE)
    tuner.search()
    assert "Counted.run_trial changes self.found" in capsys.readouterr().out
    assert tuner.found == scores(tuner)
    assert len(set(tuner.found)) == 4


@pytest.mark.slow
def test_a_function_that_changes_the_oracle_runs_here(capsys):
    class Asking(kt.RandomSearch):
        def run_trial(self, trial, **kwargs):
            hp = trial.hyperparameters
            self.oracle.update_space(hp)
            return hp.Float("x", 0, 1) + len(self.oracle.start_order)

    tuner = Asking(max_trials=3, **WHERE)
    tuner.search()
    assert "Asking.run_trial uses self.oracle.update_space" in capsys.readouterr().out
    assert [int(each) for each in scores(tuner)] == [1, 2, 3]


@pytest.mark.slow
def test_a_grid_has_to_know_what_to_try(capsys):
    hp = kt.HyperParameters()
    hp.Float("x", -1, 1, step=0.5)
    hp.Boolean("both")
    hp.Fixed("y", 0.5)
    tuned = black_box(kt.GridSearch)
    known = tuned(hyperparameters=hp, allow_new_entries=False, **WHERE)
    known.search()
    assert len(table()) == 10
    assert "a grid needs" not in capsys.readouterr().out
    tuned(max_trials=2, **WHERE | {"project_name": "q"}).search()
    assert "a grid needs all hyperparameters" in capsys.readouterr().out


def test_a_single_trial_runs_here(place):
    for cls in (kt.RandomSearch, kt.BayesianOptimization):
        tuner = black_box(cls)(max_trials=1, **WHERE | {"project_name": cls.__name__})
        tuner.search(verbose=0)
        assert scores(tuner) == [1.0]
        assert not (place / "d" / cls.__name__ / "results.csv").exists()
