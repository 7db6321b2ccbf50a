"""`hpsearch plan`: the trials and trainings of a run, and a rough estimate of their duration."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import typer
from rich.console import Console

from hpsearch.cli.app import Out, Set, SweepArgument, Workers
from hpsearch.data.dataset import Dataset
from hpsearch.data.loading import load_dataset
from hpsearch.data.specs import Arrays, n_features
from hpsearch.engine.costs import CostEstimate, DataSizes, NetworkCosts, estimate_cost, step_seconds
from hpsearch.engine.learning import CurveReuse
from hpsearch.engine.models import plan_search
from hpsearch.engine.planning import Summary, Trials, group, tally
from hpsearch.engine.search import Search, strategy_of
from hpsearch.errors import RefusedError
from hpsearch.machine import cores
from hpsearch.models import preprocessing
from hpsearch.models.problem import Problem, Recipe
from hpsearch.programs.fingerprint import commit_of
from hpsearch.progress.display import line_printer, make_console
from hpsearch.search.draws import draws
from hpsearch.search.strategy import PRIOR
from hpsearch.space.distributions import Drawn
from hpsearch.space.execution import Execution, ExecutionResult, Training
from hpsearch.space.mlp import MLPConfig
from hpsearch.space.space import Choices, Parameter, Range
from hpsearch.spec.checks import MOST_POINTS
from hpsearch.spec.sweep import AnySweep, ProgramSweep, Sweep, load_sweep
from hpsearch.store.directory import ResultsDirectory
from hpsearch.store.provenance import make_recipe
from hpsearch.store.store import Store
from hpsearch.training.make import make_trainer
from hpsearch.wording import counted, duration, have_results

_MOST_VALUES = 6
#: Most trials to count of a search that only time ends.
_MOST_DRAWN = 1_000
#: Most trials of a program to count.
_MOST_OF_PROGRAMS = 100_000


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
    if isinstance(sweep, ProgramSweep):
        lines = _program_plan(sweep, where)
    else:
        lines = _model_plan(sweep, where, workers, measure=measure)
    for line in lines:
        say(line)


def _head(sweep: AnySweep, subject: str) -> Iterator[str]:
    yield f"sweep {sweep.name}: {subject}"
    for warning in sweep.warnings:
        yield f"warning: {warning}"


def _program_plan(sweep: ProgramSweep, where: ResultsDirectory) -> Iterator[str]:
    yield from _head(sweep, f"a program, {sweep.metric.goal} {sweep.metric.name}")
    program = sweep.run_of(str(where.trials.absolute()))
    commit = commit_of(program)
    name = program.program or "no file, so its edits are not noticed"
    yield f"program    {name}" + (f", commit {commit}" if commit else "")
    yield from map(_parameter_line, sweep.space.parameters)
    search, (stored, results) = Search.of(sweep), _stored(where)
    executions, complete = _planned(search, stored)
    if complete and search.method.draws:
        done = [each for each in executions if each.number in results]
        yield from _counts(executions, done)
    else:
        yield _open_end(search)
    if executions:
        first = executions[0]
        line = program.shell_line(first.config.values, first.seed, first.trial)
        yield f"trial {first.trial}    {line}"


def _model_plan(
    sweep: Sweep, where: ResultsDirectory, workers: int | None, *, measure: bool
) -> Iterator[str]:
    dataset = load_dataset(sweep.data)
    target, features = dataset.target, n_features(dataset.input)
    custom = isinstance(sweep.model, str)
    search, recipe = plan_search(sweep), make_recipe(sweep, target.task)
    yield from _head(
        sweep,
        f"{dataset.name}, {len(dataset.train):,} training and {len(dataset.validation):,} "
        f"validation rows, {features:,} features, {target.task}",
    )
    if custom:
        yield f"{sweep.model} asks for"
        yield from map(_parameter_line, search.space.parameters)
    if not search.method.draws:
        yield _open_end(search)
        if not where.store.exists():
            yield from _from_prior(search, recipe)
        return
    stored, results = _stored(where)
    executions, complete = _planned(search, stored)
    done = _answered(executions, recipe, stored, results)
    trainings = group(executions, answered={each.number for each in done})
    yield from _counts(executions, done)
    if custom:
        yield from _shared(tally(executions, trainings))
        yield "time       unknown: the models are your own"
        return
    costs = _costs_of(recipe, dataset)
    summary = costs.summary(executions, trainings)
    asked = workers or sweep.execution.workers
    count = cores() if asked == "auto" else int(asked)
    step = _measure_steps(sweep, dataset, trainings, costs) if measure and trainings else None
    estimate = estimate_cost(
        trainings,
        costs.sizes,
        count,
        tensorflow=costs.needs_tensorflow,
        step=step,
        spread=2.0 if step is None else 1.4,
    )
    yield from (*_shared(summary), *_costs(summary, estimate, count))
    if not complete:
        yield "only budget.time ends this search: the figures are of its first trials"


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
    known = [proposal.config.values for proposal in first if proposal.by == PRIOR]
    if known:
        yield "first      what does well on other tables (prior: mlp):"
    varied = [parameter.name for parameter in search.space.parameters if parameter.varies]
    for values in known:
        yield "           " + ", ".join(f"{n} {_short(values[n])}" for n in varied if n in values)


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _planned(search: Search, stored: Sequence[Execution]) -> tuple[list[Execution], bool]:
    """Return the first executions of a search, and whether they are all.

    For a method that needs scores, return the executions of one random draw.
    """
    fixed = search.method.draws
    method = search.method.name if fixed else "random"
    # A model's grid without a budget has no more points than MOST_POINTS.
    whole = MOST_POINTS + 1 if search.space.kind.has_budget else _MOST_OF_PROGRAMS
    most = whole if search.method.exhausts else _MOST_DRAWN
    limit = (search.limit or most) if fixed else 1
    listed = {config.id for config in search.listed}
    trials = Trials(search.space, listed, search.repetitions, stored=stored, limit=limit)
    known = {each.config.id: each.config for each in trials.current}
    executions = [*trials.current, *trials.new(known.values(), search.repetitions)]
    drawn = draws(method, search.space, search.listed, search.seed)
    for config in itertools.chain(search.listed, drawn):
        if trials.spent:
            break
        executions += trials.new([config], search.repetitions)
    return executions, search.limit is not None or not trials.spent


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


def _costs_of(recipe: Recipe, dataset: Dataset) -> NetworkCosts:
    features, outputs = n_features(dataset.input), dataset.target.outputs
    rows = sum(map(len, filter(None, (dataset.train, dataset.validation, dataset.test))))
    bytes_per_value = 1 if len(dataset.input.shape) > 1 else 4
    sizes = DataSizes(
        len(dataset.train),
        len(dataset.validation),
        features,
        outputs,
        rows * features * bytes_per_value,
    )
    return NetworkCosts(Problem(recipe, dataset.input, dataset.target), sizes)


def _counts(executions: Sequence[Execution], done: Collection[Execution]) -> Iterator[str]:
    numbers = {each.number for each in done}
    trials = {each.trial for each in executions}
    complete = len(trials - {each.trial for each in executions if each.number not in numbers})
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


#: Steps of an epoch to time.
_STEPS = 50


def _measure_steps(
    sweep: Sweep, dataset: Dataset, trainings: Sequence[Training], costs: NetworkCosts
) -> Callable[[Training], float]:
    """Time steps of the smallest, the middle and the largest training.

    Returns:
        A function from a training to the seconds of its step: the formula's estimate, times the
        median ratio of measured to estimated time.
    """
    if any(map(costs.needs_tensorflow, trainings)):
        import tensorflow as tf  # slow to import

        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    arrays = preprocessing.arrays(dataset, sweep.class_weight)

    def estimated(training: Training) -> float:
        needed = costs.needs_tensorflow(training)
        return step_seconds(training, costs.sizes, tensorflow=needed)

    ordered = sorted(trainings, key=lambda training: step_seconds(training, costs.sizes))
    chosen = (ordered[0], ordered[len(ordered) // 2], ordered[-1])
    factor = median(_measured(each, costs.problem, arrays) / estimated(each) for each in chosen)
    return lambda training: factor * estimated(training)


def _measured(training: Training, problem: Problem, arrays: Arrays) -> float:
    batch = MLPConfig(training.values).batch_size
    rows = min(len(arrays.x_train), batch * _STEPS)
    part = replace(
        arrays,
        x_train=arrays.x_train[:rows],
        y_train=arrays.y_train[:rows],
        x_val=arrays.x_val[:1],
        y_val=arrays.y_val[:1],
        w_train=None if arrays.w_train is None else arrays.w_train[:rows],
        w_val=None if arrays.w_val is None else arrays.w_val[:1],
    )
    trainer = make_trainer(problem, training.values, training.seed, part)
    # The first epoch includes building the program.
    trainer.run_epoch()
    began = time.perf_counter()
    trainer.run_epoch()
    return (time.perf_counter() - began) / max(1, rows // batch)
