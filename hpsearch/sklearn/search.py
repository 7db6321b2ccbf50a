"""The search of an estimator: holdout, sweep, network and `cv_results_`."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hpsearch.arguments import method_of, sweep_of
from hpsearch.data.dataset import Dataset
from hpsearch.data.loading import InMemoryRows
from hpsearch.engine.session import Settings, ignore, with_python_warnings
from hpsearch.engine.sweep import run_sweep
from hpsearch.errors import InputError
from hpsearch.models.problem import Problem
from hpsearch.spec.sweep import Sweep
from hpsearch.store.provenance import make_recipe
from hpsearch.store.store import Store
from hpsearch.store.tables import goal_of, hyperparameter_columns, hyperparameter_of, read_table
from hpsearch.training.mlps import MLPs
from hpsearch.training.subjects import TrainedModel

Rows = npt.NDArray[np.intp]


def holdout(
    n_samples: int,
    fraction: float,
    random: np.random.RandomState,
    classes: npt.NDArray[np.intp] | None = None,
) -> tuple[Rows, Rows]:
    """Split rows into training rows and scoring rows, both in the order of the data.

    The fraction applies to each class, as nearly as whole rows allow, and each class keeps at least
    one training row. So a class with a single row is only trained on, where scikit-learn's
    stratified splits would refuse it.

    Args:
        classes: Class indices `(n_samples,)`; None for regression.

    Raises:
        ValueError: No row can be set aside.
    """
    order = random.permutation(n_samples)
    count = max(1, round(fraction * n_samples))
    free = order[1:]
    if classes is not None:
        _, first_of_class = np.unique(classes[order], return_index=True)
        free = np.delete(order, first_of_class)
    if not len(free):
        raise ValueError(
            f"no row can be set aside to score on: n_samples={n_samples}, and each class needs one "
            "row to train on"
        )
    if classes is not None:
        free = _spread(free, classes)
    aside = np.zeros(n_samples, bool)
    aside[free[:count]] = True
    return np.flatnonzero(~aside), np.flatnonzero(aside)


def _spread(rows: Rows, classes: npt.NDArray[np.intp]) -> Rows:
    """Order rows so that the first k, for every k, contain about each class's share.

    Row k of a class with m rows gets the position (k + 1/2) / m.
    """
    of_rows = pd.Series(classes[rows])
    groups = of_rows.groupby(of_rows)
    places = (groups.cumcount() + 0.5) / groups.transform("size")
    return rows[np.argsort(places, kind="stable")]


_BATCH = 256


@dataclass(frozen=True, eq=False)
class Network:
    """A trained network that can be pickled and copied without Keras' objects.

    Attributes:
        values: The active hyperparameters.
        seed: The execution's seed.
        weights: Arrays in the order of `model.get_weights()`.
    """

    problem: Problem
    values: Mapping[str, Any]
    seed: int
    weights: tuple[npt.NDArray[Any], ...]

    @cached_property
    def model(self) -> Any:
        """The `keras.Model`; it takes raw rows."""
        return TrainedModel(MLPs(), self.problem, self.values, self.seed, self.weights).full()

    def predict(self, x: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Return the model's outputs `(n_samples, outputs)`.

        `keras.Model.predict` would first trace a graph, which takes a second.
        """
        parts = [self._batch(x[begin : begin + _BATCH]) for begin in range(0, len(x), _BATCH)]
        return np.concatenate(parts)

    def _batch(self, x: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        # A matrix product's rounding depends on its shape. A fixed number of rows keeps each
        # prediction independent of the other rows.
        rows = np.zeros((_BATCH, *x.shape[1:]), np.float32)
        rows[: len(x)] = x
        outputs = np.asarray(self.model(rows, training=False))
        return outputs.reshape(_BATCH, -1)[: len(x)]

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "model"}


def cv_results(table: pd.DataFrame) -> pd.DataFrame:
    """Return one row for each trial, by number.

    Columns: `mean_fit_time`; `param_NAME` for each hyperparameter; `params`, a mapping of all
    hyperparameters; `mean_test_score` and `std_test_score` over seeds and folds;
    `rank_test_score`, from 1, with trials that have fewer seeds after the others; `status`:
    completed, or the status of the first execution that did not complete. A trial with a failed
    execution has no score and the last rank.

    A score to minimise is negated, as in scikit-learn's `neg_` scores.
    """
    sign = -1.0 if goal_of(table) == "minimize" else 1.0
    names = hyperparameter_columns(table)
    rows = []
    for _, trial in table.groupby("config", sort=False):
        params = {hyperparameter_of(name): _plain(trial[name].iloc[0]) for name in names}
        scores = sign * trial["score"].astype("float64")
        is_scored = bool(scores.notna().all())
        statuses = trial["status"].astype(str)
        rows.append(
            {
                "mean_fit_time": trial["seconds"].mean(),
                **{f"param_{name}": value for name, value in params.items()},
                "params": {name: value for name, value in params.items() if value is not None},
                "mean_test_score": scores.mean() if is_scored else math.nan,
                "std_test_score": scores.std(ddof=0) if is_scored else math.nan,
                "status": next((s for s in statuses if s != "completed"), "completed"),
            }
        )
    frame = pd.DataFrame(rows)
    # A trial with fewer scores than others cannot be the best (see `ranked`).
    mean = frame["mean_test_score"]
    sizes = table.groupby("config", sort=False).size().to_numpy()
    full = sizes == sizes[mean.notna()].max(initial=0)
    ranks = mean.where(full).rank(ascending=False, method="min")
    others = mean.mask(full).rank(ascending=False, method="min") + ranks.notna().sum()
    ranks = ranks.fillna(others).fillna(mean.notna().sum() + 1)
    frame.insert(len(frame.columns) - 1, "rank_test_score", ranks.astype("int32"))
    return frame


def _plain(value: Any) -> Any:
    """Return a cell as a plain Python value; None if it is empty."""
    if isinstance(value, list | dict):
        return value
    if pd.isna(value):
        return None
    return value.item() if hasattr(value, "item") else value


def search(
    raw: Mapping[str, Any],
    train: tuple[Any, ...],
    validation: tuple[Any, ...] | None,
    workers: int | None,
    out: Path | None,
) -> tuple[Network, dict[str, Any], float, pd.DataFrame]:
    """Run the sweep that `raw` describes on arrays.

    Args:
        raw: The mapping of a sweep file, without a name.
        train, validation: x, y and optionally the rows' weights; no validation with folds.
        workers: The number of processes that train; 1 trains in this one.
        out: The results directory; None keeps nothing on disk.

    Returns:
        The network of the best trial's best execution; the best trial's active values of the
        sweep's parameters, and its mean score; and `hpsearch.Results.table`.

    Raises:
        ValueError: The settings or the data cannot be used, or no trial completed.
        HpsearchError: See `hpsearch.run`.
    """
    x, y, weights = (*train, None)[:3]
    rows = InMemoryRows(x, y, weights, validation, name="fit")
    try:
        method = method_of(raw["method"], bool(raw["configs"]), *raw["budget"].values())
        data = {**raw["data"], "memory": rows.described}
        sweep = sweep_of({**raw, "name": "estimator", "data": data, "method": method})
        loaded = rows.load(sweep.data)
        if out is not None:
            return _run(sweep, loaded, workers, out)
        with tempfile.TemporaryDirectory(prefix="hpsearch-") as scratch:
            return _run(sweep, loaded, workers, Path(scratch))
    except InputError as error:
        raise ValueError(str(error)) from error


def _run(
    sweep: Sweep, loaded: Dataset, workers: int | None, out: Path
) -> tuple[Network, dict[str, Any], float, pd.DataFrame]:
    settings = Settings(
        out=out,
        workers=workers,
        report=False,
        model=False,
        weights=True,
        # Importing KerasTuner takes longer than many fits.
        direct=True,
        in_process=workers == 1,
    )
    outcome = run_sweep(sweep, settings, with_python_warnings(ignore), lambda _: loaded)
    table = read_table(outcome.directory / "results.csv")
    if outcome.best is None:
        first = next((error for error in table["error"] if isinstance(error, str)), "none ran")
        raise ValueError(f"no trial completed: {outcome.stopped or first}")
    best, score = outcome.best
    with Store(outcome.directory / "sweep.db", read_only=True) as store:
        weights = store.weights(best.number)
    if weights is None:
        raise ValueError(f"{best.label} is the best one, and its weights are lost")
    rows = loaded.of_fold(best.fold)
    problem = Problem(make_recipe(sweep, loaded.target.task), rows.input, rows.target)
    network = Network(problem, best.config.without_epochs, best.seed, weights)
    active = dict(best.config.values)
    params = {name: active[name] for name in sweep.parameters if name in active}
    return network, params, score, table
