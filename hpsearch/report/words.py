"""The texts and tables of the page, and the values of its trials column by column."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hpsearch.report.drawing import (
    BEST_CURVES,
    MOST_EPOCHS,
    duration,
    inert,
    number,
    rounded,
)
from hpsearch.store.cells import text_of
from hpsearch.store.tables import hyperparameter_columns

if TYPE_CHECKING:
    import pandas as pd

    from hpsearch.report.source import PlotAxis, ReportSource
    from hpsearch.store.facts import Measurement

_MOST_REASONS = 50
_MOST_NAMED = 12
_LONGEST_REASON = 400


def tiles(source: ReportSource) -> list[list[str]]:
    """The label, value and remark of each tile at the top of the page."""
    table, best, saved = source.table, source.best, source.savings
    asked = saved.epochs_trained + saved.epochs_shared + saved.epochs_stopped
    spared = 1 - saved.epochs_trained / asked if asked else 0.0
    trained = f"{saved.epochs_trained:,} trained of {asked:,} asked for"
    trials = source.trials
    lost = source.lost["status"].value_counts()
    failures = ", ".join(f"{count:,} {status}" for status, count in lost.items())
    if failures and source.repeated:
        failures = f"executions: {failures}"
    found = [
        [f"best {source.metric}", *_best(source)],
        ["trials", f"{len(trials):,}", f"{len(table):,} executions" if source.repeated else ""],
        ["without a score", f"{len(source.unscored):,}", failures],
    ]
    if source.has_work:
        found.append(["training time", duration(saved.seconds), "summed over trials"])
        found.append(["epochs saved", f"{spared:.0%}", trained])
    # An objective function has no weights.
    if best is not None and best.notna()["weights"]:
        found.append(["model size", f"{best['weights']:,}", "weights"])
    return found


def _best(source: ReportSource) -> tuple[str, str]:
    best = source.best
    if best is None:
        return "-", "no trial has a score"
    text = f"trial {best['trial']}"
    if best["executions"] > 1:
        text += f"; the mean of {best['executions']} executions, sd {number(float(best['std']))}"
    return number(float(best["score"])), text


def overview_note(sources: Sequence[ReportSource]) -> str:
    """The note under the figure of several sweeps."""
    first = sources[0]
    others = [inert(s.name) for s in sources if (s.metric, s.goal) != (first.metric, first.goal)]
    note = "The best score so far of each sweep, by its own trials."
    if others:
        note += f" Not drawn, because their metric is not {first.metric}: {', '.join(others)}."
    return (
        f"{note} To see whether one sweep is really better than another, use hpsearch compare, "
        "which accounts for seeds and splits."
    )


def notes(
    source: ReportSource, points: int, lines: int, curves: int, effects: int
) -> dict[str, str]:
    """The note under each title, with the rule by which a large sweep was thinned."""
    scored = len(source.ranked)
    spread = f"{points:,} of {scored:,} trials, evenly spread; the line is complete. "
    best = int(curves * BEST_CURVES)
    drawn = f"{curves} of {scored:,} trials: the best {best}, the others spread over the ranking. "
    lined = f"{lines:,} of {scored:,} trials: the best tenth, the others spread over the ranking."
    is_long = bool((source.curves["epoch"] > MOST_EPOCHS).any())
    found = source.importance
    strongest = f"The {effects} most important of {len(found.effects):,} hyperparameters. "
    return {
        "progress": (spread if scored > points else "") + "Choose a point to see its trial.",
        "curves": (drawn if scored > curves else "")
        + "Coloured by rank, the best trial in orange; point at a line to see its config. "
        + (f"Longer trainings are drawn with {MOST_EPOCHS} of their epochs." if is_long else ""),
        "front": _front_note(source),
        "parallel": "Drag along an axis to keep a range: the table of best trials follows. "
        "Click outside a range to remove it. If a hyperparameter is inactive, the line passes "
        "below its numbers. " + (lined if scored > lines else ""),
        "importance": f"The share of the variance of {source.metric} over the whole space that "
        "each hyperparameter explains, and each pair beyond its members: functional ANOVA on "
        "random forests. Lines: 90% intervals, from forests of half of the configs. From "
        f"{found.trials:,} trials; the forest explains {max(0.0, found.explained):.0%} of the "
        "variance of scores it has not seen. An inactive hyperparameter makes no difference.",
        "effects": (strongest if len(found.effects) > effects else "")
        + "The forest's mean score at each value, over all values of the others. Bands: 90% "
        "intervals over forests.",
        "contour": "The forest's mean score over two hyperparameters, all others averaged out. "
        "Circles: trials.",
        "failures": ("Executions" if source.repeated else "Trials")
        + " without a score, grouped by reason.",
        "evaluations": "Evaluations of trials on a split, in their order. The more often a test "
        "split chooses between trials, the better its best score looks.",
        "work": "Trials that differ only in epochs share one training.",
        "provenance": "Everything that decides the scores. Tables whose data and recipe differ "
        "cannot be compared.",
    }


def _front_note(source: ReportSource) -> str:
    if not source.objectives:
        return ""
    names = [f"{name} ({goal})" for name, goal in source.objectives]
    return (
        f"The {len(source.front):,} trials on the Pareto front of {', '.join(names)}: no other "
        "trial is as good in each of them and better in one. The best trial has the best "
        f"{source.metric}."
    )


def failures(source: ReportSource) -> list[list[Any]]:
    """Status, reason, count and the first trials of each kind of failure, most frequent first."""
    lost = source.lost
    reasons = lost["error"].astype(object).where(lost["error"].notna(), "")
    found: list[list[Any]] = []
    for (status, reason), group in lost.groupby([lost["status"].astype(object), reasons]):
        trials = group["trial"].unique()
        more = len(trials) - _MOST_NAMED
        named = ", ".join(map(str, trials[:_MOST_NAMED]))
        named += f" and {more:,} more" if more > 0 else ""
        found.append([str(status), str(reason)[:_LONGEST_REASON], len(group), named])
    return sorted(found, key=lambda row: -row[2])[:_MOST_REASONS]


def evaluations(source: ReportSource) -> list[list[str]]:
    """Time, execution, split, rows, metric, value and interval of each recorded measurement."""
    return [
        [each.time, each.execution, each.split, f"{each.rows:,}", name, *_measured(measured)]
        for each in source.evaluations
        for name, measured in each.metrics.items()
    ]


def _measured(measured: Measurement) -> list[str]:
    if measured.low is None or measured.high is None:
        return [number(measured.value), "-"]
    return [number(measured.value), f"{number(measured.low)} to {number(measured.high)}"]


def work(source: ReportSource) -> list[list[str]]:
    """Trials, trainings and epochs that were shared and saved."""
    saved = source.savings
    rows_are = "executions" if source.repeated else "trials"
    rows = [
        ["trials", f"{len(source.trials):,}"],
        *([["executions", f"{len(source.table):,}"]] if source.repeated else []),
        ["trainings", f"{saved.trainings:,}"],
        [f"{rows_are} answered by another's training", f"{saved.shared:,}"],
        ["epochs trained", f"{saved.epochs_trained:,}"],
        ["epochs shared", f"{saved.epochs_shared:,}"],
        ["epochs spared by stopping early", f"{saved.epochs_stopped:,}"],
    ]
    if saved.epochs_trained:
        second = saved.seconds / saved.epochs_trained
        rows.append(["seconds an epoch", f"{second:.3g}"])
    rows += [[f"{rows_are} by the {name} trainer", f"{n:,}"] for name, n in saved.trainers.items()]
    best = source.best
    if best is not None and source.directory and (source.directory / "best.keras").exists():
        rows.append(["saved model", "best.keras"])
    return rows


def facts(source: ReportSource) -> list[list[str]]:
    """The provenance of the scores."""
    sweep = source.sweep
    rows = [
        ["metric", f"{source.metric}, {source.goal}, at the {source.epoch} epoch"],
        *([label, _distinct(source.table[name])] for label, name in _FACTS.items()),
    ]
    if sweep is not None:
        spec = sweep.data
        rows += [
            ["method", sweep.method.name],
            ["sweep seed", str(sweep.seed)],
            ["data source", text_of(spec.dataset or spec.csv or spec.npz or spec.python or "-")],
            ["validation", str(spec.validation)],
            ["split seed", str(spec.seed)],
        ]
    return rows


#: Label -> the column whose values the provenance lists.
_FACTS = {
    "data": "data",
    "recipe": "recipe",
    "hpsearch": "version",
    "TensorFlow": "tensorflow",
    "Keras": "keras",
}


def _distinct(column: pd.Series[Any]) -> str:
    values = [str(value) for value in column.dropna().unique()]
    if values and column.isna().any():
        values.append("unknown")
    return ", ".join(values[:4]) + (", ..." if len(values) > 4 else "") or "-"


#: Columns that follow the hyperparameters in the page's table.
_AFTER = ("status", "std", "executions", "seed", "fold", "epochs_trained", "weights", "seconds")
#: Columns that are shown only in the details of a chosen trial.
_DETAILS = ("best_epoch", "shared_with", "trainer")


def columns_of(source: ReportSource, most: int) -> list[dict[str, Any]]:
    """The values of each column in at most `most` rows: best first, those without a score last.

    A number is itself, a category the index of its text in `levels`, an empty cell null.
    """
    scored, unscored = source.ranked.index, source.unscored.index
    if len(source.trials) > most:
        # Some failures stay, so that the page does not show only successes.
        failed = min(len(unscored), most // 10)
        scored, unscored = scored[: most - failed], unscored[:failed]
    rows = source.trials.loc[[*scored, *unscored]]
    found = [_column(rows["trial"]), _score(source, rows)]
    found += [_hyperparameter(axis, rows[axis.name]) for axis in source.axes.values()]
    for name in (*_AFTER, *_DETAILS):
        dull = name in ("seed", "executions") and source.trials[name].nunique() < 2
        if source.trials[name].notna().any() and (source.repeated or not dull):
            found.append(_column(rows[name]) | {"detail": name in _DETAILS})
    return found


def _column(column: pd.Series[Any]) -> dict[str, Any]:
    name = str(column.name)
    found: dict[str, Any] = {"name": name, "label": name.replace("_", " ")}
    if column.dtype.kind in "iuf":
        values: Iterable[float] = column.to_numpy(np.float64, na_value=np.nan)
        if name == "seconds":
            values = (float(f"{value:.3g}") for value in values)
        return found | {"values": [rounded(value) for value in values]}
    levels = list(dict.fromkeys(column.dropna()))
    index = {level: code for code, level in enumerate(levels)}
    return found | {"levels": levels, "values": [index.get(cell) for cell in column]}


def _score(source: ReportSource, rows: pd.DataFrame) -> dict[str, Any]:
    values = [rounded(v) for v in rows["score"].where(rows.index.isin(source.ranked.index))]
    column = {"name": "score", "label": source.metric, "values": values, "axis": True}
    finite = [value for value in values if value is not None]
    return column | {"low": min(finite, default=0), "high": max(finite, default=1)}


def _hyperparameter(axis: PlotAxis, column: pd.Series[Any]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": axis.name,
        "label": axis.name,
        "hyperparameter": True,
        "axis": True,
        "gaps": axis.gaps,
        "gap_position": rounded(axis.gap_position),
        "values": [rounded(code) for code in axis.codes(column)],
    }
    if axis.numeric:
        return found | {
            "log": axis.log,
            "low": rounded(axis.low),
            "high": rounded(axis.high),
            "marked": [rounded(value) for value in axis.marked],
        }
    return found | {"levels": list(axis.levels)}


def constants_of(source: ReportSource) -> list[list[str]]:
    """The hyperparameters that have one value in all trials, and that value."""
    fixed = [n for n in hyperparameter_columns(source.table) if n not in source.axes]
    row = source.table.head(1)
    return [[name, text_of(row[name].iloc[0])] for name in fixed if len(row)]
