"""results.csv, curves.csv and sweep.yaml, written from what the store holds."""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from hpsearch.data.specs import Task
from hpsearch.errors import HpsearchError, RefusedError
from hpsearch.models.problem import Recipe
from hpsearch.space.space import Kind
from hpsearch.space.trial import Trial, TrialResult
from hpsearch.store.directory import ResultsDirectory
from hpsearch.store.tables import (
    Provenance,
    Record,
    best_of,
    curves_table,
    header_lines,
    results_table,
    write_atomically,
    write_csv,
)

if TYPE_CHECKING:
    import pandas as pd

_SHARE_OF_TIME = 0.02
#: An earlier rewrite would make a short sweep's workers wait for the import of pandas.
_FIRST_AFTER_SECONDS = 1.0
#: Duration of a rewrite on a fast machine; the first rewrite tells how much slower this one is.
_REWRITE_SECONDS = 3e-3
_REWRITE_SECONDS_PER_ROW = 40e-6


class Tables:
    """results.csv and curves.csv, rewritten as a whole, for at most 2% of the run's time.

    Args:
        where: The results directory.
        task: Decides the metric columns.
        names: Hyperparameters in file order.
        provenance: The columns that all rows share.
        kind: The kind of the configs.
        flush: Flushes the store to the disk, so that no table is ever ahead of it.
    """

    def __init__(
        self,
        where: ResultsDirectory,
        task: Task,
        names: Sequence[str],
        provenance: Provenance,
        *,
        kind: Kind = Kind.MLP,
        flush: Callable[[], None] = lambda: None,
    ) -> None:
        self._where = where
        self._task = task
        self._names = tuple(names)
        self._provenance = provenance
        self._kind, self._flush = kind, flush
        self._began = time.monotonic()
        self._spent = 0.0
        self._slowness = 1.0

    def records(self, trials: Iterable[Trial], results: Mapping[int, TrialResult]) -> list[Record]:
        """Make the records of all trials that have a result."""
        return [
            record_of(trial, results[trial.number], self._provenance)
            for trial in trials
            if trial.number in results
        ]

    def results(self, records: Sequence[Record]) -> pd.DataFrame:
        """Make the results table."""
        return results_table(
            records, self._task, self._names, self._provenance.metric, kind=self._kind
        )

    def curves(self, records: Sequence[Record]) -> pd.DataFrame:
        """Make the table of learning curves."""
        return curves_table(records, self._task, self._provenance.metric, kind=self._kind)

    def due(self, rows: int) -> bool:
        """Return whether a rewrite of so many rows fits into its share of the time."""
        elapsed = time.monotonic() - self._began
        spent = self._spent + self._slowness * _expected_seconds(rows)
        return elapsed >= _FIRST_AFTER_SECONDS and spent <= _SHARE_OF_TIME * elapsed

    def require_known(self, results: Collection[int]) -> None:
        """Check that the store holds every row of results.csv, which the next rewrite replaces.

        Raises:
            RefusedError: Rows are missing: the store is an older copy, or lost its log.
        """
        path = self._where.results
        lost = [number for number in _numbers_in(path) if number not in results]
        if lost:
            some = ", ".join(map(str, lost[:5])) + (", ..." if len(lost) > 5 else "")
            raise RefusedError(
                f"{self._where.store}: the store lacks {len(lost)} results that {path.name} has "
                f"(trials {some}): it is an older copy, or its log, {self._where.store.name}-wal, "
                "was lost or damaged; bring it back, or move this directory aside with --fresh"
            )

    def begin(self) -> None:
        """Remove a killed run's leftovers, and write missing tables, which have no rows yet.

        Raises:
            HpsearchError: The tables cannot be written.
        """
        self._where.clear()
        paths = (self._where.results, self._where.curves)
        with _explained(self._where):
            texts = header_lines(self._task, self._names, self._provenance.metric, kind=self._kind)
            for path, text in zip(paths, texts, strict=True):
                if not path.exists():
                    write_atomically(path, text)

    def write(self, trials: Iterable[Trial], results: Mapping[int, TrialResult]) -> None:
        """Rewrite both files.

        Raises:
            HpsearchError: They cannot be written; the old files and the store are unchanged.
        """
        # Imported before the clock starts: it happens once, and is no part of a rewrite.
        import pandas as pd

        del pd
        began = time.monotonic()
        records = self.records(trials, results)
        with _explained(self._where):
            # In this order a kill never leaves a row without its curve, or without its result in
            # the store.
            self._flush()
            write_csv(self.curves(records), self._where.curves)
            write_csv(self.results(records), self._where.results)
        seconds = time.monotonic() - began
        self._spent += seconds
        self._slowness = seconds / _expected_seconds(len(records))

    def write_sweep(self, text: str) -> None:
        """Write the resolved sweep.

        Raises:
            HpsearchError: It cannot be written.
        """
        with _explained(self._where):
            write_atomically(self._where.sweep, text)


def _numbers_in(path: Path) -> list[int]:
    """The trials that have a row in a results table; none if it cannot be read as one."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = csv.reader(file)
            at = next(rows, []).index("trial")
            return [int(row[at]) for row in rows]
    except (OSError, ValueError, LookupError, csv.Error):
        return []


def record_of(trial: Trial, result: TrialResult, provenance: Provenance) -> Record:
    """Make a trial's record, with the hyperparameters that its model requested in training."""
    values = {**trial.config.values, **result.late}  # noqa: PD011 - a mapping
    return Record(trial.number, trial.config.id, trial.seed, values, result, provenance, trial.fold)


def _expected_seconds(rows: int) -> float:
    return _REWRITE_SECONDS + rows * _REWRITE_SECONDS_PER_ROW


@contextmanager
def _explained(where: ResultsDirectory) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise HpsearchError(
            f"{where.path}: the tables cannot be written: {error.strerror or error}; results are "
            "safe in the store: make room, and run the same command again"
        ) from None


def best_trial(
    trials: Iterable[Trial], results: Mapping[int, TrialResult], recipe: Recipe
) -> tuple[Trial, float] | None:
    """Return the best trial (see `best_of`) and its config's mean score, or None."""
    by_number = {trial.number: trial for trial in trials}
    scored = [
        (number, trial.config.id, result.score)
        for number, trial in by_number.items()
        if (result := results.get(number)) is not None
        and result.status.scored
        and result.score is not None
    ]
    best = best_of(scored, recipe.goal)
    return best and (by_number[best[0]], best[1])
