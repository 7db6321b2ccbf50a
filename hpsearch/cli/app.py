"""Commands and their options, exit codes and error messages."""

from __future__ import annotations

import io
import json
import sys
import warnings
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hpsearch.cli.signals import restore
from hpsearch.errors import HpsearchError, InputError
from hpsearch.machine import set_default, shortage, version_of, working_directory_lost
from hpsearch.progress.console import make_console, silence, tell

if TYPE_CHECKING:
    from hpsearch.revisit.settling import Settler

# Each command imports its own modules, so that `--help` answers at once and `run` starts its
# workers before it imports NumPy.

app = typer.Typer(
    name="hpsearch",
    help="Hyperparameter sweeps over Keras MLPs: a YAML file in, a results table out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

DirectoryArgument = Annotated[
    Path, typer.Argument(metavar="DIR", help="The results directory of a run.")
]
Trial = Annotated[
    int | None, typer.Option(min=1, help="The trial's number; default the best trial.")
]
Seed = Annotated[
    int | None, typer.Option(min=0, help="The execution's seed; default that of the best one.")
]
Fold = Annotated[
    int | None, typer.Option(min=1, help="The execution's fold; default that of the best one.")
]
SweepArgument = Annotated[Path, typer.Argument(metavar="SWEEP", help="The sweep file (YAML).")]
Out = Annotated[Path | None, typer.Option(help="Results directory; default experiments/NAME.")]
Workers = Annotated[int | None, typer.Option(min=1, max=1024, help="Trainings at a time.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override, as in parameters.epochs=[5]."),
]

Trust = Annotated[
    list[str] | None,
    typer.Option(metavar="MODULE:NAME", help="Run this function of yours; may be repeated."),
]
TrustedSweep = Annotated[
    Path | None,
    typer.Option("--sweep", metavar="FILE", help="Run the functions that this sweep file names."),
]

_TRACKERS = "tensorboard:DIR|mlflow:URI"


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"hpsearch {version_of('hpsearch')}")
        raise typer.Exit


@app.callback()
def _root(
    context: typer.Context,
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")
    ] = False,
) -> None:
    del version
    if context.invoked_subcommand != "run":
        restore()


@app.command()
def run(
    sweep: SweepArgument,
    *,
    out: Out = None,
    workers: Workers = None,
    set_: Set = None,
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
    log: Annotated[
        list[str] | None,
        typer.Option(metavar=_TRACKERS, help="Log each result; may be repeated."),
    ] = None,
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
    """Run a sweep; run it again to train only what has no row yet."""
    from hpsearch.progress.display import make_display
    from hpsearch.spec.sweep import load_sweep
    from hpsearch.tuner.run import run_sweep
    from hpsearch.tuner.settings import Settings

    overrides = list(set_ or [])
    if engine is not None:
        overrides.append(f"execution.engine={engine}")
    loaded = load_sweep(sweep, overrides, with_data=True)
    settings = Settings(
        out=out,
        workers=workers,
        retry=retry,
        fresh=fresh,
        store=store,
        anyway_code=anyway_code,
    )
    display = make_display(make_console(stderr=True), quiet=quiet, verbose=verbose)
    with ExitStack() as stack:
        if log:
            from hpsearch.trackers.targets import make_tracker
            from hpsearch.trackers.tracking import tracked

            display = stack.enter_context(tracked(display, list(map(make_tracker, log))))
        outcome = run_sweep(loaded, settings, display)
    if not quiet:
        # Imported only now, because it imports NumPy.
        from hpsearch.cli.show import print_summary

        print_summary(outcome, make_console())
    raise typer.Exit(outcome.exit_code)


@app.command()
def plan(
    sweep: SweepArgument,
    *,
    out: Out = None,
    workers: Workers = None,
    set_: Set = None,
    measure: Annotated[
        bool, typer.Option("--measure", help="Time a few steps of a few sizes.")
    ] = False,
) -> None:
    """Print what a run would train, and about how long it would take."""
    from hpsearch.cli.plan import print_plan
    from hpsearch.spec.sweep import load_sweep

    loaded = load_sweep(sweep, set_ or (), with_data=True)
    print_plan(loaded, out, workers, make_console(), measure=measure)


@app.command()
def show(
    source: Annotated[
        Path,
        typer.Argument(metavar="DIR|CSV", help="A results directory, or a CSV file."),
    ],
    top: Annotated[int, typer.Option(min=1, help="The number of best trials.")] = 10,
) -> None:
    """Print the best trials, and the mean score of each hyperparameter's values."""
    from hpsearch.cli.show import print_results

    print_results(source, top, make_console())


@app.command()
def compare(
    tables: Annotated[
        list[Path],
        typer.Argument(metavar="A B [C ...]", help="Results directories or CSV files."),
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
        bool,
        typer.Option("--random", help="Foreign tables: random draws, a seed a row."),
    ] = False,
    settle: Annotated[
        bool, typer.Option("--settle", help="Train the best of each again with fresh seeds.")
    ] = False,
    seeds: Annotated[
        int | None,
        typer.Option(min=5, max=10_000, metavar="K", help="Fresh seeds, for --settle; else 10."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, max=1024, help="Trainings at a time, for --settle.")
    ] = None,
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
    """Say which of several results is better, by how much, how sure, and why."""
    from hpsearch.cli.show import print_comparison
    from hpsearch.comparison.comparing import compare_tables
    from hpsearch.comparison.table import Columns
    from hpsearch.comparison.writing import as_json, require_suffix
    from hpsearch.reporting.comparison_page import Comparison

    if out is not None:
        require_suffix(out)
    if not settle and (seeds or workers):
        raise InputError("--seeds and --workers are for --settle, which trains")
    columns = Columns(score, tuple(params.split(",")) if params else (), goal, random)
    settler = _settler(seeds or 10, workers, trust or (), sweep) if settle else None
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


def _settler(count: int, workers: int | None, trust: Sequence[str], sweep: Path | None) -> Settler:
    from hpsearch.cli.revisit import trust_of
    from hpsearch.progress.display import make_display
    from hpsearch.revisit.settling import Settler

    listener = partial(make_display, make_console(stderr=True))
    return Settler(count, workers, listener, trust_of(trust, sweep))


@app.command()
def merge(
    sources: Annotated[
        list[Path],
        typer.Argument(metavar="A B [C ...]", help="Results directories of one sweep."),
    ],
    *,
    out: Annotated[Path, typer.Option(metavar="DIR", help="The results directory to make.")],
) -> None:
    """Join the results of one sweep from several directories in a new one."""
    from hpsearch.revisit.merging import merge_directories
    from hpsearch.wording import printable

    for line in merge_directories(sources, out):
        typer.echo(printable(line))


@app.command()
def report(
    sources: Annotated[
        list[Path],
        typer.Argument(metavar="DIR...", help="Results directories, or results.csv."),
    ],
    *,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Default DIR/report.html.")
    ] = None,
) -> None:
    """Write one page of figures about one or several sweeps; it opens offline."""
    from hpsearch.cli.revisit import write_report

    write_report(sources, out)


@app.command()
def export(
    directory: DirectoryArgument,
    *,
    out: Annotated[Path, typer.Option(metavar="MODEL.keras", help="The file to write.")],
    trial: Trial = None,
    seed: Seed = None,
    fold: Fold = None,
    trust: Trust = None,
    sweep: TrustedSweep = None,
) -> None:
    """Write a trial's model as a Keras file that takes raw rows; the best trial's by default."""
    from hpsearch.cli import revisit

    may_run = revisit.trust_of(trust or (), sweep)
    revisit.export(directory, out, (trial, seed, fold), make_console(), may_run)


@app.command()
def predict(
    directory: DirectoryArgument,
    rows: Annotated[Path, typer.Argument(metavar="ROWS.csv", help="The rows to predict.")],
    *,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE.csv", help="The file to write; default stdout.")
    ] = None,
    proba: Annotated[
        bool, typer.Option("--proba", help="Add the probability of each class.")
    ] = False,
    trial: Trial = None,
    seed: Seed = None,
    fold: Fold = None,
    trust: Trust = None,
    sweep: TrustedSweep = None,
) -> None:
    """Predict the rows of a CSV file by a trial's model; by the best trial's by default."""
    from hpsearch.cli import revisit

    may_run = revisit.trust_of(trust or (), sweep)
    revisit.predict(directory, rows, out, (trial, seed, fold), may_run, proba=proba)


@app.command()
def evaluate(
    directory: DirectoryArgument,
    *,
    split: Annotated[
        str, typer.Option(metavar="test|validation|train", help="The rows to evaluate on.")
    ],
    trial: Trial = None,
    seed: Seed = None,
    fold: Fold = None,
    trust: Trust = None,
    sweep: TrustedSweep = None,
) -> None:
    """Evaluate a trial on a split, with 95% intervals; each evaluation is recorded."""
    from hpsearch.cli import revisit

    may_run = revisit.trust_of(trust or (), sweep)
    revisit.evaluate(directory, split, (trial, seed, fold), make_console(), may_run)


@app.command()
def refit(
    directory: DirectoryArgument,
    *,
    top: Annotated[int, typer.Option(min=1, help="The number of best trials.")] = 1,
    seeds: Annotated[int, typer.Option(min=1, max=10_000, help="Fresh seeds of each.")] = 5,
    on: Annotated[
        str,
        typer.Option(metavar="train|train+validation", help="Rows to train on."),
    ] = "train",
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Default DIR/refit, or DIR/final.")
    ] = None,
    workers: Workers = None,
    trust: Trust = None,
    sweep: TrustedSweep = None,
) -> None:
    """Train the best trials again with fresh seeds: their means, intervals and final model."""
    from hpsearch.cli import revisit

    may_run = revisit.trust_of(trust or (), sweep)
    revisit.refit(directory, out, (top, seeds, workers), make_console(), may_run, on=on)


@app.command()
def reproduce(
    directory: DirectoryArgument,
    *,
    trial: Annotated[int, typer.Option(min=1, help="The trial's number.")],
    seed: Seed = None,
    fold: Fold = None,
    script: Annotated[
        Path | None,
        typer.Option(
            metavar="OUTDIR",
            help="Instead, write the trial's model and rows into a new directory, with a Keras "
            "program that reaches the score without hpsearch.",
        ),
    ] = None,
    trust: Trust = None,
    sweep: TrustedSweep = None,
) -> None:
    """Train a trial again from its row; exit code 1 if its score differs.

    Of a program's trial, print the command line; with --sweep, run it.
    """
    from hpsearch.cli import revisit
    from hpsearch.revisit.programs import holds_program

    which = (trial, seed, fold)
    if holds_program(directory):
        if script is not None or trust:
            option = "--trust" if script is None else "--script"
            raise InputError(
                f"{option}: is of models, and {directory} is of a program; without it, its command "
                "line is printed, and --sweep FILE runs it"
            )
        raise typer.Exit(revisit.reproduce_of_program(directory, which, sweep, make_console()))
    may_run = revisit.trust_of(trust or (), sweep)
    if script is not None:
        revisit.write_script(directory, which, script, make_console(), may_run)
        return
    raise typer.Exit(revisit.reproduce(directory, which, make_console(), may_run))


@app.command()
def doctor(directory: DirectoryArgument) -> None:
    """Check that store, tables, curves, data and model are sound and agree; exit code 3 if not."""
    from hpsearch.cli.show import print_examination

    raise typer.Exit(print_examination(directory, make_console()))


@app.command("log")
def log(
    directory: DirectoryArgument,
    *,
    to: Annotated[list[str], typer.Option(metavar=_TRACKERS, help="The target; may be repeated.")],
) -> None:
    """Log every execution to TensorBoard or MLflow, replacing an earlier log."""
    from hpsearch.trackers.targets import make_tracker
    from hpsearch.trackers.tracking import log_results
    from hpsearch.wording import counted

    for target, tracker in [(each, make_tracker(each)) for each in to]:
        count = log_results(directory, tracker)
        typer.echo(f"{counted(count, 'execution')} logged to {target}")


@app.command()
def init(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write.")] = Path(
        "sweep.yaml"
    ),
) -> None:
    """Write a commented sweep file to start from, and the schema for editors."""
    from hpsearch.spec.dump import SCHEMA_NAME, STARTER, file_schema

    target = path / "sweep.yaml" if path.is_dir() else path
    schema = target.with_name(SCHEMA_NAME)
    if target.exists():
        raise InputError(
            f"{target}: exists already; name another file, as in: hpsearch init my.yaml"
        )
    try:
        target.write_text(STARTER, encoding="utf-8")
        schema.write_text(json.dumps(file_schema(), indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise InputError(f"{target}: cannot be written: {error.strerror}") from None
    typer.echo(f"wrote {target} and {schema}; next: hpsearch run {target}")


@app.command()
def schema() -> None:
    """Print the JSON Schema of a sweep file, of models or of a program."""
    from hpsearch.spec.dump import file_schema

    typer.echo(json.dumps(file_schema(), indent=2))


@app.command("list")
def list_(
    what: Annotated[
        str,
        typer.Argument(metavar="datasets|methods|activations|optimizers|layer-types"),
    ],
) -> None:
    """List the names that a sweep file may use."""
    from hpsearch.cli.show import print_list

    print_list(what, make_console())


def _show_warning(message: Warning | str, *_details: object, **_more: object) -> None:
    tell(f"warning: {message}")


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with its code; a user's mistake gives no traceback."""
    # Users do not need TensorFlow's messages about the machine.
    set_default("TF_CPP_MIN_LOG_LEVEL", "2")
    set_default("KERAS_BACKEND", "tensorflow")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # Some terminals cannot show every character.
            stream.reconfigure(errors="backslashreplace")
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            app(arguments)
    except HpsearchError as error:
        lost = working_directory_lost()
        tell(f"{error}; {lost}" if lost else str(error))
        raise SystemExit(error.exit_code) from None
    except KeyboardInterrupt:
        tell("interrupted")
        raise SystemExit(130) from None
    except BrokenPipeError:
        # `hpsearch show ... | head` is not an error, but Python would complain on flushing stdout.
        silence(sys.stdout)
        raise SystemExit(0) from None
    except (OSError, RuntimeError) as error:
        advice = shortage(error) or working_directory_lost()
        if not advice:
            raise
        tell(f"{error}; {advice}")
        raise SystemExit(InputError.exit_code) from None
