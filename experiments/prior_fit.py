"""Fit the network of `hpsearch.search.prior` to the study of prior_study.py.

    python experiments/prior_fit.py

Writes `hpsearch/search/prior.json`. The network is scikit-learn's MLPRegressor. For each table
and metric it has an output: the logarithm of a config's regret (0 for the table's best config, 1
for its median) plus a constant.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from prior_study import SHARES, SPACE, space
from prior_tables import table
from report import HERE
from sklearn.neural_network import MLPRegressor

from hpsearch.search.encoding import Encoding
from hpsearch.search.prior import OFFSET, features
from hpsearch.space.space import Config

__all__ = ["EPOCHS", "fit", "inputs_of", "kind_of", "regrets_of"]

Array = npt.NDArray[np.float64]
OUT = HERE.parent / "hpsearch" / "search"
#: Regrets above this count as this.
_MOST = 3.0
_HIDDEN = (64, 64)
EPOCHS = 150
_DIGITS = 4


def inputs_of(study: pd.DataFrame) -> dict[str, Array]:
    """The features of the study's rows, by name."""
    # Few epochs of the losses before the last are below the study's least.
    encoding = Encoding(space(least_epochs=1))
    rows = []
    for values in study[list(SPACE)].to_dict("records"):
        known = {name: value for name, value in values.items() if not pd.isna(value)}
        rows.append(encoding.row(Config(known)))
    return features(encoding, np.array(rows))


def regrets_of(study: pd.DataFrame, tables: Sequence[str]) -> Array:
    """The regrets of the study's rows on tables, shape `(rows, tables)`.

    The best and the median are those of the configs after their last epoch: the last third of rows.
    """
    losses = study[list(tables)].to_numpy(dtype=float)
    last = losses[-len(losses) // len(SHARES) :]
    best, median = last.min(axis=0), np.median(last, axis=0)
    return np.clip((losses - best) / (median - best), 0.0, _MOST)


@cache
def kind_of(output: str) -> str:
    """What an output, named `table:metric`, says of the table."""
    name, metric = output.split(":")
    classes = np.issubdtype(table(name)[1].dtype, np.integer)
    return metric.removeprefix("val_") if classes else "error"


def fit(
    inputs: Mapping[str, Array], regrets: Array, kinds: Sequence[str], epochs: int = EPOCHS
) -> dict[str, Any]:
    """Fit the network; return what `hpsearch.search.prior.Study` holds, as JSON has it."""
    x = np.stack(list(inputs.values()), axis=1)
    y = np.log(regrets + OFFSET)
    centre, scale = y.mean(axis=0), y.std(axis=0)
    network = MLPRegressor(
        hidden_layer_sizes=_HIDDEN, activation="tanh", alpha=1e-2, batch_size=min(256, len(x)),
        learning_rate_init=3e-3, max_iter=epochs, random_state=0,
    ).fit(x, (y - centre) / scale)  # fmt: skip
    kernels, biases = [*network.coefs_], [*network.intercepts_]
    kernels[-1], biases[-1] = kernels[-1] * scale, biases[-1] * scale + centre
    return {
        "kinds": list(kinds),
        "inputs": list(inputs),
        "lows": _short(x.min(axis=0)),
        "highs": _short(x.max(axis=0)),
        "kernels": [_short(kernel) for kernel in kernels],
        "biases": [_short(bias) for bias in biases],
    }


def _short(numbers: Array) -> Any:
    digits = np.vectorize(lambda number: float(f"{number:.{_DIGITS}g}"))
    return digits(numbers).tolist()


def main() -> None:
    """Fit, and write the prior."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--study", type=Path, default=HERE / "prior_study.csv.gz")
    parser.add_argument("--out", type=Path, default=OUT, help="where prior.json goes")
    arguments = parser.parse_args()
    study = pd.read_csv(arguments.study)
    tables = [name for name in study if name not in SPACE]
    found = fit(inputs_of(study), regrets_of(study, tables), list(map(kind_of, tables)))
    text = json.dumps(found, separators=(",", ":")) + "\n"
    (arguments.out / "prior.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
