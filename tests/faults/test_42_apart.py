"""FAULTS 42: searches in one process are apart: each trains on its own data."""

from __future__ import annotations

import pytest
from commands import python
from marks import slow

_CODE = """\
import sys, threading
import numpy as np
import hpsearch

rng = np.random.default_rng(0)
x = rng.normal(size=(400, 4)).astype("float32")
targets = {"clear": (x[:, 0] > 0).astype(int), "noise": rng.integers(0, 2, 400)}

def tuners(name, y):
    import keras, keras_tuner
    from hpsearch.tuners import RandomSearch

    def build(hp):
        hidden = keras.layers.Dense(hp.Int("units", 4, 32), "relu")
        model = keras.Sequential([keras.Input((4,)), hidden, keras.layers.Dense(2, "softmax")])
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        return model

    tuner = RandomSearch(
        build, objective="val_accuracy", max_trials=3, seed=1, directory="d", project_name=name
    )
    tuner.search(x, y, epochs=30, validation_split=0.25, verbose=0)
    return [trial.score for trial in tuner.oracle.trials.values()]

def tune(name, y):
    parameters = {"units": [4, 8, 16], "epochs": 60}
    return [*hpsearch.tune(x, y, parameters=parameters, out=name, verbose=0).table["score"]]

def run(name, y):
    np.savez(f"{name}.npz", x=x, y=y)
    sweep = {"data": {"npz": f"{name}.npz"}, "parameters": {"units": [4, 8, 16], "epochs": 60}}
    return [*hpsearch.run(sweep, out=f"{name}-run", verbose=0).table["score"]]

for search in map(globals().get, sys.argv[1:]):
    scores = {}
    threads = [
        threading.Thread(target=lambda n=name: scores.update({n: search(n, targets[n])}))
        for name in targets
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert min(scores["clear"]) > 0.8 > 0.7 > max(scores["noise"]), scores
"""


@pytest.mark.parametrize("searches", [("tune", "run"), slow(("tuners",))])
def test_two_threads_search_on_their_own_rows(tmp_path, searches):
    python(_CODE, *searches, cwd=tmp_path)
