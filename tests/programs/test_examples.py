"""Scripts as users of W&B have them, unchanged, with their sweep files."""

from __future__ import annotations

import pandas as pd
import pytest

from hpsearch.engine.session import Settings
from hpsearch.engine.sweep import run_sweep
from hpsearch.spec.sweep import load_sweep

SCIKIT_LEARN = """\
import argparse
import wandb
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import cross_val_score

parser = argparse.ArgumentParser()
parser.add_argument("--n_estimators", type=int, default=10)
parser.add_argument("--max_depth", type=int, default=3)
parser.add_argument("--criterion", default="gini")
args = parser.parse_args()
run = wandb.init(config=args)
config = run.config
model = RandomForestClassifier(config.n_estimators, max_depth=config.max_depth,
                               criterion=config.criterion, random_state=0)
x, y = load_iris(return_X_y=True)
run.log({"accuracy": cross_val_score(model, x, y, cv=3).mean()})
run.finish()
"""
SCIKIT_LEARN_SWEEP = """\
program: train.py
method: bayes
metric: {name: accuracy, goal: maximize}
parameters:
  n_estimators: {distribution: q_log_uniform_values, q: 1, min: 2, max: 20}
  max_depth: {distribution: int_uniform, min: 1, max: 5}
  criterion: {values: [gini, entropy], probabilities: [0.5, 0.5]}
run_cap: 3
"""
KERAS = """\
import argparse
import keras
import numpy as np

parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int)
parser.add_argument("--learning_rate", type=float)
parser.add_argument("--verbose", type=int)
args = parser.parse_args()
x = np.random.default_rng(0).normal(size=(320, 4)).astype("float32")
y = (x.sum(axis=1, keepdims=True) > 0).astype("float32")
model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, activation="sigmoid")])
model.compile(keras.optimizers.SGD(args.learning_rate), "binary_crossentropy", metrics=["accuracy"])
model.fit(x, y, epochs=args.epochs, validation_split=0.25, verbose=args.verbose)
"""
KERAS_SWEEP = """\
program: train.py
method: grid
metric: {name: val_loss, goal: minimize}
early_terminate: {type: hyperband, min_iter: 3}
command: ["${env}", "${interpreter}", "${program}", "--epochs", "3", "${args}"]
parameters:
  learning_rate: {values: [0.5]}
  verbose: {values: [1, 2]}
"""


@pytest.fixture
def ran(tmp_path, monkeypatch):
    """Runs a script by its sweep file, and returns the table and the curves."""
    monkeypatch.chdir(tmp_path)

    def run(script, sweep, *settings):
        (tmp_path / "train.py").write_text(script)
        (tmp_path / "sweep.yaml").write_text(sweep)
        loaded = load_sweep(tmp_path / "sweep.yaml", settings, with_data=True)
        run_sweep(loaded, Settings(out=tmp_path / "out", report=False))
        return [pd.read_csv(tmp_path / "out" / f"{name}.csv") for name in ("results", "curves")]

    return run


@pytest.mark.slow
def test_a_script_of_scikit_learn(ran):
    table, _ = ran(SCIKIT_LEARN, SCIKIT_LEARN_SWEEP)
    assert table["error"].isna().all()
    assert (table["score"] > 0.5).all()


@pytest.mark.slow
def test_a_script_of_keras_tells_by_its_progress_lines(ran):
    table, curves = ran(KERAS, KERAS_SWEEP)
    assert table["error"].isna().all()
    # Lines that Keras writes over, and lines of their own.
    assert table["verbose"].tolist() == [1, 2]
    assert table["epochs_trained"].tolist() == [3, 3]
    assert len(curves) == 6
    assert (curves[["loss", "val_loss", "accuracy", "val_accuracy"]] > 0).all(axis=None)
    assert (curves.groupby("trial")["val_loss"].diff().dropna() < 0).all()
