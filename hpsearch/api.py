"""hpsearch from Python: run a sweep, look at its results."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpsearch import results, sweepfile
from hpsearch.errors import InputError
from hpsearch.sweep import Sweep

if TYPE_CHECKING:
    import pandas as pd

    from hpsearch.driver.revisit import Reproduction
    from hpsearch.looks import Look

__all__ = ["Results", "Sweep", "load", "run"]


@dataclass(frozen=True)
class Results:
    """What a sweep left in its directory."""

    directory: Path

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
        """The best trial's `keras.Model`; it takes raw rows."""
        import keras

        path = self.directory / "best.keras"
        if not path.exists():
            raise InputError(f"{path}: there is no model: no trial completed")
        return keras.models.load_model(path, safe_mode=True)

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

        revisit.export(self.directory, Path(path), trial, _silent)

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

        return testing.evaluate(self.directory, split, trial, _silent)

    @property
    def looks(self) -> tuple[Look, ...]:
        """Every evaluation on the record, the first one first."""
        from hpsearch.driver import testing

        return testing.looks(self.directory)

    def reproduce(self, trial: int) -> Reproduction:
        """Train a trial again from its row; `equal` says whether it scored the same.

        Raises:
            InputError: No such trial, or no score.
            RefusedError: The data is another now.
        """
        from hpsearch.driver import revisit

        return revisit.reproduce(self.directory, trial)

    def detached(self) -> Results:
        """The same without its directory, whose tables are read now."""
        loaded = Results(self.directory)
        # A cached property's value, as reading it would set it.
        vars(loaded).update(table=self.table, curves=self.curves)
        return loaded

    def _repr_html_(self) -> str:
        ranked = results.ranked(self.table)
        return str(ranked._repr_html_())  # type: ignore[operator]  # IPython's protocol


def _silent(line: str) -> None:
    """Nothing is printed from Python."""


def run(
    sweep: str | os.PathLike[str] | Sweep | Mapping[str, Any],
    *,
    out: str | os.PathLike[str] | None = None,
    workers: int | None = None,
    retry: bool = False,
    fresh: bool = False,
    log: Sequence[str] = (),
) -> Results:
    """Run a sweep to its end; trials that have results are not trained again.

    Args:
        sweep: A file, a Sweep, or the mapping that a file would hold.
        out: The results directory; `experiments/NAME` where absent.
        workers: How many trainings run at a time; overrides the sweep's.
        retry: Whether failed, killed and timed-out trials are trained again.
        fresh: Whether an existing results directory is moved aside.
        log: Where trials are logged as it goes: `tensorboard:DIR`, `mlflow:URI`.

    Raises:
        InputError: The sweep, its data or a tracker cannot be used.
        RefusedError: The directory is held by another run, or holds another sweep's results.
    """
    from hpsearch import driver
    from hpsearch.driver.tracking import tracked
    from hpsearch.trackers import make_tracker

    if isinstance(sweep, Mapping):
        sweep = sweepfile.parse(sweep, base_dir=Path.cwd())
    elif not isinstance(sweep, Sweep):
        sweep = sweepfile.load(os.fspath(sweep))
    settings = driver.Settings(
        out=None if out is None else Path(out), workers=workers, retry=retry, fresh=fresh
    )
    with tracked(driver.Silent(), [make_tracker(target) for target in log]) as reporter:
        outcome = driver.run(sweep, settings, reporter)
    return Results(outcome.directory)


def load(directory: str | os.PathLike[str]) -> Results:
    """The results of an earlier run.

    Raises:
        InputError: There is no results table.
    """
    path = Path(directory)
    if not (path / "results.csv").exists():
        raise InputError(f"{path}: there is no results.csv; `hpsearch run` writes one")
    return Results(path)
