"""The commands' names, their common options, exit codes and error messages."""

from __future__ import annotations

import errno
import io
import os
import sys
import warnings
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from hpsearch.errors import HpsearchError, InputError
from hpsearch.machine import set_default, shortage, version_of
from hpsearch.progress.display import silence, tell

#: The module of each command, in which its function has its name. It is imported only when the
#: command is used, so that `--help` answers at once and `run` starts its workers before it imports
#: NumPy.
_MODULES = {
    **dict.fromkeys(["run", "init", "schema"], "sweeps"),
    "plan": "plan",
    **dict.fromkeys(["show", "doctor", "list"], "show"),
    **dict.fromkeys(["compare", "merge", "report", "log"], "tables"),
    **dict.fromkeys(["export", "predict", "evaluate", "refit", "ensemble", "reproduce"], "models"),
}
#: The commands in their order, and their helps.
_HELPS = {
    "run": "Run a sweep; run it again to train only what has no row yet.",
    "plan": "Print what a run would train, and about how long it would take.",
    "show": "Print the best trials, and the mean score of each hyperparameter's values.",
    "compare": "Say which of several results is better, by how much, how sure, and why.",
    "merge": "Join the results of one sweep from several directories in a new one.",
    "report": "Write one page of figures about one or several sweeps; it opens offline.",
    "export": "Write a trial's model, by default the best one's, as a Keras file for raw rows.",
    "predict": "Predict the rows of a CSV file by a trial's model; by the best trial's by default.",
    "evaluate": "Evaluate a trial on a split, with 95% intervals; each evaluation is recorded.",
    "refit": "Train the best trials again with fresh seeds: means, intervals and a final model.",
    "ensemble": "Average the best trials' models in one, chosen by the validation rows.",
    "reproduce": "Train a trial again from its row; exit code 1 if its score differs.\n\n"
    "Of a program's trial, print the command line; with --sweep, run it.",
    "doctor": "Check that store, tables, data and model are sound and agree; exit code 3 if not.",
    "log": "Log every execution to TensorBoard, MLflow or W&B, replacing an earlier log.",
    "init": "Write a commented sweep file to start from, and the schema for editors.",
    "schema": "Print the JSON Schema of a sweep file, of models or of a program.",
    "list": "List the names that a sweep file may use.",
}

_OPTIONS: dict[str, Any] = {"rich_markup_mode": None}


class _Commands(TyperGroup):
    """The commands' names and helps, of which the one that is used gets its options."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, _, others = super().resolve_command(ctx, args)
        if name is None:
            # A shell completes the words after a name that is no command's.
            return name, None, others
        module = import_module(f"hpsearch.cli.{_MODULES[str(name)]}")
        command = typer.Typer(add_completion=False, **_OPTIONS)
        function = getattr(module, "list_names" if name == "list" else str(name))
        command.command(name, help=_HELPS[str(name)])(function)
        return name, typer.main.get_command(command), others


app = typer.Typer(
    name="hpsearch",
    cls=_Commands,
    help="Hyperparameter sweeps over Keras MLPs: a YAML file in, a results table out.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    **_OPTIONS,
)

for _name, _text in _HELPS.items():
    app.command(_name, help=_text)(lambda: None)

SweepArgument = Annotated[Path, typer.Argument(metavar="SWEEP", help="The sweep file (YAML).")]
DirectoryArgument = Annotated[
    Path, typer.Argument(metavar="DIR", help="The results directory of a run.")
]
Out = Annotated[Path | None, typer.Option(help="Results directory; default experiments/NAME.")]
Workers = Annotated[int | None, typer.Option(min=1, max=1024, help="Trainings at a time.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override, as in parameters.epochs=[5]."),
]
Trackers = typer.Option(
    metavar="tensorboard:DIR|mlflow:URI|wandb:PROJECT", help="Log each result; may be repeated."
)
Trust = Annotated[
    list[str] | None,
    typer.Option(metavar="MODULE:NAME", help="Run this function of yours; may be repeated."),
]
TrustedSweep = Annotated[
    Path | None,
    typer.Option("--sweep", metavar="FILE", help="Run the functions that this sweep file names."),
]


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
    # `run` installs its own handlers.
    if context.invoked_subcommand != "run" and context.obj is not None:
        context.obj()


def _show_warning(message: Warning | str, *_details: object, **_more: object) -> None:
    tell(f"warning: {message}")


def main(arguments: list[str] | None = None, begin: Callable[[], None] | None = None) -> None:
    """Run the command line and exit with its code; a user's mistake gives no traceback.

    Args:
        begin: Called before a command with files or processes to clean up.
    """
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
            app(arguments, "hpsearch", obj=begin)
    except HpsearchError as error:
        lost = _working_directory_lost()
        _fail(f"{error}; {lost}" if lost else str(error), error.exit_code, arguments)
    except KeyboardInterrupt:
        tell("interrupted")
        raise SystemExit(130) from None
    except BrokenPipeError:
        # `hpsearch show ... | head` is not an error, but Python would complain on flushing stdout.
        silence(sys.stdout)
        raise SystemExit(0) from None
    except (OSError, RuntimeError) as error:
        advice = shortage(error) or _working_directory_lost()
        if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
            advice = "give a shorter one"
        if not advice:
            raise
        _fail(f"{error}; {advice}", InputError.exit_code, arguments)


def _fail(message: str, exit_code: int, arguments: list[str] | None) -> NoReturn:
    tell(message)
    if "--json" in (sys.argv[1:] if arguments is None else arguments):
        # Most commands need no JSON.
        from hpsearch.cli.documents import print_error

        try:
            print_error(message, exit_code)
        except OSError:
            silence(sys.stdout)
    raise SystemExit(exit_code) from None


def _working_directory_lost() -> str:
    """Return what to do if the working directory has been deleted; else an empty text."""
    try:
        os.getcwd()
    except FileNotFoundError:
        return "the working directory has been deleted: change to another one, as in: cd ~"
    return ""
