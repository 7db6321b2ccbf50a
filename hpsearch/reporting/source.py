"""The input of a report: one sweep's tables, and the data that figures and texts share."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hpsearch.comparison.table import labels
from hpsearch.errors import HpsearchError
from hpsearch.reporting.drawing import robust_range, value_text
from hpsearch.reporting.forest import is_log
from hpsearch.reporting.importance import Importance, importance_of
from hpsearch.space.space import Range
from hpsearch.spec.sweep import AnySweep, load_sweep
from hpsearch.store.columns import CURVES, CURVES_TAIL, KEY
from hpsearch.store.facts import Evaluation, Facts
from hpsearch.store.store import facts_of
from hpsearch.store.tables import (
    hyperparameter_of,
    metric_parts,
    read_results,
    read_table,
    varying_columns,
)
from hpsearch.store.trials import ranked_trials, trials_of

if TYPE_CHECKING:
    import pandas as pd

#: Numeric columns with at most this many distinct values get a tick at each.
_MOST_MARKED = 8
#: A larger number of epochs counts as this one.
_MOST_EPOCHS = 1e9
#: Empty cells are drawn below an axis of numbers, at this share of its length.
_BELOW = 0.12


@dataclass(frozen=True)
class PlotAxis:
    """One column as an axis.

    Attributes:
        levels: The text of each category in order; empty for numbers.
        marked: The distinct numbers if they are few, else empty.
        gaps: True if the column has empty cells, where the hyperparameter is inactive.
    """

    name: str
    levels: tuple[str, ...] = ()
    marked: tuple[float, ...] = ()
    low: float = 0.0
    high: float = 1.0
    log: bool = False
    gaps: bool = False

    @property
    def numeric(self) -> bool:
        """True if the values are numbers."""
        return not self.levels

    @property
    def gap_position(self) -> float:
        """The position of empty cells, below all others."""
        if not self.numeric:
            return -1.0
        low, high = self.scaled(self.low), self.scaled(self.high)
        return low - _BELOW * ((high - low) or 1.0)

    def scaled(self, value: float) -> float:
        """The position of a number."""
        return math.log10(value) if self.log else value

    def codes(self, column: pd.Series[Any]) -> list[Any]:
        """Numbers, or indices of levels; None for empty cells."""
        if self.numeric:
            return [None if math.isnan(v) else v for v in column.astype("float64")]
        index = {level: code for code, level in enumerate(self.levels)}
        return [None if c is None else index[c] for c in _texts(column)]


def plot_axis(column: pd.Series[Any], searched: Range | None) -> PlotAxis:
    """The axis of a column of the results table; its scale is that of the range searched."""
    name, gaps = str(column.name), bool(column.isna().any())
    if column.dtype.kind not in "iuf" or column.isna().all():
        levels = dict.fromkeys(text for text in _texts(column) if text is not None)
        return PlotAxis(name, levels=tuple(levels) or ("-",), gaps=gaps)
    values = np.unique(column.dropna().astype("float64"))
    return PlotAxis(
        name,
        marked=tuple(map(float, values)) if len(values) <= _MOST_MARKED else (),
        low=float(values[0]),
        high=float(values[-1]),
        log=is_log(values) if searched is None else bool(searched.log and values[0] > 0),
        gaps=gaps,
    )


def _texts(column: pd.Series[Any]) -> list[str | None]:
    return [None if text == "-" else text for text in map(value_text, column.astype(object))]


@dataclass(frozen=True)
class ReportSource:
    """One sweep.

    Attributes:
        curves: Its learning curves, or an empty table.
        sweep: The resolved sweep, if known.
        most_rows: Most rows from which to learn importance.
        label: A name that distinguishes it from other sweeps of the same name, or empty.
    """

    table: pd.DataFrame
    curves: pd.DataFrame
    sweep: AnySweep | None = None
    directory: Path | None = None
    most_rows: int = 2_000
    evaluations: tuple[Evaluation, ...] = ()
    label: str = ""

    @cached_property
    def name(self) -> str:
        """The sweep's name."""
        if self.label:
            return self.label
        if self.sweep is not None:
            return self.sweep.name
        named = self.table["sweep"].dropna()
        fallback = self.directory.name if self.directory else "sweep"
        return str(named.iloc[0]) if len(named) else fallback

    @cached_property
    def scoring(self) -> tuple[str, str, str]:
        """Metric, goal and epoch, from the rows if there are any, else from the sweep."""
        cells = self.table["metric"].dropna()
        if len(cells):
            return metric_parts(cells.iloc[0])
        spec = self.sweep.metric if self.sweep is not None else None
        return (spec.name, spec.goal, spec.epoch) if spec else ("score", "maximize", "last")

    @property
    def metric(self) -> str:
        """The name of the scored metric."""
        return self.scoring[0]

    @property
    def goal(self) -> str:
        """`maximize` or `minimize`."""
        return self.scoring[1]

    @cached_property
    def trials(self) -> pd.DataFrame:
        """A line for each trial, with the means of its executions (see `trials_of`)."""
        return trials_of(self.table)

    @cached_property
    def ranked(self) -> pd.DataFrame:
        """The lines of `trials` with a score, the best first."""
        return ranked_trials(self.table)

    @cached_property
    def unscored(self) -> pd.DataFrame:
        """The lines of `trials` without a score."""
        return self.trials[~self.trials["trial"].isin(self.ranked["trial"])]

    @cached_property
    def lost(self) -> pd.DataFrame:
        """The rows of executions without a score."""
        return self.table[~self.table["status"].isin(["completed", "stopped"])]

    @property
    def best(self) -> pd.Series[Any] | None:
        """The best trial's line."""
        return None if self.ranked.empty else self.ranked.iloc[0]

    @property
    def repeated(self) -> bool:
        """True if trials have several executions."""
        return len(self.table) > len(self.trials)

    @cached_property
    def facts(self) -> Facts:
        """The facts in the directory's store about the data of these rows; may be empty."""
        if self.directory is not None:
            # A damaged store is reported elsewhere.
            with suppress(HpsearchError):
                return facts_of(self.directory, self.table["data"].dropna())
        return Facts({})

    @cached_property
    def guess(self) -> float | None:
        """The score of always guessing one class or the mean target, if it is known."""
        return self.facts.guesses.get(self.metric)

    @cached_property
    def predicted(self) -> Evaluation | None:
        """The predictions of the best trial's model for its validation split, if they were kept.

        A run stores them last, so read the facts again.
        """
        if self.directory is None or self.best is None:
            return None
        with suppress(HpsearchError):
            evaluation = facts_of(self.directory, self.table["data"].dropna()).predictions
            if evaluation and evaluation.trial == self.best["trial"] and self._has_row(evaluation):
                return evaluation
        return None

    def _has_row(self, model: Evaluation) -> bool:
        """Check if the table has the execution of an evaluated model."""
        rows = self.table[self.table["trial"] == model.trial]
        rows = rows[(rows["config"] == model.config) & (rows["seed"] == model.seed)]
        folds = rows["fold"]
        return bool((folds.isna() if model.fold is None else folds == model.fold).any())

    @cached_property
    def mean_curves(self) -> pd.DataFrame:
        """The learning curve of each trial: the mean of its executions' curves."""
        curves = self.curves.drop(columns=[*CURVES_TAIL], errors="ignore")
        return curves.groupby([*CURVES], as_index=False).mean() if self.repeated else curves

    @cached_property
    def axes(self) -> dict[str, PlotAxis]:
        """The axis of each hyperparameter that takes more than one value."""
        varying = varying_columns(self.table) if len(self.table) else []
        return {name: plot_axis(self.table[name], self.range_of(name)) for name in varying}

    def range_of(self, name: str) -> Range | None:
        """The range of numbers that the sweep searches in a hyperparameter's column, if known."""
        for parameter in self.sweep.space.parameters if self.sweep is not None else ():
            if parameter.name == hyperparameter_of(name) and isinstance(parameter.domain, Range):
                return parameter.domain
        return None

    @cached_property
    def scale(self) -> tuple[float, float]:
        """The scores at the ends of the colour scale, without a few extreme ones."""
        scores = self.ranked["score"].to_numpy(np.float64)
        if not len(scores):
            return 0.0, 1.0
        low, high = robust_range(scores) or (scores.min(), scores.max())
        return float(low), float(high)

    @property
    def is_cut(self) -> bool:
        """True if figures cut off a few scores that lie far from the others."""
        return robust_range(self.ranked["score"].to_numpy(np.float64)) is not None

    @property
    def in_order_of_a_grid(self) -> bool:
        """True if trials are in the order of a grid or a list, which shows no progress."""
        methods = {*self.table["method"].dropna()} if "method" in self.table else set()
        return bool(methods) and methods <= {"grid", "configs"}

    @cached_property
    def metrics(self) -> list[str]:
        """The metrics of the learning curves, the scored one first."""
        names = [name for name in self.curves.columns if name not in CURVES | CURVES_TAIL]
        names = [name for name in names if self.curves[name].notna().any()]
        return sorted(names, key=lambda name: (name != self.metric, not name.startswith("val_")))

    @cached_property
    def importance(self) -> Importance:
        """Shares, effects and joint effects of the hyperparameters."""
        space = self.sweep.space if self.sweep is not None else None
        return importance_of(self.table, space, most_rows=self.most_rows)

    @property
    def seconds(self) -> float:
        """The training time."""
        return float(self.table["seconds"].fillna(0).sum())

    @cached_property
    def epochs(self) -> tuple[int, int]:
        """The epochs that were trained, and those of all executions' configs.

        Sharing, early stopping and the method save the others.
        """
        table = self.table
        epochs = table["epochs_trained"].fillna(0).astype("float64")
        keys = table[KEY].assign(trial=table["shared_with"].fillna(table["trial"]))
        trained = epochs.groupby(keys.groupby(KEY, dropna=False).ngroup()).max().sum()
        ended = table["status"].isin(["completed", "stopped"])
        asked = table.get("epochs", epochs)
        # A program's `epochs` may be anything.
        asked = epochs if asked.dtype == object else asked.astype("float64").fillna(0)
        asked = asked.clip(upper=_MOST_EPOCHS).clip(lower=epochs)
        return int(trained), int(asked.where(ended, epochs).sum())


def with_distinct_names(sources: Sequence[ReportSource]) -> list[ReportSource]:
    """The same sweeps, labelled by their directories if some share a name."""
    if len({source.name for source in sources}) == len(sources):
        return [*sources]
    places = labels([source.directory or Path(source.name) for source in sources])
    return [
        replace(source, label=f"{source.name} ({label})")
        for source, label in zip(sources, places, strict=True)
    ]


def load_source(path: str | os.PathLike[str]) -> ReportSource:
    """Load a results directory or a results.csv."""
    import pandas as pd  # Slow to import.

    given = Path(path)
    directory = given if given.is_dir() else given.parent
    table = read_results(given)
    curves = directory / "curves.csv"
    has_curves = curves.exists() and given.name in (directory.name, "results.csv")
    return ReportSource(
        table=table,
        curves=read_table(curves) if has_curves else pd.DataFrame(columns=[*CURVES]),
        sweep=resolved_sweep(directory),
        directory=directory,
    )


def resolved_sweep(directory: Path) -> AnySweep | None:
    """The sweep of a results directory; None if its file is missing or invalid."""
    try:
        return load_sweep(directory / "sweep.yaml")
    except HpsearchError:
        return None
