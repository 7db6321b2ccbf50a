"""FAULTS 4: NaN and infinities are rows that say so, never the best, and mislead no method."""

from __future__ import annotations

import math
import subprocess
import sys

import pandas as pd
import pytest
from commands import environment, hpsearch

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
    ("metric", "method"),
    [("val_accuracy", "grid"), ("val_loss", "tpe"), ("val_accuracy", "asha")],
)
def test_a_training_that_diverges_is_a_row_that_cannot_win(tmp_path, metric, method):
    (tmp_path / "sweep.yaml").write_text(_SWEEP.format(metric=metric, method=method))
    said = hpsearch("run", "sweep.yaml", "--out", "out", cwd=tmp_path)
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


_SCRIPT = """\
import math, sys
import hpsearch

method, stepwise = sys.argv[1:]
BAD = {0: math.nan, 1: math.inf, 2: -math.inf}

def score(config):
    # Three of five are none.
    return BAD.get(config["kind"], config["x"])

def scores(config):
    for epoch in range(1, config["epochs"] + 1):
        # At the first epoch, on the way, or at the last.
        bad = epoch == {0: 1, 1: 2}.get(config["kind"], config["epochs"])
        yield score(config) if bad else config["x"]

parameters = {"x": {"min": 1.0, "max": 2.0}, "kind": [0, 1, 2, 3, 4]}
if stepwise == "yes":
    parameters["epochs"] = [4]
for goal in ("minimize", "maximize"):
    results = hpsearch.optimize(
        scores if stepwise == "yes" else score, parameters, method=method, goal=goal, trials=40,
        out=goal,
    )
    best = results.best
    assert best["kind"] in (3, 4), best
    finite = results.table[results.table["kind"] >= 3]
    whole = finite[finite["status"] == "completed"]
    assert best["score"] == (whole["score"].max() if goal == "maximize" else whole["score"].min())
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "stepwise"),
    [("tpe", "no"), ("bayesian", "no"), ("hyperband", "yes")],
)
def test_no_method_is_misled_by_a_score_that_is_no_number(tmp_path, method, stepwise):
    (tmp_path / "search.py").write_text(_SCRIPT)
    done = subprocess.run(
        [sys.executable, "search.py", method, stepwise],
        cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for goal in ("minimize", "maximize"):
        rows = pd.read_csv(tmp_path / goal / "results.csv")
        assert len(rows) == 40
        diverged = rows[rows["status"] == "diverged"]
        assert set(diverged["kind"]) <= {0, 1, 2}
        assert len(diverged)
        assert diverged["score"].isna().all()
        assert not ((rows["kind"] < 3) & (rows["status"] == "completed")).any()
        if method in ("tpe", "bayesian"):
            # It learns from them where not to look.
            late = rows[rows["trial"] > 20]
            assert (late["kind"] >= 3).mean() > 0.5
