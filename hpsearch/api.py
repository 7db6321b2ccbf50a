"""hpsearch from Python: run a sweep, look at its results."""

from __future__ import annotations

import concurrent.futures
import os
import shutil
import sys
import tempfile
import warnings
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpsearch import results, sweepfile
from hpsearch.errors import InputError
from hpsearch.report.pictures import Pictures
from hpsearch.sweep import Sweep

if TYPE_CHECKING:
    import pandas as pd

    from hpsearch.comparison import Comparison
    from hpsearch.data import Loader
    from hpsearch.driver import Interrupted, Reporter, Settings
    from hpsearch.driver.revisit import Reproduction
    from hpsearch.looks import Look
    from hpsearch.report.source import Source

__all__ = ["Results", "Sweep", "compare", "load", "run"]


@dataclass(frozen=True)
class Results(Pictures):
    """What a sweep left in its directory.

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
        rows: Gives its data again where that was in memory; None reads what `data:` names.
    """

    directory: Path
    rows: Loader | None = field(default=None, repr=False, compare=False)

    @cached_property
    def table(self) -> pd.DataFrame:
        """results.csv: one row a trial, with its dtypes."""
        return results.read(self.directory / "results.csv")

    @cached_property
    def curves(self) -> pd.DataFrame:
        """curves.csv: one row a trial and epoch."""
        return results.read(self.directory / "curves.csv")

    @cached_property
    def sweep(self) -> Sweep:
        """The resolved sweep."""
        return sweepfile.load(self.directory / "sweep.yaml")

    @property
    def best(self) -> pd.Series[Any]:
        """The row of the best trial of the config with the best mean score.

        Raises:
            InputError: No trial has a score.
        """
        row = results.best_row(self.table)
        if row is None:
            raise InputError(f"{self.directory}: no trial has a score")
        return row

    def model(self) -> Any:
        """The best trial's `keras.Model`; it takes raw rows.

        Raises:
            InputError: There is none: no trial completed.
            RefusedError: As for `export`, where the run was interrupted before it wrote the model.
        """
        import keras

        path = self.directory / "best.keras"
        if path.exists():
            return keras.models.load_model(path, safe_mode=True)
        if results.best_row(self.table) is None:
            raise InputError(f"{path}: there is no model: no trial completed")
        with tempfile.TemporaryDirectory(prefix="hpsearch-") as scratch:
            written = Path(scratch, path.name)
            self.export(written)
            return keras.models.load_model(written, safe_mode=True)

    @cached_property
    def _source(self) -> Source:
        from hpsearch.report.source import Source, sweep_beside

        return Source(self.table, self.curves, sweep_beside(self.directory), self.directory)

    def export(self, path: str | os.PathLike[str], trial: int | None = None) -> None:
        """Write a trial's model as a `.keras` file that takes raw rows.

        Args:
            trial: Its number; the best one where None.

        Raises:
            InputError: No such trial, no score, or a path that Keras cannot write.
            RefusedError: The data is another now, or the trial, trained again for its weights,
                did not give its row's score.
        """
        from hpsearch.driver import revisit

        revisit.export(self.directory, Path(path), trial, _silent, self.rows)

    def evaluate(self, split: str = "test", trial: int | None = None) -> Look:
        """Loss and metrics of a trial on a split, with 95% intervals; the look is recorded.

        Args:
            split: `train`, `validation` or `test`.
            trial: Its number; the best one where None.

        Raises:
            InputError: No such trial, split or score.
            RefusedError: As for `export`; or the look cannot be recorded.
        """
        from hpsearch.driver import testing

        return testing.evaluate(self.directory, split, trial, _silent, self.rows)

    @property
    def looks(self) -> tuple[Look, ...]:
        """Every evaluation on the record, the first one first."""
        from hpsearch.driver import record

        return record.looks(self.directory)

    def reproduce(self, trial: int) -> Reproduction:
        """Train a trial again from its row; `equal` says whether it scored the same.

        Raises:
            InputError: No such trial, or no score.
            RefusedError: The data is another now.
        """
        from hpsearch.driver import revisit

        return revisit.reproduce(self.directory, trial, self.rows)

    def detached(self) -> Results:
        """The same without its directory, whose tables are read now."""
        loaded = Results(self.directory, self.rows)
        # A cached property's value, as reading it would set it.
        vars(loaded).update(table=self.table, curves=self.curves)
        return loaded

    def _repr_html_(self) -> str:
        ranked = results.ranked(self.table)
        return str(ranked._repr_html_())  # type: ignore[operator]  # IPython's protocol

    def owning(self, scratch: str) -> Results:
        """The same, of a temporary directory that goes when nobody has these results any more."""
        owner = self.detached()
        weakref.finalize(owner, shutil.rmtree, scratch, ignore_errors=True)
        return owner


def _silent(line: str) -> None:
    """Nothing is printed from Python."""


def run(
    sweep: str | os.PathLike[str] | Sweep | Mapping[str, Any],
    *,
    out: str | os.PathLike[str] | None = None,
    workers: int | None = None,
    retry: bool = False,
    fresh: bool = False,
    live: bool = False,
    store: str | os.PathLike[str] | None = None,
    log: Sequence[str] = (),
    executor: concurrent.futures.Executor | None = None,
) -> Results:
    """Run a sweep to its end; trials that have results are not trained again.

    >>> import hpsearch
    >>> sweep = {"data": {"dataset": "wine"}, "parameters": {"units": [4, 8], "epochs": 2}}
    >>> results = hpsearch.run(sweep, out="wine")
    >>> results.table["status"].tolist()
    ['completed', 'completed']

    Args:
        sweep: A file, a Sweep, or the mapping that a file would hold.
        out: The results directory; `experiments/NAME` where absent.
        workers: How many trainings run at a time; overrides the sweep's.
        retry: Whether failed, killed and timed-out trials are trained again.
        fresh: Whether an existing results directory is moved aside.
        live: Whether report.html is rewritten while the run is on.
        store: A file to keep the store in, where the results directory's disk has no locks.
        log: Where to log as it goes, each as in `hpsearch run --log`.
        executor: Whose processes train, in place of `execution.engine`: a ProcessPoolExecutor, or
            what Dask's `Client.get_executor()` gives. It stays the caller's.

    Raises:
        InputError: The sweep, its data or a tracker cannot be used.
        RefusedError: The directory is held by another run, or holds another sweep's results.
        Interrupted: Ctrl-C or a SIGTERM came; its `results` are those so far. In an interactive
            session (a notebook, a prompt) Ctrl-C gives them as the result, with a warning.
    """
    from hpsearch import driver

    if isinstance(sweep, Mapping):
        sweep = sweepfile.parse(sweep, base_dir=Path.cwd())
    elif not isinstance(sweep, Sweep):
        sweep = sweepfile.load(os.fspath(sweep))
    settings = driver.Settings(
        out=None if out is None else Path(out),
        workers=workers,
        retry=retry,
        fresh=fresh,
        live=live,
        store=None if store is None else Path(store),
        pool=executor,
    )
    try:
        return execute(sweep, settings, driver.Silent(), log=log)
    except driver.Interrupted as error:
        return after(error)


def execute(
    sweep: Sweep,
    settings: Settings,
    reporter: Reporter,
    *,
    log: Sequence[str] = (),
    rows: Loader | None = None,
) -> Results:
    """Run a sweep; see `run`.

    Args:
        rows: Gives the data that is in memory.
    """
    from hpsearch import driver
    from hpsearch.driver.tracking import tracked
    from hpsearch.trackers import make_tracker

    with (
        results_so_far(rows),
        tracked(reporter, [make_tracker(target) for target in log]) as telling,
    ):
        outcome = driver.run(sweep, settings, telling, rows)
        if outcome.stopped:
            telling.note(f"warning: {outcome.stopped}")
    return Results(outcome.directory, rows)


@contextmanager
def results_so_far(rows: Loader | None = None) -> Iterator[None]:
    """Gives an interruption the results so far, where any trial has a row."""
    from hpsearch.driver import Interrupted

    try:
        yield
    except Interrupted as error:
        if error.where is not None and (error.where / "results.csv").exists():
            found = Results(error.where, rows)
            error.results = found if len(found.table) else None
        raise


def after(interruption: Interrupted) -> Results:
    """What a call gives that Ctrl-C ended: the results so far, at a prompt and in a notebook.

    An exception would leave a notebook's variable as it was before, and a script that went on
    after Ctrl-C would not be what was asked for.

    Raises:
        Interrupted: In a script, at a SIGTERM, or where there are no results.
    """
    from hpsearch.driver import outside

    interactive = hasattr(sys, "ps1") or bool(sys.flags.interactive)
    found = interruption.results
    if not (interactive and interruption.by_keyboard and isinstance(found, Results)):
        raise interruption
    message = f"interrupted: these are the results so far, {len(found.table)} rows"
    warnings.warn(message, UserWarning, stacklevel=outside())
    return found


def load(directory: str | os.PathLike[str]) -> Results:
    """The results of an earlier run.

    >>> import hpsearch
    >>> sweep = {"data": {"dataset": "wine"}, "parameters": {"units": 4, "epochs": 2}}
    >>> results = hpsearch.run(sweep, out="wine")
    >>> int(hpsearch.load("wine").best["units"])
    4

    Raises:
        InputError: There is no results table.
    """
    path = Path(directory)
    if not (path / "results.csv").exists():
        raise InputError(f"{path}: there is no results.csv; `hpsearch run` writes one")
    return Results(path)


def compare(
    *tables: str | os.PathLike[str] | Results,
    score: str | None = None,
    params: Sequence[str] = (),
    goal: str | None = None,
    anyway: bool = False,
    rescore: int | None = None,
    workers: int | None = None,
    out: str | os.PathLike[str] | None = None,
) -> Comparison:
    """Compare results tables: which is better, by how much, how sure, and why.

    >>> import hpsearch
    >>> sweep = {"data": {"dataset": "wine"}, "parameters": {"units": [4, 8], "epochs": 2}}
    >>> plain = hpsearch.run(sweep, out="plain")
    >>> seeded = hpsearch.run({**sweep, "seed": 1}, out="seeded")
    >>> comparison = hpsearch.compare(plain, seeded)
    >>> comparison.comparable, comparison.n_pairs
    (True, 2)

    Args:
        tables: Results directories, CSV files or Results, two or more.
        score: The column to compare by; needed for tables of other programs.
        params: The hyperparameters' columns of such tables.
        goal: `maximize` or `minimize`, where the score's name does not tell.
        anyway: Whether to compare what is not comparable, too, and say so.
        rescore: Train each table's best config again with so many fresh seeds, in place of what
            the tables say of their bests. Takes results directories.
        workers: How many trainings run at a time, for `rescore`.
        out: A file to write to: .md, .json or .html.

    Raises:
        InputError: A table is missing, or is none.
        RefusedError: The tables differ in data, split or metric.
    """
    from hpsearch import comparison

    if out is not None:
        comparison.require_suffix(out)
    again = None
    if rescore is not None:
        if rescore < 1:
            raise InputError(f"rescore: must be how many fresh seeds, 1 or more, not {rescore}")
        from hpsearch.rescoring import Rescorer

        again = Rescorer(rescore, workers)
    compared = comparison.compare(
        [table.directory if isinstance(table, Results) else table for table in tables],
        comparison.Columns(score, tuple(params), goal),
        anyway=anyway,
        rescore=again,
    )
    if out is not None:
        comparison.write(compared, out)
    return compared
