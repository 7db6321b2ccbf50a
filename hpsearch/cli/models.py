"""Commands that need models: `export`, `predict`, `evaluate`, `refit`, `ensemble`, `reproduce`."""

from __future__ import annotations

import math
import os
import shlex
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from hpsearch.cli.app import DirectoryArgument, Trust, TrustedSweep, Workers
from hpsearch.cli.documents import Json, print_document
from hpsearch.cli.show import print_table
from hpsearch.comparison.refitting import REFIT_IN, score_intervals, sweep_of_best
from hpsearch.engine.session import Settings
from hpsearch.engine.sweep import run_sweep
from hpsearch.errors import InputError
from hpsearch.programs.repeat import stored_program
from hpsearch.progress.display import line_printer, make_console, make_display
from hpsearch.runs.ensemble import Ensemble, make_ensemble
from hpsearch.runs.predicting import predictor_of
from hpsearch.runs.standalone import write_standalone
from hpsearch.runs.trial import (
    Reproduction,
    Source,
    Which,
    evaluate_trial,
    export_model,
    reproduce_trial,
    trusted,
)
from hpsearch.spec.sweep import load_sweep
from hpsearch.store.columns import PACKAGES
from hpsearch.store.directory import require_free
from hpsearch.store.store import evaluations_of
from hpsearch.store.tables import write_csv
from hpsearch.wording import counted, number

Trial = Annotated[
    int | None, typer.Option(min=1, help="The trial's number; default the best trial.")
]
Seed = Annotated[
    int | None, typer.Option(min=0, help="The execution's seed; default that of the best one.")
]
Fold = Annotated[
    int | None, typer.Option(min=1, help="The execution's fold; default that of the best one.")
]


def trust_of(names: Sequence[str] | None, sweep: Path | None) -> frozenset[str]:
    """Return the functions that may run: those in `names` and those in the user's sweep file."""
    named = () if sweep is None else load_sweep(sweep).functions
    return trusted(names or ()) | frozenset(named)


def _source(directory: Path, names: Sequence[str] | None, sweep: Path | None) -> Source:
    say = line_printer(make_console(stderr=True))
    return Source(directory, trust=trust_of(names, sweep), say=say)


def export(
    directory: DirectoryArgument,
    *,
    out: Annotated[Path, typer.Option(metavar="MODEL.keras", help="The file to write.")],
    trial: Trial = None,
    seed: Seed = None,
    fold: Fold = None,
    threshold: Annotated[
        str | None,
        typer.Option(metavar="METRIC", help="Choose the threshold of two classes by f1, mcc, ..."),
    ] = None,
    calibrate: Annotated[
        bool, typer.Option("--calibrate", help="Correct over- and underconfident probabilities.")
    ] = False,
    trust: Trust = None,
    sweep: TrustedSweep = None,
) -> None:
    """Write a trial's model and print where."""
    source, which = _source(directory, trust, sweep), Which(trial, seed, fold)
    execution, decision = export_model(source, out, which, threshold=threshold, calibrate=calibrate)
    say = line_printer(make_console())
    say(f"wrote the model of {execution.label} to {out}; it takes raw rows")
    for line in decision.in_words() if decision else ():
        say(line)


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
    directory: Annotated[
        Path,
        typer.Argument(
            metavar="DIR|MODEL.keras", help="The results directory of a run, or a model's file."
        ),
    ],
    rows: Annotated[Path, typer.Argument(metavar="ROWS.csv", help="The rows to predict.")],
    *,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE.csv", help="The file to write; default stdout.")
    ] = None,
    proba: Annotated[
        bool, typer.Option("--proba", help="Add the probability of each class.")
    ] = False,
    key: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Begin each line with this column's cell.")
    ] = None,
    trial: Trial = None,
    seed: Seed = None,
    fold: Fold = None,
    trust: Trust = None,
    sweep: TrustedSweep = None,
) -> None:
    """Write a prediction for each row of a file; text like a formula gets an apostrophe."""
    if out is not None:
        require_free(out, rows, directory)
    source = _source(directory, trust, sweep)
    _import_tensorflow()
    predictor = predictor_of(source, Which(trial, seed, fold))
    table = predictor.table(rows, probabilities=proba, key=key)
    if out is None:
        write_csv(table, Path("-"), lambda _, text: typer.echo(text, nl=False))
        return
    try:
        write_csv(table, out)
    except OSError as error:
        raise InputError(f"{out}: cannot be written: {error.strerror}") from None
    source.say(f"wrote {counted(len(table), 'prediction')} to {out}")


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
    as_json: Json = False,
) -> None:
    """Evaluate a trial and print its metrics."""
    source = _source(directory, trust, sweep)
    evaluation = evaluate_trial(source, split, Which(trial, seed, fold))
    recorded = [entry for entry in evaluations_of(directory) if entry.split == split]
    models = {entry.trial or entry.config for entry in recorded}
    if as_json:
        counts = {"evaluations": len(recorded), "trials_evaluated": len(models)}
        print_document("evaluate", **asdict(evaluation), **counts)
        return
    console = make_console()
    say = line_printer(console)
    in_fold = "" if evaluation.fold is None else f", fold {evaluation.fold}"
    model = f"trial {evaluation.trial} ({evaluation.config}, seed {evaluation.seed}{in_fold})"
    say(f"{model} on the {split} split, {evaluation.rows} rows")
    measures = evaluation.metrics.items()
    intervals = {name: f"95% interval {m.interval}" * bool(m.interval) for name, m in measures}
    print_table(console, (), ((name, number(m.value), intervals[name]) for name, m in measures))
    say(f"recorded: evaluation {len(recorded)} on the {split} split of this directory")
    if split == "test":
        _warn_of_test(len(models), say)


def _warn_of_test(models: int, say: Callable[[str], None]) -> None:
    """Warn if several models were evaluated on the test split."""
    if models > 1:
        say(
            f"warning: the test split has judged {models} models now; the best of their "
            "test scores is too good to be expected of new rows"
        )


def refit(
    directory: DirectoryArgument,
    *,
    top: Annotated[int, typer.Option(min=1, help="The number of best trials.")] = 1,
    seeds: Annotated[int, typer.Option(min=1, max=10_000, help="Fresh seeds of each.")] = 5,
    on: Annotated[
        str, typer.Option(metavar="train|train+validation", help="Rows to train on.")
    ] = "train",
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Default DIR/refit, or DIR/final.")
    ] = None,
    workers: Workers = None,
    trust: Trust = None,
    sweep: TrustedSweep = None,
) -> None:
    """Train the best trials again and print their means and intervals."""
    best = sweep_of_best(_source(directory, trust, sweep), top, seeds, on)
    out = out or directory / REFIT_IN[on]
    run_sweep(best, Settings(out=out, workers=workers), make_display(make_console(stderr=True)))
    rows = []
    for line in score_intervals(out).to_dict("records"):
        low, mean, high = (number(line[name]) for name in ("low", "mean", "high"))
        ends = "-" if math.isnan(line["low"]) else f"{low} to {high}"
        cells = (line["trial"], line["config"], mean, ends, line["executions"])
        rows.append(list(map(str, cells)))
    console = make_console()
    columns = ("trial", "config", "mean", "95% interval", "executions")
    print_table(console, columns, rows)
    say = line_printer(console)
    if on != "train":
        say("these scores are of rows that the models were trained on")
    say(f"results and the best of these models, best.keras, are in {out}")


def ensemble(
    directory: DirectoryArgument,
    *,
    size: Annotated[int, typer.Option(min=1, help="The number of choices.")] = 8,
    candidates: Annotated[
        int, typer.Option(min=1, help="The number of best models to choose among.")
    ] = 24,
    out: Annotated[
        Path | None, typer.Option(metavar="MODEL.keras", help="Default DIR/ensemble.keras.")
    ] = None,
    workers: Workers = None,
    trust: Trust = None,
    sweep: TrustedSweep = None,
) -> None:
    """Average the best trials' models and print which, and the average's scores."""
    made = make_ensemble(_source(directory, trust, sweep), size, candidates, out, workers)
    print_ensemble(made, directory)


def print_ensemble(made: Ensemble, directory: Path) -> None:
    """Print the members and scores of a directory's ensemble."""
    console = make_console()
    say = line_printer(console)
    rows = [
        (str(line.trial), str(line.config), str(line.seed), f"{line.share:.3g}")
        for line in made.members.itertuples()
    ]
    print_table(console, ("trial", "config", "seed", "share"), rows)
    score, single = (number(value) for value in (made.score, made.single_score))
    of_single = f"{made.single} alone has {single}"
    say(f"{made.metric} {score} on the validation rows, which chose it; {of_single}")
    for entry in made.evaluations:
        interval = f", 95% interval {entry.score.interval}" * bool(entry.score.interval)
        value = number(entry.score.value) + interval
        say(f"{entry.metric} of {entry.model} on the test rows: {value}")
    if made.evaluations:
        judged = (entry for entry in evaluations_of(directory) if entry.split == "test")
        _warn_of_test(len({entry.trial or entry.config for entry in judged}), say)
    say(f"wrote the ensemble to {made.path}; it takes raw rows")


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
    """Train a trial again, or write or print what does it; exit with 1 if its score differs."""
    which, say = Which(trial, seed, fold), line_printer(make_console())
    if (program := stored_program(directory)) is not None:
        if script is not None or trust:
            raise InputError(
                f"--script and --trust are of models, and {directory} is of a program: without "
                "them, its command line is printed, and --sweep FILE runs it"
            )
        if sweep is None:
            say(program.command_line(which))
            return
        reproduction = program.reproduce(which, sweep)
    elif script is not None:
        execution, path = write_standalone(_source(directory, trust, sweep), script, which)
        say(f"wrote {execution.label} to {script}; next: python {shlex.quote(str(path))}")
        return
    else:
        reproduction = reproduce_trial(_source(directory, trust, sweep), which)
    for line in _verdict(reproduction):
        say(line)
    if not reproduction.equal:
        raise typer.Exit(1)


def _verdict(rerun: Reproduction) -> Iterable[str]:
    again, row, first = rerun.again, rerun.row, rerun.first_difference
    if rerun.equal:
        score = f"{row.score!r} again, equal to its row"
        score += "; so is every metric of every epoch" * (first is None)
    else:
        score = f"{again.score!r} ({again.status}), not equal to its row's {row.score!r}"
    yield f"{rerun.execution.label}: {rerun.metric} {score}"
    if again.error:
        yield f"  {' '.join(again.error.split())}"
    if first is not None:
        yield f"  the first epoch that differs is {first} of {len(row.curve)}"
    if again.trainer != row.trainer:
        yield f"  its row was trained by {row.trainer!r}, this time by {again.trainer!r}"
    for name, (then, now) in rerun.other_versions.items():
        yield f"  {PACKAGES[name]} was {then} and is {now} now"
