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
def write(tmp_path):
    """Writes a sweep of one of the models beside their module."""
    shutil.copy(USER_MODELS, tmp_path)

    def written(model, text):
        sweep = f'model: "user_models:{model}"\n{_DIGITS}{text}'
        (tmp_path / "sweep.yaml").write_text(sweep)

    return written


@pytest.mark.slow
def test_the_exported_model_takes_raw_images(write, tmp_path):
    write("convolutional", "method: random\nbudget: {trials: 2}\nparameters: {epochs: 3}\n")
    hpsearch("run", "sweep.yaml", "--out", "out", cwd=tmp_path)
    best = best_trial(pd.read_csv(tmp_path / "out" / "results.csv"))
    model = keras.models.load_model(tmp_path / "out" / "best.keras")
    split = load_dataset(load_sweep(tmp_path / "sweep.yaml").data).validation
    assert split.x.dtype == np.uint8
    loss, accuracy = model.evaluate(split.x, split.y, verbose=0)
    assert accuracy == pytest.approx(best["val_accuracy"], abs=1e-6)
    assert loss == pytest.approx(best["val_loss"], rel=1e-4)
    other, trust = 3 - int(best["trial"]), ("--trust", "user_models:convolutional")
    hpsearch("export", "out", "--trial", other, "--out", "m.keras", *trust, cwd=tmp_path)
    assert keras.models.load_model(tmp_path / "m.keras").count_params() > 0


@pytest.mark.slow
def test_plan_builds_the_model(write, tmp_path):
    write("conditional", "method: random\nbudget: {trials: 5}\n")
    said = hpsearch("plan", "sweep.yaml", cwd=tmp_path).stdout
    assert "filters: 2, 3 (where kind is cnn)" in said
    assert "trials     5" in said
    assert not (tmp_path / "experiments").exists()
