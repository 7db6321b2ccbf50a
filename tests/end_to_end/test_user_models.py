"""`model: package.module:build` in a sweep file, from the command line."""

from __future__ import annotations

import shutil

import pandas as pd
import pytest
from commands import USER_MODELS, hpsearch

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
def test_a_grid_of_what_the_model_asks_for(write, tmp_path):
    write("small", "parameters: {epochs: [1, 2]}\n")
    hpsearch("run", "sweep.yaml", "--out", "out", cwd=tmp_path)
    table = pd.read_csv(tmp_path / "out" / "results.csv")
    assert list(table.columns)[5:9] == ["units", "f", "epochs", "batch_size"]
    assert sorted(set(zip(table["units"], table["f"], table["epochs"], strict=True))) == [
        (units, f, epochs) for units in (4, 8) for f in ("relu", "tanh") for epochs in (1, 2)
    ]
    assert set(table["trainer"]) == {"native"}
    # Trials that differ only in epochs share a training.
    assert table["shared_with"].notna().sum() == 4
    assert "all is sound" in hpsearch("doctor", "out", cwd=tmp_path).stdout


@pytest.mark.slow
def test_plan_builds_the_model(write, tmp_path):
    write("conditional", "method: random\nbudget: {trials: 5}\n")
    said = hpsearch("plan", "sweep.yaml", cwd=tmp_path).stdout
    assert "filters: 2, 3 (where kind is cnn)" in said
    assert "trials     5" in said
    assert not (tmp_path / "experiments").exists()
