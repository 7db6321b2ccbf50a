"""`model: package.module:build` in a sweep file, from the command line."""

from __future__ import annotations

import shutil

import keras
import numpy as np
import pandas as pd
import pytest
from commands import USER_MODELS, hpsearch

from hpsearch.data.loading import load_dataset
from hpsearch.spec.sweep import load_sweep
from hpsearch.store.trials import best_trial

_DIGITS = "data: {dataset: digits, validation: 0.2, seed: 42}\n"


@pytest.fixture
def place(tmp_path):
    """A directory with the models' module, and a way to run a sweep of one of them in it."""
    shutil.copy(USER_MODELS, tmp_path)

    def run(model, text="", *arguments, code=0):
        sweep = f'model: "user_models:{model}"\n{_DIGITS}{text}'
        (tmp_path / "sweep.yaml").write_text(sweep)
        said = hpsearch("run", "sweep.yaml", "--out", "out", *arguments, cwd=tmp_path, code=code)
        return said, tmp_path / "out"

    return run


def table_of(directory):
    return pd.read_csv(directory / "results.csv")


@pytest.mark.slow
def test_a_grid_of_what_the_model_asks_for(place):
    said, out = place("small", "parameters: {epochs: [1, 2]}\n", "--workers", 2)
    assert "8 trials, 8 completed" in said.stdout
    table = table_of(out)
    assert list(table.columns)[5:9] == ["units", "f", "epochs", "batch_size"]
    assert sorted(set(zip(table["units"], table["f"], table["epochs"], strict=True))) == [
        (units, f, epochs) for units in (4, 8) for f in ("relu", "tanh") for epochs in (1, 2)
    ]
    assert set(table["trainer"]) == {"native"}
    # Trials that differ only in epochs share a training.
    assert table["shared_with"].notna().sum() == 4
    assert (table["score"] == table["val_accuracy"]).all()
    hpsearch("show", "out", cwd=out.parent)
    assert "all is sound" in hpsearch("doctor", "out", cwd=out.parent).stdout


@pytest.mark.slow
def test_the_exported_model_takes_raw_images(place):
    text = "method: random\nbudget: {trials: 2}\nparameters: {epochs: 3}\n"
    _, out = place("convolutional", text)
    best = best_trial(table_of(out))
    model = keras.models.load_model(out / "best.keras")
    split = load_dataset(load_sweep(out.parent / "sweep.yaml").data).validation
    assert split.x.dtype == np.uint8
    loss, accuracy = model.evaluate(split.x, split.y, verbose=0)
    assert accuracy == pytest.approx(best["val_accuracy"], abs=1e-6)
    assert loss == pytest.approx(best["val_loss"], rel=1e-4)
    number = int(best["trial"])
    trust = ("--trust", "user_models:convolutional")
    said = hpsearch("reproduce", "out", "--trial", number, *trust, cwd=out.parent).stdout
    assert "equal" in said
    other = 3 - number
    hpsearch("export", "out", "--trial", other, "--out", "m.keras", *trust, cwd=out.parent)
    assert keras.models.load_model(out.parent / "m.keras").count_params() > 0


@pytest.mark.slow
def test_plan_builds_the_model(place, tmp_path):
    (tmp_path / "sweep.yaml").write_text(
        'model: "user_models:conditional"\nmethod: random\nbudget: {trials: 5}\n' + _DIGITS
    )
    said = hpsearch("plan", "sweep.yaml", cwd=tmp_path).stdout
    assert "filters: 2, 3 (where kind is cnn)" in said
    assert "trials     5" in said
    assert not (tmp_path / "experiments").exists()
