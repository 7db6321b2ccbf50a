"""hpsearch from Python: run a sweep, look at its results."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpsearch import results, sweepfile
from hpsearch.errors import InputError
from hpsearch.sweep import Sweep

if TYPE_CHECKING:
    import pandas as pd

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

    def detached(self) -> Results:
        """The same without its directory, whose tables are read now."""
        loaded = Results(self.directory)
        # A cached property's value, as reading it would set it.
        vars(loaded).update(table=self.table, curves=self.curves)
        return loaded

    def _repr_html_(self) -> str:
        ranked = results.ranked(self.table)
        return str(ranked._repr_html_())  # type: ignore[operator]  # IPython's protocol


def run(
    sweep: str | os.PathLike[str] | Sweep | Mapping[str, Any],
    *,
    out: str | os.PathLike[str] | None = None,
    workers: int | None = None,
    retry: bool = False,
    fresh: bool = False,
) -> Results:
    """Run a sweep to its end; trials that have results are not trained again.

    Args:
        sweep: A file, a Sweep, or the mapping that a file would hold.
        out: The results directory; `experiments/NAME` where absent.
        workers: How many trainings run at a time; overrides the sweep's.
        retry: Whether failed, killed and timed-out trials are trained again.
        fresh: Whether an existing results directory is moved aside.

    Raises:
        InputError: The sweep or its data cannot be used.
        RefusedError: The directory is held by another run, or holds another sweep's results.
    """
    from hpsearch import driver

    if isinstance(sweep, Mapping):
        sweep = sweepfile.parse(sweep, base_dir=Path.cwd())
    elif not isinstance(sweep, Sweep):
        sweep = sweepfile.load(os.fspath(sweep))
    outcome = driver.run(
        sweep,
        driver.Settings(
            out=None if out is None else Path(out), workers=workers, retry=retry, fresh=fresh
        ),
    )
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
