"""FAULTS 42: searches in one process are apart: each trains on its own data."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from marks import slow

import hpsearch

_RNG = np.random.default_rng(0)
_X = _RNG.normal(size=(400, 4)).astype("float32")
_TARGETS = {"clear": (_X[:, 0] > 0).astype(int), "noise": _RNG.integers(0, 2, 400)}


def search(name, y):
    import keras
    import keras_tuner

    from hpsearch.tuners import RandomSearch

    def build(hp: keras_tuner.HyperParameters):
        hidden = keras.layers.Dense(hp.Int("units", 4, 32), "relu")
        model = keras.Sequential([keras.Input((4,)), hidden, keras.layers.Dense(2, "softmax")])
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        return model

    tuner = RandomSearch(
        build, objective="val_accuracy", max_trials=3, seed=1, directory="d", project_name=name
    )
    tuner.search(_X, y, epochs=30, validation_split=0.25, verbose=0)
    return [trial.score for trial in tuner.oracle.trials.values()]


def tune(name, y):
    parameters = {"units": [4, 8, 16], "epochs": 60}
    return [*hpsearch.tune(_X, y, parameters=parameters, out=name, verbose=0).table["score"]]


def run(name, y):
    np.savez(f"{name}.npz", x=_X, y=y)
    sweep = {"data": {"npz": f"{name}.npz"}, "parameters": {"units": [4, 8, 16], "epochs": 60}}
    return [*hpsearch.run(sweep, out=f"{name}-run", verbose=0).table["score"]]


@pytest.mark.parametrize("searches", [(tune, run), slow((search,))])
def test_two_threads_search_on_their_own_rows(tmp_path, monkeypatch, searches):
    monkeypatch.chdir(tmp_path)
    for one in searches:
        scores = {}

        def note(name, one=one, scores=scores):
            scores[name] = one(name, _TARGETS[name])

        threads = [threading.Thread(target=note, args=[name]) for name in _TARGETS]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert min(scores["clear"]) > 0.8, scores
        assert max(scores["noise"]) < 0.7, scores
