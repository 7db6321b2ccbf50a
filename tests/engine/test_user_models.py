"""Sweeps over models of the user's own, in this process: every method, every kind of model."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from here import run_here

from hpsearch.data.loading import load_dataset
from hpsearch.errors import InputError
from hpsearch.spec.sweep import load_sweep
from hpsearch.store.trials import best_trial

# As in a worker. At import, before any test: TensorFlow refuses once it has run something.
tf.config.threading.set_intra_op_parallelism_threads(1)
tf.config.threading.set_inter_op_parallelism_threads(1)

_DIGITS = "data: {dataset: digits, validation: 0.2, seed: 42}\n"
_DIABETES = "data: {dataset: diabetes, validation: 0.2, seed: 1}\n"


@pytest.fixture
def run(tmp_path):
    """Runs a sweep of one of `user_models`: its table, and what was said."""

    def running(model, text="", rows=_DIGITS):
        return run_here(f'model: "user_models:{model}"\n{rows}{text}', tmp_path / "out")

    return running


@pytest.mark.slow
def test_halving_of_models_that_train_themselves(run, tmp_path):
    text = "method: {name: asha, factor: 2, brackets: 1}\nbudget: {trials: 4}\n"
    text += "parameters: {epochs: 2}\nmetric: {name: val_error, goal: minimize}\n"
    table, _ = run("Scored", text, _DIABETES)
    assert (table["score"] == table["val_error"]).all()
    # The target's own units.
    assert table["val_error"].between(30, 250).all()
    assert (table["val_worst"] > table["val_error"]).all()
    # It gives one score, whatever it was told; the best one is trained anew with more epochs.
    assert set(table["epochs_trained"]) == {1, 2}
    assert set(table["status"]) == {"completed", "stopped"}
    best = table[table["status"] == "completed"].iloc[0]
    # Trials that differ in epochs alone share no training.
    alone, _ = run_here(
        f'model: "user_models:Scored"\n{_DIABETES}metric: {{name: val_error, goal: minimize}}\n'
        f"parameters: {{epochs: [1, 2], units: {best['units']}}}\n",
        tmp_path / "alone",
    )
    assert alone["score"][0] != alone["score"][1] == best["score"]
    assert alone["shared_with"].isna().all()


def test_the_file_may_fix_and_replace(run):
    text = "parameters: {units: [3], f: relu, epochs: 1, batch_size: [16, 64], typo: 1}\n"
    table, said = run("small", text)
    assert set(table["units"]) == {3}
    assert set(table["f"]) == {"relu"}
    assert list(table["batch_size"]) == [16, 64]
    assert "warning: parameters.typo: the model never asked for it" in said


def test_what_comes_up_late_is_a_column_and_said(run):
    table, said = run("late", "method: random\nbudget: {trials: 8}\nparameters: {epochs: 1}\n")
    middle = table["units"].between(6, 10)
    assert 0 < middle.sum() < 8
    assert (table["hidden"].notna() == middle).all()
    assert table.loc[middle, "hidden"].between(0.1, 0.3).all()
    assert table.loc[middle, "hidden"].nunique() == middle.sum()
    assert any("the model asks for 'hidden'" in line for line in said)


def test_in_a_grid_what_comes_up_late_has_its_default(run):
    table, said = run("late", "parameters: {epochs: 1, units: {min: 4, max: 12, step: 4}}\n")
    assert list(table["hidden"].fillna(0)) == [0, 0.1, 0]
    assert any("the model asks for 'hidden'" in line for line in said)


def test_metrics_have_the_same_names_in_every_training(run):
    name = "sparse_top_k_categorical_accuracy"
    text = f"metric: {{name: val_{name}, goal: maximize}}\nparameters: {{epochs: 1}}\n"
    table, _ = run("unnamed_metric", text)
    assert set(table["status"]) == {"completed"}
    assert (table["score"] == table[f"val_{name}"]).all()


def test_a_regression_in_its_own_units(run, tmp_path):
    table, _ = run("regressor", "parameters: {epochs: 2, optimizer: adam}\n", _DIABETES)
    model = keras.models.load_model(tmp_path / "out" / "best.keras")
    sweep = load_sweep(tmp_path / "out" / "sweep.yaml")
    loaded = load_dataset(sweep.data)
    y = loaded.validation.y * np.array(loaded.target.std) + np.array(loaded.target.mean)
    best = best_trial(table)
    mae = model.evaluate(loaded.validation.x, y, verbose=0)[1]
    assert mae == pytest.approx(best["val_mae"], rel=1e-4)
    assert best["val_mae"] > 30


@pytest.mark.parametrize(
    ("model", "text", "message"),
    [
        ("dense", "", r"a grid needs a list of values or a step, and the model's 'lr' has neither"),
        ("small", "constraints: ['unit > 4']\n", r"there is no parameter 'unit'; did you mean"),
        ("small", "configs: [{unit: 4}]\n", r"configs\[0\].unit: there is no parameter 'unit'"),
        (
            "small",
            "parameters: {f: {values: [relu], when: {unit: 4}}}\n",
            r"parameters.f.when.unit: there is no parameter 'unit'; did you mean 'units'",
        ),
        (
            "Scored",
            "method: asha\nbudget: {trials: 2}\nmetric: {name: val_error, goal: minimize}\n",
            r"asha halts trainings at epochs.*epochs: 27",
        ),
    ],
)
def test_mistakes(run, tmp_path, model, text, message):
    with pytest.raises(InputError, match=message):
        run(model, text, _DIABETES if model == "Scored" else _DIGITS)
    assert not (tmp_path / "out" / "results.csv").exists()
