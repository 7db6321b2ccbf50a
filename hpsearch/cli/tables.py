"""`compare`, `merge`, `report` and `log`: tables of finished runs."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from hpsearch.cli.app import DirectoryArgument, Trackers, Trust, TrustedSweep, Workers
from hpsearch.cli.models import trust_of
from hpsearch.cli.show import print_table, recorded
from hpsearch.comparison.comparing import Settler, compare_tables
from hpsearch.comparison.findings import Findings
from hpsearch.comparison.table import Columns
from hpsearch.comparison.writing import Grid, as_json, document, require_suffix
from hpsearch.errors import HpsearchError, InputError
from hpsearch.progress.display import make_console, make_display
from hpsearch.reporting.comparison_page import Comparison, section_of
from hpsearch.reporting.live import follow_runs
from hpsearch.reporting.page import Compared, write_page
from hpsearch.reporting.source import load_source
from hpsearch.runs.merging import merge_directories
from hpsearch.trackers.tracking import log_results, make_tracker
from hpsearch.wording import counted, printable


def compare(
    tables: Annotated[
        list[Path], typer.Argument(metavar="A B [C ...]", help="Results directories or CSV files.")
    ],
    *,
    score: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="Compare by this column; for foreign tables."),
    ] = None,
    params: Annotated[
        str | None,
        typer.Option(metavar="a,b,c", help="Hyperparameters' columns; for foreign tables."),
    ] = None,
    goal: Annotated[
        str | None, typer.Option(metavar="maximize|minimize", help="For foreign tables.")
    ] = None,
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Compare despite different data, splits and metrics.")
    ] = False,
    random: Annotated[
        bool, typer.Option("--random", help="Foreign tables: random draws, a seed a row.")
    ] = False,
    settle: Annotated[
        bool, typer.Option("--settle", help="Train the best of each again with fresh seeds.")
    ] = False,
    seeds: Annotated[
        int | None,
        typer.Option(min=5, max=10_000, metavar="K", help="Fresh seeds, for --settle; else 10."),
    ] = None,
    workers: Workers = None,
    trust: Trust = None,
    sweep: TrustedSweep = None,
    fail_if_worse: Annotated[
        bool,
        typer.Option("--fail-if-worse", help="Exit with 1 if A is better, 3 if nothing can tell."),
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write a file: .md, .json or .html.")
    ] = None,
) -> None:
    """Compare tables, and write or print the findings."""
    if out is not None:
        require_suffix(out)
    if not settle and (seeds or workers):
        raise InputError("--seeds and --workers are for --settle, which trains")
    columns = Columns(score, tuple(params.split(",")) if params else (), goal, random)
    settler = None
    if settle:
        listener = partial(make_display, make_console(stderr=True))
        settler = Settler(seeds or 10, workers, listener, trust_of(trust, sweep))
    compared = Comparison.of(compare_tables(tables, columns, anyway=anyway, settle=settler))
    # Write the file first: stdout may be closed early, as `head` does.
    if out is not None:
        compared.write(out)
    if json:
        typer.echo(as_json(compared), nl=False)
    else:
        print_comparison(compared, make_console())
    if fail_if_worse and compared.worse_than_first():
        raise typer.Exit(1)


def print_comparison(comparison: Findings, console: Console) -> None:
    """Print the comparison's document."""
    for index, section in enumerate(document(comparison)):
        if index:
            console.print()
        console.print(Text(section.title, style="bold"))
        for part in section.parts:
            if isinstance(part, Grid):
                print_table(console, part.header, part.rows)
            else:
                console.print(Text(part), soft_wrap=True)


def merge(
    sources: Annotated[
        list[Path], typer.Argument(metavar="A B [C ...]", help="Results directories of one sweep.")
    ],
    *,
    out: Annotated[Path, typer.Option(metavar="DIR", help="The results directory to make.")],
) -> None:
    """Join results directories and print what was joined."""
    for line in merge_directories(sources, out):
        typer.echo(printable(line))


def report(
    sources: Annotated[
        list[Path], typer.Argument(metavar="DIR...", help="Results directories, or results.csv.")
    ],
    *,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Default DIR/report.html.")
    ] = None,
    live: Annotated[
        bool, typer.Option("--live", help="Write it again and again until the run has ended.")
    ] = False,
) -> None:
    """Write the page."""
    if out is None and len(sources) > 1:
        raise InputError("several sweeps: name the page's file, as in: --out report.html")
    path = out or (sources[0] if sources[0].is_dir() else sources[0].parent) / "report.html"

    def write(reload_seconds: float = 0.0) -> None:
        loaded = [replace(load_source(s), evaluations=recorded(s)) for s in sources]
        try:
            write_page(loaded, path, compared=_compared(sources), reload_seconds=reload_seconds)
        except OSError as error:
            raise InputError(
                f"{path}: cannot be written: {error.strerror}; name another file with --out"
            ) from None

    begun = partial(typer.echo, f"open {path}: it shows new rows by itself")
    if live and not follow_runs(sources, write, begun):
        typer.echo("no run is under way, so the page is not live")
    write()
    typer.echo(f"wrote {path}")


def _compared(sources: Sequence[Path]) -> Compared | None:
    """Return the comparison of several sweeps; None if they cannot be compared."""
    if len(set(sources)) < len(sources) or len(sources) < 2:
        return None
    # The page refers to `hpsearch compare`, which reports the reason.
    with suppress(HpsearchError):
        return section_of(compare_tables(sources))
    return None


def log(directory: DirectoryArgument, *, to: Annotated[list[str], Trackers]) -> None:
    """Log all executions to each target."""
    for target, tracker in [(destination, make_tracker(destination)) for destination in to]:
        count = log_results(directory, tracker)
        typer.echo(f"{counted(count, 'execution')} logged to {target}")
