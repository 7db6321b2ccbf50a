"""best.keras, loaded by Keras alone and fed raw rows, gives what the table says."""

from __future__ import annotations

import csv

import keras
import numpy as np
import pandas as pd
from commands import hpsearch

from hpsearch.data.loading import load_dataset
from hpsearch.spec.sweep import load_sweep
from hpsearch.store.trials import best_trial

_TABLE = """\
data: {csv: shops.csv, target: verdict, validation: 0.25, seed: 3}
parameters: {units: [8, 16], layer_type: [dense, batch_norm], epochs: [2, 6]}
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
