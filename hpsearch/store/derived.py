"""Write results.csv, curves.csv and sweep.yaml from the content of the store."""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from hpsearch.data.specs import Task
from hpsearch.errors import HpsearchError, RefusedError, StoreError
from hpsearch.machine import shortage
from hpsearch.space.execution import Execution, ExecutionKey, ExecutionResult, Repetition
from hpsearch.space.space import Kind
from hpsearch.store.columns import Provenance, Record
from hpsearch.store.directory import ResultsDirectory
from hpsearch.store.facts import Facts
from hpsearch.store.provenance import stored_sweep
from hpsearch.store.tables import curves_table, results_table, write_csv
from hpsearch.wording import counted

if TYPE_CHECKING:
    import pandas as pd

_SHARE_OF_TIME = 0.02
#: With an earlier rewrite, a short sweep's workers would wait for the import of pandas.
_FIRST_AFTER_SECONDS = 1.0
#: Duration of a rewrite on a fast machine; the first rewrite shows what it is on this one.
_SECONDS_PER_ROW = 40e-6
#: A rewrite takes as long as if there were so many more rows.
_MORE_ROWS = 75


@dataclass(eq=False)
class Tables:
    """results.csv and curves.csv, rewritten as a whole, for at most 2% of the run's time.

    Attributes:
        task: Decides the metric columns.
        names: Hyperparameters in file order.
        provenance: The columns that all rows share; a result brings its versions.
        flush: Flushes the store to the disk, so that no table is ever ahead of it.
    """

    where: ResultsDirectory
    task: Task
    names: Sequence[str]
    provenance: Provenance
    kind: Kind = Kind.MLP
    flush: Callable[[], None] = lambda: None
    _began: float = field(init=False, default_factory=time.monotonic)
    _spent: float = field(init=False, default=0.0)
    _seconds_per_row: float = field(init=False, default=_SECONDS_PER_ROW)

    def records(
        self, executions: Iterable[Execution], results: Mapping[int, ExecutionResult]
    ) -> list[Record]:
        """Make the records of all executions that have a result."""
        executions = list(executions)
        trials = {execution.number: execution.trial for execution in executions}
        return [
            self.record(execution, results[execution.number], trials)
            for execution in executions
            if execution.number in results
        ]

    def record(
        self, execution: Execution, result: ExecutionResult, trials: Mapping[int, int]
    ) -> Record:
        """Make an execution's record, including hyperparameters that its model asked for late.

        Args:
            trials: Execution -> its trial, for every execution that may share a training.
        """
        return Record(
            execution.trial,
            execution.config.id,
            execution.seed,
            {**execution.config.values, **result.late},  # noqa: PD011 - a mapping
            result,
            replace(self.provenance, **result.versions),
            execution.fold,
            None if result.shared_with is None else trials[result.shared_with],
            execution.method,
        )

    def results(self, records: Sequence[Record]) -> pd.DataFrame:
        """Make the results table."""
        return results_table(records, self.task, self.names, self.provenance.metric, kind=self.kind)

    def curves(self, records: Sequence[Record]) -> pd.DataFrame:
        """Make the table of learning curves."""
        return curves_table(records, self.task, self.provenance.metric, kind=self.kind)

    def due(self, rows: int) -> bool:
        """Check if a rewrite of this many rows fits into its share of the time."""
        elapsed = time.monotonic() - self._began
        spent = self._spent + self._seconds_per_row * (rows + _MORE_ROWS)
        return elapsed >= _FIRST_AFTER_SECONDS and spent <= _SHARE_OF_TIME * elapsed

    def require_known(self, known: Collection[ExecutionKey]) -> None:
        """Check that the store has every row of results.csv, which the next rewrite replaces.

        Args:
            known: The executions that have a result in the store.

        Raises:
            RefusedError: Rows are missing: the store is an older copy, or lost its log.
        """
        path = self.where.results
        lost = [trial for trial, key in _rows_in(path) if key not in known]
        if lost:
            raise RefusedError(
                f"{self.where.store}: the store lacks {counted(len(lost), 'result')} that "
                f"{path.name} has (the first is of trial {lost[0]}): it is an older copy, or its "
                f"log, {self.where.store.name}-wal, was lost or damaged; bring it back, or move "
                "this directory aside with --fresh"
            )

    def write(
        self, executions: Iterable[Execution], results: Mapping[int, ExecutionResult]
    ) -> None:
        """Rewrite both files.

        Raises:
            HpsearchError: They cannot be written; the old files and the store are unchanged.
        """
        # Imported before the clock starts: it happens only once, and is not part of a rewrite.
        import pandas as pd

        del pd
        began = time.monotonic()
        records = self.records(executions, results)
        with _explained(self.where):
            # This order ensures that a kill never leaves a row without its curve, or without its
            # result in the store.
            self.flush()
            write_csv(self.curves(records), self.where.curves, self.where.write)
            write_csv(self.results(records), self.where.results, self.where.write)
        seconds = time.monotonic() - began
        self._spent += seconds
        self._seconds_per_row = seconds / (len(records) + _MORE_ROWS)

    def write_sweep(self, text: str) -> None:
        """Write the resolved sweep."""
        with _explained(self.where):
            self.where.write(self.where.sweep, text)


def tables_of(where: ResultsDirectory, facts: Facts) -> Tables:
    """Return the tables of a directory, from its store's facts.

    Raises:
        StoreError: The store lacks necessary facts, or its sweep cannot be read.
    """
    names: list[str] = []
    name, task, identity = facts.name or where.path.absolute().name, facts.task, facts.identity
    if task is None or identity is None:
        raise StoreError(f"{where.store}: does not say what was run; run the sweep again")
    if task is not Task.OBJECTIVE:
        sweep = stored_sweep(facts, where)
        name = sweep.name
        names = [*sweep.parameters, *(key for point in sweep.configs for key in point)]
    provenance = identity.provenance(name)
    return Tables(where, task, list(dict.fromkeys(names)), provenance, kind=facts.kind)


def _rows_in(path: Path) -> list[tuple[int, ExecutionKey]]:
    """Return the trial and the key of each row of a results table; empty without a table."""
    rows: list[tuple[int, ExecutionKey]] = []
    try:
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                fold = int(row["fold"]) if row["fold"] else None
                key = row["config"], Repetition(int(row["seed"]), fold)
                rows.append((int(row["trial"]), key))
    except FileNotFoundError:
        return []
    except (OSError, ValueError, LookupError, TypeError, csv.Error) as error:
        raise RefusedError(
            f"{path}: row {len(rows) + 1} is not as a run writes it ({error!r}), so it is unknown "
            "whether the store has all of its results; another program may have saved it. If "
            "sweep.db is not an older copy, move the table away: the run writes it anew"
        ) from None
    return rows


@contextmanager
def _explained(where: ResultsDirectory) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        where.check()
        raise HpsearchError(
            f"{where.path}: the tables cannot be written: {error.strerror or error}; results are "
            f"safe in the store: {shortage(error) or 'mend that'}, and run the same command again"
        ) from None
