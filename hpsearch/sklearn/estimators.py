"""`SweepClassifier` and `SweepRegressor`: an estimator's holdout, sweep, network and results."""

from __future__ import annotations

import contextlib
import itertools
import numbers
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    _check_sample_weight,
    check_is_fitted,
    column_or_1d,
    validate_data,
)

from hpsearch.arguments import method_of, sweep_of
from hpsearch.data.arrays import as_supported
from hpsearch.data.loading import InMemoryRows
from hpsearch.engine.session import Settings, ignore, with_python_warnings
from hpsearch.engine.sweep import run_sweep
from hpsearch.errors import InputError, Interrupted
from hpsearch.models.problem import Problem
from hpsearch.store.provenance import make_recipe
from hpsearch.store.store import Store
from hpsearch.store.tables import (
    goal_of,
    hyperparameter_columns,
    hyperparameter_of,
    read_table,
    values_of,
)
from hpsearch.training.mlps import MLPs
from hpsearch.training.subjects import TrainedModel

Rows = npt.NDArray[np.intp]
_MOST_SEED = 2**31 - 1
_DTYPES = (np.float64, np.float32)
_BATCH = 256


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


@dataclass(frozen=True, eq=False)
class Network:
    """A trained network that can be pickled and copied without Keras' objects."""

    trained: TrainedModel

    @cached_property
    def model(self) -> Any:
        """The `keras.Model`; it takes raw rows."""
        return self.trained.full()

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

    Columns are named as in `GridSearchCV.cv_results_`; `status` is completed, or that of the first
    execution that did not complete. Scores are over seeds and folds that have one; one to minimise
    is negated, as in scikit-learn's `neg_` scores. Trials with fewer scores than others rank after
    them, those without a score last.
    """
    sign = -1.0 if goal_of(table) == "minimize" else 1.0
    names = hyperparameter_columns(table)
    rows = []
    for _, trial in table.groupby("config", sort=False):
        params = values_of(trial.iloc[0], names)
        scores = sign * trial["score"].astype("float64")
        statuses = trial["status"].astype(str)
        rows.append(
            {
                "mean_fit_time": trial["seconds"].mean(),
                **{f"param_{name}": params.get(name) for name in map(hyperparameter_of, names)},
                "params": params,
                "mean_test_score": scores.mean(),
                "std_test_score": scores.std(ddof=0),
                "status": next((s for s in statuses if s != "completed"), "completed"),
            }
        )
    frame = pd.DataFrame(rows)
    # A trial with fewer scores than others cannot be the best (see `ranked`).
    mean = frame["mean_test_score"]
    counts = table.groupby("config", sort=False)["score"].count().to_numpy()
    full = counts == counts.max(initial=0)
    ranks = mean.where(full).rank(ascending=False, method="min")
    others = mean.mask(full).rank(ascending=False, method="min") + ranks.notna().sum()
    ranks = ranks.fillna(others).fillna(mean.notna().sum() + 1)
    frame.insert(len(frame.columns) - 1, "rank_test_score", ranks.astype("int32"))
    return frame


class _Sweep(BaseEstimator):
    """Base class of both estimators."""

    _kind = ""
    n_features_in_: int
    cv_results_: pd.DataFrame
    best_params_: dict[str, Any]
    best_score_: float
    network_: Network

    def __init__(
        self,
        parameters: Mapping[str, Any] | None = None,
        *,
        method: str | Mapping[str, Any] | None = None,
        trials: int | None = None,
        metric: str | Mapping[str, Any] | None = None,
        validation_fraction: float = 0.2,
        cv: int | None = None,
        scale: str = "auto",
        loss: str | None = None,
        early_stopping: Mapping[str, Any] | None = None,
        seeds: int | Sequence[int] = 1,
        constraints: Sequence[str] = (),
        configs: Sequence[Mapping[str, Any]] = (),
        time_seconds: float | None = None,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = 0,
        out: str | os.PathLike[str] | None = None,
    ) -> None:
        self.parameters = parameters
        self.method = method
        self.trials = trials
        self.metric = metric
        self.validation_fraction = validation_fraction
        self.cv = cv
        self.scale = scale
        self.loss = loss
        self.early_stopping = early_stopping
        self.seeds = seeds
        self.constraints = constraints
        self.configs = configs
        self.time_seconds = time_seconds
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.out = out

    @property
    def model_(self) -> Any:
        """The best trial's `keras.Model`; it takes raw rows `(n_samples, n_features)`."""
        check_is_fitted(self, "network_")
        return self.network_.model

    def _search(
        self, x: npt.NDArray[Any], y: npt.NDArray[Any], sample_weight: Any, classes: Any = None
    ) -> Self:
        if not 0 < self.validation_fraction < 1:
            raise ValueError(
                f"validation_fraction must be between 0 and 1, not {self.validation_fraction!r}"
            )
        random = check_random_state(self.random_state)
        given: Any = self.random_state
        whole = isinstance(given, numbers.Integral)
        seed = int(given if whole else random.randint(_MOST_SEED))
        train: tuple[npt.NDArray[Any], ...] = (x, y)
        validation = None
        if sample_weight is not None:
            train += (_check_sample_weight(sample_weight, x, ensure_non_negative=True),)
        if self.cv is None:
            rows, aside = holdout(len(x), self.validation_fraction, random, classes)
            validation = tuple(array[aside] for array in train)
            train = tuple(array[rows] for array in train)
        weights = train[2] if len(train) > len((x, y)) else None
        try:
            self._run(seed, InMemoryRows(train[0], train[1], weights, validation, name="fit"))
        except InputError as error:
            raise ValueError(str(error)) from error
        except Interrupted as error:
            # scikit-learn's searches count an Exception as a failed fit, and go on.
            if error.by_keyboard:
                raise KeyboardInterrupt(str(error) if self.out else "") from None
            raise SystemExit(error.exit_code) from error
        return self

    def _run(self, seed: int, rows: InMemoryRows) -> None:
        """Run the sweep, and set the fitted attributes."""
        sweep = sweep_of(self._raw(seed, rows))
        loaded = rows.load(sweep.data)
        workers = _workers(self.n_jobs)
        with contextlib.ExitStack() as scratch:
            out = self.out or scratch.enter_context(tempfile.TemporaryDirectory(prefix="hpsearch-"))
            settings = Settings(
                out=Path(out),
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
                first = next((error for error in table["error"] if isinstance(error, str)), "none")
                raise ValueError(f"no trial completed: {outcome.stopped or first}")
            best, score = outcome.best
            with Store(outcome.directory / "sweep.db", read_only=True) as store:
                weights = store.weights(best.number)
        if weights is None:
            raise ValueError(f"{best.label} is the best one, and its weights are lost")
        fold = loaded.of_fold(best.fold)
        recipe = make_recipe(sweep, loaded.target.task, loaded.target.outputs)
        problem = Problem(recipe, fold.input, fold.target)
        values = best.config.without_epochs
        self.network_ = Network(TrainedModel(MLPs(), problem, values, best.seed, weights))
        active = dict(best.config.values)
        varied = dict.fromkeys(itertools.chain(sweep.parameters, *sweep.configs))
        self.best_params_ = {name: active[name] for name in varied if name in active}
        self.best_score_ = -score if recipe.goal == "minimize" else score
        self.cv_results_ = cv_results(table)

    def _raw(self, seed: int, rows: InMemoryRows) -> dict[str, Any]:
        """Return the parameters as a sweep file has them."""
        data = {"scale": self.scale, "task": self._kind, "seed": seed, "cv": self.cv}
        limits = {"trials": self.trials, "time": self.time_seconds}
        return {
            "name": "estimator",
            "seed": seed,
            "data": {**data, "memory": rows.described},
            "parameters": self.parameters,
            "method": method_of(self.method, bool(self.configs), limits),
            "budget": limits,
            "metric": self.metric,
            "model": {"loss": self.loss},
            "early_stopping": self.early_stopping,
            "seeds": self.seeds,
            "constraints": self.constraints,
            "configs": self.configs,
        }

    def _outputs(self, x: Any) -> npt.NDArray[np.float32]:
        check_is_fitted(self, "network_")
        x = validate_data(self, as_supported(x), reset=False, dtype=_DTYPES)
        return self.network_.predict(x)


class SweepClassifier(ClassifierMixin, _Sweep):
    """A classifier that trains many MLPs and keeps the one that scores best on held-out rows.

    >>> from sklearn.datasets import load_wine
    >>> from hpsearch.sklearn import SweepClassifier
    >>> x, y = load_wine(return_X_y=True)
    >>> search = SweepClassifier({"units": [4, 32], "epochs": 30}).fit(x, y)
    >>> search.predict(x[:3]).shape, search.predict_proba(x[:3]).shape
    ((3,), (3, 3))
    >>> len(search.cv_results_)
    2

    Args:
        parameters: Hyperparameters by name, as for `hpsearch.tune`; None is one MLP with all
            defaults.
        method: A method of a sweep file; None for `grid`, or `auto` with `trials` or
            `time_seconds`.
        trials: Upper bound on the trials, that is configs; seeds and folds do not count.
        metric: As in a sweep file; None for `val_accuracy`, in regression `val_loss`.
        validation_fraction: The share of rows, of each class, to score on. The best MLP is not
            trained again with them.
        cv: Score by cross-validation with this many folds instead; the MLP is that of the best
            trial's best fold.
        scale: `auto`, `none`, `unit` or `standard`; a layer of the MLP, fitted on training rows.
        loss: The name of a Keras loss; None for the task's default.
        early_stopping, seeds, constraints, configs: As in a sweep file.
        time_seconds: No training begins after this time.
        n_jobs: Trainings at a time. None or 1 trains in this process, more in others; -1 is one
            for each core.
        random_state: Seed of the held-out rows, of weights, shuffles and proposals.
        out: The results directory, for `hpsearch.load` and the command line; a later fit on the
            same data continues in it, and takes the best of all its trials. None keeps nothing.

    Attributes:
        best_params_: The best trial's active values of `parameters`.
        best_score_: Its `mean_test_score`.
        cv_results_: A frame with a row for each trial and the columns of
            `GridSearchCV.cv_results_`. `mean_test_score` is the mean over seeds and folds on
            held-out rows; greater is better, so a loss is negated.
        model_: The best trial's `keras.Model`; it takes raw rows.
        classes_: The labels `(n_classes,)`, in the order of `predict_proba`'s columns.
        n_features_in_, feature_names_in_: As seen in `fit`.
    """

    _kind = "classification"
    classes_: npt.NDArray[Any]

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Search.

        Args:
            X: `(n_samples, n_features)` numbers.
            y: `(n_samples,)` labels.
            sample_weight: `(n_samples,)`: each row's weight in `loss` and `val_loss`. As in Keras,
                accuracy and other metrics count all rows alike. So do the holdout and the batches:
                a weight of 2 does not equal a row that occurs twice.

        Raises:
            ValueError: The data or a setting cannot be used, or no trial completed.
        """
        x, y = validate_data(self, as_supported(X), as_supported(y), dtype=_DTYPES)
        check_classification_targets(y)
        self.classes_, codes = np.unique(column_or_1d(y, warn=True), return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError("classification needs at least two classes; y has one class")
        return self._search(x, codes, sample_weight, codes)

    def predict_proba(self, X: Any) -> npt.NDArray[np.float32]:
        """Return the probability of each class, `(n_samples, n_classes)`."""
        outputs = self._outputs(X)
        if outputs.shape[1] == 1:
            return np.concatenate([1 - outputs, outputs], axis=1)
        return outputs

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """Return each row's most probable label, `(n_samples,)`."""
        probabilities = self.predict_proba(X)
        labels: npt.NDArray[Any] = self.classes_[probabilities.argmax(axis=1)]
        return labels


class SweepRegressor(RegressorMixin, _Sweep):
    """A regressor that trains many MLPs and keeps the one that scores best on held-out rows.

    >>> from sklearn.datasets import load_diabetes
    >>> from hpsearch.sklearn import SweepRegressor
    >>> x, y = load_diabetes(return_X_y=True)
    >>> search = SweepRegressor({"units": [4, 32], "epochs": 30}).fit(x, y)
    >>> bool(search.score(x, y) > 0.3)
    True

    Arguments and attributes are those of `SweepClassifier`, except for `classes_`.
    """

    _kind = "regression"
    _flat: bool

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Search.

        Args:
            X: `(n_samples, n_features)` numbers.
            y: `(n_samples,)` or `(n_samples, outputs)` numbers.
            sample_weight: See `SweepClassifier.fit`.

        Raises:
            ValueError: The data or a setting cannot be used, or no trial completed.
        """
        x, y = as_supported(X), as_supported(y)
        x, y = validate_data(self, x, y, dtype=_DTYPES, multi_output=True, y_numeric=True)
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        self._flat = y.ndim == 1
        return self._search(x, y.astype(np.float64), sample_weight)

    def predict(self, X: Any) -> npt.NDArray[np.float64]:
        """Return the predictions, shaped like the `y` of `fit`."""
        outputs = self._outputs(X).astype(np.float64)
        return outputs[:, 0] if self._flat else outputs

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


def _workers(n_jobs: int | None) -> int | None:
    """Return the number of processes; None for one on each core."""
    if n_jobs is not None and n_jobs < 1 and n_jobs != -1:
        raise ValueError(f"n_jobs must be a number of processes, -1 or None, not {n_jobs}")
    return None if n_jobs == -1 else n_jobs or 1
