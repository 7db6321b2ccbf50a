"""`metric: [val_accuracy, weights]`: a sweep for several objectives."""

from __future__ import annotations

import json
import re

import numpy as np
import pandas as pd
import pytest
from commands import hpsearch

import hpsearch as package
from hpsearch.errors import InputError, SweepFileError

SWEEP = {
    "data": {"dataset": "digits"},
    "metric": ["val_accuracy", "weights"],
    "method": "tpe",
    "budget": {"trials": 24},
    "parameters": {
        "hidden_layers": [0, 1, 2],
        "units": {"min": 4, "max": 64, "scale": "log"},
        "epochs": 2,
    },
    "execution": {"workers": 1},
}


def front_of(table):
    """By the definition, from the rows."""
    points = {row.trial: (-row.score, row.weights) for row in table.itertuples()}
    return sorted(
        trial
        for trial, ours in points.items()
        if not any(t != ours and t[0] <= ours[0] and t[1] <= ours[1] for t in points.values())
    )


def test_a_sweep_finds_and_shows_the_front(tmp_path):
    results = package.run(SWEEP, out=tmp_path / "out")
    assert len(results.table) == 24
    # The score, and so the best trial, are the first objective's.
    assert set(results.table["metric"]) == {"val_accuracy:maximize:last"}
    assert results.best["score"] == results.table["score"].max()
    front = results.front
    assert sorted(front["trial"]) == front_of(results.table)
    assert front["score"].is_monotonic_decreasing
    assert front["weights"].is_monotonic_decreasing
    told = hpsearch("show", "out", cwd=tmp_path).stdout
    shown = told.split("Pareto front of val_accuracy, weights")[1].splitlines()[2:]
    assert shown[0].split()[0] == str(front["trial"].iloc[0])
    page = (tmp_path / "out" / "report.html").read_text()
    assert f"{len(front)} trials on the Pareto front of" in page
    assert len(results.plot_front().data[1].x) == len(front)


@pytest.mark.slow
def test_it_goes_on_as_if_it_had_never_stopped(tmp_path):
    whole = package.run(SWEEP, out=tmp_path / "whole").table
    package.run(SWEEP | {"budget": {"trials": 15}}, out=tmp_path / "parts")
    parts = package.run(SWEEP, out=tmp_path / "parts").table
    pd.testing.assert_frame_equal(
        parts.drop(columns=["seconds", "sweep"]), whole.drop(columns=["seconds", "sweep"])
    )
    # The objectives change what is proposed, and a further one may come later.
    alone = package.run(SWEEP | {"metric": "val_accuracy"}, out=tmp_path / "alone")
    assert alone.table["config"].tolist() != whole["config"].tolist()
    three = SWEEP | {"metric": ["val_accuracy", "weights", "val_loss"], "budget": {"trials": 25}}
    found = package.run(three, out=tmp_path / "parts")
    assert [each.name for each in found.sweep.objectives] == three["metric"]
    assert len(found.table) == 25
    assert len(found.front) >= 1
    with pytest.raises(InputError, match="there is one objective"):
        alone.front  # noqa: B018
    with pytest.raises(InputError, match="there is one objective"):
        alone.plot_front()


@pytest.mark.slow
def test_in_python_and_with_a_model_of_ones_own(tmp_path):
    import keras
    import keras_tuner
    from sklearn.datasets import load_digits

    def build(hp):
        model = keras.Sequential([keras.Input((64,))])
        model.add(keras.layers.Dense(hp.Int("units", 4, 32), activation="relu"))
        model.add(keras.layers.Dense(10, activation="softmax"))
        metrics = ["accuracy", keras.metrics.SparseTopKCategoricalAccuracy(3, name="top")]
        model.compile("adam", "sparse_categorical_crossentropy", metrics=metrics)
        return model

    loaded = load_digits()
    results = package.tune(
        loaded.images.reshape(-1, 64)[:400] / 16 + 1e-3 * loaded.target[:400, None],
        loaded.target[:400],
        model=build,
        parameters={"epochs": 2},
        metric=["val_accuracy", keras_tuner.Objective("val_top", "max"), "weights"],
        method="bayesian",
        trials=12,
    )
    assert {"val_top", "weights"} <= set(results.front.columns)
    assert results.best["trial"] == results.front["trial"].iloc[0]


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        ("weights", "metric: weights is no score; put a metric first, such as"),
        (["val_accuracy"], "metric: must list 2 or 3 objectives, not 1"),
        (["val_loss", "val_loss"], r"metric\[1\]: the objective val_loss is listed twice"),
        (["weights", "val_loss"], r"metric\[0\]: weights is no score; put a metric first"),
        (["val_loss", "val_auc"], r"metric\[1\].name: val_auc is only reported as the score"),
        (["val_loss", "val_acuracy"], r"metric\[1\]: goal is missing.*did you mean 'val_accuracy'"),
        (
            ["val_loss", {"name": "weights", "epoch": "best"}],
            r"metric\[1\]: the first objective says which epoch counts",
        ),
        (["val_accuracy", "val_mae"], r"val_mae is for regression, not classification"),
    ],
)
def test_what_no_objectives_are(metric, message):
    with pytest.raises(SweepFileError, match=re.compile(message)):
        package.run(SWEEP | {"metric": metric})


def test_an_objective_that_is_not_reported_is_said_before_any_training(tmp_path):
    random = np.random.default_rng(0)
    x, y = random.normal(size=(60, 3)), random.normal(size=60)
    arguments = {"parameters": {"units": 4, "epochs": 1}, "metric": ["val_loss", "val_accuracy"]}
    with pytest.raises(InputError, match="'val_accuracy' is not reported for a regression"):
        package.tune(x, y, **arguments, out=tmp_path / "out")


@pytest.mark.slow
def test_an_objective_that_a_model_does_not_report_fails_its_trials(tmp_path):
    import user_models

    random = np.random.default_rng(0)
    x, y = random.normal(size=(60, 64)), random.integers(0, 10, 60)
    metric = ["val_accuracy", {"name": "val_acuracy", "goal": "maximize"}]
    results = package.tune(
        x, y, model=user_models.small, parameters={"epochs": 1}, metric=metric, out=tmp_path / "out"
    )
    assert set(results.table["status"]) == {"failed"}
    assert results.table["error"].str.contains("does not report 'val_acuracy'").all()
    assert "4 failed" in hpsearch("show", "out", cwd=tmp_path).stdout


def test_a_method_that_halts_by_the_score_alone_says_so():
    found = package.Sweep.parse(SWEEP | {"method": "asha", "name": "one"})
    assert any("asha searches by val_accuracy alone" in each for each in found.warnings)


def test_the_schema_and_the_resolved_sweep_have_them(tmp_path):
    results = package.run(SWEEP | {"method": "random", "budget": {"trials": 2}}, out=tmp_path)
    assert [each.name for each in results.sweep.objectives] == ["val_accuracy", "weights"]
    assert results.sweep.scored.name == "val_accuracy"
    schema = json.loads(hpsearch("schema", cwd=tmp_path).stdout)
    kinds = schema["else"]["properties"]["metric"]["anyOf"]
    assert any(kind.get("type") == "array" for kind in kinds)
