"""`hpsearch export`, `evaluate` and `reproduce`: what they print."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from hpsearch.errors import InputError
from hpsearch.looks import Look, Measured
from hpsearch.results import write_atomically

if TYPE_CHECKING:
    from hpsearch.driver.revisit import Reproduction, Say

__all__ = ["evaluate", "export", "print_looks", "reproduce", "say_on", "write_script"]

_METHODS = {
    "wilson": "Wilson's",
    "bootstrap": "by the bootstrap",
    "t": "Student's t",
}


def say_on(console: Console) -> Say:
    """What prints a line as it is."""

    def say(line: str) -> None:
        console.print(line, markup=False, highlight=False, soft_wrap=True)

    return say


def export(directory: Path, out: Path, trial: int | None, console: Console) -> None:
    """Write a trial's model and say so."""
    from hpsearch.driver import revisit

    number = revisit.export(directory, out, trial, say_on(Console(stderr=True)))
    say_on(console)(f"wrote the model of trial {number} to {out}; it takes raw rows")


def evaluate(directory: Path, split: str, trial: int | None, console: Console) -> None:
    """Evaluate a trial and print what was measured."""
    from hpsearch.driver import record, testing

    look = testing.evaluate(directory, split, trial, say_on(Console(stderr=True)))
    say = say_on(console)
    which = f"trial {look.trial} ({look.config}, seed {look.seed})"
    say(f"{which} on the {split} split, {look.rows} rows")
    shown = Table(box=None, pad_edge=False, show_header=False)
    for name, measured in look.metrics.items():
        shown.add_row(Text(name), Text(_number(measured.value)), Text(_interval(measured)))
    console.print(shown)
    looks = [each for each in record.looks(directory) if each.split == split]
    say(f"recorded: look {len(looks)} at the {split} split of this directory")
    others = {each.trial for each in looks} - {look.trial}
    if split == "test" and others:
        say(
            f"warning: the test split has judged {len(others) + 1} trials now; the best of their "
            "test scores is too good to be expected of new rows"
        )


def _number(value: float) -> str:
    return f"{value:.4f}" if abs(value) < 1000 else f"{value:.6g}"


def _interval(measured: Measured) -> str:
    if measured.low is None or measured.high is None:
        return ""
    ends = f"{_number(measured.low)} to {_number(measured.high)}"
    return f"95% interval {ends}, {_METHODS[measured.method]}"


def reproduce(directory: Path, trial: int, console: Console) -> int:
    """Train a trial again and say whether it scored the same.

    Returns:
        The exit code: 0, or 1 for another score.
    """
    from hpsearch.driver import revisit

    told = revisit.reproduce(directory, trial)
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
    from hpsearch import results
    from hpsearch.driver.recipe import installed

    table = results.read(directory)
    for name, now in installed().items():
        then = table.loc[table["trial"] == trial, name]
        if len(then) and str(then.iloc[0]) != now:
            yield f"  {name} was {then.iloc[0]} and is {now} now"


def print_looks(looks: Iterable[Look], console: Console) -> None:
    """Each look at a split, in the order in which they were taken."""
    looks = list(looks)
    if not looks:
        return
    shown = Table(title=Text("evaluations"), title_justify="left", box=None, pad_edge=False)
    for column in ("time", "trial", "split", "rows", "metric", "value", "95% interval"):
        shown.add_column(Text(column), justify="right", overflow="fold")
    for look in looks:
        score = look.score
        ends: Any = "-" if score.low is None else f"{score.low:.4f} to {score.high:.4f}"
        cells = (look.time, look.trial, look.split, look.rows, look.metric, _number(score.value))
        shown.add_row(*(Text(str(cell)) for cell in (*cells, ends)))
    console.print(shown)


def write_script(directory: Path, trial: int, file: Path, console: Console) -> None:
    """Write the trial's program; to stdout where the file is a dash."""
    from hpsearch.driver import script

    text = script.write(directory, trial)
    if str(file) == "-":
        typer.echo(text, nl=False)
        return
    try:
        write_atomically(file, text)
    except OSError as error:
        raise InputError(f"{file}: the program cannot be written: {error.strerror}") from None
    say_on(console)(f"wrote {file}; next: python {file}")
