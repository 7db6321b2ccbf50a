"""Train what compare_trainings.py draws its tables from: each config with 60 seeds.

    python experiments/compare_pools.py [--out DIR]

On digits, diabetes, breast_cancer, wine and 2,000 rows of Fashion-MNIST: a grid, random configs,
and searches by `auto` and `asha` with 1, 2, 3 and 5 seeds. Writes compare_pools.csv.gz (a row for
each execution of the grid and the random configs), compare_searched.csv.gz (those of the searches)
and compare_folds.csv.gz (a config cross-validated on many draws of rows). About 40 minutes on two
cores.
"""

from __future__ import annotations

import argparse
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from report import HERE
from sklearn.datasets import load_diabetes, load_digits

import hpsearch
from hpsearch.data.builtin import read_builtin

SEED_COUNTS = (1, 2, 3, 5)
#: Trials of a search.
TRIALS = 20
FASHION = "fashion_2000"
#: Data set -> epochs and metric.
DATA: dict[str, tuple[int, str]] = {
    "digits": (5, "val_accuracy"),
    "diabetes": (20, "val_loss"),
    "breast_cancer": (10, "val_accuracy"),
    "wine": (10, "val_accuracy"),
    FASHION: (5, "val_accuracy"),
}
GRID: dict[str, Any] = {
    "hidden_layers": [0, 1, 2],
    "units": [32, 64],
    "activation": ["relu", "sigmoid"],
    "layer_type": ["dense", "dropout"],
    "optimizer": ["rmsprop", "adam"],
}
SPACE: dict[str, Any] = {
    "hidden_layers": [1, 2, 3],
    "units": {"min": 8, "max": 128, "scale": "log", "type": "int"},
    "activation": ["relu", "tanh", "sigmoid"],
    "layer_type": ["dense", "dropout", "batch_norm"],
    "optimizer": ["sgd", "adam", "rmsprop"],
    "learning_rate": {"min": 1e-4, "max": 1e-1, "scale": "log"},
    "batch_size": [16, 32, 64],
}
#: Data set -> rows drawn of it, and epochs, for cross-validation with five folds and three seeds.
FOLDED = {"digits": (200, 10), "diabetes": (150, 20)}
_KEPT = ("trial", "config", "seed", "status", "score", "shared_with", "metric", "data", "method")


def fashion_rows(folder: Path) -> Path:
    """Write the first 2,000 rows of Fashion-MNIST as an NPZ file."""
    rows = read_builtin("fashion_mnist").train
    path = folder / "fashion.npz"
    np.savez(path, x=np.asarray(rows.x)[:2000], y=np.asarray(rows.y)[:2000])
    return path


def train(name: str, folder: Path, **keys: Any) -> pd.DataFrame:
    """Run a sweep on one of the data sets; its table, without what the study does not need."""
    epochs, metric = DATA[name]
    source = {"npz": str(folder / "fashion.npz")} if name == FASHION else {"dataset": name}
    parameters = {**keys.pop("parameters"), "epochs": epochs}
    if keys.get("method") == "asha":
        parameters["epochs"] = epochs * 2
    sweep = {
        "data": {**source, "validation": 0.2, "seed": 42},
        "metric": {"name": metric},
        "parameters": parameters,
        **keys,
    }
    with tempfile.TemporaryDirectory() as out:
        table = hpsearch.run(sweep, out=Path(out, "run"), verbose=0).table
    table.insert(0, "dataset", name)
    columns = ["dataset", *_KEPT, *(key for key in (*SPACE, "epochs") if key in table)]
    return table[[*columns, *(["epochs_trained"] if "epochs_trained" in table else [])]]


def pools(name: str, folder: Path, seeds: int, configs: int) -> pd.DataFrame:
    """The grid and the random configs of a data set, with so many seeds."""
    designs: Mapping[str, dict[str, Any]] = {
        "grid": {"method": "grid", "parameters": GRID},
        "random": {"method": "random", "parameters": SPACE, "budget": {"trials": configs}},
    }
    tables = []
    for design, keys in designs.items():
        table = train(name, folder, seeds=seeds, **keys)
        table.insert(1, "design", design)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def searches(name: str, folder: Path, count: int, seed_counts: Sequence[int]) -> pd.DataFrame:
    """So many searches by each method that learns, with each number of seeds."""
    tables = []
    for method in ("auto", "asha"):
        for seeds in seed_counts:
            for seed in range(count):
                table = train(
                    name,
                    folder,
                    method=method,
                    parameters=SPACE,
                    seeds=seeds,
                    seed=seed,
                    budget={"trials": TRIALS},
                )
                table.insert(1, "design", method)
                table.insert(2, "search", seed)
                table.insert(3, "seeds", seeds)
                tables.append(table)
    return pd.concat(tables, ignore_index=True)


def folds(name: str, repeats: int) -> pd.DataFrame:
    """Cross-validate one config on so many draws of rows, each with its own split."""
    load = {"digits": load_digits, "diabetes": load_diabetes}[name]
    x, y = load(return_X_y=True)
    y = (y - y.mean()) / y.std() if name == "diabetes" else y
    rows, epochs = FOLDED[name]
    parameters = {"units": 32, "hidden_layers": 1, "epochs": epochs}
    tables = []
    for repeat in range(repeats):
        drawn = np.random.default_rng(repeat).choice(len(x), rows, replace=False)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # columns that are constant in so few rows
            found = hpsearch.tune(
                x[drawn].astype("float32"),
                y[drawn],
                parameters=parameters,
                method="grid",
                cv=5,
                seeds=3,
                split_seed=repeat,
                seed=repeat,
                verbose=0,
            )
        tables.append(found.table[["seed", "fold", "score"]].assign(data=name, rep=repeat))
    return pd.concat(tables, ignore_index=True)


def main() -> None:
    """Train and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seeds", type=int, default=60, help="of the grid and the random configs")
    parser.add_argument("--random", type=int, default=90, help="random configs")
    parser.add_argument("--searches", type=int, default=5, help="of each method and seeds")
    parser.add_argument("--seed-counts", type=int, nargs="+", default=SEED_COUNTS)
    parser.add_argument("--parts", nargs="+", default=["pools", "searches", "folds"])
    parser.add_argument("--folds", type=int, default=60, help="draws of rows to cross-validate")
    parser.add_argument("--data", nargs="+", default=list(DATA), choices=list(DATA))
    parser.add_argument("--out", type=Path, default=HERE, help="where the tables go")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        if FASHION in arguments.data:
            fashion_rows(folder)
        if "pools" in arguments.parts:
            drawn = [pools(n, folder, arguments.seeds, arguments.random) for n in arguments.data]
            pd.concat(drawn).to_csv(arguments.out / "compare_pools.csv.gz", index=False)
        if "searches" in arguments.parts:
            numbers = arguments.searches, arguments.seed_counts
            found = [searches(name, folder, *numbers) for name in arguments.data]
            pd.concat(found).to_csv(arguments.out / "compare_searched.csv.gz", index=False)
        if "folds" in arguments.parts:
            folded = [folds(name, arguments.folds) for name in FOLDED]
            pd.concat(folded).to_csv(arguments.out / "compare_folds.csv.gz", index=False)


if __name__ == "__main__":
    main()
