"""Train the best configs of several tables again with fresh seeds, for a verdict."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpsearch.comparison.questions import LEAST, Fresh
from hpsearch.comparison.table import Table
from hpsearch.engine.session import Listener, Settings, ignore
from hpsearch.engine.sweep import run_sweep
from hpsearch.errors import InputError, RefusedError
from hpsearch.runs.trial import require_trusted
from hpsearch.space.mlp import MLPConfig
from hpsearch.spec.sweep import Sweep, load_sweep, model_sweep, sweep_of_configs
from hpsearch.store.cells import value_of
from hpsearch.store.tables import hyperparameter_of, read_table
from hpsearch.store.trials import fresh_seeds, ranked_rows

#: Columns in which the fresh rows must equal the table's.
_SAME = ("data", "metric", "recipe")


@dataclass(frozen=True)
class Settler:
    """Trains each table's best config again.

    Attributes:
        count: The number of fresh seeds.
        workers: Number of parallel trainings; None for the sweep files' setting.
        make_listener: Makes the listener of a run.
        trust: Functions that may run if the directories name them, as `package.module:name`.
    """

    count: int
    workers: int | None = None
    make_listener: Callable[[], Listener] = lambda: ignore
    trust: Collection[str] = ()

    def __post_init__(self) -> None:
        if self.count < LEAST:
            raise InputError(f"settle: must be {LEAST} fresh seeds or more, not {self.count}")

    def __call__(self, tables: Sequence[Table]) -> Mapping[str, Fresh]:
        """Return the fresh scores: label -> (seed, fold) -> score.

        Raises:
            InputError: A table is not a results directory, or has no score or no usable sweep.yaml.
            RefusedError: The data, the metric or the recipe has changed, or a directory names
                functions that are not trusted.
        """
        sweeps = {table.label: _sweep(table) for table in tables}
        used = (seed for table in tables for seed in table.executions["seed"].dropna())
        seeds = fresh_seeds(used, self.count)
        return {table.label: self._scores(table, sweeps[table.label], seeds) for table in tables}

    def _scores(self, table: Table, sweep: Sweep, seeds: Sequence[int]) -> Fresh:
        again = sweep_of_configs(sweep, [_values(table)], seeds, "-settled")
        require_trusted(Path(table.path), again.functions, self.trust)
        with tempfile.TemporaryDirectory(prefix="hpsearch-settle-") as scratch:
            settings = Settings(out=Path(scratch) / "results", workers=self.workers)
            outcome = run_sweep(again, settings, self.make_listener())
            rows = read_table(outcome.directory)
        _require_same(table, rows)
        scored = ranked_rows(rows)
        if scored.empty:
            reason = next(iter(rows["error"].dropna()), "no reason was given")
            raise InputError(f"{table.path}: no fresh seed of its best config completed: {reason}")
        draws = zip(scored["seed"], scored["fold"].fillna(0), scored["score"], strict=True)
        return {f"{seed} fold {fold}": float(score) for seed, fold, score in draws}


def _sweep(table: Table) -> Sweep:
    if table.directory is None:
        raise InputError(
            f"{table.path}: to settle it, its best config is trained again by the sweep.yaml "
            "beside it: give the results directory, not a CSV"
        )
    if table.best is None:
        raise InputError(f"{table.path}: no trial has a score, so none is the best to train again")
    sweep = model_sweep(load_sweep(table.directory / "sweep.yaml"))
    if sweep.kind.is_model:
        raise InputError(
            f"{table.path}: settling trains hpsearch's own MLPs again, and these are models of "
            f"{sweep.builder}: run the sweep itself with other seeds, and compare its tables"
        )
    return sweep


def _values(table: Table) -> dict[str, Any]:
    """Return the best config's active hyperparameters, as in a sweep file.

    Raises:
        InputError: The config's id does not result from them.
    """
    import pandas as pd  # slow to import

    assert table.best is not None
    values = {
        hyperparameter_of(column): value_of(cell)
        for column, cell in table.values(table.best).items()
        if not pd.isna(cell)
    }
    config_id = MLPConfig(values).id
    if config_id != table.best:
        raise InputError(
            f"{table.path}: the cells of config {table.best} give {config_id}: results.csv was "
            "changed; run its sweep again, which writes it anew"
        )
    return values


def _require_same(table: Table, fresh: Any) -> None:
    for name in _SAME:
        now = set(map(str, fresh[name].dropna()))
        before = set(table.provenance.get(name, ()))
        if now != before:
            raise RefusedError(
                f"{table.path}: {name} was {' and '.join(sorted(before))}, and by its sweep.yaml "
                f"is now {' and '.join(sorted(now))}: the data or the file were changed, and fresh "
                "scores would not be of the same"
            )
