"""The results directory of a run, as `Results` for Python and notebooks, and its making."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import warnings
import weakref
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpsearch.comparison.refitting import REFIT_IN, score_intervals, sweep_of_best
from hpsearch.data.loading import Loader
from hpsearch.engine.session import Listener, Settings, stack_level_of_caller
from hpsearch.engine.sweep import run_sweep
from hpsearch.errors import InputError, Interrupted
from hpsearch.progress.display import make_listener
from hpsearch.reporting.page import Pictures
from hpsearch.reporting.source import ReportSource, resolved_sweep
from hpsearch.runs.decision import Decision
from hpsearch.runs.ensemble import Ensemble, make_ensemble
from hpsearch.runs.predicting import PredictorMixin, load_model
from hpsearch.runs.trial import (
    Reproduction,
    Source,
    Which,
    evaluate_trial,
    export_model,
    model_file,
    reproduce_trial,
)
from hpsearch.spec.sweep import AnySweep, Sweep, load_sweep, model_sweep
from hpsearch.store.directory import ResultsDirectory
from hpsearch.store.facts import Evaluation
from hpsearch.store.store import Store, evaluations_of
from hpsearch.store.tables import (
    hyperparameter_columns,
    metric_columns,
    read_table,
    values_of,
    varying_columns,
)
from hpsearch.store.trials import best_trial, ranked_trials, trials_of
from hpsearch.trackers.tracking import make_tracker, tracked
from hpsearch.wording import counted
from hpsearch.workers.protocol import Said

if TYPE_CHECKING:
    import pandas as pd

_SCORES = ("score", "std", "executions")
#: Columns of the table that belong to single executions, and columns that are equal for all.
_NOT_OF_TRIALS = (
    *("seed", "fold", "best_epoch", "best_score", "shared_with", "error"),
    *("metric", "sweep", "data", "recipe", "version", "tensorflow", "keras"),
)


@dataclass(frozen=True)
class Results(Pictures, PredictorMixin):
    """The results of a run.

    >>> import hpsearch
    >>> sweep = {"data": {"dataset": "wine"}, "parameters": {"units": [4, 8], "epochs": [2, 4]}}
    >>> results = hpsearch.run(sweep)
    >>> results.table[["units", "epochs"]].values.tolist()
    [[4, 2], [4, 4], [8, 2], [8, 4]]
    >>> len(results.curves)
    12
    >>> bool(results.best["score"] == results.table["score"].max())
    True
    >>> results.model().output_shape
    (None, 3)

    Attributes:
        directory: The results directory.
        rows: Loads data that was in memory; None reads the sweep's `data:`.
        trust: Functions that may run if the directory names them, as `package.module:name`.
            Functions of a sweep that this program has run are trusted.
    """

    directory: Path
    rows: Loader | None = field(default=None, repr=False, compare=False)
    trust: Collection[str] = field(default=(), repr=False, compare=False)

    @cached_property
    def table(self) -> pd.DataFrame:
        """results.csv: one row for each execution, with dtypes."""
        return read_table(self.directory)

    @cached_property
    def curves(self) -> pd.DataFrame:
        """curves.csv: one row for each execution and epoch."""
        return read_table(self.directory / "curves.csv")

    @cached_property
    def trials(self) -> pd.DataFrame:
        """A line for each trial: its config, and the mean and spread of its executions' scores.

        `score` and the metrics are means, `std` is the standard deviation of the scores, and
        `executions` their number. `status` is that of the first execution without a score, if any.
        """
        trials = trials_of(self.table)
        first = ["trial", "config", "status", "score", "std", "executions"]
        return trials[[*first, *(name for name in trials if name not in {*first, *_NOT_OF_TRIALS})]]

    @cached_property
    def sweep(self) -> Sweep:
        """The resolved sweep."""
        return model_sweep(load_sweep(self.directory / "sweep.yaml"))

    @property
    def best(self) -> pd.Series[Any]:
        """The line of the best trial: its config first, then scores, metrics and provenance.

        The best has the best mean score over its executions, among the trials with the most of
        them; the first of equal ones.

        Raises:
            InputError: No trial has a score.
        """
        row = best_trial(self.table)
        if row is None:
            raise InputError(f"{self.directory}: no trial has a score")
        names, metrics = hyperparameter_columns(self.table), metric_columns(self.table)
        return row[list(dict.fromkeys(["trial", *names, *_SCORES, *metrics, *row.index]))]

    def top(self, count: int = 10) -> pd.DataFrame:
        """Return the best trials, best first: the hyperparameters that vary, and scores."""
        best = ranked_trials(self.table).head(count).reset_index(drop=True)
        return best[["trial", *varying_columns(self.table), *_SCORES]]

    @property
    def best_params(self) -> dict[str, Any]:
        """The best trial's active hyperparameters.

        Raises:
            InputError: No trial has a score.
        """
        return values_of(self.best, hyperparameter_columns(self.table))

    def model(self) -> Any:
        """Return the best trial's `keras.Model`, which takes raw rows.

        Custom layers, metrics and losses come from the function that built the model.

        Raises:
            InputError: No trial completed, or Keras cannot load the model.
            RefusedError: As for `export`, if the run was interrupted before it wrote the model.
        """
        with model_file(self._files, Which()) as file:
            return load_model(file, self._files)

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of `predict_proba`; empty for regression.

        Raises:
            RefusedError: There is no store, or it is damaged.
        """
        with Store(ResultsDirectory(self.directory).store, read_only=True) as store:
            return store.facts().classes

    @property
    def _files(self) -> Source:
        return Source(self.directory, self.rows, self.trust)

    @cached_property
    def _source(self) -> ReportSource:
        return ReportSource(self.table, self.curves, resolved_sweep(self.directory), self.directory)

    def export(
        self,
        path: str | os.PathLike[str],
        trial: int | None = None,
        seed: int | None = None,
        fold: int | None = None,
        *,
        threshold: str | None = None,
        calibrate: bool = False,
    ) -> Decision | None:
        """Write a trial's model as a `.keras` file that takes raw rows.

        Args:
            trial: The trial's number; None for the best one.
            seed, fold: The execution; None for the trial's best one.
            threshold: For two classes, the metric whose best value on the validation rows decides
                from which probability on a row has the second label: `accuracy`, `f1`,
                `balanced_accuracy`, `mcc` or `cohen_kappa`.
            calibrate: Whether the validation rows choose a temperature for the probabilities.

        Returns:
            What was chosen, if anything was to be.

        Raises:
            InputError: There is no such trial, it has no score, Keras cannot write the path, or
                there is nothing to choose.
            RefusedError: The data has changed, or the trial, trained again for its weights, did
                not reach its row's score; or the directory names a function that is not in
                `trust`.
        """
        which, out = Which(trial, seed, fold), Path(path)
        _, decision = export_model(
            self._files, out, which, threshold=threshold, calibrate=calibrate
        )
        return decision

    def evaluate(
        self,
        split: str = "test",
        trial: int | None = None,
        seed: int | None = None,
        fold: int | None = None,
    ) -> Evaluation:
        """Evaluate a trial on a split, and record the evaluation.

        Args:
            split: `train`, `validation` or `test`.
            trial, seed, fold: As for `export`.

        Returns:
            The loss and metrics with 95% intervals.

        Raises:
            InputError: There is no such trial or split, or the trial has no score.
            RefusedError: As for `export`; or the evaluation cannot be recorded.
        """
        return evaluate_trial(self._files, split, Which(trial, seed, fold))

    def refit(
        self,
        seeds: int = 5,
        top: int = 1,
        *,
        on: str = "train",
        out: str | os.PathLike[str] | None = None,
        workers: int | None = None,
        verbose: int | str = "auto",
    ) -> Results:
        """Train the best trials again with fresh seeds, and return the new results.

        The best of many trials is best partly by luck; fresh seeds show how good it is. The new
        results have the means with their intervals, as `intervals`, and the final model.

        Args:
            seeds: The number of fresh seeds.
            top: The number of best trials.
            on: `train+validation` trains on the validation rows, too, for a final model; its scores
                are then of rows that it was trained on. Use `evaluate("test")` to measure it.
            out: The new results directory; default `refit`, or `final`, in this one. Executions
                that it has are not trained again.
            workers, verbose: As for `hpsearch.run`.

        Raises:
            InputError: No trial has a score.
            RefusedError: The data has changed, or as for `export`; or `out` has other results.
        """
        sweep = sweep_of_best(self._files, top, seeds, on)
        where = self.directory / REFIT_IN[on] if out is None else Path(out)
        run_sweep(sweep, Settings(where, workers), make_listener(verbose), self.rows)
        again = Results(where, self.rows, self.trust)
        # The temporary directory is removed with the results that own it.
        vars(again)["_of"] = self
        return again

    def ensemble(
        self,
        size: int = 8,
        *,
        candidates: int = 24,
        out: str | os.PathLike[str] | None = None,
        workers: int | None = None,
    ) -> Ensemble:
        """Average the outputs of the best models, chosen by the validation rows, as one model.

        The arguments and errors are those of `make_ensemble`.
        """
        path = None if out is None else Path(out)
        made = make_ensemble(self._files, size, candidates, path, workers)
        vars(made)["_of"] = self  # as in `refit`
        return made

    @property
    def intervals(self) -> pd.DataFrame:
        """The mean score of each trial with its 95% interval over executions, the best first.

        Columns: `trial, config, mean, low, high, executions`; Student's interval, empty for one
        execution. The means are too good for trials that were chosen by these scores: see `refit`.
        """
        return score_intervals(self.directory)

    @property
    def evaluations(self) -> tuple[Evaluation, ...]:
        """Every recorded evaluation, the oldest first."""
        return evaluations_of(self.directory)

    def reproduce(
        self, trial: int, seed: int | None = None, fold: int | None = None
    ) -> Reproduction:
        """Train a trial again from its row; `equal` is True if the scores are the same.

        `trial`, `seed`, `fold` and the errors are those of `export`.
        """
        return reproduce_trial(self._files, Which(trial, seed, fold))

    def _repr_html_(self) -> str:
        return str(ranked_trials(self.table)._repr_html_())  # type: ignore[operator]  # IPython's


def execute(
    sweep: AnySweep,
    settings: Settings,
    listener: Listener,
    log: Sequence[str],
    rows: Loader | None = None,
) -> Results:
    """Run a sweep, whose `rows` may be in memory; see `hpsearch.run`."""
    trust = tuple(sweep.functions)
    with (
        results_with_interruption(rows, trust),
        tracked(listener, [make_tracker(target) for target in log]) as watching,
    ):
        outcome = run_sweep(sweep, settings, watching, rows)
        if outcome.stopped:
            watching(Said(outcome.stopped, warning=True))
    return Results(outcome.directory, rows, trust)


@contextmanager
def results_with_interruption(
    rows: Loader | None = None, trust: Collection[str] = ()
) -> Iterator[None]:
    """Add the results so far to an interruption, if any trial has a row."""
    try:
        yield
    except Interrupted as error:
        if error.where is not None and (error.where / "results.csv").exists():
            results = Results(error.where, rows, trust)
            error.results = results if len(results.table) else None
        raise


def results_at_prompt(interruption: Interrupted) -> Results:
    """Return the results so far if Ctrl-C ended a call at a prompt or in a notebook.

    An exception would leave a notebook's variable unassigned. A script must not go on after Ctrl-C.

    Raises:
        Interrupted: In a script, after a SIGTERM, or without results.
    """
    interactive = hasattr(sys, "ps1") or bool(sys.flags.interactive)
    results = interruption.results
    if not (interactive and interruption.by_keyboard and isinstance(results, Results)):
        raise interruption
    message = f"interrupted: these are the results so far, {counted(len(results.table), 'row')}"
    warnings.warn(message, UserWarning, stacklevel=stack_level_of_caller())
    return results


def run_in(
    out: str | os.PathLike[str] | None,
    work: Callable[[Path], Results],
    *,
    name: str = "",
    keep: bool,
) -> Results:
    """Call `work` with a results directory; if `out` is None, with `name` in a temporary one.

    Args:
        keep: Whether the temporary directory exists as long as its results do.
    """
    try:
        return work(Path(out)) if out is not None else _work_in_scratch(work, name, keep=keep)
    except Interrupted as error:
        return results_at_prompt(error)


def _work_in_scratch(work: Callable[[Path], Results], name: str, *, keep: bool) -> Results:
    scratch = tempfile.mkdtemp(prefix="hpsearch-")

    def taken(results: Results) -> Results:
        loaded = Results(results.directory, results.rows, results.trust)
        # Sets the cached properties, since the directory will be removed.
        vars(loaded).update(table=results.table, curves=results.curves)
        if keep:
            weakref.finalize(loaded, shutil.rmtree, scratch, ignore_errors=True)
            removal.pop_all()
        return loaded

    with ExitStack() as removal:
        removal.callback(shutil.rmtree, scratch, ignore_errors=True)
        try:
            return taken(work(Path(scratch, name)))
        except Interrupted as error:
            # Leave the directory out of the message: no later run can continue there.
            interruption = type(error)(error.number)
            if isinstance(error.results, Results):
                interruption.results = taken(error.results)
            raise interruption from None
