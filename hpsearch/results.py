"""`Results`: what a sweep left in its directory, for Python and notebooks."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpsearch.errors import InputError
from hpsearch.report.pictures import Pictures
from hpsearch.report.source import ReportSource, resolved_sweep
from hpsearch.spec.sweep import Sweep, load_sweep
from hpsearch.store.store import evaluations_of
from hpsearch.store.tables import best_row, ranked_rows, read_table
from hpsearch.tuner.revisit import evaluate_trial, export_model, reproduce_trial

if TYPE_CHECKING:
    import pandas as pd

    from hpsearch.data.loading import Loader
    from hpsearch.store.facts import Evaluation
    from hpsearch.tuner.revisit import Reproduction


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
        return read_table(self.directory / "results.csv")

    @cached_property
    def curves(self) -> pd.DataFrame:
        """curves.csv: one row a trial and epoch."""
        return read_table(self.directory / "curves.csv")

    @cached_property
    def sweep(self) -> Sweep:
        """The resolved sweep."""
        return load_sweep(self.directory / "sweep.yaml")

    @property
    def best(self) -> pd.Series[Any]:
        """The row of the best trial of the config with the best mean score.

        Raises:
            InputError: No trial has a score.
        """
        row = best_row(self.table)
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
        if best_row(self.table) is None:
            raise InputError(f"{path}: there is no model: no trial completed")
        with tempfile.TemporaryDirectory(prefix="hpsearch-") as scratch:
            written = Path(scratch, path.name)
            self.export(written)
            return keras.models.load_model(written, safe_mode=True)

    @cached_property
    def _source(self) -> ReportSource:

        return ReportSource(self.table, self.curves, resolved_sweep(self.directory), self.directory)

    def export(self, path: str | os.PathLike[str], trial: int | None = None) -> None:
        """Write a trial's model as a `.keras` file that takes raw rows.

        Args:
            trial: Its number; the best one where None.

        Raises:
            InputError: No such trial, no score, or a path that Keras cannot write.
            RefusedError: The data is another now, or the trial, trained again for its weights,
                did not give its row's score.
        """
        export_model(self.directory, Path(path), trial, _silent, self.rows)

    def evaluate(self, split: str = "test", trial: int | None = None) -> Evaluation:
        """Loss and metrics of a trial on a split, with 95% intervals; the look is recorded.

        Args:
            split: `train`, `validation` or `test`.
            trial: Its number; the best one where None.

        Raises:
            InputError: No such trial, split or score.
            RefusedError: As for `export`; or the look cannot be recorded.
        """
        return evaluate_trial(self.directory, split, trial, _silent, self.rows)

    @property
    def evaluations(self) -> tuple[Evaluation, ...]:
        """Every evaluation on the record, the first one first."""
        return evaluations_of(self.directory)

    def reproduce(self, trial: int) -> Reproduction:
        """Train a trial again from its row; `equal` says whether it scored the same.

        Raises:
            InputError: No such trial, or no score.
            RefusedError: The data is another now.
        """
        return reproduce_trial(self.directory, trial, self.rows)

    def detached(self) -> Results:
        """The same without its directory, whose tables are read now."""
        loaded = Results(self.directory, self.rows)
        # A cached property's value, as reading it would set it.
        vars(loaded).update(table=self.table, curves=self.curves)
        return loaded

    def _repr_html_(self) -> str:
        ranked = ranked_rows(self.table)
        return str(ranked._repr_html_())  # type: ignore[operator]  # IPython's protocol

    def owning(self, scratch: str) -> Results:
        """The same, of a temporary directory that goes when nobody has these results any more."""
        owner = self.detached()
        weakref.finalize(owner, shutil.rmtree, scratch, ignore_errors=True)
        return owner


def _silent(line: str) -> None:
    """Nothing is printed from Python."""
