"""A script as users of W&B have it, unchanged, with its sweep file."""

from __future__ import annotations

import pandas as pd
import pytest

from hpsearch.engine.session import Settings
from hpsearch.engine.sweep import run_sweep
from hpsearch.spec.sweep import load_sweep

TRAIN = """\
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
SWEEP = """\
program: train.py
method: grid
metric: {name: val_loss, goal: minimize}
early_terminate: {type: hyperband, min_iter: 3}
command: ["${env}", "${interpreter}", "${program}", "--epochs", "3", "${args}"]
parameters:
  learning_rate: {values: [0.5]}
  verbose: {values: [1, 2]}
"""


@pytest.mark.slow
def test_a_script_of_keras_tells_by_its_progress_lines(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.py").write_text(TRAIN)
    (tmp_path / "sweep.yaml").write_text(SWEEP)
    sweep = load_sweep(tmp_path / "sweep.yaml", with_data=True)
    run_sweep(sweep, Settings(out=tmp_path / "out", report=False))
    table = pd.read_csv(tmp_path / "out" / "results.csv")
    curves = pd.read_csv(tmp_path / "out" / "curves.csv")
    assert table["error"].isna().all()
    # Lines that Keras writes over, and lines of their own.
    assert table["verbose"].tolist() == [1, 2]
    assert table["epochs_trained"].tolist() == [3, 3]
    assert len(curves) == 6
    assert (curves[["loss", "val_loss", "accuracy", "val_accuracy"]] > 0).all(axis=None)
    assert (curves.groupby("trial")["val_loss"].diff().dropna() < 0).all()
