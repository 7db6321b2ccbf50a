"""Results on a terminal: the best trials, and the mean score of each hyperparameter's values."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from hpsearch import results
from hpsearch.cli.revisit import print_looks
from hpsearch.driver import Outcome
from hpsearch.driver.record import looks_beside
from hpsearch.errors import InputError, RefusedError
from hpsearch.values import groups, in_order, text_of

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
    names = results.varying(table)
    _print_counts(table, console)
    _print_best(table, names, top, console)
    _print_means(table, names, console)
    _print_looks(source, console)


def _print_looks(source: Path, console: Console) -> None:
    """The evaluations on the record of the directory that the table lies in."""
    try:
        print_looks(looks_beside(source), console)
    except RefusedError as error:
        line = f"evaluations are not shown: {error}"
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _print_counts(table: pd.DataFrame, console: Console) -> None:
    counts = table["status"].value_counts()
    parts = ", ".join(f"{count} {status}" for status, count in counts.items())
    console.print(f"{len(table)} trials: {parts}", markup=False, highlight=False)


def _print_best(table: pd.DataFrame, names: list[str], top: int, console: Console) -> None:
    best = results.ranked(table)
    if not len(best):
        return
    metric = str(best["metric"].iloc[0]).split(":")[0]
    if best["seed"].nunique() > 1:
        _print_best_configs(best, metric, names, top, console)
        return
    extra = [name for name in ("epochs_trained", "weights", "seconds") if name in best.columns]
    shown = _table(f"best trials by {metric}", ["trial", metric, *names, *extra])
    for _, row in best.head(top).iterrows():
        cells = [row[name] for name in [*names, *extra]]
        shown.add_row(_text(row["trial"]), Text(f"{row['score']:.4f}"), *map(_text, cells))
    console.print(shown)


def _print_best_configs(
    ranked: pd.DataFrame, metric: str, names: list[str], top: int, console: Console
) -> None:
    """With several seeds a config counts by its mean: the best trial is the luckiest."""
    configs = ranked.groupby("config", sort=False)
    means = configs["score"].agg(["mean", "std", "size"])
    ascending = results.goal_of(ranked) == "minimize"
    # The sort is stable, so configs with more seeds, then earlier ones, come first.
    order = means.sort_values("size", ascending=False, kind="stable")
    order = order.sort_values("mean", ascending=ascending, kind="stable").head(top)
    columns = ["config", f"mean {metric}", "sd", "seeds", *names]
    shown = _table(f"best configs by mean {metric}", columns)
    firsts = {str(config): row for config, row in configs.first().iterrows()}
    for config, (mean, deviation, size) in order.iterrows():
        cells = [firsts[str(config)][name] for name in names]
        sd = "-" if size < 2 else f"{deviation:.4f}"  # no spread of one
        figures = (f"{mean:.4f}", sd, str(int(size)))
        shown.add_row(Text(str(config)), *map(Text, figures), *map(_text, cells))
    console.print(shown)


def _table(title: str, columns: list[str]) -> Table:
    table = Table(title=Text(title), title_justify="left", box=None, pad_edge=False)
    for column in columns:
        table.add_column(Text(column), justify="right", overflow="fold")
    return table


def _text(value: Any) -> Text:
    return Text(text_of(value))


def _print_means(table: pd.DataFrame, names: list[str], console: Console) -> None:
    scored = results.ranked(table)
    if not len(scored) or not names:
        return
    shown = _table("mean score by value", ["hyperparameter", "value", "mean", "best", "trials"])
    shown.columns[0].justify = "left"
    best = "min" if results.goal_of(table) == "minimize" else "max"
    for name in names:
        keys = groups(scored[name])
        summary = scored.groupby(keys, sort=False)["score"].agg(["mean", best, "size"])
        for index, key in enumerate(in_order(keys)):
            mean, extreme, size = map(float, summary.loc[key])
            figures = (f"{mean:.4f}", f"{extreme:.4f}", f"{size:.0f}")
            label = Text(name if index == 0 else "")
            shown.add_row(label, Text(str(key)), *map(Text, figures))
    console.print(shown)
