"""best.keras, loaded by Keras alone and fed raw rows, gives what the table says."""

from __future__ import annotations

import csv

import keras
import numpy as np
import pandas as pd
import pytest
from commands import hpsearch

import hpsearch as package
from hpsearch.data.loading import load_dataset
from hpsearch.spec.sweep import load_sweep
from hpsearch.store.trials import best_trial

_TABLE = """\
data: {csv: shops.csv, target: verdict, validation: 0.25, seed: 3}
parameters: {units: [8, 16], layer_type: [dense, batch_norm], epochs: [2, 6]}
"""
_DIABETES = """\
data: {dataset: diabetes, validation: 0.2, seed: 42}
metric: {name: val_mae, goal: minimize, epoch: best}
parameters: {units: [8, 16], epochs: 12, optimizer: adam, layer_type: [dense, dropout]}
"""
_IMAGES = """\
data: {npz: images.npz, validation: 0.25, seed: 1}
parameters: {units: 8, epochs: 3}
"""


def best_and_model(directory):
    """The best row as any reader of the table finds it, and the model as Keras loads it."""
    row = best_trial(pd.read_csv(directory / "results.csv"))
    return row, keras.models.load_model(directory / "best.keras")


def validation_of(sweep):
    return load_dataset(load_sweep(sweep).data)


def accuracy(model, x, y):
    """As Keras counts: in float32, the share of rows whose likeliest class is right."""
    predicted = model.predict(x, verbose=0)
    chosen = predicted[:, 0] > 0.5 if predicted.shape[1] == 1 else predicted.argmax(axis=1)
    return float(np.float32((chosen == y).sum()) / np.float32(len(y)))


@pytest.mark.slow
def test_digits(finished):
    row, model = best_and_model(finished / "two")
    loaded = validation_of(finished / "sweep.yaml")
    assert accuracy(model, loaded.validation.x, loaded.validation.y) == row["val_accuracy"]
    opened = package.load(finished / "two")
    assert opened.best["trial"] == row["trial"]
    assert accuracy(opened.model(), loaded.validation.x, loaded.validation.y) == row["score"]


def test_a_table_with_text_columns(tmp_path):
    rng = np.random.default_rng(5)
    with (tmp_path / "shops.csv").open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["size", "town", "kind", "verdict"])
        for _ in range(240):
            size, town = rng.normal(), rng.choice(["Ulm", "São Paulo", "Åbo"])
            kind = rng.choice(["new, shiny", "old"])
            good = size + (town == "Ulm") - (kind == "old") > 0
            out.writerow([f"{size:.4f}", town, kind, "good" if good else "bad"])
    (tmp_path / "sweep.yaml").write_text(_TABLE)
    hpsearch("run", "sweep.yaml", "--out", "out", cwd=tmp_path)
    row, model = best_and_model(tmp_path / "out")
    assert row["val_accuracy"] > 0.6
    loaded = validation_of(tmp_path / "sweep.yaml")
    # Rows as pandas reads them from the user's file: numbers and words.
    assert set(loaded.validation.x) == {"size", "town", "kind"}
    assert loaded.validation.x["town"].dtype == object
    assert accuracy(model, loaded.validation.x, loaded.validation.y) == row["val_accuracy"]


@pytest.mark.slow
def test_a_regression_in_the_targets_own_units(tmp_path):
    (tmp_path / "sweep.yaml").write_text(_DIABETES)
    hpsearch("run", "sweep.yaml", "--out", "out", cwd=tmp_path)
    row, model = best_and_model(tmp_path / "out")
    validation = validation_of(tmp_path / "sweep.yaml")
    raw = _raw_targets(validation)
    predicted = model.predict(validation.validation.x, verbose=0).astype(np.float64)[:, 0]
    assert np.abs(predicted - raw).mean() == pytest.approx(row["val_mae"], rel=1e-5)
    assert ((predicted - raw) ** 2).mean() == pytest.approx(row["val_loss"], rel=1e-5)
    assert 30 < row["val_mae"] < 150
    # The epoch of the row is its best one.
    curves = pd.read_csv(tmp_path / "out" / "curves.csv")
    curve = curves[curves["trial"] == row["trial"]].set_index("epoch")["val_mae"]
    assert row["best_epoch"] == curve.idxmin()
    assert row["score"] == row["best_score"] == curve.min()


def _raw_targets(loaded):
    """Targets before they were standardised for training."""
    (mean,), (std,) = loaded.target.mean, loaded.target.std
    raw = loaded.validation.y[:, 0].astype(np.float64) * std + mean
    np.testing.assert_allclose(raw, raw.round(), atol=1e-3)
    return raw.round()


@pytest.mark.slow
def test_images_are_scaled_and_flattened_inside(tmp_path):
    rng = np.random.default_rng(5)
    y = rng.integers(3, size=300)
    x = rng.integers(0, 40, (300, 6, 5), dtype=np.uint8) + 70 * y[:, None, None].astype(np.uint8)
    np.savez(tmp_path / "images.npz", x=x, y=y)
    (tmp_path / "sweep.yaml").write_text(_IMAGES)
    hpsearch("run", "sweep.yaml", "--out", "out", cwd=tmp_path)
    row, model = best_and_model(tmp_path / "out")
    loaded = validation_of(tmp_path / "sweep.yaml")
    assert loaded.validation.x.shape[1:] == (6, 5)
    assert accuracy(model, loaded.validation.x, loaded.validation.y) == row["val_accuracy"]
