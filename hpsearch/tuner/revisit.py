"""A finished run, revisited: export, evaluate or reproduce a trial."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from hpsearch.data.dataset import Dataset, Split
from hpsearch.data.loading import Loader
from hpsearch.data.specs import Task
from hpsearch.errors import ChangedSweepError, HpsearchError, InputError, Interrupted, RefusedError
from hpsearch.models.problem import Problem, Recipe
from hpsearch.space.trial import Trial, TrialResult
from hpsearch.spec.sweep import Sweep, sweep_from_text
from hpsearch.store.derived import best_trial
from hpsearch.store.directory import DirectoryLock, ResultsDirectory
from hpsearch.store.facts import Evaluation, Measurement
from hpsearch.store.provenance import identify, require_unchanged
from hpsearch.store.store import Store
from hpsearch.tuner.best_model import Retrainer, Weights
from hpsearch.tuner.custom_model import load_data, recipe_of, training_data
from hpsearch.tuner.settings import Stop, signals
from hpsearch.workers.calls import REGULARISATION, evaluate_rows
from hpsearch.workers.local import LocalExecutor
from hpsearch.workers.protocol import Call
from hpsearch.workers.servers import Servers

Say = Callable[[str], None]


@dataclass(frozen=True)
class StoredRun:
    """An earlier run with its data.

    Attributes:
        sweep: As the store has it.
        trials, results: By number.
    """

    where: ResultsDirectory
    sweep: Sweep
    dataset: Dataset
    recipe: Recipe
    trials: Mapping[int, Trial]
    results: Mapping[int, TrialResult]

    def scored(self, number: int | None) -> tuple[Trial, TrialResult]:
        """A trial that has a score, and its result; without a number the best one.

        Raises:
            InputError: There is no such trial, or it has no score.
        """
        if number is None:
            best = best_trial(self.trials.values(), self.results, self.recipe)
            if best is None:
                raise InputError(f"{self.where.path}: no trial has a score")
            return best[0], self.results[best[0].number]
        if number not in self.trials:
            known = f"1 to {max(self.trials)}" if self.trials else "none yet"
            raise InputError(
                f"{self.where.path}: there is no trial {number}; its trials are {known}"
            )
        if number not in self.results:
            raise InputError(
                f"{self.where.path}: trial {number} has no result yet; run the sweep again"
            )
        result = self.results[number]
        if not result.status.scored or result.score is None:
            why = f": {' '.join(result.error.split())}" if result.error else ""
            raise InputError(
                f"{self.where.path}: trial {number} has no score, it is {result.status}{why}; "
                "name one that is completed or stopped"
            )
        return self.trials[number], result

    @contextmanager
    def workers(self) -> Iterator[Retrainer]:
        """Workers that have the data.

        Raises:
            Interrupted: A signal came; no process is left.
        """
        stop = Stop()

        def check() -> None:
            if stop.signal is not None:
                raise Interrupted(stop.signal)

        with ExitStack() as stack:
            stack.enter_context(signals(stop))
            servers = stack.enter_context(Servers(stack.enter_context(_log(self.where))))
            executor = stack.enter_context(LocalExecutor(servers, 1))
            dataset = training_data(self.dataset, self.sweep)
            executor.provide(dataset)
            yield Retrainer(executor, self.recipe, dataset=dataset, check=check)

    def weights(self, again: Retrainer, trial: Trial, result: TrialResult, say: Say) -> Weights:
        """The weights of the row: those that were kept, or those of the same training once more.

        Raises:
            RefusedError: It did not give the row's score again.
        """
        with Store(self.where.store, read_only=True) as store:
            kept = store.weights(trial.number)
        if kept is not None:
            return kept
        say(f"trial {trial.number}: its weights were not kept; training it again")
        try:
            return again.weights(trial, result)
        except RefusedError as error:
            raise RefusedError(f"{self.where.path}: {error}") from None


@contextmanager
def _log(where: ResultsDirectory) -> Iterator[IO[Any]]:
    """The run's log; a file that nobody sees where the directory cannot be written."""
    try:
        log = where.log.open("a", encoding="utf-8")
    except OSError:
        with tempfile.TemporaryFile("a", encoding="utf-8") as unseen:
            yield unseen
        return
    with log:
        yield log


def open_run(directory: Path, load: Loader | None = None) -> StoredRun:
    """Open a results directory and load what its rows were made from.

    Args:
        load: Gives the rows; None reads what `data:` names.

    Raises:
        InputError: There are no results, or the data cannot be read.
        RefusedError: The store is damaged, or the data is another now.
    """
    where = ResultsDirectory(directory)
    if not where.store.exists():
        raise InputError(
            f"{directory}: no results directory: there is no {where.store.name} in it; "
            "`hpsearch run` makes one"
        )
    with Store(where.store, read_only=True) as store:
        facts, trials, results = store.facts(), store.trials(), store.results()
    if facts.task is Task.OBJECTIVE:
        raise InputError(
            f"{directory}: its rows are those of a function: there is no model, no data and no "
            "seed of a training to go back to; call the function with a row's config"
        )
    if facts.identity is None or not facts.sweep:
        raise InputError(f"{directory}: the run ended before it had planned; run the sweep again")
    sweep = sweep_from_text(facts.sweep, str(where.sweep))
    dataset = load_data(sweep, load)
    recipe = recipe_of(sweep, dataset.target.task, load)
    before = facts.identity.data
    if before != dataset.fingerprint:
        raise ChangedSweepError(
            f"{directory}: the data is not that of its rows: its fingerprint was {before} and is "
            f"{dataset.fingerprint} now (values, labels and split count, not the file's bytes); "
            "put the old data back, or run the sweep anew with --fresh"
        )
    require_unchanged(facts.identity, identify(sweep, dataset, recipe), str(directory))
    recipe = replace(recipe, asked=facts.asked)
    return StoredRun(where, sweep, dataset, recipe, {t.number: t for t in trials}, results)


def export_model(
    directory: Path,
    out: Path,
    number: int | None = None,
    say: Say = print,
    load: Loader | None = None,
) -> int:
    """Write a trial's model, preprocessing included, where an earlier file is replaced.

    Args:
        number: The trial; the best one where None.
        say: Takes a line when something takes a while.
        load: As for `visit`.

    Returns:
        The trial's number.

    Raises:
        InputError: No such trial, no score, or a path that Keras cannot write.
        RefusedError: Another run's data, or the trial did not give its row's score again.
    """
    _require_writable(out)
    visited = open_run(directory, load)
    trial, result = visited.scored(number)
    with visited.workers() as again:
        weights = visited.weights(again, trial, result, say)
        error = again.write(out, trial, weights)
    if error:
        raise InputError(f"{out}: the model cannot be written: {error}")
    return trial.number


def _require_writable(out: Path) -> None:
    if out.suffix != ".keras":
        raise InputError(f"{out}: Keras' format has the suffix .keras; name it {out.stem}.keras")
    if out.is_dir():
        raise InputError(f"{out}: is a directory; name a file")
    if not out.parent.is_dir():
        raise InputError(f"{out}: there is no directory {out.parent}")


@dataclass(frozen=True)
class Reproduction:
    """A trial's row, and what it gave when it was trained once more.

    Attributes:
        metric: What is scored.
        row, again: The result in the store, and the new one.
    """

    trial: int
    metric: str
    row: TrialResult
    again: TrialResult

    @property
    def equal(self) -> bool:
        """Whether the score is equal, to the last bit."""
        return self.again.score == self.row.score

    @property
    def first_difference(self) -> int | None:
        """The first epoch (from 1) in which any metric differs; None where none does."""
        curves = list(self.row.curve), list(self.again.curve)
        for epoch in range(max(map(len, curves))):
            ours, theirs = (curve[epoch : epoch + 1] for curve in curves)
            if ours != theirs:
                return epoch + 1
        return None


def reproduce_trial(directory: Path, number: int, load: Loader | None = None) -> Reproduction:
    """Train a trial again, from its row alone, for as many epochs as it was trained.

    Args:
        load: As for `visit`.

    Raises:
        InputError: No such trial, or no score.
        RefusedError: The data is another now.
    """
    visited = open_run(directory, load)
    trial, result = visited.scored(number)
    with visited.workers() as again:
        retrained = again.train(trial, len(result.curve))
    return Reproduction(trial.number, visited.recipe.metric, result, retrained)


SPLITS = ("train", "validation", "test")
_CONFIDENCE = 0.95
#: More rows than this are normal enough for Student's t, and would take seconds to draw from.
_MOST_BOOTSTRAPPED = 2_000
_RESAMPLES = 9_999

Floats = npt.NDArray[np.float64]
Interval = tuple[float, float, str]


def evaluate_trial(
    directory: Path,
    split: str,
    number: int | None = None,
    say: Say = print,
    load: Loader | None = None,
) -> Evaluation:
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
    visited = open_run(directory, load)
    trial, result = visited.scored(number)
    rows = _rows_of(visited, split, trial)
    with _held(directory):
        with visited.workers() as again:
            weights = visited.weights(again, trial, result, say)
            measured = _measured(visited, again, trial, weights, rows)
        scored = visited.recipe.metric.removeprefix("val_")
        look = Evaluation(
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
            store.set_facts(evaluations=(*store.facts().evaluations, look))
    return look


def _held(directory: Path) -> DirectoryLock:
    try:
        return DirectoryLock(directory, ResultsDirectory(directory).lock)
    except OSError as error:
        raise RefusedError(
            f"{directory}: each look at a split goes on the record, and the directory cannot be "
            f"written: {error.strerror}"
        ) from None


def _rows_of(visited: StoredRun, split: str, trial: Trial) -> Split:
    rows: Split | None = getattr(visited.dataset.of_fold(trial.fold), split)
    if rows is None:
        raise InputError(
            f"{visited.where.path}: there is no test split: {visited.dataset.name} ships none, "
            "and the sweep sets none aside. A sweep with data.test (a fraction or a file) has "
            "one; since that makes another data set, give it a results directory of its own"
        )
    return rows


def _measured(
    visited: StoredRun, again: Retrainer, trial: Trial, weights: Weights, rows: Split
) -> dict[str, Measurement]:
    """Name -> what was measured, the loss first."""
    dataset = visited.dataset.of_fold(trial.fold)
    problem = Problem(visited.recipe, dataset.input, dataset.target)
    model = (problem, trial.config.trained, trial.seed, weights)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        path = Path(scratch) / "rows.npz"
        error = again.call(Call(evaluate_rows, (path, *model, rows.x, rows.y)))
        if error:
            raise HpsearchError(f"trial {trial.number} cannot be evaluated: {error}")
        with np.load(path, allow_pickle=False) as archive:
            arrays = dict(archive)
    return _intervals(arrays, len(rows))


def _intervals(arrays: Mapping[str, Floats], rows: int) -> dict[str, Measurement]:
    extra = float(arrays.get(REGULARISATION, np.zeros(())))
    measured = {}
    for name, values in arrays.items():
        if name == REGULARISATION:
            continue
        if name == "accuracy":
            right = round(float(values.mean()) * rows)
            measured[name] = share_interval(right, rows)
        elif values.ndim == 0:
            measured[name] = Measurement(float(values))
        else:
            measured[name] = mean_interval(values + extra if name == "loss" else values)
    return measured


def share_interval(right: int, rows: int) -> Measurement:
    """The share of rows that are right, with Wilson's 95% interval.

    Source: E. B. Wilson, Journal of the American Statistical Association 22 (1927), as
    `scipy.stats.binomtest` has it.
    """
    from scipy.stats import binomtest

    interval = binomtest(right, rows).proportion_ci(_CONFIDENCE, method="wilson")
    return Measurement(right / rows, float(interval.low), float(interval.high), "wilson")


def mean_interval(values: Floats) -> Measurement:
    """The mean of `(n_samples,)` numbers with a 95% interval.

    Losses are skewed: of few rows, the bootstrap's (bias-corrected and accelerated, from a fixed
    seed), which stays where losses are; of many, Student's t.

    Source: B. Efron, Journal of the American Statistical Association 82 (1987), as
    `scipy.stats.bootstrap` has it; `scipy.stats.ttest_1samp`.
    """
    mean = float(values.mean())
    if len(values) < 2 or not np.isfinite(mean):  # no spread of one
        return Measurement(mean)
    if np.ptp(values) == 0:
        return Measurement(mean, mean, mean, "bootstrap")
    low, high, method = _t(values) if len(values) > _MOST_BOOTSTRAPPED else _bootstrap(values)
    if not np.isfinite([low, high]).all():
        return Measurement(mean)
    return Measurement(mean, float(low), float(high), method)


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
