"""`SklearnTuner`: KerasTuner's own results, from workers."""

from __future__ import annotations

import os
import random
import signal
import threading
from pathlib import Path

import keras_tuner
import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import RidgeClassifier
from sklearn.metrics import accuracy_score, make_scorer, zero_one_loss
from sklearn.model_selection import GroupKFold, ShuffleSplit, StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import hpsearch.tuners as kt
from hpsearch.errors import HpsearchError, RefusedError
from hpsearch.tuners import arguments

pytestmark = pytest.mark.usefixtures("place")
X, Y = load_iris(return_X_y=True)
WEIGHTS = 1.0 + Y
GROUPS = np.arange(len(Y)) % 7
SCORE = keras_tuner.Objective("score", "max")


def build(hp):
    model = hp.Choice("model", ["forest", "ridge"])
    with hp.conditional_scope("model", ["forest"]):
        trees = hp.Int("trees", 2, 9)
    with hp.conditional_scope("model", ["ridge"]):
        alpha = hp.Float("alpha", 1e-3, 1, sampling="log")
    depth = hp.Int("depth", 1, 4)
    if model == "forest":
        return RandomForestClassifier(trees, max_depth=depth, random_state=0)
    return RidgeClassifier(alpha)


def piped(hp):
    return make_pipeline(StandardScaler(), KNeighborsClassifier(hp.Int("n", 1, 20)))


def unseeded(hp):
    return RandomForestClassifier(hp.Int("trees", 1, 20), max_depth=1)


def tuner_of(module, model=build, oracle="RandomSearchOracle", **options):
    made = getattr(keras_tuner.oracles, oracle)(objective=SCORE, max_trials=4, seed=3)
    project = {"directory": "d", "project_name": module.__name__}
    return module.SklearnTuner(made, model, **project | options)


def found(tuner):
    """Return the values of all trials, and their metrics."""
    trials = sorted(tuner.oracle.trials.items())
    values = [vars(each.hyperparameters)["values"] for _, each in trials]
    return values, [(each.score, each.metrics.get_config()) for _, each in trials]


def table(project="hpsearch.tuners"):
    return pd.read_csv(f"d/{project}/results.csv")


CASES = {
    "plain": ({"workers": 2}, {}, {}),
    "scored": (
        {"scoring": make_scorer(accuracy_score), "metrics": zero_one_loss, "workers": 2},
        {},
        {},
    ),
    "weighted": ({"metrics": [accuracy_score], "workers": 2}, {"sample_weight": WEIGHTS}, {}),
    "grouped": ({"cv": GroupKFold(3)}, {"groups": GROUPS}, {}),
    "stratified": ({"cv": StratifiedKFold(4)}, {}, {"oracle": "GridSearchOracle"}),
    "modelled": ({"workers": 1}, {}, {"oracle": "BayesianOptimizationOracle"}),
    "piped": ({"cv": ShuffleSplit(2, random_state=1), "workers": 2}, {}, {"model": piped}),
}


@pytest.mark.parametrize(
    ("case", "frame"),
    [
        ("weighted", False),
        pytest.param("weighted", True, marks=pytest.mark.slow),
        *(pytest.param(n, False, marks=pytest.mark.slow) for n in CASES if n != "weighted"),
    ],
)
def test_trials_and_models_are_kerastuners(case, frame):
    options, given, made = CASES[case]
    x, y = (pd.DataFrame(X), pd.DataFrame(Y).to_numpy()[:, 0]) if frame else (X, Y)
    tuners = []
    for module in (kt, keras_tuner):
        own = {name: each for name, each in options.items() if module is kt or name != "workers"}
        tuners.append(tuner_of(module, **made, **own))
        tuners[-1].search(x, y, **given)
    ours, theirs = tuners
    assert found(ours) == found(theirs)
    assert len(table()) == 4
    for mine, other in zip(ours.get_best_models(2), theirs.get_best_models(2), strict=True):
        assert str(mine) == str(other)
        np.testing.assert_array_equal(mine.predict(x), other.predict(x))
    assert not list(Path("d/hpsearch.tuners").rglob("*.pickle"))


class Told(kt.SklearnTuner):
    """Notes processes, keeps another model and stops the search."""

    stops_after = 0

    def run_trial(self, trial, X, y, sample_weight=None, groups=None):  # noqa: N803
        with Path("processes").open("a") as file:
            file.write(f"{os.getpid()}\n")
        model = self.hypermodel.build(trial.hyperparameters).fit(X[::2], y[::2])
        self.save_model(trial.trial_id, model)
        return {"score": model.score(X[1::2], y[1::2], sample_weight)}

    def on_trial_end(self, trial):
        super().on_trial_end(trial)
        self.stops_after -= 1
        if not self.stops_after:
            raise KeyboardInterrupt


def test_a_small_search_runs_in_this_process(monkeypatch, capsys):
    monkeypatch.setattr("hpsearch.tuners.search.kept_servers", None)
    oracle = keras_tuner.oracles.RandomSearchOracle(SCORE, max_trials=4, seed=3)
    tuner = Told(oracle, unseeded, directory="d", project_name="p")
    state = random.getstate()
    tuner.search(X, Y)
    assert random.getstate() == state
    assert Path("processes").read_text().split() == [str(os.getpid())] * 4
    assert set(table("p")["status"]) == {"completed"}
    said = "Told.run_trial runs on copies of the tuner: what it changes in self is lost"
    assert capsys.readouterr().out.count(said) == 1
    oracle.max_trials = 20
    assert not tuner._hpsearch.in_process


class Stopped(Told):
    """Is interrupted in its second trial."""

    def run_trial(self, *args, **kwargs):
        ran = super().run_trial(*args, **kwargs)
        if len(Path("processes").read_text().split()) == 2:
            os.kill(os.getpid(), signal.SIGINT)
            Path("ended").touch()
        return ran


def test_an_interrupt_ends_a_trial_in_this_process():
    def tuner():
        oracle = keras_tuner.oracles.RandomSearchOracle(SCORE, max_trials=3, seed=3)
        return Stopped(oracle, unseeded, directory="d", project_name="p")

    with pytest.raises(KeyboardInterrupt):
        tuner().search(X, Y)
    assert not Path("ended").exists()
    assert len(table("p")) == 1
    again = tuner()
    again.search(X, Y)
    assert len(again.oracle.end_order) == 3
    assert len(Path("processes").read_text().split()) == 4


@pytest.mark.slow
def test_interrupted_it_goes_on():
    def made(project):
        oracle = keras_tuner.oracles.RandomSearchOracle(SCORE, max_trials=6, seed=3)
        return Told(oracle, unseeded, workers=1, directory="d", project_name=project)

    whole = made("whole")
    whole.search(X, Y)
    first = made("p")
    first.stops_after = 3
    with pytest.raises(KeyboardInterrupt):
        first.search(X, Y)
    with pytest.raises(RefusedError, match="data: was"):
        made("p").search(X[:-1], Y[:-1])
    again = made("p")
    with pytest.raises(HpsearchError, match="call search with the data first"):
        again.get_best_models()
    again.search(X, Y)
    assert found(again) == found(whole)
    assert str(os.getpid()) not in Path("processes").read_text().split()
    # Without a random_state, too, the model is the one that was scored.
    best = again.oracle.get_best_trials()[0]
    assert again.get_best_models()[0].score(X[1::2], Y[1::2]) == best.score
    complete = made("p")
    complete.search(X, np.zeros_like(Y))
    with pytest.warns(UserWarning, match="fitted again it has"):
        complete.get_best_models()


@pytest.mark.slow
def test_what_kerastuner_began_goes_on():
    options = {"directory": "d", "project_name": "p", "cv": StratifiedKFold(3)}
    oracle = keras_tuner.oracles.RandomSearchOracle(SCORE, max_trials=2, seed=3)
    keras_tuner.SklearnTuner(oracle, build, **options).search(X, Y)
    whole = tuner_of(keras_tuner, cv=StratifiedKFold(3))
    whole.search(X, Y)
    ours = tuner_of(kt, **options)
    ours.search(X, Y)
    assert found(ours) == found(whole)
    assert len(table("p")) == 2
    assert str(ours.get_best_models()[0]) == str(whole.get_best_models()[0])


class Kept(kt.SklearnTuner):
    """Writes its models itself."""

    def save_model(self, trial_id, model, step=0):
        Path(f"{trial_id}.txt").write_text(str(model))

    def load_model(self, trial):
        return Path(f"{trial.trial_id}.txt").read_text()


@pytest.mark.slow
def test_models_that_a_tuner_saves_itself():
    oracle = keras_tuner.oracles.RandomSearchOracle(SCORE, max_trials=3, seed=3)
    tuner = Kept(oracle, build, directory="d", project_name="p", workers=2)
    tuner.search(X, Y)
    assert len(table("p")) == 3
    trial = tuner.oracle.get_best_trials()[0]
    assert str(tuner.hypermodel.build(trial.hyperparameters)) == tuner.get_best_models()[0]


@pytest.mark.slow
def test_what_needs_this_process_runs_here(capsys):
    lock = threading.Lock()

    def locked(hp):
        with lock:
            return build(hp)

    oracle = keras_tuner.oracles.RandomSearchOracle(SCORE, max_trials=3, seed=3)
    tuner = kt.SklearnTuner(oracle, locked, directory="d", project_name="p")
    tuner.search(X, Y)
    said = capsys.readouterr().out
    assert said.count("the trials run in this process") == 1
    assert "cannot pickle" in said
    assert len(tuner.oracle.trials) == 3
    assert tuner.get_best_models()[0]
    assert not Path("d/p/results.csv").exists()


def test_the_reason_is_what_hinders(capsys, monkeypatch):
    monkeypatch.setattr(arguments, "MOST_BYTES", 1000)
    # A file in the place of the project's directory for the arguments.
    monkeypatch.setattr("hpsearch.tuners.requests._folder", lambda _: Path(__file__, "d"))
    tuner = tuner_of(kt, lambda hp: RidgeClassifier(hp.Float("a", 0.1, 1)), "RandomSearchOracle")
    tuner.search(X, Y)
    assert "one by one: the arguments of search cannot be written" in capsys.readouterr().out


@pytest.mark.slow
def test_a_trial_that_fails():
    def greedy(hp):
        return KNeighborsClassifier(hp.Choice("n", [1, 1000, 3]))

    statuses = []
    for module in (kt, keras_tuner):
        tuner = tuner_of(module, greedy, "GridSearchOracle")
        tuner.search(X, Y)
        statuses.append([each.status for each in tuner.oracle.trials.values()])
    assert statuses == [["COMPLETED", "FAILED", "COMPLETED"]] * 2
    assert "n_neighbors <= n_samples" in table()["error"][1]
