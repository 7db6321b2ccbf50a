"""Train best trials again with fresh seeds, for a final model or for a verdict on tables."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hpsearch.comparison.estimates import mean_interval, overlap_of
from hpsearch.comparison.questions import LEAST, Fresh
from hpsearch.comparison.table import Table
from hpsearch.engine.events import Listener, ignore
from hpsearch.engine.session import Settings
from hpsearch.engine.sweep import run_sweep
from hpsearch.errors import InputError, RefusedError
from hpsearch.runs.trial import Source, StoredRun, open_run
from hpsearch.runs.trust import require_trusted
from hpsearch.space.execution import Execution
from hpsearch.space.mlp import MLPConfig
from hpsearch.spec.sweep import Sweep, sweep_of_configs
from hpsearch.store.cells import value_of
from hpsearch.store.derived import best_trials
from hpsearch.store.tables import hyperparameter_of, read_table
from hpsearch.store.trials import fresh_seeds, ranked_rows, ranked_trials

if TYPE_CHECKING:
    import pandas as pd

#: Rows to train on -> the subfolder of the run for the results.
REFIT_IN = {"train": "refit", "train+validation": "final"}
#: Metrics between 0 and 1.
_SHARES = ("accuracy", "auc", "precision", "recall", "f1_score")


def sweep_of_best(source: Source, top: int, seeds: int, on: str = "train") -> Sweep:
    """Return the sweep that trains the best trials of a run again.

    On `train+validation`, if early stopping, callbacks or the best epoch decided the scored epochs
    of a trial's executions, the trial is trained for the mean of these.

    Args:
        top: The number of best trials.
        seeds: The number of fresh seeds.
        on: `train` or `train+validation`.

    Raises:
        InputError: There are no results, no trial has a score, or a number is less than 1.
        RefusedError: As for `open_run`.
    """
    for name, count in (("top", top), ("seeds", seeds)):
        if count < 1:
            raise InputError(f"{name}: must be 1 or more, not {count}")
    if on not in REFIT_IN:
        raise InputError(f"on: must be train or train+validation, not {on!r}")
    run = open_run(source)
    chosen = _best(run, top)
    run.require_trusted(*chosen)
    configs = [dict(execution.config.values) for execution in chosen]
    whole = on == "train+validation"
    memory = run.sweep.data.memory
    called = memory is not None and memory.callbacks
    if whole and (run.recipe.early_stopping or called or run.recipe.epoch == "best"):
        configs = [
            values | {"epochs": _mean_epochs(run, execution.trial)}
            for values, execution in zip(configs, chosen, strict=True)
        ]
    fresh = fresh_seeds((execution.seed for execution in run.executions), seeds)
    return sweep_of_configs(run.sweep, configs, fresh, "-refit", whole=whole)


def _mean_epochs(run: StoredRun, trial: int) -> int:
    results = [
        run.results.get(execution.number)
        for execution in run.executions
        if execution.trial == trial
    ]
    epochs = [
        result.scored_epoch for result in results if result is not None and result.scored_epoch
    ]
    return max(1, round(sum(epochs) / len(epochs)))


def _best(run: StoredRun, top: int) -> list[Execution]:
    """Return an execution of each of the best trials, the best first."""
    best = best_trials(run.executions, run.results, run.recipe.goal)[:top]
    if not best:
        raise InputError(f"{run.where.path}: no trial has a score")
    first = {execution.trial: execution for execution in reversed(run.executions)}
    return [first[trial] for trial in best]


def score_intervals(directory: Path) -> pd.DataFrame:
    """Return a line for each trial, the best first: the mean of its scores and its interval.

    Columns: `trial, config, mean, low, high, executions`. The 95% interval is that of
    `mean_interval`, empty for a single execution, and within 0 to 1 for shares.
    """
    import pandas as pd  # slow to import

    table = read_table(directory)
    overlap = overlap_of(table["fold"].nunique())
    groups, lines = table.groupby("trial")["score"], []
    for trial in ranked_trials(table).to_dict("records"):
        scores = groups.get_group(trial["trial"]).dropna()
        interval = mean_interval(scores.to_numpy("float64"), overlap)
        ends = np.array((interval.low, interval.high))
        if trial["metric"].partition(":")[0].endswith(_SHARES):
            ends = ends.clip(0.0, 1.0)
        low, high = ends if interval.bounded else (math.nan, math.nan)
        count = int(trial["executions"])
        lines.append((trial["trial"], trial["config"], trial["score"], low, high, count))
    columns = ["trial", "config", "mean", "low", "high", "executions"]
    return pd.DataFrame(lines, columns=columns)


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
    if table.sweep is None or not table.retrainable:
        raise InputError(
            f"{table.path}: settling trains MLPs on data in files again, by the sweep.yaml beside "
            "the table: give the results directory, not a CSV"
        )
    if table.best is None:
        raise InputError(f"{table.path}: no trial has a score, so none is the best to train again")
    return table.sweep


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
