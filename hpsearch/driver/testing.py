"""Evaluating a trial on a split of the data: with an interval, and on the record."""

from __future__ import annotations

import tempfile
import warnings
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from hpsearch.data.dataset import Split
from hpsearch.driver.again import Again, Weights
from hpsearch.driver.directory import ResultsDirectory
from hpsearch.driver.revisit import Say, Visit, visit
from hpsearch.errors import HpsearchError, InputError, RefusedError
from hpsearch.executors.base import Call
from hpsearch.lock import DirectoryLock
from hpsearch.looks import Look, Measured, with_look
from hpsearch.plan import Trial
from hpsearch.store import Store
from hpsearch.training.evaluate import REGULARISATION, evaluate_rows

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hpsearch.data import Loader

__all__ = ["SPLITS", "evaluate", "mean_interval", "share_interval"]

SPLITS = ("train", "validation", "test")
_CONFIDENCE = 0.95
#: More rows than this are normal enough for Student's t, and would take seconds to draw from.
_MOST_BOOTSTRAPPED = 2_000
_RESAMPLES = 9_999

Floats = npt.NDArray[np.float64]
Interval = tuple[float, float, str]


def evaluate(
    directory: Path,
    split: str,
    number: int | None = None,
    say: Say = print,
    load: Loader | None = None,
) -> Look:
    """Evaluate a trial's model on a split; the look is recorded before it is returned.

    Args:
        split: `train`, `validation` or `test`.
        number: The trial; the best one where None.
        say: Takes a line when something takes a while.
        load: As for `visit`.

    Raises:
        InputError: No such trial, split or score.
        RefusedError: Another run holds the directory, it cannot be written, the data is another
            now, or the trial did not give its row's score again.
    """
    if split not in SPLITS:
        raise InputError(f"split: must be one of {', '.join(SPLITS)}, not {split!r}")
    visited = visit(directory, load)
    trial, result = visited.scored(number)
    rows = _rows_of(visited, split, trial)
    with _held(directory):
        with visited.workers() as again:
            weights = visited.weights(again, trial, result, say)
            measured = _measured(visited, again, trial, weights, rows)
        scored = visited.recipe.metric.removeprefix("val_")
        look = Look(
            time=datetime.now(UTC).isoformat(timespec="seconds"),
            trial=trial.number,
            config=trial.config.id,
            seed=trial.seed,
            split=split,
            rows=len(rows),
            metric=scored if scored in measured else next(iter(measured)),
            metrics=measured,
        )
        with Store(visited.where.store) as store:
            store.set_meta(with_look(store.meta(), look))
    return look


def _held(directory: Path) -> DirectoryLock:
    try:
        return DirectoryLock(directory, ResultsDirectory(directory).lock)
    except OSError as error:
        raise RefusedError(
            f"{directory}: each look at a split goes on the record, and the directory cannot be "
            f"written: {error.strerror}"
        ) from None


def _rows_of(visited: Visit, split: str, trial: Trial) -> Split:
    rows: Split | None = getattr(visited.dataset.of_fold(trial.fold), split)
    if rows is None:
        raise InputError(
            f"{visited.where.path}: there is no test split: {visited.dataset.name} ships none, "
            "and the sweep sets none aside. A sweep with data.test (a fraction or a file) has "
            "one; since that makes another data set, give it a results directory of its own"
        )
    return rows


def _measured(
    visited: Visit, again: Again, trial: Trial, weights: Weights, rows: Split
) -> dict[str, Measured]:
    """Name -> what was measured, the loss first."""
    dataset = visited.dataset.of_fold(trial.fold)
    what = (
        trial.config.trained,
        trial.seed,
        weights,
        visited.recipe,
        dataset.input,
        dataset.target,
    )
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        path = Path(scratch) / "rows.npz"
        error = again.call(Call(evaluate_rows, (path, *what, rows.x, rows.y)))
        if error:
            raise HpsearchError(f"trial {trial.number} cannot be evaluated: {error}")
        with np.load(path, allow_pickle=False) as archive:
            arrays = dict(archive)
    return _intervals(arrays, len(rows))


def _intervals(arrays: Mapping[str, Floats], rows: int) -> dict[str, Measured]:
    extra = float(arrays.get(REGULARISATION, np.zeros(())))
    measured = {}
    for name, values in arrays.items():
        if name == REGULARISATION:
            continue
        if name == "accuracy":
            right = round(float(values.mean()) * rows)
            measured[name] = share_interval(right, rows)
        elif values.ndim == 0:
            measured[name] = Measured(float(values))
        else:
            measured[name] = mean_interval(values + extra if name == "loss" else values)
    return measured


def share_interval(right: int, rows: int) -> Measured:
    """The share of rows that are right, with Wilson's 95% interval.

    Source: E. B. Wilson, Journal of the American Statistical Association 22 (1927), as
    `scipy.stats.binomtest` has it.
    """
    from scipy.stats import binomtest

    interval = binomtest(right, rows).proportion_ci(_CONFIDENCE, method="wilson")
    return Measured(right / rows, float(interval.low), float(interval.high), "wilson")


def mean_interval(values: Floats) -> Measured:
    """The mean of `(n_samples,)` numbers with a 95% interval.

    Losses are skewed: of few rows, the bootstrap's (bias-corrected and accelerated, from a fixed
    seed), which stays where losses are; of many, Student's t.

    Source: B. Efron, Journal of the American Statistical Association 82 (1987), as
    `scipy.stats.bootstrap` has it; `scipy.stats.ttest_1samp`.
    """
    mean = float(values.mean())
    if len(values) < 2 or not np.isfinite(mean):  # no spread of one
        return Measured(mean)
    if np.ptp(values) == 0:
        return Measured(mean, mean, mean, "bootstrap")
    low, high, method = _t(values) if len(values) > _MOST_BOOTSTRAPPED else _bootstrap(values)
    if not np.isfinite([low, high]).all():
        return Measured(mean)
    return Measured(mean, float(low), float(high), method)


def _t(values: Floats) -> Interval:
    from scipy.stats import ttest_1samp

    low, high = ttest_1samp(values, 0.0).confidence_interval(_CONFIDENCE)
    return low, high, "t"


def _bootstrap(values: Floats) -> Interval:
    from scipy.stats import DegenerateDataWarning, bootstrap

    with warnings.catch_warnings():
        # Its interval is NaN then, which is seen to.
        warnings.simplefilter("ignore", DegenerateDataWarning)
        result = bootstrap(
            (values,),
            np.mean,
            confidence_level=_CONFIDENCE,
            n_resamples=_RESAMPLES,
            batch=_RESAMPLES // 10,
            rng=np.random.default_rng(0),
        )
    low, high = result.confidence_interval
    return low, high, "bootstrap"
