"""`hpsearch plan`: the trials and trainings of a run, and a rough estimate of their duration."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from hpsearch.cli.app import Out, Set, SweepArgument, Workers
from hpsearch.cli.documents import Json, print_document
from hpsearch.custom.search import plan_search
from hpsearch.data.dataset import Dataset
from hpsearch.data.specs import n_features
from hpsearch.engine.learning import answered
from hpsearch.engine.models import SweepModels
from hpsearch.engine.planning import Summary, group, summarize
from hpsearch.engine.search import SearchSpec, foresee, strategy_of
from hpsearch.engine.session import Settings
from hpsearch.errors import RefusedError
from hpsearch.machine import cores
from hpsearch.models.problem import Recipe
from hpsearch.programs.search import program_recipe
from hpsearch.progress.display import line_printer, make_console
from hpsearch.space.execution import Execution, ExecutionResult
from hpsearch.space.space import Drawn, Parameter, Range
from hpsearch.spec.sweep import AnySweep, ProgramSweep, Sweep, load_sweep
from hpsearch.store.directory import ResultsDirectory
from hpsearch.store.store import Store
from hpsearch.wording import counted, duration, listing

_MOST_VALUES = 6

#: A line for people, and the same facts for programs.
Statement = tuple[str, dict[str, Any]]


def plan(
    sweep: SweepArgument,
    *,
    out: Out = None,
    workers: Workers = None,
    set_: Set = None,
    measure: Annotated[
        bool, typer.Option("--measure", help="Time a few steps of a few sizes.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Print the plan of a run of models or of a program."""
    loaded = load_sweep(sweep, set_ or (), with_data=True)
    if not as_json:
        print_plan(loaded, out, workers, make_console(), measure=measure)
        return
    facts: dict[str, Any] = {}
    for _, new in _statements(loaded, out, workers, measure=measure):
        facts |= new
    print_document("plan", **facts)


def print_plan(
    sweep: AnySweep, out: Path | None, workers: int | None, console: Console, *, measure: bool
) -> None:
    """Print the plan of a run of `sweep`."""
    for line, _ in _statements(sweep, out, workers, measure=measure):
        if line:
            line_printer(console)(line)


def _statements(
    sweep: AnySweep, out: Path | None, workers: int | None, *, measure: bool
) -> Iterator[Statement]:
    where = ResultsDirectory(out or Path("experiments") / sweep.name)
    if isinstance(sweep, ProgramSweep):
        return _program_plan(sweep, where)
    return _model_plan(sweep, where, workers, measure=measure)


def _head(sweep: AnySweep, subject: str, about_data: Sequence[str] = ()) -> Iterator[Statement]:
    warnings = [*sweep.warnings, *about_data]
    yield f"sweep {sweep.name}: {subject}", {"sweep": sweep.name, "warnings": warnings}
    for warning in warnings:
        yield f"warning: {warning}", {}
    if sweep.known is not None:
        line = f"known      {sweep.known}, whose configs are not left out of these figures"
        yield line, {"known": sweep.known}


def _program_plan(sweep: ProgramSweep, where: ResultsDirectory) -> Iterator[Statement]:
    yield from _head(sweep, f"a program, {sweep.metric.goal} {sweep.metric.name}")
    program = sweep.run_of(str(where.trials.absolute()))
    file = program.program
    yield f"program    {file or 'no file, so its edits are not noticed'}", {"program": file}
    yield from _parameters(sweep.space.parameters)
    search, (stored, results) = SearchSpec.of(sweep), _stored(where)
    executions, complete = foresee(search, stored)
    yield "", {"complete": complete}
    if complete and search.method.draws:
        done = [execution for execution in executions if execution.number in results]
        yield from _counts(executions, done)
    else:
        yield _open_end(search)
        yield from _halting(search, program_recipe(sweep))
    if executions:
        first = executions[0]
        line = program.shell_line(first.config.values, first.seed, first.trial)
        yield f"trial {first.trial}    {line}", {"command_of_first": line}


def _model_plan(
    sweep: Sweep, where: ResultsDirectory, workers: int | None, *, measure: bool
) -> Iterator[Statement]:
    models, custom = SweepModels.of(sweep), sweep.kind.is_model
    yield from _head(sweep, _rows(models.dataset), models.dataset.warnings)
    search = plan_search(models) if custom else SearchSpec.of(sweep)
    if custom:
        yield f"{sweep.builder} asks for", {"builder": sweep.builder}
        yield from _parameters(search.space.parameters)
    if not search.method.draws:
        yield _open_end(search)
        yield from _halting(search, models.recipe)
        return
    stored, results = _stored(where)
    executions, complete = foresee(search, stored)
    done = answered(executions, models.recipe, stored, results)
    yield from _counts(executions, done)
    yield "", {"complete": complete}
    trainings = group(executions, answered={execution.number for execution in done})
    summary = summarize(executions, trainings)
    yield from _shared(summary)
    if custom:
        yield "time       unknown: the models are your own", {}
        return
    count = Settings(workers=workers).workers_for(sweep.execution) or cores()
    ends = models.estimate(trainings, count, measure=measure)
    yield _time(summary, ends, count)
    if not complete:
        yield f"only {_end(search)} ends this search: the figures are of its first trials", {}


def _rows(dataset: Dataset) -> str:
    return (
        f"{dataset.name}, {len(dataset.train):,} training and {len(dataset.validation):,} "
        f"validation rows, {n_features(dataset.input):,} features, {dataset.target.task}"
    )


def _open_end(search: SearchSpec) -> Statement:
    """Return the statement about trials that are not known beforehand."""
    count = f"until {_end(search)}" if search.limit is None else f"{search.limit:,} at most"
    method = search.method.name
    facts = {"most_trials": search.limit, "method": method}
    return f"trials     {count}; {method} chooses them", facts


def _halting(search: SearchSpec, recipe: Recipe) -> Iterator[Statement]:
    """Yield where a method halts trainings, and which method proposes configs for it."""
    strategy = strategy_of(search, recipe)
    if strategy is None or not strategy.rungs:
        return
    rungs, proposes = strategy.rungs[:-1], search.method.proposer(search.limit)
    if not rungs:
        yield "halting    nowhere: the first rung is the last epoch", {"rungs": []}
        return
    shown = listing(map(str, rungs), "and")
    if len(rungs) > _MOST_VALUES:
        shown = ", ".join([*map(str, rungs[:_MOST_VALUES]), "..."])
    line = f"halting    after {shown} epochs only the best go on; {proposes} proposes"
    yield line, {"rungs": list(rungs), "proposals": proposes}


def _end(search: SearchSpec) -> str:
    """Return what may end a search without a number of trials."""
    raw = search.budget.raw() if search.budget else {}
    given = [f"budget.{name}" for name in ("time", "patience", "score") if name in raw]
    return listing(given) or ("the end of its grid" if search.method.exhausts else "Ctrl-C")


def _stored(where: ResultsDirectory) -> tuple[list[Execution], dict[int, ExecutionResult]]:
    """Return the executions of earlier runs, and their results."""
    if where.store.exists():
        # A run would report what is wrong with the store; a plan only counts.
        with suppress(RefusedError), Store(where.store, read_only=True) as store:
            return store.executions(), store.results()
    return [], {}


def _counts(executions: Sequence[Execution], done: Collection[Execution]) -> Iterator[Statement]:
    numbers = {execution.number for execution in done}
    trials = {execution.trial for execution in executions}
    begun = {execution.trial for execution in executions if execution.number not in numbers}
    complete = len(trials - begun)
    line = f"trials     {len(trials):,}" + (f", {complete:,} done already" if complete else "")
    yield line, {"trials": len(trials), "trials_done": complete}
    facts = {"executions": len(executions), "executions_done": len(done)}
    if len(executions) == len(trials):
        yield "", facts
        return
    line = f"executions {len(executions):,} (a trial has one for each seed and fold)"
    yield line + (f", {len(done):,} done already" if done else ""), facts


def _shared(summary: Summary) -> Iterator[Statement]:
    line = f"trainings  {summary.trainings:,} (trials that differ only in epochs share one)"
    yield line, {"trainings": summary.trainings}
    trained, asked = summary.epochs_trained, summary.epochs_asked
    line = f"epochs     {trained:,} of {asked:,}; {summary.epochs_saved:,} saved"
    yield line, {"epochs": trained, "epochs_unshared": asked}


def _time(summary: Summary, ends: tuple[float, float], workers: int) -> Statement:
    facts = {"seconds": ends, "workers": workers}
    if not summary.trainings:
        return "time       nothing to train", facts
    least, most = map(duration, ends)
    times = f"about {least}" if least == most else f"{least} to {most}"
    return f"time       {times} with {counted(workers, 'worker')}", facts


def _parameters(parameters: Sequence[Parameter]) -> Iterator[Statement]:
    lines = map(_parameter_line, parameters)
    domains = [
        {"name": parameter.name, "domain": _domain(parameter), "when": parameter.when}
        for parameter in parameters
    ]
    yield "\n".join(lines), {"parameters": domains}


def _parameter_line(parameter: Parameter) -> str:
    """Return a parameter's name, values and conditions."""
    conditions = [f"{n} is {' or '.join(map(str, these))}" for n, these in parameter.when.items()]
    when = f" (where {' and '.join(conditions)})" if conditions else ""
    return f"  {parameter.name}: {_domain(parameter)}{when}"


def _domain(parameter: Parameter) -> str:
    domain, choices = parameter.domain, parameter.choices or ()
    if isinstance(domain, Drawn):
        given = ", ".join(f"{name} {value:g}" for name, value in domain.arguments)
        return f"{domain.distribution}, {given}"
    if isinstance(domain, Range) and not 0 < len(choices) <= _MOST_VALUES:
        step = f", step {domain.step:g}" if domain.step is not None else ""
        return f"{domain.min:g} to {domain.max:g}{step}{', log' if domain.log else ''}"
    more = len(choices) - _MOST_VALUES
    shown = ", ".join(str(value)[:40] for value in choices[:_MOST_VALUES])
    return shown + (f" and {more} more" * (more > 0))
