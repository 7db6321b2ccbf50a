"""What a report is about: one sweep's tables, and what its directory says beside them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpsearch import results, sweepfile
from hpsearch.errors import HpsearchError, InputError
from hpsearch.importance import Importance, importance
from hpsearch.looks import Look
from hpsearch.report.dimensions import Dimension, dimensions_of
from hpsearch.report.text import inert, number
from hpsearch.results import CURVES
from hpsearch.space import Space
from hpsearch.sweep import Sweep
from hpsearch.values import text_of

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Source", "load", "sweep_beside", "told_apart"]


@dataclass(frozen=True)
class Source:
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
    looks: tuple[Look, ...] = ()
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
        return results.ranked(self.table)

    @cached_property
    def best(self) -> pd.Series[Any] | None:
        """The best trial's row."""
        return results.best_row(self.table)

    @cached_property
    def varying(self) -> list[str]:
        """Columns of the hyperparameters that take more than one value."""
        return results.varying(self.table) if len(self.table) else []

    @cached_property
    def dimensions(self) -> dict[str, Dimension]:
        """What varies, as axes of a picture."""
        return dimensions_of(self.table, self.varying)

    @cached_property
    def metrics(self) -> list[str]:
        """The metrics of the learning curves, the scored one first."""
        found = [name for name in self.curves.columns if name not in CURVES]
        found = [name for name in found if self.curves[name].notna().any()]
        return sorted(found, key=lambda name: (name != self.metric, not name.startswith("val_")))

    @cached_property
    def importance(self) -> Importance:
        """Shares, effects and joint effects."""
        return importance(self.table, self.space, most_rows=self.most_rows)

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


def told_apart(sources: Sequence[Source]) -> list[Source]:
    """The same; sweeps of one name are called by their directories, too."""
    met = Counter(source.name for source in sources)
    if len(met) == len(sources):
        return [*sources]
    from hpsearch.comparison.labels import labels

    places = labels([source.directory or Path(source.name) for source in sources])
    return [
        source if met[source.name] == 1 else replace(source, label=f"{source.name} ({place})")
        for source, place in zip(sources, places, strict=True)
    ]


def load(path: str | os.PathLike[str]) -> Source:
    """What a results directory, or a results.csv, has to say.

    Raises:
        InputError: There is no results table.
    """
    import pandas as pd

    given = Path(path)
    directory = given if given.is_dir() else given.parent
    table = results.read(given)
    missing = [name for name in (*results.HEAD, *results.TAIL) if name not in table]
    if missing:
        raise InputError(
            f"{given}: not a results table of hpsearch: it has no column {', '.join(missing)}"
        )
    curves = directory / "curves.csv"
    known = curves.exists() and given.name in (directory.name, "results.csv")
    return Source(
        table=table,
        curves=results.read(curves) if known else pd.DataFrame(columns=[*results.CURVES]),
        sweep=sweep_beside(directory),
        directory=directory,
    )


def sweep_beside(directory: Path) -> Sweep | None:
    """The resolved sweep of a results directory, which a picture can do without."""
    path = directory / "sweep.yaml"
    if not path.exists():
        return None
    try:
        return sweepfile.load(path)
    except HpsearchError:
        return None
