"""Train the best trials of a run again with fresh seeds, for mean scores and a final model."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hpsearch.comparison.estimates import mean_interval
from hpsearch.comparison.table import overlap_in, sweep_in
from hpsearch.errors import InputError
from hpsearch.runs.trial import Source, StoredRun, open_run
from hpsearch.space.execution import Execution
from hpsearch.spec.sweep import Sweep, sweep_of_configs
from hpsearch.store.tables import read_table
from hpsearch.store.trials import best_trials, fresh_seeds, ranked_trials

if TYPE_CHECKING:
    import pandas as pd

#: Rows to train on -> the subfolder of the run for the results.
REFIT_IN = {"train": "refit", "train+validation": "final"}
#: Metrics between 0 and 1.
_SHARES = ("accuracy", "auc", "precision", "recall", "f1", "f1_score")


def sweep_of_best(source: Source, top: int, seeds: int, on: str = "train") -> Sweep:
    """Return the sweep that trains the `top` trials of a run again with fresh seeds.

    On `train+validation`, if early stopping, callbacks or the best epoch decided the scored epochs
    of a trial's executions, the trial is trained for the mean of these.
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
    called = "callbacks" in (run.sweep.data.memory or {})
    if whole and (run.recipe.early_stopping or called or run.recipe.epoch == "best"):
        configs = [
            values | {"epochs": _mean_epochs(run, execution.trial)}
            for values, execution in zip(configs, chosen, strict=True)
        ]
    fresh = fresh_seeds((execution.seed for execution in run.executions), seeds)
    return sweep_of_configs(run.sweep, configs, fresh, "-refit", whole=whole)


def _mean_epochs(run: StoredRun, trial: int) -> int:
    results = [run.results.get(one.number) for one in run.executions if one.trial == trial]
    epochs = [result.scored_epoch for result in results if result and result.scored_epoch]
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
    overlap = overlap_in(table, sweep_in(directory))
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
