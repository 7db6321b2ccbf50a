"""`export`, `predict`, `refit`, `evaluate`, `reproduce` and `report` on a terminal."""

from __future__ import annotations

import math
import os
import shlex
import sys
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from hpsearch.comparison.comparing import compare_tables
from hpsearch.errors import HpsearchError, InputError, RefusedError
from hpsearch.progress.console import make_console, tell
from hpsearch.progress.display import line_printer, make_display
from hpsearch.reporting.comparison_page import section_of
from hpsearch.reporting.page import Compared, write_page
from hpsearch.reporting.source import load_source
from hpsearch.revisit.predicting import predictor_of
from hpsearch.revisit.programs import open_program, reproduce_program
from hpsearch.revisit.refitting import REFIT_IN, score_intervals, sweep_of_best
from hpsearch.revisit.rows import (
    Reproduction,
    Which,
    evaluate_trial,
    export_model,
    reproduce_trial,
)
from hpsearch.revisit.standalone import PROGRAM, write_standalone
from hpsearch.revisit.trust import roles_of, trusted
from hpsearch.spec.sweep import Sweep, load_sweep
from hpsearch.store.facts import Evaluation, Measurement
from hpsearch.store.records import PACKAGES
from hpsearch.store.store import evaluations_beside, evaluations_of
from hpsearch.store.tables import write_csv
from hpsearch.tuner.run import run_sweep
from hpsearch.tuner.settings import Settings
from hpsearch.wording import counted, number

#: Trial, seed and fold; None for those not given.
Choice = tuple[int | None, int | None, int | None]

_INTERVALS = {
    "wilson": "Wilson's",
    "bootstrap": "by the bootstrap",
    "t": "Student's t",
}


def trust_of(names: Sequence[str], sweep: Path | None) -> frozenset[str]:
    """Return the functions that may run: those in `names` and those in the user's sweep file.

    Raises:
        InputError: A name is not a function's, or the file is not a sweep.
    """
    named = None if sweep is None else load_sweep(sweep)
    return trusted(names) | frozenset(roles_of(named) if isinstance(named, Sweep) else ())


def _evaluations(source: Path) -> tuple[Evaluation, ...]:
    try:
        return evaluations_beside(source)
    except RefusedError as error:
        # The store is damaged, but the report needs only the tables.
        tell(f"evaluations are not shown: {error}")
        return ()


def _compared(sources: Sequence[Path]) -> Compared | None:
    """Return the comparison of several sweeps; None if they cannot be compared."""
    if len(set(sources)) < len(sources) or len(sources) < 2:
        return None
    # The page refers to `hpsearch compare`, which reports the reason.
    with suppress(HpsearchError):
        return section_of(compare_tables(sources))
    return None


def write_report(sources: Sequence[Path], out: Path | None) -> None:
    """Write the page.

    Raises:
        InputError: There is no such table, or the file cannot be written.
    """
    loaded = [replace(load_source(path), evaluations=_evaluations(path)) for path in sources]
    if out is None and len(sources) > 1:
        raise InputError("several sweeps: name the page's file, as in: --out report.html")
    path = out or (sources[0] if sources[0].is_dir() else sources[0].parent) / "report.html"
    try:
        write_page(loaded, path, compared=_compared(sources))
    except OSError as error:
        raise InputError(
            f"{path}: cannot be written: {error.strerror}; name another file with --out"
        ) from None
    typer.echo(f"wrote {path}")


def export(
    directory: Path, out: Path, which: Choice, console: Console, trust: Collection[str] = ()
) -> None:
    """Write a trial's model and print where."""
    say = line_printer(make_console(stderr=True))
    execution = export_model(directory, out, Which(*which), say, trust=trust)
    line_printer(console)(f"wrote the model of {execution.label} to {out}; it takes raw rows")


def _import_tensorflow() -> None:
    """Import TensorFlow and let it look for GPUs, without its messages on stderr."""
    sys.stderr.flush()
    stderr = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        import tensorflow as tf

        tf.config.list_physical_devices()
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(nowhere)


def predict(
    directory: Path,
    rows: Path,
    out: Path | None,
    which: Choice,
    trust: Collection[str] = (),
    *,
    proba: bool = False,
) -> None:
    """Predict the rows of a file and write the predictions, a line for each row."""
    say = line_printer(make_console(stderr=True))
    _import_tensorflow()
    predictor = predictor_of(directory, Which(*which), say, trust=trust)
    table = predictor.table(rows, probabilities=proba)
    if out is None:
        write_csv(table, Path("-"), lambda _, text: typer.echo(text, nl=False))
        return
    try:
        write_csv(table, out)
    except OSError as error:
        raise InputError(f"{out}: cannot be written: {error.strerror}") from None
    say(f"wrote {counted(len(table), 'prediction')} to {out}")


def refit(
    directory: Path,
    out: Path | None,
    numbers: tuple[int, int, int | None],
    console: Console,
    trust: Collection[str] = (),
    *,
    on: str = "train",
) -> None:
    """Train the best trials again and print their means and intervals.

    Args:
        numbers: Numbers of trials, of fresh seeds and of workers.
    """
    top, seeds, workers = numbers
    sweep = sweep_of_best(directory, top, seeds, trust=trust, on=on)
    display = make_display(make_console(stderr=True))
    out = out or directory / REFIT_IN[on]
    run_sweep(sweep, Settings(out=out, workers=workers), display)
    shown = Table(box=None, pad_edge=False)
    for name in ("trial", "config", "mean", "95% interval", "executions"):
        shown.add_column(name, justify="left" if name == "config" else "right")
    for line in score_intervals(out).to_dict("records"):
        low, mean, high = (number(line[name]) for name in ("low", "mean", "high"))
        ends = "-" if math.isnan(line["low"]) else f"{low} to {high}"
        cells = (line["trial"], line["config"], mean, ends, line["executions"])
        shown.add_row(*(Text(str(cell)) for cell in cells))
    console.print(shown)
    if on != "train":
        line_printer(console)("these scores are of rows that the models were trained on")
    line_printer(console)(f"results and the best of these models, best.keras, are in {out}")


def evaluate(
    directory: Path, split: str, which: Choice, console: Console, trust: Collection[str] = ()
) -> None:
    """Evaluate a trial and print its metrics."""
    progress = line_printer(make_console(stderr=True))
    evaluation = evaluate_trial(directory, split, Which(*which), progress, trust=trust)
    say = line_printer(console)
    fold = "" if evaluation.fold is None else f", fold {evaluation.fold}"
    model = f"trial {evaluation.trial} ({evaluation.config}, seed {evaluation.seed}{fold})"
    say(f"{model} on the {split} split, {evaluation.rows} rows")
    shown = Table(box=None, pad_edge=False, show_header=False)
    for name, measured in evaluation.metrics.items():
        shown.add_row(Text(name), Text(number(measured.value)), Text(_interval(measured)))
    console.print(shown)
    recorded = [each for each in evaluations_of(directory) if each.split == split]
    say(f"recorded: evaluation {len(recorded)} on the {split} split of this directory")
    trials = {each.trial for each in recorded} | {evaluation.trial}
    if split == "test" and len(trials) > 1:
        say(
            f"warning: the test split has judged {len(trials)} trials now; the best of their "
            "test scores is too good to be expected of new rows"
        )


def _interval(measured: Measurement) -> str:
    if measured.low is None or measured.high is None:
        return ""
    ends = f"{number(measured.low)} to {number(measured.high)}"
    return f"95% interval {ends}, {_INTERVALS[measured.method]}"


def reproduce(directory: Path, which: Choice, console: Console, trust: Collection[str] = ()) -> int:
    """Train a trial again and print whether its score is the same.

    Returns:
        The exit code: 0, or 1 for another score.
    """
    return _print_reproduction(reproduce_trial(directory, Which(*which), trust=trust), console)


#: Options to print a line exactly, to be copied.
_AS_IT_IS: Final[dict[str, Any]] = {"soft_wrap": True, "markup": False, "highlight": False}


def reproduce_of_program(
    directory: Path, which: Choice, sweep: Path | None, console: Console
) -> int:
    """Print the command line of a program's trial, or run it if the user trusts it.

    Args:
        sweep: The user's sweep file, which names the same program.

    Returns:
        The exit code.
    """
    if sweep is not None:
        return _print_reproduction(reproduce_program(directory, Which(*which), sweep), console)
    run = open_program(directory)
    execution = run.find(Which(*which))
    program = run.program(run.where.trials)
    line = program.shell_line(execution.config.values, execution.seed, execution.trial)
    console.print(line, **_AS_IT_IS)
    return 0


def _print_reproduction(reproduction: Reproduction, console: Console) -> int:
    """Print whether a trial reached its score again, and return the exit code."""
    say = line_printer(console)
    for line in _verdict(reproduction):
        say(line)
    return 0 if reproduction.equal else 1


def _verdict(found: Reproduction) -> Iterable[str]:
    again, row = found.again, found.row
    if found.equal:
        first = found.first_difference
        curve = (
            "so is every metric of every epoch"
            if first is None
            else f"other metrics differ from epoch {first} on"
        )
        which = found.execution.label
        yield f"{which}: {found.metric} {row.score!r} again, equal to its row; {curve}"
        yield from _versions(found)
        return
    score = repr(again.score) if again.score is not None else f"no score ({again.status})"
    yield f"{found.execution.label}: {found.metric} {score}, not equal to its row's {row.score!r}"
    if again.error:
        yield f"  {' '.join(again.error.split())}"
    if found.first_difference is not None:
        yield f"  the first epoch that differs is {found.first_difference} of {len(row.curve)}"
    if again.trainer != row.trainer:
        yield f"  its row was trained by {row.trainer!r}, this time by {again.trainer!r}"
    yield from _versions(found)


def _versions(found: Reproduction) -> Iterable[str]:
    """Yield a line for each version that differs from the one that made the row."""
    for name, (then, now) in found.other_versions.items():
        yield f"  {PACKAGES[name]} was {then} and is {now} now"


def write_script(
    directory: Path, which: Choice, out: Path, console: Console, trust: Collection[str] = ()
) -> None:
    """Write a trial as a directory with a program that trains it, and print where."""
    execution = write_standalone(directory, out, Which(*which), trust)
    program = shlex.quote(str(out / PROGRAM.name))
    line_printer(console)(f"wrote {execution.label} to {out}; next: python {program}")
