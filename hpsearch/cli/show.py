"""Results on a terminal: the best trials, and the mean score of each hyperparameter's values."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from hpsearch import results
from hpsearch.driver import Outcome
from hpsearch.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["print_results", "summary"]


def summary(outcome: Outcome, console: Console) -> None:
    """The last lines of a run."""
    if outcome.stopped:
        console.print(f"stopped early: {outcome.stopped}", markup=False, highlight=False)
    console.print(
        f"{outcome.trials} trials, {outcome.completed} completed, {outcome.trained} trained now; "
        f"results in {outcome.directory}",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    if outcome.completed:
        print_results(outcome.directory, 5, console)
    elif outcome.trials:
        console.print("no trial completed; the error column of results.csv says why")


def print_results(source: Path, top: int, console: Console) -> None:
    """Print what a results table says.

    Raises:
        InputError: There is no such table.
    """
    table = results.read(source)
    missing = [name for name in ("score", "status", "metric") if name not in table.columns]
    if missing:
        raise InputError(f"{source}: not a results table: it has no column {', '.join(missing)}")
    names = varying(table)
    _print_counts(table, console)
    _print_best(table, names, top, console)
    _print_means(table, names, console)


def varying(table: pd.DataFrame) -> list[str]:
    """Columns of hyperparameters that take more than one value."""
    columns = list(table.columns)
    first, last = columns.index("score") + 1, columns.index("loss")
    return [name for name in columns[first:last] if table[name].astype(str).nunique() > 1]


def _print_counts(table: pd.DataFrame, console: Console) -> None:
    counts = table["status"].value_counts()
    parts = ", ".join(f"{count} {status}" for status, count in counts.items())
    console.print(f"{len(table)} trials: {parts}", markup=False, highlight=False)


def _print_best(table: pd.DataFrame, names: list[str], top: int, console: Console) -> None:
    best = results.ranked(table).head(top)
    if not len(best):
        return
    metric = str(best["metric"].iloc[0]).split(":")[0]
    shown = Table(title=f"best trials by {metric}", title_justify="left", box=None, pad_edge=False)
    seeds = ["seed"] if table["seed"].nunique() > 1 else []
    extra = [name for name in ("epochs_trained", "weights", "seconds") if name in best.columns]
    for column in ["trial", metric, *seeds, *names, *extra]:
        shown.add_column(Text(column), justify="right")
    for _, row in best.iterrows():
        cells = [row["trial"], f"{row['score']:.4f}", *(row[n] for n in [*seeds, *names])]
        shown.add_row(*map(_text, cells), *(_text(row[name]) for name in extra))
    console.print(shown)


def _text(value: Any) -> Text:
    import pandas as pd

    if pd.isna(value):
        return Text("-")
    return Text(f"{value:.3g}" if isinstance(value, float) else str(value))


def _print_means(table: pd.DataFrame, names: list[str], console: Console) -> None:
    scored = results.ranked(table)
    if not len(scored) or not names:
        return
    shown = Table(
        title="mean score by value", title_justify="left", box=None, pad_edge=False
    )
    for column in ("hyperparameter", "value", "mean", "best", "trials"):
        shown.add_column(column, justify="left" if column == "hyperparameter" else "right")
    best = "min" if results.goal_of(table) == "minimize" else "max"
    for name in names:
        keys = scored[name].map(lambda cell: _text(cell).plain)
        groups = scored.groupby(keys, sort=False)["score"].agg(["mean", best, "size"])
        for index, key in enumerate(sorted(groups.index, key=_sort_key)):
            mean, extreme, size = groups.loc[key]
            label = name if index == 0 else ""
            shown.add_row(
                Text(label), Text(str(key)), f"{mean:.4f}", f"{extreme:.4f}", str(int(size))
            )
    console.print(shown)


def _sort_key(text: str) -> tuple[int, float, str]:
    try:
        return 0, float(text), ""
    except ValueError:
        return 1, 0.0, text
