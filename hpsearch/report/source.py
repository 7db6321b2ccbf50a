"""What a report is about: one sweep's tables and the files beside them."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hpsearch.comparison.table import labels
from hpsearch.errors import HpsearchError, InputError
from hpsearch.report.drawing import Spec, inert, number
from hpsearch.report.forest import is_log
from hpsearch.report.importance import Importance, importance_of
from hpsearch.space.space import Space
from hpsearch.spec.sweep import Sweep, load_sweep
from hpsearch.store.cells import text_of
from hpsearch.store.facts import Evaluation
from hpsearch.store.tables import (
    CURVES,
    HEAD,
    TAIL,
    best_row,
    ranked_rows,
    read_table,
    varying_columns,
)

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd

#: Numbers of no more distinct values are marked each on an axis.
_MOST_MARKED = 8
#: Where dead values stand on an axis of numbers: below it, by this share of its length.
_BELOW = 0.12


@dataclass(frozen=True)
class PlotAxis:
    """One column as an axis.

    Attributes:
        levels: The text of each category in order; empty for numbers.
        marked: Distinct numbers where they are few, else empty.
        low, high: Of the numbers.
        log: Whether the axis is logarithmic.
        dead: Whether some trials have no value here.
    """

    name: str
    levels: tuple[str, ...] = ()
    marked: tuple[float, ...] = ()
    low: float = 0.0
    high: float = 1.0
    log: bool = False
    dead: bool = False

    @property
    def numeric(self) -> bool:
        """Whether the values are numbers."""
        return not self.levels

    @property
    def ends(self) -> tuple[float, float]:
        """Positions of the axis' ends."""
        if not self.numeric:
            return 0.0, max(len(self.levels) - 1 + self.dead, 1)
        low, high = self._scaled(self.low), self._scaled(self.high)
        return (self.dead_at if self.dead else low), high

    @property
    def dead_at(self) -> float:
        """The position of dead values."""
        if not self.numeric:
            return float(len(self.levels))
        low, high = self._scaled(self.low), self._scaled(self.high)
        return low - _BELOW * ((high - low) or 1.0)

    def _scaled(self, value: float) -> float:
        return math.log10(value) if self.log else value

    def codes(self, column: pd.Series[Any]) -> list[Any]:
        """Numbers, or indices of levels; None where dead."""
        if self.numeric:
            return [None if v != v else v for v in column.astype("float64")]  # noqa: PLR0124 - nan
        index = {level: code for code, level in enumerate(self.levels)}
        return [None if c is None else index[c] for c in _texts(column)]

    def positions(self, column: pd.Series[Any]) -> npt.NDArray[np.float64]:
        """Where each value stands on the axis `(n_rows,)`."""
        codes = np.array([np.nan if c is None else c for c in self.codes(column)], np.float64)
        if self.log:
            codes = np.log10(codes)
        return np.where(np.isnan(codes), self.dead_at, codes)

    def ticks(self) -> tuple[list[float], list[str]] | None:
        """Positions and texts of the ticks; None where the numbers' own will do.

        Brushes of parallel coordinates snap to ticks, so only few values have their own.
        """
        if self.numeric and not self.marked:
            return None
        if self.numeric:
            at, said = [self._scaled(v) for v in self.marked], [text_of(v) for v in self.marked]
            return ([self.dead_at, *at], ["-", *said]) if self.dead else (at, said)
        at, said = [float(i) for i in range(len(self.levels))], list(self.levels)
        return ([*at, self.dead_at], [*said, "-"]) if self.dead else (at, said)


def plot_axes(table: pd.DataFrame, names: Sequence[str]) -> dict[str, PlotAxis]:
    """The axis of each column."""
    return {name: _dimension(table[name]) for name in names}


def _texts(column: pd.Series[Any]) -> list[str | None]:
    return [None if text == "-" else text for text in map(text_of, column.astype(object))]


def _dimension(column: pd.Series[Any]) -> PlotAxis:
    import pandas as pd

    name, dead = str(column.name), bool(column.isna().any())
    numeric = pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)
    if not numeric or column.isna().all():
        levels = dict.fromkeys(text for text in _texts(column) if text is not None)
        return PlotAxis(name, levels=tuple(levels) or ("-",), dead=dead)
    values = np.unique(column.dropna().astype("float64"))
    return PlotAxis(
        name,
        marked=tuple(map(float, values)) if len(values) <= _MOST_MARKED else (),
        low=float(values[0]),
        high=float(values[-1]),
        log=is_log(values),
        dead=dead,
    )


@dataclass(frozen=True)
class ReportSource:
    """One sweep.

    Attributes:
        table: Its results table; one that was empty has its columns.
        curves: Its learning curves, or an empty table.
        sweep: The resolved sweep where there is one.
        directory: Where the files lie.
        most_rows: Of the trials that importance is learnt from.
        looks: Evaluations on its record.
        label: What it is called beside others of its name, or empty.
    """

    table: pd.DataFrame
    curves: pd.DataFrame
    sweep: Sweep | None = None
    directory: Path | None = None
    most_rows: int = 2_000
    looks: tuple[Evaluation, ...] = ()
    label: str = ""

    @cached_property
    def name(self) -> str:
        """Of the sweep."""
        if self.label:
            return self.label
        if self.sweep is not None:
            return self.sweep.name
        named = self.table["sweep"].dropna()
        fallback = self.directory.name if self.directory else "sweep"
        return str(named.iloc[0]) if len(named) else fallback

    @cached_property
    def metric(self) -> str:
        """The name of what is scored."""
        return self._metric_part(0, "score")

    @cached_property
    def epoch(self) -> str:
        """Which epoch's metric is the score: `last` or `best`."""
        return self._metric_part(2, "last")

    def _metric_part(self, index: int, default: str) -> str:
        metrics = self.table["metric"].dropna()
        if len(metrics):
            return [*str(metrics.iloc[0]).split(":"), *("",) * index][index] or default
        spec = self.sweep.metric if self.sweep is not None else None
        return default if spec is None else (spec.name, spec.direction, spec.epoch)[index]

    @cached_property
    def goal(self) -> str:
        """`maximize` or `minimize`."""
        return self._metric_part(1, "maximize")

    @cached_property
    def space(self) -> Space | None:
        """What can vary, where the sweep is known."""
        return self.sweep.space if self.sweep is not None else None

    @cached_property
    def ranked(self) -> pd.DataFrame:
        """The trials with a score, best first."""
        return ranked_rows(self.table)

    @cached_property
    def best(self) -> pd.Series[Any] | None:
        """The best trial's row."""
        return best_row(self.table)

    @cached_property
    def varying(self) -> list[str]:
        """Columns of the hyperparameters that take more than one value."""
        return varying_columns(self.table) if len(self.table) else []

    @cached_property
    def dimensions(self) -> dict[str, PlotAxis]:
        """What varies, as axes of a picture."""
        return plot_axes(self.table, self.varying)

    @cached_property
    def metrics(self) -> list[str]:
        """The metrics of the learning curves, the scored one first."""
        found = [name for name in self.curves.columns if name not in CURVES]
        found = [name for name in found if self.curves[name].notna().any()]
        return sorted(found, key=lambda name: (name != self.metric, not name.startswith("val_")))

    @cached_property
    def importance(self) -> Importance:
        """Shares, effects and joint effects."""
        return importance_of(self.table, self.space, most_rows=self.most_rows)

    def described(self, trials: list[int]) -> list[str]:
        """What a pointer at each of these trials is told, as Plotly's text."""
        places = {trial: place for place, trial in enumerate(self.table["trial"])}
        return [self._described(trial, self.table.iloc[places[trial]]) for trial in trials]

    def _described(self, trial: int, row: pd.Series[Any]) -> str:
        has_score = row["score"] == row["score"]
        score = number(float(row["score"])) if has_score else row["status"]
        lines = [f"<b>trial {trial}: {inert(score)}</b>"]
        lines += [f"{inert(name)}: {inert(text_of(row[name]))}" for name in self.varying]
        if self.table["seed"].nunique() > 1:
            lines.append(f"seed: {row['seed']}")
        return "<br>".join(lines)


def told_apart(sources: Sequence[ReportSource]) -> list[ReportSource]:
    """The same; sweeps of one name are called by their directories, too."""
    met = Counter(source.name for source in sources)
    if len(met) == len(sources):
        return [*sources]

    places = labels([source.directory or Path(source.name) for source in sources])
    return [
        source if met[source.name] == 1 else replace(source, label=f"{source.name} ({place})")
        for source, place in zip(sources, places, strict=True)
    ]


def load_source(path: str | os.PathLike[str]) -> ReportSource:
    """What a results directory, or a results.csv, has to say.

    Raises:
        InputError: There is no results table.
    """
    import pandas as pd

    given = Path(path)
    directory = given if given.is_dir() else given.parent
    table = read_table(given)
    missing = [name for name in (*HEAD, *TAIL) if name not in table]
    if missing:
        raise InputError(
            f"{given}: not a results table of hpsearch: it has no column {', '.join(missing)}"
        )
    curves = directory / "curves.csv"
    known = curves.exists() and given.name in (directory.name, "results.csv")
    return ReportSource(
        table=table,
        curves=read_table(curves) if known else pd.DataFrame(columns=[*CURVES]),
        sweep=sweep_beside(directory),
        directory=directory,
    )


def sweep_beside(directory: Path) -> Sweep | None:
    """The resolved sweep of a results directory, which a picture can do without."""
    path = directory / "sweep.yaml"
    if not path.exists():
        return None
    try:
        return load_sweep(path)
    except HpsearchError:
        return None


@dataclass(frozen=True)
class Savings:
    """Counts over all trials of a sweep.

    Attributes:
        trainings: Uninterrupted runs of an MLP.
        epochs_trained: Of those trainings.
        epochs_shared: Further ones that trials had, answered by another trial's training.
        epochs_stopped: That trials asked for and early stopping or the method spared them.
        seconds: Of training.
        trainers: What trained, and how many trials each answered.
    """

    trials: int
    trainings: int
    shared_trials: int
    epochs_trained: int
    epochs_shared: int
    epochs_stopped: int
    seconds: float
    trainers: dict[str, int]


def savings_of(source: ReportSource) -> Savings:
    """What a results table says about it."""
    table = source.table
    epochs = table["epochs_trained"].fillna(0).astype("int64")
    training = table["shared_with"].fillna(table["trial"])
    trained = int(epochs.groupby(training).max().sum())
    ended = table["status"].isin(["completed", "stopped"])
    asked = table.get("epochs", epochs).astype("float64")
    spared = (asked - epochs).fillna(0).clip(lower=0)[ended]
    return Savings(
        trials=len(table),
        trainings=int(training[epochs > 0].nunique()),
        shared_trials=int(table["shared_with"].notna().sum()),
        epochs_trained=trained,
        epochs_shared=int(epochs.sum()) - trained,
        epochs_stopped=int(spared.sum()),
        seconds=float(table["seconds"].fillna(0).sum()),
        trainers={str(k): int(v) for k, v in table["trainer"].dropna().value_counts().items()},
    )


def with_hover(spec: Spec, source: ReportSource) -> Spec:
    """`spec` with the config of each trial where a pointer rests on it.

    A trace says which trials it shows: `meta: {"trials": [...]}`, one a point, or
    `meta: {"trial": ...}`, one for all. The page adds the same from its table.
    """
    traces = []
    for trace in spec["data"]:
        meta = trace.get("meta") or {}
        said: Any = None
        if "trials" in meta:
            said = source.described(meta["trials"])
        elif "trial" in meta:
            (said,) = source.described([meta["trial"]])
        traces.append(trace if said is None else trace | {"hovertext": said, "hoverinfo": "text"})
    return spec | {"data": traces}
