"""`export`, `evaluate`, `reproduce` and `report` on a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from hpsearch.cli.display import _interval, _number, say_on
from hpsearch.errors import InputError, RefusedError
from hpsearch.report.page import write_page
from hpsearch.report.pictures import save_figures
from hpsearch.report.source import load_source
from hpsearch.store.facts import Evaluation, installed
from hpsearch.store.store import evaluations_beside, evaluations_of
from hpsearch.store.tables import read_table, write_atomically
from hpsearch.tuner.revisit import evaluate_trial, export_model, reproduce_trial
from hpsearch.tuner.script.program import trial_script

if TYPE_CHECKING:
    from hpsearch.tuner.revisit import Reproduction


def _looks(source: Path) -> tuple[Evaluation, ...]:
    """Of a damaged store none: the tables, which are sound, are the report's."""
    try:
        return evaluations_beside(source)
    except RefusedError as error:
        typer.echo(f"evaluations are not shown: {error}", err=True)
        return ()


def write_report(
    sources: Sequence[Path], out: Path | None, figures: Path | None, kind: str
) -> None:
    """Write the page, and each figure where asked for.

    Raises:
        InputError: There is no such table, or the file cannot be written.
    """
    loaded = [replace(load_source(path), evaluations=_looks(path)) for path in sources]
    if out is None and len(sources) > 1:
        raise InputError("several sweeps: name the page's file, as in: --out report.html")
    path = out or (sources[0] if sources[0].is_dir() else sources[0].parent) / "report.html"
    try:
        write_page(loaded, path)
    except OSError as error:
        raise InputError(
            f"{path}: cannot be written: {error.strerror}; name another file with --out"
        ) from None
    typer.echo(f"wrote {path}")
    if figures is not None:
        for written in save_figures(loaded[0], figures, kind):
            typer.echo(f"wrote {written}")


def export(directory: Path, out: Path, trial: int | None, console: Console) -> None:
    """Write a trial's model and say so."""
    number = export_model(directory, out, trial, say_on(Console(stderr=True)))
    say_on(console)(f"wrote the model of trial {number} to {out}; it takes raw rows")


def evaluate(directory: Path, split: str, trial: int | None, console: Console) -> None:
    """Evaluate a trial and print what was measured."""
    look = evaluate_trial(directory, split, trial, say_on(Console(stderr=True)))
    say = say_on(console)
    which = f"trial {look.trial} ({look.config}, seed {look.seed})"
    say(f"{which} on the {split} split, {look.rows} rows")
    shown = Table(box=None, pad_edge=False, show_header=False)
    for name, measured in look.metrics.items():
        shown.add_row(Text(name), Text(_number(measured.value)), Text(_interval(measured)))
    console.print(shown)
    looks = [each for each in evaluations_of(directory) if each.split == split]
    say(f"recorded: look {len(looks)} at the {split} split of this directory")
    others = {each.trial for each in looks} - {look.trial}
    if split == "test" and others:
        say(
            f"warning: the test split has judged {len(others) + 1} trials now; the best of their "
            "test scores is too good to be expected of new rows"
        )


def reproduce(directory: Path, trial: int, console: Console) -> int:
    """Train a trial again and say whether it scored the same.

    Returns:
        The exit code: 0, or 1 for another score.
    """
    told = reproduce_trial(directory, trial)
    say = say_on(console)
    for line in _verdict(told, directory):
        say(line)
    return 0 if told.equal else 1


def _verdict(told: Reproduction, directory: Path) -> Iterable[str]:
    again, row = told.again, told.row
    if told.equal:
        first = told.first_difference
        curve = (
            "so is every metric of every epoch"
            if first is None
            else f"other metrics differ from epoch {first} on"
        )
        yield f"trial {told.trial}: {told.metric} {row.score!r} again, equal to its row; {curve}"
        return
    found = repr(again.score) if again.score is not None else f"no score ({again.status})"
    yield f"trial {told.trial}: {told.metric} {found}, not equal to its row's {row.score!r}"
    if again.error:
        yield f"  {' '.join(again.error.split())}"
    if told.first_difference is not None:
        yield f"  the first epoch that differs is {told.first_difference} of {len(row.curve)}"
    if again.trainer != row.trainer:
        yield f"  its row was trained by {row.trainer!r}, this time by {again.trainer!r}"
    yield from _versions(directory, told.trial)


def _versions(directory: Path, trial: int) -> Iterable[str]:
    """The versions of the row, where they are others than here."""
    table = read_table(directory)
    for name, now in installed().items():
        then = table.loc[table["trial"] == trial, name]
        if len(then) and str(then.iloc[0]) != now:
            yield f"  {name} was {then.iloc[0]} and is {now} now"


def write_script(directory: Path, trial: int, file: Path, console: Console) -> None:
    """Write the trial's program; to stdout where the file is a dash."""
    text = trial_script(directory, trial)
    if str(file) == "-":
        typer.echo(text, nl=False)
        return
    try:
        write_atomically(file, text)
    except OSError as error:
        raise InputError(f"{file}: the program cannot be written: {error.strerror}") from None
    say_on(console)(f"wrote {file}; next: python {file}")
