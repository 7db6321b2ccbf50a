"""`parameters: {scale: [...], impute: [...]}`: how rows are read is searched like all else."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

import hpsearch
from hpsearch.data.loading import load_dataset
from hpsearch.errors import SweepFileError
from hpsearch.revisit.best_file import examine_best_file
from hpsearch.space.mlp import IMPUTATIONS
from hpsearch.spec.sweep import sweep_from_mapping
from hpsearch.tuner.custom_model import training_data

NUMBERS = ["loss", "accuracy", "val_loss", "val_accuracy"]


@pytest.fixture
def sweep(tmp_path, monkeypatch):
    """A table whose two numbers need scaling, one of them with gaps."""
    monkeypatch.chdir(tmp_path)
    drawn = random.Random(1)
    rows = ["a,b,c,y"]
    for _ in range(240):
        a, b = drawn.expovariate(1) * 100, drawn.gauss(5, 1)
        shown = "" if drawn.random() < 0.1 else f"{a:.4f}"
        rows.append(f"{shown},{b:.4f},{drawn.choice('pqr')},{'xz'[a / 100 + b > 6]}")
    Path("table.csv").write_text("\n".join(rows))
    return {
        "data": {"csv": "table.csv", "target": "y"},
        "parameters": {"units": 8, "epochs": 3, "learning_rate": 0.01},
    }


def rows_of(sweep, out, parameters=None, **data):
    changed = sweep | {"data": sweep["data"] | data}
    changed["parameters"] = sweep["parameters"] | (parameters or {})
    return hpsearch.run(changed, out=out)


@pytest.mark.parametrize(
    "folds", [{}, pytest.param({"cv": 2}, marks=pytest.mark.slow)], ids=["split", "folds"]
)
def test_each_trial_is_that_of_a_sweep_with_this_setting(sweep, folds):
    every = rows_of(
        sweep, "all", {"scale": ["none", "robust"], "impute": ["median", "mean"]}, **folds
    )
    assert every.table["scale"].nunique() == every.table["impute"].nunique() == 2
    assert set(every.table["trainer"]) == {"native"}
    seen = []
    for scale, impute in (("none", "mean"), ("robust", "median")):
        alone = rows_of(sweep, f"{scale}-{impute}", scale=scale, impute=impute, **folds).table
        among = every.table.query(f"scale == '{scale}' and impute == '{impute}'")
        np.testing.assert_array_equal(among[NUMBERS], alone[NUMBERS])
        seen.append(alone[NUMBERS].to_numpy())
    assert (seen[0] != seen[1]).any()
    number = int(every.best["trial"])
    assert every.reproduce(number).equal
    loss = every.evaluate("validation").metrics["loss"].value
    best = every.table.query(f"trial == {number}").sort_values("score").iloc[-1]
    assert loss == pytest.approx(best["val_loss"], rel=1e-5)
    # The model's file has the scaling and the numbers of its own trial.
    assert [each.level.name for each in examine_best_file(Path("all"))] == ["SOUND"]


def test_a_sweep_goes_on_with_them(sweep):
    rows_of(sweep, "out")
    grown = rows_of(sweep, "out", {"scale": ["auto", "minmax"]}).table
    # `auto` is what a config without the hyperparameter has.
    assert grown["trial"].tolist() == [1, 2]
    assert grown["config"].nunique() == 2


@pytest.mark.slow
def test_images_are_scaled_in_the_training(tmp_path):
    images = {"data": {"dataset": "digits"}, "parameters": {"units": 16, "epochs": 2}}
    images["parameters"]["scale"] = ["unit", "standard", "none"]
    every = hpsearch.run(images, out=tmp_path / "all").table
    assert every["score"].nunique() == 3
    del images["parameters"]["scale"]
    for scale in ("unit", "standard"):
        images["data"] = {"dataset": "digits", "scale": scale}
        alone = hpsearch.run(images, out=tmp_path / scale).table
        among = every.query(f"scale == '{scale}'")
        np.testing.assert_array_equal(among[NUMBERS], alone[NUMBERS])


@pytest.mark.slow
def test_a_method_that_learns_searches_them(sweep, tmp_path):
    sweep["method"], sweep["budget"] = "tpe", {"trials": 12}
    found = rows_of(sweep, "out", {"scale": ["none", "standard"], "impute": ["median", "mean"]})
    assert len(found.table) == 4
    assert set(found.table["status"]) == {"completed"}
    again = found.refit(seeds=2, top=1, out=tmp_path / "final")
    assert set(again.table["scale"]) == {found.best["scale"]}


def test_what_they_cannot_do_is_said(sweep):
    both = {"scale": ["unit", "standard"]}
    with pytest.raises(SweepFileError, match=r"data.scale: is robust, and scale is a hyperparam"):
        rows_of(sweep, "out", both, scale="robust")
    with pytest.raises(SweepFileError, match=r"parameters.impute.*must be median or mean"):
        rows_of(sweep, "out", {"impute": ["median", "none"]})
    full = {"data": {"dataset": "wine"}, "parameters": {"impute": ["median", "mean"], "epochs": 1}}
    with pytest.warns(UserWarning, match="impute changes nothing: no number is missing"):
        hpsearch.run(full, out="wine")


@pytest.mark.slow
def test_a_custom_model_may_have_hyperparameters_of_these_names(tmp_path):
    import keras

    def build(hp):
        model = keras.Sequential([keras.Input((8, 8)), keras.layers.Flatten()])
        model.add(keras.layers.Rescaling(hp.Choice("scale", [0.5, 2.0])))
        model.add(keras.layers.Dense(10, activation="softmax"))
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        return model

    from sklearn.datasets import load_digits

    loaded = load_digits()
    x, y = loaded.images[:300].astype("uint8"), loaded.target[:300]
    results = hpsearch.tune(x, y, model=build, parameters={"epochs": 1})
    assert sorted(results.table["scale"]) == [0.5, 2.0]
    assert set(results.table["status"]) == {"completed"}


def test_rows_are_encoded_once_for_each_way_that_trainings_use(sweep):
    made = sweep_from_mapping(
        {
            **sweep,
            "name": "one",
            "parameters": {"scale": ["unit", "standard", "auto"], "impute": ["median", "mean"]},
            "configs": [{"scale": "robust"}],
            "method": "grid",
        }
    )
    data = training_data(load_dataset(made.data), made)
    ways = {(scale, impute) for scale in ("unit", "standard", "auto") for impute in IMPUTATIONS}
    assert {tuple(value for _, value in each) for each in data.variants} == {
        *ways,
        ("robust", "median"),
    }
    # With `auto`, which is `standard` here, rows are those of the sweep without hyperparameters.
    arrays = {id(each.arrays.x_train) for each in data.variants.values()}
    assert len(arrays | {id(data.arrays.x_train)}) == 5
    assert len({id(each.arrays.y_train) for each in data.variants.values()}) == 1
