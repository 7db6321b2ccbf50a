"""`hpsearch.tune`: weights of rows and classes, and what is scored."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_breast_cancer

import hpsearch
from hpsearch.errors import DataError, InputError, RefusedError
from hpsearch.models.problem import Recipe

SMALL = {"units": [4, 8], "epochs": 2}


@pytest.mark.slow
def test_class_weights_are_sample_weights_by_class(wine):
    x, y = wine
    by_class = hpsearch.tune(x, y, parameters=SMALL, class_weight={0: 3.0, "2": 0.5})
    by_row = hpsearch.tune(
        x, y, parameters=SMALL, sample_weight=np.choose(y, [3.0, 1.0, 0.5]), workers=1
    )
    plain = hpsearch.tune(x, y, parameters=SMALL)
    # Rows that are split off keep their weights, as in Keras: those of classes are for training.
    columns = ["score", "loss", "accuracy"]
    pd.testing.assert_frame_equal(by_class.table[columns], by_row.table[columns])
    assert (by_class.table["loss"] != plain.table["loss"]).all()
    assert set(by_class.table["trainer"]) == {"native"}
    assert set(plain.table["trainer"]) == {"native"}
    recipes = {results.table["recipe"][0] for results in (by_class, by_row, plain)}
    assert len(recipes) == 3
    data = [results.table["data"][0] for results in (by_class, by_row, plain)]
    assert data[0] == data[2] != data[1]
    assert by_class.reproduce(1).equal
    assert by_class.sweep.mlp.class_weight == {"0": 3.0, "2": 0.5}
    assert by_row.sweep.data.memory["sample_weight"] == "(178,) float64"


@pytest.mark.slow
def test_balanced_weights_and_those_of_validation_rows(wine, tmp_path):
    x, y = wine
    part = (x[::2], y[::2])
    weights = np.arange(89) / 44.0
    arguments = {"parameters": {"units": 4, "epochs": 1}, "class_weight": "balanced"}
    plain = hpsearch.tune(x[1::2], y[1::2], validation_data=part, out=tmp_path / "a", **arguments)
    weighted = hpsearch.tune(
        x[1::2], y[1::2], validation_data=(*part, weights), out=tmp_path / "b", **arguments
    )
    assert plain.table["loss"][0] == weighted.table["loss"][0]
    assert plain.table["val_loss"][0] != weighted.table["val_loss"][0]
    assert plain.table["val_accuracy"][0] == weighted.table["val_accuracy"][0]
    with pytest.raises(RefusedError, match=r"recipe\.class_weight: was \"balanced\", is null"):
        hpsearch.tune(x[1::2], y[1::2], validation_data=part, out=tmp_path / "a", parameters=SMALL)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"class_weight": {"9": 1}}, r"class_weight: there is no class '9'; .*'0', '1', '2'"),
        ({"class_weight": {0: -1}}, r"^class_weight\.0: "),
        ({"class_weight": "even"}, r"^class_weight: must be balanced, or a mapping"),
        ({"class_weight": {0: 2}, "task": "regression"}, r"class_weight: is for classes"),
        ({"sample_weight": [1, 2]}, r"sample_weight has shape \(2,\).*each of the 178 rows"),
        ({"sample_weight": -np.ones(178)}, r"row 0 \(from 0\): sample_weight is -1\.0"),
        ({"sample_weight": np.zeros(178)}, r"sample_weight is 0.0; .*not all 0"),
        ({"metric": {"name": "val_mine", "goal": "maximize"}}, r"'val_mine' is not reported"),
    ],
)
def test_what_cannot_be_weighted_or_scored_is_told(wine, arguments, message):
    with pytest.raises((InputError, DataError), match=message):
        hpsearch.tune(*wine, parameters=SMALL, **arguments)


@pytest.mark.slow
def test_any_metric_of_keras_is_the_score(tmp_path):
    x, y = load_breast_cancer(return_X_y=True)
    out = tmp_path / "out"
    arguments = {"metric": "val_auc", "early_stopping": {"patience": 1}, "test": 0.2, "out": out}
    results = hpsearch.tune(x, y, parameters=SMALL, **arguments)
    columns = list(results.table.columns)
    begin = columns.index("loss")
    names = ["loss", "accuracy", "val_loss", "val_accuracy", "auc", "val_auc", "best_epoch"]
    assert columns[begin : begin + 7] == names
    assert results.table["score"].equals(results.table["val_auc"])
    assert results.table["val_auc"].between(0, 1).all()
    assert set(results.table["metric"]) == {"val_auc:maximize:last"}
    assert {"auc", "val_auc"} <= set(results.curves)
    pd.testing.assert_frame_equal(hpsearch.load(out).table, results.table)
    look = results.evaluate("validation")
    assert look.metric == "auc"
    assert look.metrics["auc"].value == pytest.approx(results.best["score"], abs=1e-6)
    again = hpsearch.tune(x, y, parameters=SMALL | {"units": [4, 8, 16]}, **arguments)
    assert len(again.table) == 3
    assert "auc" in results.figure("curves", "val_auc").to_json()


@pytest.mark.parametrize("layer_type", ["dense", "odd_layers:plain"])
def test_other_metrics_are_reported_beside_the_score(layer_type, tmp_path):
    sweep = {
        "data": {"dataset": "wine"},
        "metric": {"name": "val_balanced_accuracy", "also": ["val_mcc", "accuracy", "brier"]},
        "parameters": {"units": 4, "epochs": 3, "layer_type": layer_type},
    }
    results = hpsearch.run(sweep, out=tmp_path)
    columns = list(results.table.columns)
    more = ["balanced_accuracy", "val_balanced_accuracy", "mcc", "brier", "val_mcc", "val_brier"]
    assert columns[columns.index("val_accuracy") + 1 : columns.index("best_epoch")] == more
    assert results.table["score"].equals(results.table["val_balanced_accuracy"])
    assert results.curves[more].notna().all(axis=None)
    look = results.evaluate("validation")
    assert look.metrics["mcc"].value == pytest.approx(results.best["val_mcc"], abs=1e-6)
    assert results.reproduce(1).equal
    # The columns of a table are those of one recipe.
    sweep["metric"]["also"].append("auc")
    with pytest.raises(RefusedError, match=r'recipe\.also: was \["mcc", "accuracy", "brier"\], is'):
        hpsearch.run(sweep, out=tmp_path)


@pytest.mark.parametrize("trainer", ["dense", "odd_layers:plain"])
def test_metrics_of_a_regression_are_of_its_own_units(trainer):
    random = np.random.default_rng(0)
    x = random.normal(size=(400, 2))
    # Far from 0: Keras' R squared, and a target without its mean, would be wrong.
    y = 101_325 + 30 * x[:, 0] + random.normal(size=400)
    metric = {"name": "val_r2", "also": ["mape", "rmse", "msle"]}
    parameters = {"units": 8, "epochs": 20, "layer_type": trainer, "learning_rate": 0.01}
    results = hpsearch.tune(x, y, parameters=parameters, metric=metric)
    best, look = results.best, results.evaluate("validation").metrics
    error = results.predict(x) - y
    assert 0.3 < best["val_r2"] < 1
    assert best["val_mape"] == pytest.approx(100 * np.abs(error / y).mean(), rel=0.5)
    for name in ("r2", "mape", "rmse"):
        assert look[name].value == pytest.approx(best[f"val_{name}"], rel=1e-3)


def test_a_metric_beside_the_score_that_is_not_finite_ends_nothing():
    recipe = Recipe(0, "mse", "linear", "val_loss", "minimize", also=("r2",))
    epoch = {"loss": 1.0, "val_loss": 1.0, "r2": 0.5, "val_r2": math.nan}
    assert not recipe.ends(epoch)
    assert replace(recipe, metric="val_r2").ends(epoch)
    assert replace(recipe, also=("r2", "loss")).ends(epoch | {"val_loss": math.inf})


def test_a_sweep_file_names_such_a_metric_too(tmp_path):
    sweep = {
        "name": "f1",
        "data": {"dataset": "wine"},
        "metric": {"name": "val_f1", "epoch": "best"},
        "parameters": {"units": 4, "epochs": 3},
        "model": {"class_weight": {"1": 2}},
    }
    results = hpsearch.run(sweep, out=tmp_path / "f1")
    assert results.best["metric"] == "val_f1:maximize:best"
    assert results.best["score"] == results.best["val_f1"] == results.curves["val_f1"].max()
    asked = {"auc": [1, 2], "layer_type": "odd_layers:plain"}
    with pytest.raises(InputError, match="'auc' is a hyperparameter of this sweep, too"):
        hpsearch.run(sweep | {"metric": "val_auc", "parameters": asked}, out=tmp_path / "no")
