"""FAULTS 47: callbacks that write files are apart, and the named files are the best trial's."""

import os
import signal
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from keras import callbacks as kc

import hpsearch
import hpsearch.tuners as kt
from hpsearch.errors import RefusedError

pytestmark = pytest.mark.slow
ROWS = np.random.default_rng(0).random((400, 4), "float32")
X, HELD_OUT = ROWS[:300], (ROWS[300:], ROWS[300:].sum(axis=1))
Y = X.sum(axis=1)
WHERE = {"validation_data": HELD_OUT, "verbose": 0}
FILES = ("best.keras", "log.csv", "sub/{epoch:02d}.weights.h5", "sub/best.keras")


def build(hp):
    hidden = keras.layers.Dense(hp.Int("units", 4, 32), "relu")
    model = keras.Sequential([keras.Input((4,)), hidden, keras.layers.Dense(1)])
    model.compile("adam", "mse")
    return model


class Checkpoint(kc.ModelCheckpoint):
    pass


class DieOnce(keras.callbacks.Callback):
    """Kills the first process that reaches the second epoch."""

    def __init__(self, path):
        super().__init__()
        self._path = str(path)

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 1 and not Path(self._path).exists():
            Path(self._path).touch()
            os.kill(os.getpid(), signal.SIGKILL)


def callbacks(place):
    best, log, each, absolute = FILES
    return [
        kc.BackupAndRestore("backup"),
        kc.ModelCheckpoint(best),
        kc.CSVLogger(log, append=True),
        Checkpoint(each, save_weights_only=True),
        kc.ModelCheckpoint(place / absolute, save_best_only=True),
        DieOnce(place / "died"),
    ]


def by_tune(place):
    return hpsearch.tune(
        X, Y, model=build, scale="none", parameters={"epochs": 3}, trials=2, workers=2,
        callbacks=callbacks(place), out="out", **WHERE,
    )  # fmt: skip


def by_tuner(place):
    tuner = kt.RandomSearch(
        build, "val_loss", max_trials=2, executions_per_trial=2, seed=1, workers=2,
        directory="d", project_name="p",
    )  # fmt: skip
    tuner.search(X, Y, epochs=3, callbacks=callbacks(place), **WHERE)
    return tuner


@pytest.mark.parametrize("search", [by_tune, by_tuner])
def test_each_execution_has_its_files_and_the_best_one_the_named(search, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    searched = search(tmp_path)
    out = Path("out" if search is by_tune else "d/p")
    table = pd.read_csv(out / "results.csv")
    assert (tmp_path / "died").exists()
    assert set(table["status"]) == {"completed"}
    for trial, seed, score in table[["trial", "seed", "score"]].itertuples(index=False):
        own = out / "trials" / (f"{trial}-seed{seed}" if seed else f"{trial}")
        log = pd.read_csv(own / "2" / "log.csv")
        assert log["epoch"].tolist() == [0, 1, 2]
        assert log["val_loss"].iloc[-1] == score
    means = table.groupby("trial")["score"].mean()
    best = table.loc[table["trial"] == means.idxmin(), "score"].min()
    assert pd.read_csv("log.csv")["val_loss"].iloc[-1] == best
    for name in ("best.keras", "sub/best.keras"):
        loss = keras.models.load_model(name).evaluate(*HELD_OUT, verbose=0)
        assert loss == pytest.approx(best, rel=1e-5)
    assert sorted(each.name for each in Path("sub").iterdir()) == [
        *(f"{n:02d}.weights.h5" for n in (1, 2, 3)),
        "best.keras",
    ]
    if search is by_tune:
        assert searched.reproduce(int(means.idxmax())).equal
        assert pd.read_csv("log.csv")["val_loss"].iloc[-1] == best


def test_layers_that_trials_share_begin_each_trial_with_the_programs_weights():
    rows = keras.Input((4,))
    base = keras.Model(rows, keras.layers.Dense(4, "gelu", name="base")(rows))

    def build_on_base(hp):
        hidden = keras.layers.Dense(hp.Int("units", 4, 32))(base.output)
        model = keras.Model(base.input, keras.layers.Dense(1)(hidden))
        model.compile("adam", "mse")
        return model

    def score(*units):
        configs = [{"units": each} for each in units]
        parameters = {"epochs": 2}
        arguments = {"model": build_on_base, "configs": configs, "parameters": parameters}
        table = hpsearch.tune(X, Y, workers=1, **arguments, **WHERE).table
        return table["score"].iloc[-1]

    assert score(8, 9) == score(9)


def test_a_link_in_place_of_the_directory_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("out").mkdir()
    Path("elsewhere").mkdir()
    Path("out/trials").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RefusedError, match="out/trials: is a symbolic link"):
        by_tune(tmp_path)
    assert not [*Path("elsewhere").iterdir()]
