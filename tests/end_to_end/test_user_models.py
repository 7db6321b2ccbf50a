"""`model: package.module:build` in a sweep file: any KerasTuner hypermodel, by every method."""

from __future__ import annotations

import shutil

import keras
import numpy as np
import pandas as pd
import pytest
from commands import USER_MODELS, hpsearch

from hpsearch import data, results, sweepfile

_DIGITS = "data: {dataset: digits, validation: 0.2, seed: 42}\n"


@pytest.fixture
def place(tmp_path):
    """A directory with the models' module, and a way to run a sweep of one of them in it."""
    shutil.copy(USER_MODELS, tmp_path)

    def run(model, text="", *arguments, data=_DIGITS, code=0):
        sweep = f'model: "user_models:{model}"\n{data}{text}'
        (tmp_path / "sweep.yaml").write_text(sweep)
        said = hpsearch("run", "sweep.yaml", "--out", "out", *arguments, cwd=tmp_path, code=code)
        return said, tmp_path / "out"

    return run


def table_of(directory):
    return pd.read_csv(directory / "results.csv")


def validation_of(directory):
    return data.load(sweepfile.load(directory.parent / "sweep.yaml").data).validation


def test_a_grid_of_what_the_model_asks_for(place):
    said, out = place("small", "parameters: {epochs: [1, 2]}\n", "--workers", 2)
    assert "8 trials, 8 completed" in said.stdout
    table = table_of(out)
    columns = list(table.columns)
    assert columns[5:9] == ["units", "f", "epochs", "batch_size"]
    assert sorted(set(zip(table["units"], table["f"], table["epochs"], strict=True))) == [
        (units, f, epochs) for units in (4, 8) for f in ("relu", "tanh") for epochs in (1, 2)
    ]
    assert set(table["trainer"]) == {"graph"}
    # Trials that differ only in epochs share a training.
    assert table["shared_with"].notna().sum() == 4
    assert (table["score"] == table["val_accuracy"]).all()


def test_one_worker_or_two_and_a_second_run_give_the_same_table(place, tmp_path):
    text = "method: random\nbudget: {trials: 4}\nparameters: {epochs: 2}\n"
    _, out = place("dense", text, "--workers", 2)
    two = table_of(out).drop(columns="seconds")
    shutil.move(out, tmp_path / "two")
    _, out = place("dense", text, "--workers", 1)
    pd.testing.assert_frame_equal(table_of(out).drop(columns="seconds"), two)
    said, _ = place("dense", text)
    assert "0 trained now" in said.stdout
    assert {"num_layers", "units_0", "units_1", "units_2", "dropout", "lr"} <= set(two.columns)
    assert two["dropout"].isin([True, False]).all()


@pytest.mark.parametrize(
    ("model", "trainer"), [("convolutional", "graph"), ("recurrent", "graph"), ("own_step", "fit")]
)
def test_what_trains_it(place, model, trainer):
    text = "method: random\nbudget: {trials: 2}\nparameters: {epochs: 2}\n"
    _, out = place(model, text)
    table = table_of(out)
    assert set(table["status"]) == {"completed"}
    assert set(table["trainer"]) == {trainer}
    assert table["val_loss"].between(0, 3).all()


def test_the_exported_model_takes_raw_images(place):
    _, out = place(
        "convolutional", "method: random\nbudget: {trials: 2}\nparameters: {epochs: 3}\n"
    )
    best = results.best_row(table_of(out))
    model = keras.models.load_model(out / "best.keras")
    split = validation_of(out)
    assert split.x.dtype == np.uint8
    loss, accuracy = model.evaluate(split.x, split.y, verbose=0)
    assert accuracy == pytest.approx(best["val_accuracy"], abs=1e-6)
    assert loss == pytest.approx(best["val_loss"], rel=1e-4)
    number = int(best["trial"])
    said = hpsearch("reproduce", "out", "--trial", number, cwd=out.parent)
    assert "equal" in said.stdout
    other = 3 - number
    hpsearch("export", "out", "--trial", other, "--out", "m.keras", cwd=out.parent)
    assert keras.models.load_model(out.parent / "m.keras").count_params() > 0


def test_dead_ones_have_empty_cells(place):
    text = "method: sobol\nbudget: {trials: 6}\nparameters: {epochs: 1}\n"
    _, out = place("conditional", text)
    table = table_of(out)
    assert len(table) == 6
    mlp = table["kind"] == "mlp"
    assert 0 < mlp.sum() < 6
    assert (table["units"].notna() == mlp).all()
    assert (table["filters"].isna() == mlp).all()
    assert (table["momentum"].notna() == (table["norm"].astype(str) == "True")).all()
    hpsearch("show", "out", cwd=out.parent)


@pytest.mark.parametrize("method", ["bayesian", "tpe", "asha", "hyperband"])
def test_methods_that_learn(place, method):
    text = f"method: {{name: {method}}}\nbudget: {{trials: 5}}\nparameters: {{epochs: 3}}\n"
    _, out = place("dense", text, "--workers", 1)
    table = table_of(out)
    assert len(table) == 5
    assert set(table["status"]) <= {"completed", "stopped"}
    if method in ("asha", "hyperband"):
        assert table["epochs_trained"].min() < 3


def test_the_file_may_fix_and_replace(place):
    text = "parameters: {units: [3], f: relu, epochs: 1, batch_size: [16, 64]}\n"
    _, out = place("small", text)
    table = table_of(out)
    assert set(table["units"]) == {3}
    assert set(table["f"]) == {"relu"}
    assert list(table["batch_size"]) == [16, 64]


def test_a_fit_of_its_own(place):
    text = "method: random\nbudget: {trials: 4}\n"
    _, out = place("Fitted", text)
    table = table_of(out)
    assert set(table["status"]) == {"completed"}, table["error"].tolist()
    assert set(table["trainer"]) == {"fit"}
    assert (table["epochs_trained"] == table["epochs"]).all()
    assert table["batch_size"].isin([32, 64]).all()
    assert table["normalize"].isin([True, False]).all()


def test_a_score_of_its_own(place):
    text = """\
metric: {name: val_error, goal: minimize}
parameters: {epochs: [1, 2]}
seeds: 2
"""
    _, out = place("Scored", text, data="data: {dataset: diabetes, validation: 0.2, seed: 1}\n")
    table = table_of(out)
    assert len(table) == 8
    assert (table["score"] == table["val_error"]).all()
    # The target's own units.
    assert table["val_error"].between(30, 250).all()
    assert (table["val_worst"] > table["val_error"]).all()


def test_what_comes_up_late_is_a_column_and_said(place):
    text = "method: random\nbudget: {trials: 8}\nparameters: {epochs: 1}\n"
    said, out = place("late", text)
    table = table_of(out)
    middle = table["units"].between(6, 10)
    assert 0 < middle.sum() < 8
    assert (table["hidden"].notna() == middle).all()
    assert table.loc[middle, "hidden"].between(0.1, 0.3).all()
    assert table.loc[middle, "hidden"].nunique() == middle.sum()
    assert "the model asks for 'hidden'" in said.stderr
    number = int(table.loc[middle, "trial"].iloc[0])
    assert "equal" in hpsearch("reproduce", "out", "--trial", number, cwd=out.parent).stdout


def test_metrics_have_the_same_names_in_every_training(place):
    name = "sparse_top_k_categorical_accuracy"
    text = f"metric: {{name: val_{name}, goal: maximize}}\nparameters: {{epochs: 1}}\n"
    _, out = place("unnamed_metric", text, "--workers", 1)
    table = table_of(out)
    assert set(table["status"]) == {"completed"}
    assert (table["score"] == table[f"val_{name}"]).all()


def test_a_regression_in_its_own_units(place):
    _, out = place(
        "regressor",
        "parameters: {epochs: 2, optimizer: adam}\n",
        data="data: {dataset: diabetes, validation: 0.2, seed: 1}\n",
    )
    row = table_of(out).iloc[0]
    model = keras.models.load_model(out / "best.keras")
    loaded = data.load(sweepfile.load(out.parent / "sweep.yaml").data)
    y = loaded.validation.y * np.array(loaded.target.std) + np.array(loaded.target.mean)
    best = results.best_row(table_of(out))
    assert model.evaluate(loaded.validation.x, y, verbose=0)[1] == pytest.approx(
        best["val_mae"], rel=1e-4
    )
    assert row["val_mae"] > 30


def test_plan_builds_the_model(place, tmp_path):
    (tmp_path / "sweep.yaml").write_text(
        'model: "user_models:conditional"\nmethod: random\nbudget: {trials: 5}\n' + _DIGITS
    )
    said = hpsearch("plan", "sweep.yaml", cwd=tmp_path).stdout
    assert "filters: 2, 3 (where kind is cnn)" in said
    assert "trials     5" in said


@pytest.mark.parametrize(
    ("model", "text", "message"),
    [
        ("dense", "", "a grid needs a list of values or a step, and the model's 'lr' has neither"),
        ("small", "constraints: ['unit > 4']\n", "'unit' is no hyperparameter.*did you mean"),
        ("small", "configs: [{unit: 4}]\n", "configs.0.: 'unit' is no hyperparameter"),
        ("fails", "", "user_models:fails: fails with the defaults"),
        ("absent", "", "user_models:absent: cannot be loaded"),
    ],
)
def test_mistakes(place, model, text, message):
    import re

    said, out = place(model, text, code=2)
    assert re.search(message, said.stderr), said.stderr
    assert not (out / "results.csv").exists()
