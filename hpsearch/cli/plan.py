"""`hpsearch plan`: the trials and trainings of a run, and a rough estimate of their duration."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from hpsearch.cli.app import Out, Set, SweepArgument, Workers
from hpsearch.data.dataset import Dataset
from hpsearch.data.loading import load_dataset
from hpsearch.data.specs import InputSpec, n_features
from hpsearch.errors import RefusedError
from hpsearch.machine import cores
from hpsearch.models.problem import Problem, Recipe
from hpsearch.programs.fingerprint import code_lines
from hpsearch.programs.loading import load_any
from hpsearch.programs.sweep import ProgramSweep
from hpsearch.progress.display import line_printer, make_console
from hpsearch.search.draws import FIXED_METHODS, draws
from hpsearch.space.distributions import Drawn
from hpsearch.space.execution import Execution, ExecutionResult, Repetition, Training
from hpsearch.space.space import Choices, Parameter, Range
from hpsearch.spec.sweep import Sweep
from hpsearch.store.directory import ResultsDirectory
from hpsearch.store.provenance import make_recipe
from hpsearch.store.store import Store
from hpsearch.training.kinds import needs_tensorflow
from hpsearch.tuner.estimate import CostEstimate, DataSizes, estimate_cost, measure_steps
from hpsearch.tuner.learning import CurveReuse
from hpsearch.tuner.models import plan_search
from hpsearch.tuner.planning import Summary, Trials, group, summarize, tally
from hpsearch.tuner.search import Search, program_search
from hpsearch.wording import counted, duration, have_results

_MOST_VALUES = 6
#: Most trials to count one by one.
_MOST_COUNTED = 100_000


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
    loaded = load_any(sweep, set_ or (), with_data=True)
    if isinstance(loaded, ProgramSweep):
        print_program_plan(loaded, out, make_console())
    else:
        print_plan(loaded, out, workers, make_console(), measure=measure)


def print_plan(
    sweep: Sweep, out: Path | None, workers: int | None, console: Console, *, measure: bool
) -> None:
    """Print the plan of a run of `sweep`.

    Args:
        measure: Time a few training steps for the estimate.

    Raises:
        DataError: The data cannot be used.
    """
    say = line_printer(console)
    custom = isinstance(sweep.model, str)
    dataset = load_dataset(sweep.data)
    target, features = dataset.target, n_features(dataset.input)
    where = ResultsDirectory(out or Path("experiments") / sweep.name)
    search = plan_search(sweep)
    say(
        f"sweep {sweep.name}: {dataset.name}, {len(dataset.train):,} training and "
        f"{len(dataset.validation):,} validation rows, {features:,} features, {target.task}"
    )
    for warning in sweep.warnings:
        say(f"warning: {warning}")
    if custom:
        say(f"{sweep.model} asks for")
        for parameter in search.space.parameters:
            say(parameter_line(parameter))
    limit = sweep.budget.trials if sweep.budget else None
    if search.method.name not in FIXED_METHODS:
        trials_text = "as many as fit into budget.time" if limit is None else f"{limit:,} at most"
        name = sweep.method.name
        say(f"trials     {trials_text}; {name} chooses them by the scores of earlier ones")
        return
    stored, results = _stored(where)
    executions = _executions(sweep, search, limit, stored)
    done = _answered(executions, make_recipe(sweep, target.task), stored, results)
    trainings = group(executions, answered={each.number for each in done})
    if custom:
        lines = [
            *_counts(tally(executions, trainings), executions, done),
            "time       unknown: the models are your own",
        ]
    else:
        summary = summarize(executions, trainings, features, target.outputs)
        asked = workers or sweep.execution.workers
        count = cores() if asked == "auto" else int(asked)
        estimate = _estimate(sweep, dataset, trainings, count, measure=measure)
        lines = [*_counts(summary, executions, done), *_costs(summary, estimate, count)]
        if search.method.name == "random" and limit is None:
            lines.append("only budget.time ends this search: the figures are of its first trials")
    say("\n".join(lines))


def _executions(
    sweep: Sweep, search: Search, limit: int | None, stored: Sequence[Execution]
) -> list[Execution]:
    if sweep.method.name in {"random", "sobol"} and limit is None:
        # The search ends by time, so plan only its first trials.
        limit = 1_000
    listed = {config.id for config in search.listed}
    trials = Trials(search.space, listed, sweep.repetitions, stored=stored, limit=limit)
    known = {each.config.id: each.config for each in trials.current}
    executions = [*trials.current, *trials.new(known.values(), sweep.repetitions)]
    return executions + _drawn(trials, search, search.method.name, sweep.repetitions)


def _drawn(
    trials: Trials, search: Search, method: str, repetitions: Sequence[Repetition]
) -> list[Execution]:
    """Return the executions of a search's configs until there are as many trials as allowed."""
    executions: list[Execution] = []
    drawn = draws(method, search.space, search.listed, search.seed)
    for config in itertools.chain(search.listed, drawn):
        if trials.spent:
            break
        executions += trials.new([config], repetitions)
    return executions


def _stored(where: ResultsDirectory) -> tuple[list[Execution], dict[int, ExecutionResult]]:
    """Return the executions of earlier runs, and their results."""
    if where.store.exists():
        # A run would report what is wrong with the store; a plan only counts.
        with suppress(RefusedError), Store(where.store, read_only=True) as store:
            return store.executions(), store.results()
    return [], {}


def _answered(
    executions: Sequence[Execution],
    recipe: Recipe,
    stored: Sequence[Execution],
    results: Mapping[int, ExecutionResult],
) -> list[Execution]:
    """Return the executions with a result, stored or contained in an earlier one's curve."""
    curves = CurveReuse(recipe, results, {}, stored)
    return [each for each in executions if each.number in results or curves.answer(each)]


def _estimate(
    sweep: Sweep, dataset: Dataset, trainings: list[Training], workers: int, *, measure: bool
) -> CostEstimate:
    target, features = dataset.target, n_features(dataset.input)
    rows = sum(map(len, filter(None, (dataset.train, dataset.validation, dataset.test))))
    bytes_per_value = 1 if len(dataset.input.shape) > 1 else 4
    sizes = DataSizes(
        len(dataset.train),
        len(dataset.validation),
        features,
        target.outputs,
        rows * features * bytes_per_value,
    )
    problem = Problem(make_recipe(sweep, target.task), InputSpec((features,), "float32"), target)

    def tensorflow(training: Training) -> bool:
        return needs_tensorflow(problem, training.values)

    if not (measure and trainings):
        return estimate_cost(trainings, sizes, workers, tensorflow=tensorflow)
    step = measure_steps(sweep, trainings, sizes, tensorflow)
    return estimate_cost(trainings, sizes, workers, tensorflow=tensorflow, step=step, spread=1.4)


def _counts(
    summary: Summary, executions: Sequence[Execution], done: Sequence[Execution]
) -> list[str]:
    trials = {each.trial for each in executions}
    complete = len(trials) - summary.trials
    lines = [f"trials     {len(trials):,}" + (f", {have_results(complete)}" if complete else "")]
    if len(executions) > len(trials):
        lines.append(
            f"executions {len(executions):,} (a trial has one for each seed and fold)"
            + (f", {have_results(len(done))}" if done else "")
        )
    return [
        *lines,
        f"trainings  {summary.trainings:,} (trials that differ only in epochs share one)",
        f"epochs     {summary.epochs_trained:,} of {summary.epochs_asked:,}"
        f"; {summary.epochs_saved:,} saved",
    ]


def _costs(summary: Summary, estimate: CostEstimate, workers: int) -> list[str]:
    lines = []
    if summary.weights is not None:
        low, high = summary.weights
        lines.append(f"weights    {low:,}" + (f" to {high:,}" if high != low else ""))
    if not summary.trainings:
        return [*lines, "time       nothing to train"]
    least, most = duration(estimate.low_seconds), duration(estimate.high_seconds)
    times = f"about {least}" if least == most else f"{least} to {most}"
    lines.append(f"time       {times} with {counted(workers, 'worker')}")
    lines.append(f"memory     about {estimate.memory_bytes / 2**30:.1f} GB")
    return lines


def print_program_plan(sweep: ProgramSweep, out: Path | None, console: Console) -> None:
    """Print the plan of a run of a program's sweep; nothing runs."""
    say = line_printer(console)
    metric = sweep.metric
    where = ResultsDirectory(out or Path("experiments") / sweep.name)
    program = sweep.run_of(str(where.trials.absolute()))
    say(f"sweep {sweep.name}: a program, {metric.direction} {metric.name}")
    for warning in sweep.warnings:
        say(f"warning: {warning}")
    for line in code_lines(program):
        say(line)
    for parameter in sweep.space.parameters:
        say(parameter_line(parameter))
    executions, whole = _planned(sweep)
    if sweep.method.name in FIXED_METHODS and whole:
        trials = len({each.trial for each in executions})
        runs = "" if len(executions) == trials else f", {counted(len(executions), 'run')}"
        say(f"trials     {trials:,}{runs}")
    elif sweep.limit is not None:
        say(f"trials     {sweep.limit:,} at most; {sweep.method.name} chooses them")
    else:
        say(f"trials     as many as there is time for; {sweep.method.name} chooses them")
    if executions:
        first = executions[0]
        line = program.shell_line(first.config.values, first.seed, first.trial)
        say(f"trial 1    {line}")


def _planned(sweep: ProgramSweep) -> tuple[list[Execution], bool]:
    """Return the first executions of a method that ignores scores, and whether they are all.

    For any other method, return the executions of one random draw.
    """
    search = program_search(sweep)
    fixed = search.method.name in FIXED_METHODS
    method = search.method.name if fixed else "random"
    limit = search.limit if fixed else 1
    bound = _MOST_COUNTED if limit is None and sweep.method.exhausts else 1
    trials = Trials(search.space, (), sweep.repetitions, limit=bound if limit is None else limit)
    executions = _drawn(trials, search, method, sweep.repetitions)
    return executions, limit is not None or not trials.spent


def parameter_line(parameter: Parameter) -> str:
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
