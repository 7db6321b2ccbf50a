"""`run`, `init` and `schema`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from hpsearch.cli.app import Out, Set, Trackers, Workers
from hpsearch.engine.session import RunOutcome, Settings
from hpsearch.engine.sweep import run_sweep
from hpsearch.errors import HpsearchError, InputError, Interrupted
from hpsearch.progress.display import make_console, make_display, tell
from hpsearch.spec.dump import file_schema, write_starter
from hpsearch.spec.sweep import AnySweep, load_sweep
from hpsearch.spec.table import KEPT, table_sweep


def run(
    sweep: Annotated[
        Path | None, typer.Argument(metavar="SWEEP", help="The sweep file (YAML).")
    ] = None,
    *,
    csv: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Find an MLP for this table; no sweep file is needed."),
    ] = None,
    target: Annotated[str | None, typer.Option(help="The table's column to predict.")] = None,
    task: Annotated[
        str | None, typer.Option(help="classification or regression, if the target may be either.")
    ] = None,
    time: Annotated[str | None, typer.Option(help="Begin no training after it: 2m.")] = None,
    out: Out = None,
    workers: Workers = None,
    set_: Set = None,
    threads: Annotated[str | None, typer.Option(help="Threads of a training, or auto.")] = None,
    engine: Annotated[str | None, typer.Option(help="local or ray.")] = None,
    retry: Annotated[
        bool, typer.Option("--retry", help="Train failed, killed and timed-out executions again.")
    ] = False,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Move an existing results directory aside.")
    ] = False,
    store: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Keep the store there, not in the results directory."),
    ] = None,
    log: Annotated[list[str] | None, Trackers] = None,
    anyway_code: Annotated[
        bool, typer.Option("--anyway-code", help="Add rows although the program was edited.")
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print warnings and errors alone.")
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Print a line for each result.")
    ] = False,
) -> None:
    """Run a sweep and print its best trials."""
    given = {"data.task": task, "execution.threads": threads, "execution.engine": engine}
    overrides = [*(set_ or ()), *(f"{k}={v}" for k, v in given.items() if v is not None)]
    loaded = _loaded(sweep, csv, target, time, overrides)
    settings = Settings(
        out=out,
        workers=workers,
        retry=retry,
        fresh=fresh,
        store=store,
        anyway_code=anyway_code,
        keep=1 if csv is None else KEPT,
    )
    display = make_display(make_console(stderr=True), quiet=quiet, verbose=verbose)
    with ExitStack() as stack:
        if log:
            # Imported only now, because they import NumPy.
            from hpsearch.trackers.tracking import make_tracker, tracked

            display = stack.enter_context(tracked(display, list(map(make_tracker, log))))
        outcome = run_sweep(loaded, settings, display)
    if not quiet:
        # As above.
        from hpsearch.cli.show import print_summary

        print_summary(outcome, make_console())
    if csv is not None and outcome.exit_code == 0 and outcome.completed > 1:
        _average_best(loaded, outcome, workers, quiet=quiet)
    raise typer.Exit(outcome.exit_code)


def _average_best(
    sweep: AnySweep, outcome: RunOutcome, workers: int | None, *, quiet: bool
) -> None:
    """Make an ensemble of the best models; the run stays as it ended if that fails."""
    # They import NumPy.
    from hpsearch.cli.models import print_ensemble
    from hpsearch.runs.ensemble import make_ensemble
    from hpsearch.runs.trial import Source

    trust, say = frozenset(sweep.functions), (lambda _: None) if quiet else tell
    source = Source(outcome.directory, trust=trust, say=say)
    try:
        made = make_ensemble(source, candidates=KEPT, workers=workers)
    except Interrupted:
        raise
    except (HpsearchError, OSError) as error:
        tell(f"no ensemble: {error}")
        return
    if not quiet:
        print_ensemble(made, outcome.directory)


def _loaded(
    sweep: Path | None,
    csv: Path | None,
    target: str | None,
    time: str | None,
    overrides: Sequence[str],
) -> AnySweep:
    """Return the sweep of a file, or the default one over a table."""
    if sweep is not None and csv is None and target is None:
        limit = [] if time is None else [f"budget.time={time}"]
        return load_sweep(sweep, [*overrides, *limit], with_data=True)
    if sweep is not None or csv is None or target is None:
        raise InputError(
            "run: give a sweep file, or a table and the column to predict, as in: "
            "hpsearch run --csv houses.csv --target price --time 2m"
        )
    return table_sweep(csv, target, overrides, time)


def init(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write.")] = Path(
        "sweep.yaml"
    ),
) -> None:
    """Write the starter file and its schema."""
    target = path / "sweep.yaml" if path.is_dir() else path
    if target.exists() or target.is_symlink():
        raise InputError(
            f"{target}: exists already; name another file, as in: hpsearch init my.yaml"
        )
    try:
        schema = write_starter(target)
    except OSError as error:
        raise InputError(f"{target}: cannot be written: {error.strerror}") from None
    typer.echo(f"wrote {target} and {schema}; next: hpsearch run {target}")


def schema() -> None:
    """Print the JSON Schema."""
    typer.echo(json.dumps(file_schema(), indent=2))
