"""`show`, `doctor` and `list`."""

from __future__ import annotations

import math
import os
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from hpsearch.cli.app import DirectoryArgument
from hpsearch.cli.documents import Json, print_document
from hpsearch.data.builtin import DESCRIPTIONS
from hpsearch.engine.session import RunOutcome
from hpsearch.errors import HpsearchError, InputError, RefusedError
from hpsearch.progress.display import line_printer, make_console, tell
from hpsearch.runs.trial import examine_best_file
from hpsearch.space.keras_names import ACTIVATIONS, KERAS_METRICS, OPTIMIZERS
from hpsearch.space.mlp import LAYER_TYPES
from hpsearch.spec.method import METHODS
from hpsearch.store.columns import groups, in_order, text_of
from hpsearch.store.directory import ResultsDirectory
from hpsearch.store.doctor import Severity, examine
from hpsearch.store.facts import Evaluation
from hpsearch.store.store import Store, evaluations_of, facts_of
from hpsearch.store.tables import (
    goal_of,
    hyperparameter_columns,
    metric_columns,
    read_results,
    selecting_methods,
    values_of,
    varying_columns,
)
from hpsearch.store.trials import best_trial, errors_text, ranked_trials, trials_of
from hpsearch.wording import cell_text, counted, listing, number

if TYPE_CHECKING:
    import pandas as pd

Rows = Iterable[tuple[str, str]]
#: The columns of a trial in a document, beside its hyperparameters and metrics.
_OF_TRIAL = (
    *("trial", "config", "status", "metric", "score", "std", "executions"),
    *("epochs_trained", "weights", "seconds", "trainer"),
)
#: The most errors to show of a run without a score.
_MOST_ERRORS = 3


def _datasets() -> Rows:
    for name, entry in DESCRIPTIONS.items():
        test = f" + {entry.test_rows:,} test" if entry.test_rows else ""
        shape = "x".join(map(str, entry.shape))
        yield name, f"{entry.rows:,}{test} rows of {shape}, {entry.task}; {entry.source}"


def _optimizers() -> Rows:
    for name, optimizer in OPTIMIZERS.items():
        arguments = list((optimizer.implied or optimizer.defaults).items())[:6]
        text = ", ".join(f"{key}={value}" for key, value in arguments)
        yield name, f"{optimizer.name} with {text}" if optimizer.implied else text


#: Metric that Keras lacks -> what it is.
_ADDED = {
    "balanced_accuracy": "the mean recall of the classes",
    "brier": "the squared error of the probabilities",
    "cohen_kappa": "Cohen's kappa",
    "mcc": "Matthews' correlation",
}


def _metrics() -> Rows:
    yield "val_loss", "minimize; the loss, by default for classes the log loss"
    yield "val_accuracy", "maximize; for classes"
    yield "val_mae", "minimize; for numbers"
    for name, metric in KERAS_METRICS.items():
        rows = ", for classes" * metric.of_classes
        if metric.of_several:
            rows = f", for several {'classes' if metric.of_classes else 'outputs'}"
        if "k" not in metric.fixed:
            given = "".join(f" with {key}={value}" for key, value in metric.fixed.items())
            text = f"{metric.keras}{given}" if metric.keras else _ADDED[name]
            yield f"val_{name}", f"{metric.goal}; {text}{rows}"
    yield "val_top_5_accuracy", "maximize; and so on from 2 to 20, for several classes"


_LISTS: dict[str, Callable[[], Rows]] = {
    "datasets": _datasets,
    "methods": lambda: ((name, method.text) for name, method in METHODS.items()),
    "activations": lambda: ((name, "") for name in ACTIVATIONS),
    "optimizers": _optimizers,
    "layer-types": lambda: (
        *((name, layer_type.text) for name, layer_type in LAYER_TYPES.items()),
        ("package.module:function", "your own: function(x, units, activation, ...) -> tensor"),
    ),
    "metrics": _metrics,
}


def list_names(
    what: Annotated[str, typer.Argument(metavar="|".join(_LISTS))], as_json: Json = False
) -> None:
    """Print one list, a name on each line."""
    if what not in _LISTS:
        raise InputError(f"list: there is no list of {what!r}; there are {', '.join(_LISTS)}")
    if as_json:
        names = [{"name": name, "text": text} for name, text in _LISTS[what]()]
        print_document("list", list=what, names=names)
    else:
        print_table(make_console(), (), _LISTS[what]())


def doctor(directory: DirectoryArgument, as_json: Json = False) -> None:
    """Examine a results directory and print the findings."""
    findings = list(examine(directory))
    if not any(finding.level is Severity.WRONG for finding in findings):
        closer = list(examine_best_file(directory))
        findings = [f for f in findings if f.part not in {c.part for c in closer}] + closer
    wrong = any(finding.level is Severity.WRONG for finding in findings)
    if as_json:
        print_document("doctor", sound=not wrong, findings=list(map(asdict, findings)))
    else:
        say = line_printer(make_console())
        for finding in findings:
            say(f"{finding.part:12} {finding.level}: {finding.text}")
        say("something is wrong" if wrong else "all is sound")
    if wrong:
        raise typer.Exit(RefusedError.exit_code)


def show(
    source: Annotated[
        Path | None,
        typer.Argument(
            metavar="DIR|CSV",
            help="A results directory, or a CSV file; default: the sweeps below this directory.",
        ),
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="The number of best trials.")] = 10,
    as_json: Json = False,
) -> None:
    """Print the results, or the sweeps below the working directory."""
    if source is None:
        found = sweeps_below(Path())
        if as_json:
            print_document("show", sweeps=found)
        else:
            _print_sweeps(found, make_console())
    elif as_json:
        print_document("show", **_contents(source, top))
    else:
        print_results(source, top, make_console())


def _tables_below(folder: Path) -> Iterator[Path]:
    for home, folders, files in os.walk(folder):
        # Environments, caches and the like may have thousands of folders.
        folders[:] = [name for name in folders if not name.startswith(".")]
        if "results.csv" in files:
            yield Path(home, "results.csv")


def sweeps_below(folder: Path) -> list[dict[str, Any]]:
    """Return a line for each results directory below a folder, the latest first.

    Its columns: `directory`, `changed` (UTC), `trials`, `metric`, `best` (the best mean score),
    `process` (of a run under way, or None).
    """
    lines = []
    for path in _tables_below(folder):
        where = ResultsDirectory(path.parent)
        # Tables of other programs, and unreadable ones, are left out.
        with suppress(HpsearchError, OSError):
            if not where.store.exists():
                continue
            table = read_results(path)
            best = best_trial(table)
            changed = datetime.fromtimestamp(path.stat().st_mtime, UTC)
            lines.append(
                {
                    "directory": str(path.parent),
                    "changed": changed.isoformat(timespec="seconds"),
                    "trials": table["trial"].nunique(),
                    "metric": None if best is None else str(best["metric"]).split(":")[0],
                    "best": None if best is None else best["score"],
                    "process": where.holder or None,
                }
            )
    return sorted(lines, key=lambda line: str(line["changed"]), reverse=True)


def _print_sweeps(sweeps: Sequence[Mapping[str, Any]], console: Console) -> None:
    if not sweeps:
        line_printer(console)("no sweep's results are below this directory")
        return
    rows = []
    for line in sweeps:
        best = "-" if line["best"] is None else f"{line['metric']} {number(line['best'])}"
        state = f"a run is under way (process {line['process']})" if line["process"] else ""
        rows.append((line["directory"], line["changed"], str(line["trials"]), best, state))
    print_table(console, ("directory", "changed", "trials", "best", ""), rows)


def _contents(source: Path, top: int) -> dict[str, Any]:
    """Return what `show` prints, but for the means of values, as a document."""
    table = read_results(source)
    trials, best = trials_of(table), ranked_trials(table).head(top)
    names, metrics = hyperparameter_columns(table), metric_columns(table)
    return {
        "source": source,
        "goal": goal_of(table),
        "trials": trials["status"].value_counts().to_dict(),
        "executions": len(table),
        "best": [
            {name: row[name] for name in _OF_TRIAL}
            | {"values": values_of(row, names), "metrics": {name: row[name] for name in metrics}}
            for _, row in best.iterrows()
        ],
        "errors": table["error"].value_counts().to_dict(),
        "evaluations": [asdict(entry) for entry in recorded(source)],
        "process": ResultsDirectory(source).holder or None,
    }


def print_summary(outcome: RunOutcome, console: Console) -> None:
    """Print the last lines of a run."""
    say = line_printer(console)
    if outcome.stopped:
        say(f"stopped early: {outcome.stopped}")
    say(
        f"{counted(outcome.trials, 'trial')}, {outcome.completed:,} completed, "
        f"{outcome.trained:,} trained now; results in {outcome.directory}"
    )
    if outcome.trials:
        print_results(outcome.directory, 5, console)


def print_results(source: Path, top: int, console: Console) -> None:
    """Print the best trials of a results table, and the mean score of each value of a design."""
    table = read_results(source)
    names = varying_columns(table)
    trials = trials_of(table)
    statuses = trials["status"].value_counts()
    counts = ", ".join(f"{count:,} {status}" for status, count in statuses.items())
    several = f", {counted(len(table), 'execution')}" if len(table) > len(trials) else ""
    say = line_printer(console)
    say(f"{counted(len(trials), 'trial')}{several}: {counts}")
    if running := _running(source):
        say(running)
    _print_best(table, names, top, console)
    _print_errors(source, table, console)
    if chosen := selecting_methods(table):
        say(
            "mean scores by value are not shown, because "
            f"{listing(chosen, 'and')} may try some values mostly beside good others; "
            f"see the importance in the report (hpsearch report {shlex.quote(str(source))})"
        )
    else:
        _print_means(table, names, console)
    _print_evaluations(recorded(source), console)


def _running(source: Path) -> str:
    """Return a line about the run that is writing a directory; empty without a run."""
    where = ResultsDirectory(source)
    process = where.holder
    if not process:
        return ""
    with Store(where.store, read_only=True) as store:
        planned, done = len(store.executions()), store.count_results()
    return f"a run is under way (process {process}): {done:,} of {planned:,} executions done"


def recorded(source: Path) -> tuple[Evaluation, ...]:
    """Return the recorded evaluations of a table; print why if a damaged store gives none."""
    try:
        return evaluations_of(source)
    except RefusedError as error:
        tell(f"evaluations are not shown: {error}")
        return ()


def _print_evaluations(evaluations: Sequence[Evaluation], console: Console) -> None:
    if not evaluations:
        return
    rows = []
    for entry in evaluations:
        cells = (entry.time, entry.execution, entry.split, entry.rows, entry.metric)
        score = (number(entry.score.value), entry.score.interval or "-")
        rows.append([*map(cell_text, cells), *score])
    columns = ("time", "trial", "split", "rows", "metric", "value", "95% interval")
    print_table(console, columns, rows, "evaluations")


def _print_best(table: pd.DataFrame, names: list[str], top: int, console: Console) -> None:
    best = ranked_trials(table)
    if not len(best):
        for error, count in table["error"].value_counts().head(_MOST_ERRORS).items():
            line_printer(console)(f"{counted(count, 'execution')}: {error}")
        return
    metric = str(best["metric"].iloc[0]).split(":")[0]
    several = bool((best["executions"] > 1).any())
    extra = [n for n in ("epochs_trained", "weights", "seconds") if best[n].notna().any()]
    scores = [f"mean {metric}", "sd", "executions"] if several else [metric]
    rows = []
    for _, row in best.head(top).iterrows():
        figures = [number(row["score"])]
        if several:
            sd = "-" if math.isnan(row["std"]) else number(row["std"], beside=row["score"])
            figures += [sd, str(row["executions"])]
        cells = [text_of(row[name]) for name in [*names, *extra]]
        rows.append([text_of(row["trial"]), *figures, *cells])
    columns = ["trial", *scores, *names, *extra]
    print_table(console, columns, rows, f"best trials by {scores[0]}")


def _print_errors(source: Path, table: pd.DataFrame, console: Console) -> None:
    best = best_trial(table)
    if best is None:
        return
    # A damaged store is reported with the evaluations.
    with suppress(RefusedError):
        facts = facts_of(source if source.is_dir() else source.parent, table["data"].dropna())
        if errors := errors_text(best, facts):
            line_printer(console)(f"trial {best['trial']} on the validation split: {errors}")


def print_table(
    console: Console, columns: Iterable[str], rows: Iterable[Iterable[str]], title: str = ""
) -> None:
    """Print rows of text, without markup; `columns` are the headers, if any."""
    headers = list(columns)
    heading = Text(title) if title else None
    table = Table(title=heading, title_justify="left", box=None, pad_edge=False)
    table.show_header = bool(headers)
    for name in headers:
        table.add_column(Text(name), justify="right", overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    console.print(table)


def _print_means(table: pd.DataFrame, names: list[str], console: Console) -> None:
    scored = ranked_trials(table)
    if not len(scored) or not names:
        return
    rows = []
    best = "min" if goal_of(table) == "minimize" else "max"
    for name in names:
        keys = groups(scored[name])
        means = scored.groupby(keys, sort=False)["score"].agg(["mean", best, "size"])
        for index, key in enumerate(in_order(keys)):
            mean, extreme, size = map(float, means.loc[key])
            figures = (number(mean), number(extreme), f"{size:.0f}")
            rows.append(("" if index else name, str(key), *figures))
    columns = ("hyperparameter", "value", "mean", "best", "trials")
    print_table(console, columns, rows, "mean score by value")
