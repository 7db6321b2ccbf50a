"""`hpsearch plan`: the trials and trainings of a run, and a rough estimate of their duration."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from hpsearch.cli.app import Out, Set, SweepArgument, Workers
from hpsearch.custom.search import plan_search
from hpsearch.data.dataset import Dataset
from hpsearch.data.specs import n_features
from hpsearch.engine.learning import answered
from hpsearch.engine.models import SweepModels
from hpsearch.engine.planning import Summary, group, summarize
from hpsearch.engine.search import Search, foresee, strategy_of
from hpsearch.errors import RefusedError
from hpsearch.machine import cores
from hpsearch.models.problem import Recipe
from hpsearch.programs.fingerprint import commit_of
from hpsearch.progress.display import line_printer, make_console
from hpsearch.search.strategy import PRIOR
from hpsearch.space.distributions import Drawn
from hpsearch.space.execution import Execution, ExecutionResult, Training
from hpsearch.space.kinds import Kind
from hpsearch.space.space import Choices, Parameter, Range
from hpsearch.spec.sweep import AnySweep, ProgramSweep, Sweep, load_sweep
from hpsearch.store.directory import ResultsDirectory
from hpsearch.store.store import Store
from hpsearch.wording import counted, duration, have_results

_MOST_VALUES = 6


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
    """Print the plan of a run of models or of a program."""
    loaded = load_sweep(sweep, set_ or (), with_data=True)
    print_plan(loaded, out, workers, make_console(), measure=measure)


def print_plan(
    sweep: AnySweep, out: Path | None, workers: int | None, console: Console, *, measure: bool
) -> None:
    """Print the plan of a run of `sweep`.

    Args:
        measure: Time a few training steps for the estimate.

    Raises:
        DataError: The data cannot be used.
    """
    say = line_printer(console)
    where = ResultsDirectory(out or Path("experiments") / sweep.name)
    for line in _PLANS[sweep.kind](sweep, where, workers, measure):
        say(line)


def _head(sweep: AnySweep, subject: str) -> Iterator[str]:
    yield f"sweep {sweep.name}: {subject}"
    for warning in sweep.warnings:
        yield f"warning: {warning}"


def _program_plan(sweep: ProgramSweep, where: ResultsDirectory, *_: object) -> Iterator[str]:
    yield from _head(sweep, f"a program, {sweep.metric.goal} {sweep.metric.name}")
    program = sweep.run_of(str(where.trials.absolute()))
    commit = commit_of(program)
    name = program.program or "no file, so its edits are not noticed"
    yield f"program    {name}" + (f", commit {commit}" if commit else "")
    yield from map(_parameter_line, sweep.space.parameters)
    search, (stored, results) = Search.of(sweep), _stored(where)
    executions, complete = foresee(search, stored)
    if complete and search.method.draws:
        done = [execution for execution in executions if execution.number in results]
        yield from _counts(executions, done)
    else:
        yield _open_end(search)
    if executions:
        first = executions[0]
        line = program.shell_line(first.config.values, first.seed, first.trial)
        yield f"trial {first.trial}    {line}"


def _mlp_plan(
    sweep: Sweep, where: ResultsDirectory, workers: int | None, measure: bool
) -> Iterator[str]:
    models = SweepModels.of(sweep)
    yield from _head(sweep, _rows(models.dataset))
    planned = yield from _trials(models, Search.of(sweep), where)
    if planned is None:
        return
    executions, trainings, complete = planned
    summary = summarize(executions, trainings)
    asked = workers or sweep.execution.workers
    count = cores() if asked == "auto" else int(asked)
    ends = models.estimate(trainings, count, measure=measure)
    yield from (*_shared(summary), _time(summary, ends, count))
    if not complete:
        yield "only budget.time ends this search: the figures are of its first trials"


def _custom_plan(sweep: Sweep, where: ResultsDirectory, *_: object) -> Iterator[str]:
    models = SweepModels.of(sweep)
    search = plan_search(models)
    yield from _head(sweep, _rows(models.dataset))
    yield f"{sweep.builder} asks for"
    yield from map(_parameter_line, search.space.parameters)
    planned = yield from _trials(models, search, where)
    if planned is not None:
        executions, trainings, _complete = planned
        yield from _shared(summarize(executions, trainings))
        yield "time       unknown: the models are your own"


#: The lines of a plan, by the kind of trial.
_PLANS: dict[Kind, Callable[..., Iterator[str]]] = {
    Kind.MLP: _mlp_plan,
    Kind.MODEL: _custom_plan,
    Kind.PROGRAM: _program_plan,
}


def _rows(dataset: Dataset) -> str:
    return (
        f"{dataset.name}, {len(dataset.train):,} training and {len(dataset.validation):,} "
        f"validation rows, {n_features(dataset.input):,} features, {dataset.target.task}"
    )


_Planned = tuple[list[Execution], list[Training], bool]
"""Executions, trainings, and whether they are all."""


def _trials(
    models: SweepModels, search: Search, where: ResultsDirectory
) -> Generator[str, None, _Planned | None]:
    """Yield lines about the trials, and return what is planned, if it is known beforehand."""
    if not search.method.draws:
        yield _open_end(search)
        if not where.store.exists():
            yield from _from_prior(search, models.recipe)
        return None
    stored, results = _stored(where)
    executions, complete = foresee(search, stored)
    done = answered(executions, models.recipe, stored, results)
    yield from _counts(executions, done)
    return (
        executions,
        group(executions, answered={execution.number for execution in done}),
        complete,
    )


def _open_end(search: Search) -> str:
    """Return the line of trials that are not known beforehand."""
    count = "as many as there is time for" if search.limit is None else f"{search.limit:,} at most"
    by = "" if search.method.draws else " by the scores of earlier ones"
    return f"trials     {count}; {search.method.name} chooses them{by}"


def _from_prior(search: Search, recipe: Recipe) -> Iterator[str]:
    """Yield the configs to try first because of a prior, a line each."""
    strategy = strategy_of(search, recipe)
    if strategy is None:
        return
    count = len(search.listed) + strategy.foreseen
    first = strategy.ask(min(count, search.limit or count))
    configs = [proposal.config.values for proposal in first if proposal.by == PRIOR]
    if configs:
        yield "first      what does well on other tables (prior: mlp):"
    varied = [parameter.name for parameter in search.space.parameters if parameter.varies]
    for values in configs:
        yield "           " + ", ".join(f"{n} {_short(values[n])}" for n in varied if n in values)


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _stored(where: ResultsDirectory) -> tuple[list[Execution], dict[int, ExecutionResult]]:
    """Return the executions of earlier runs, and their results."""
    if where.store.exists():
        # A run would report what is wrong with the store; a plan only counts.
        with suppress(RefusedError), Store(where.store, read_only=True) as store:
            return store.executions(), store.results()
    return [], {}


def _counts(executions: Sequence[Execution], done: Collection[Execution]) -> Iterator[str]:
    numbers = {execution.number for execution in done}
    trials = {execution.trial for execution in executions}
    complete = len(
        trials - {execution.trial for execution in executions if execution.number not in numbers}
    )
    yield f"trials     {len(trials):,}" + (f", {have_results(complete)}" if complete else "")
    if len(executions) > len(trials):
        yield f"executions {len(executions):,} (a trial has one for each seed and fold)" + (
            f", {have_results(len(done))}" if done else ""
        )


def _shared(summary: Summary) -> Iterator[str]:
    yield f"trainings  {summary.trainings:,} (trials that differ only in epochs share one)"
    yield (
        f"epochs     {summary.epochs_trained:,} of {summary.epochs_asked:,}"
        f"; {summary.epochs_saved:,} saved"
    )


def _time(summary: Summary, ends: tuple[float, float], workers: int) -> str:
    if not summary.trainings:
        return "time       nothing to train"
    least, most = map(duration, ends)
    times = f"about {least}" if least == most else f"{least} to {most}"
    return f"time       {times} with {counted(workers, 'worker')}"


def _parameter_line(parameter: Parameter) -> str:
    """Return a parameter's name, values and conditions."""
    conditions = [
        f"{parent} is {' or '.join(map(str, accepted))}"
        for parent, accepted in parameter.when.items()
    ]
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
    weighted = ", weighted" if isinstance(domain, Choices) and domain.weights else ""
    return shown + (f" and {more} more" * (more > 0)) + weighted
