"""`SklearnTuner`: KerasTuner's own results, from workers."""

from __future__ import annotations

import os
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
from hpsearch.errors import RefusedError
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
    "grouped": ({"cv": GroupKFold(3), "workers": 2}, {"groups": GROUPS}, {}),
    "stratified": ({"cv": StratifiedKFold(4), "workers": 2}, {}, {"oracle": "GridSearchOracle"}),
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


class Halved(kt.SklearnTuner):
    """Notes processes, and keeps another model."""

    def run_trial(self, trial, X, y, sample_weight=None, groups=None):  # noqa: N803
        with Path("processes").open("a") as file:
            file.write(f"{os.getpid()}\n")
        model = self.hypermodel.build(trial.hyperparameters).fit(X[::2], y[::2])
        self.save_model(trial.trial_id, model)
        return {"score": model.score(X[1::2], y[1::2], sample_weight)}


@pytest.mark.slow
def test_interrupted_it_goes_on(interrupt_after):
    def made(project):
        oracle = keras_tuner.oracles.RandomSearchOracle(SCORE, max_trials=6, seed=3)
        return Halved(oracle, unseeded, workers=1, directory="d", project_name=project)

    whole = made("whole")
    whole.search(X, Y)
    interrupt_after(3)
    with pytest.raises(KeyboardInterrupt):
        made("p").search(X, Y)
    with pytest.raises(RefusedError, match="data: was"):
        made("p").search(X[:-1], Y[:-1])
    again = made("p")
    again.search(X, Y)
    assert found(again) == found(whole)
    assert str(os.getpid()) not in Path("processes").read_text().split()
    # Without a random_state, too, the model is the one that was scored.
    best = again.oracle.get_best_trials()[0]
    assert made("p").get_best_models()[0].score(X[1::2], Y[1::2]) == best.score


def test_the_reason_is_what_hinders(capsys, monkeypatch):
    monkeypatch.setattr(arguments, "MOST_BYTES", 1000)
    # A file in the place of the project's directory for the arguments.
    monkeypatch.setattr("hpsearch.tuners.requests._folder", lambda _: Path(__file__, "d"))
    tuner = tuner_of(kt, lambda hp: RidgeClassifier(hp.Float("a", 0.1, 1)), workers=2)
    tuner.search(X, Y)
    assert "one by one: the arguments of search cannot be written" in capsys.readouterr().out


@pytest.mark.slow
def test_a_trial_that_fails():
    def greedy(hp):
        return KNeighborsClassifier(hp.Choice("n", [1, 1000, 3]))

    statuses = []
    for module in (kt, keras_tuner):
        workers = {"workers": 2} if module is kt else {}
        tuner = tuner_of(module, greedy, "GridSearchOracle", **workers)
        tuner.search(X, Y)
        statuses.append([each.status for each in tuner.oracle.trials.values()])
    assert statuses == [["COMPLETED", "FAILED", "COMPLETED"]] * 2
    assert "n_neighbors <= n_samples" in table()["error"][1]
