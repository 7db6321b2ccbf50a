"""FAULTS 4: NaN and infinities are rows that say so, never the best, and mislead no method."""

import math

import pandas as pd
import pytest
from commands import sweep

from hpsearch import optimize

#: The rate times l2 makes weights grow without bound, slowly or at once.
_SWEEP = """\
data: {{dataset: digits, validation: 0.2, seed: 42}}
metric: {metric}
method: {method}
parameters:
  units: [8, 16]
  l2: 0.1
  epochs: [1, 4]
  optimizer:
    - adam
    - {{name: sgd, learning_rate: 1000000}}
    - {{name: sgd, learning_rate: 10000}}
budget: {{trials: 12}}
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("metric", "method"), [("val_accuracy", "grid"), ("val_loss", "tpe"), ("val_accuracy", "asha")]
)
def test_a_training_that_diverges_is_a_row_that_cannot_win(tmp_path, metric, method):
    said = sweep(tmp_path, _SWEEP.format(metric=metric, method=method))
    rows = pd.read_csv(tmp_path / "out" / "results.csv")
    bad = rows[rows["optimizer"] != "adam"]
    assert len(bad)
    # After one epoch the smaller rate may still be finite; a number is a number.
    diverged = rows[rows["status"] == "diverged"]
    assert len(diverged)
    assert diverged["score"].isna().all()
    assert diverged["error"].str.contains(r"is (?:nan|-?inf)").all()
    assert set(rows.loc[rows["optimizer"] == "adam", "status"]) <= {"completed", "stopped"}
    scored = rows[rows["score"].notna()]
    assert scored["score"].map(math.isfinite).all()
    best = scored["score"].max() if metric == "val_accuracy" else scored["score"].min()
    assert f"{best:.4f}" in said.stdout
    assert (tmp_path / "out" / "best.keras").exists()


BAD = {0: math.nan, 1: math.inf, 2: -math.inf}


def score(config):
    """Three kinds of five have none."""
    return BAD.get(config["kind"], config["x"])


def scores(config):
    for epoch in range(1, config["epochs"] + 1):
        # At the first epoch, on the way, or at the last.
        bad = epoch == {0: 1, 1: 2}.get(config["kind"], config["epochs"])
        yield score(config) if bad else config["x"]


@pytest.mark.slow
@pytest.mark.parametrize("goal", ["minimize", "maximize"])
@pytest.mark.parametrize("method", ["tpe", "bayesian", "hyperband"])
def test_no_method_is_misled_by_a_score_that_is_no_number(tmp_path, method, goal):
    parameters = {"x": {"min": 1.0, "max": 2.0}, "kind": [0, 1, 2, 3, 4]}
    function = score
    if method == "hyperband":
        parameters, function = parameters | {"epochs": [4]}, scores
    results = optimize(function, parameters, method, goal=goal, trials=40, out=tmp_path / "out")
    rows = pd.read_csv(tmp_path / "out" / "results.csv")
    whole = rows[(rows["kind"] >= 3) & (rows["status"] == "completed")]
    assert results.best["kind"] in (3, 4)
    best = whole["score"].max() if goal == "maximize" else whole["score"].min()
    assert results.best["score"] == best
    assert len(rows) == 40
    diverged = rows[rows["status"] == "diverged"]
    assert set(diverged["kind"]) <= {0, 1, 2}
    assert len(diverged)
    assert diverged["score"].isna().all()
    assert not ((rows["kind"] < 3) & (rows["status"] == "completed")).any()
    if method != "hyperband":
        # It learns from them where not to look.
        assert (rows.loc[rows["trial"] > 20, "kind"] >= 3).mean() > 0.5
