"""`hpsearch plan`: what a run would train, and about how long it would take."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from hpsearch.cli.display import duration
from hpsearch.data.dataset import Shape
from hpsearch.data.loading import probe_dataset
from hpsearch.data.specs import InputSpec, Target
from hpsearch.errors import RefusedError
from hpsearch.machine import cores
from hpsearch.models.problem import Problem
from hpsearch.search.draws import FIXED_METHODS, draws
from hpsearch.space.space import Choices, Config, Parameter
from hpsearch.space.trial import Training, Trial, TrialKey
from hpsearch.spec.sweep import Sweep
from hpsearch.store.directory import ResultsDirectory
from hpsearch.store.provenance import make_recipe
from hpsearch.store.store import Store
from hpsearch.training.kinds import needs_tensorflow
from hpsearch.tuner.custom_model import prospect
from hpsearch.tuner.estimate import (
    CostEstimate,
    DataSizes,
    ModelCosts,
    estimate_cost,
    measure_steps,
)
from hpsearch.tuner.learning import Search
from hpsearch.tuner.planning import Summary, group, number_trials, summarize

_MOST_VALUES = 6


def print_space(search: Search, console: Console) -> None:
    """A line for each hyperparameter."""
    for parameter in search.space.parameters:
        console.print(
            f"  {parameter.name}: {_domain(parameter)}{_when(parameter)}",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )


def _domain(parameter: Parameter) -> str:
    domain, choices = parameter.domain, parameter.choices
    if isinstance(domain, Choices) or (choices and len(choices) <= _MOST_VALUES):
        choices = choices or ()
        more = len(choices) - _MOST_VALUES
        return ", ".join(map(str, choices[:_MOST_VALUES])) + (f" and {more} more" * (more > 0))
    step = f", step {domain.step:g}" if domain.step is not None else ""
    return f"{domain.min:g} to {domain.max:g}{step}{', log' if domain.log else ''}"


def _when(parameter: Parameter) -> str:
    conditions = [
        f"{parent} is {' or '.join(map(str, accepted))}"
        for parent, accepted in parameter.when.items()
    ]
    return f" (where {' and '.join(conditions)})" if conditions else ""


@dataclass(frozen=True)
class _Known:
    """What a results directory holds already."""

    trials: dict[TrialKey, Trial]
    answered: frozenset[int]


def _proposals(search: Search) -> Iterable[Config] | None:
    """What is tried, in order; None where it depends on scores."""
    method = search.method.name
    if method not in FIXED_METHODS:
        return None
    drawn = draws(method, search.space, search.listed, search.seed)
    return itertools.chain(search.listed, (config for config, _ in drawn))


def _trials(sweep: Sweep, configs: Iterable[Config]) -> list[Trial]:
    limit = sweep.budget.trials if sweep.budget else None
    if sweep.method.name in {"random", "sobol"} and limit is None:
        # Only the clock ends it: a window stands for the rest.
        limit = 1_000 * len(sweep.repetitions)
    return number_trials(configs, sweep.repetitions, {}, first_number=1, limit=limit)


def _known(where: ResultsDirectory) -> _Known:
    if not where.store.exists():
        return _Known({}, frozenset())
    try:
        with Store(where.store, read_only=True) as store:
            trials = {trial.key: trial for trial in store.trials()}
            return _Known(trials, frozenset(store.results()))
    except RefusedError:
        # A run would say what is wrong with it; a plan only counts.
        return _Known({}, frozenset())


def print_plan(
    sweep: Sweep, out: Path | None, workers: int | None, console: Console, *, measure: bool
) -> None:
    """Print the plan of a run of `sweep`.

    Raises:
        DataError: The data cannot be used.
    """
    shape = probe_dataset(sweep.data)
    where = ResultsDirectory(out or Path("experiments") / sweep.name)
    search = _search(sweep)
    configs = _proposals(search)
    console.print(
        f"sweep {sweep.name}: {shape.name}, {shape.train_rows:,} training and "
        f"{shape.validation_rows:,} validation rows, {shape.features:,} features, {shape.task}",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    for warning in sweep.warnings:
        console.print(f"warning: {warning}", highlight=False, markup=False, soft_wrap=True)
    if isinstance(sweep.model, str):
        console.print(f"{sweep.model} asks for", highlight=False, markup=False)
        print_space(search, console)
    if configs is None:
        _print_unknown(sweep, console)
        return
    trials = _trials(sweep, configs)
    known = _known(where)
    done = [
        t for t in trials if t.key in known.trials and known.trials[t.key].number in known.answered
    ]
    trainings = group(trials, answered={t.number for t in done})
    if isinstance(sweep.model, str):
        _print_counts(ModelCosts().summary(trials, trainings), len(done), console)
        return
    summary = summarize(trials, trainings, shape.features, shape.outputs)
    sizes = _sizes(shape)
    asked = workers or sweep.execution.workers
    count = cores() if asked == "auto" else int(asked)
    tensorflow = _needs_tensorflow(sweep, shape)
    guess = _measured(sweep, trainings, sizes, count, tensorflow) if measure else None
    guess = guess or estimate_cost(trainings, sizes, count, tensorflow=tensorflow)
    _print(summary, len(done), guess, count, console)
    if sweep.method.name == "random" and (sweep.budget is None or sweep.budget.trials is None):
        console.print("only budget.time ends this search: the figures are of its first trials")


def _search(sweep: Sweep) -> Search:
    if not isinstance(sweep.model, str):
        return Search.of(sweep)

    return prospect(sweep)


def _sizes(shape: Shape) -> DataSizes:
    rows = shape.train_rows + shape.validation_rows + shape.test_rows
    images = len(shape.input_shape) > 1
    return DataSizes(
        shape.train_rows,
        shape.validation_rows,
        shape.features,
        shape.outputs,
        rows * shape.features * (1 if images else 4),
    )


def _needs_tensorflow(sweep: Sweep, shape: Shape) -> Callable[[Training], bool]:
    problem = Problem(
        make_recipe(sweep, shape.task),
        InputSpec((shape.features,), "float32"),
        Target(shape.task, shape.outputs),
    )
    return lambda training: needs_tensorflow(problem, training.values)


def _measured(
    sweep: Sweep,
    trainings: list[Training],
    sizes: DataSizes,
    workers: int,
    tensorflow: Callable[[Training], bool],
) -> CostEstimate | None:

    if not trainings:
        return None
    measured = measure_steps(sweep, trainings, sizes, tensorflow)
    return estimate_cost(
        trainings,
        sizes,
        workers,
        tensorflow=tensorflow,
        step=measured.step_seconds,
        spread=1.4,
    )


def _print(
    summary: Summary, done: int, guess: CostEstimate, workers: int, console: Console
) -> None:
    lines = _counts(summary, done)
    if summary.weights is not None:
        low, high = summary.weights
        lines.append(f"weights    {low:,}" + (f" to {high:,}" if high != low else ""))
    if summary.trainings:
        lines.append(
            f"time       {duration(guess.low_seconds)} to {duration(guess.high_seconds)} "
            f"with {workers} workers"
        )
        lines.append(f"memory     about {guess.memory_bytes / 2**30:.1f} GB")
    else:
        lines.append("time       nothing to train")
    console.print("\n".join(lines), highlight=False, markup=False, soft_wrap=True)


def _counts(summary: Summary, done: int) -> list[str]:
    return [
        f"trials     {summary.trials + done:,}"
        + (f", {done:,} have results already" if done else ""),
        f"trainings  {summary.trainings:,} (trials that differ only in epochs share one)",
        f"epochs     {summary.epochs_trained:,} of {summary.epochs_asked:,}"
        f"; {summary.epochs_saved:,} saved",
    ]


def _print_counts(summary: Summary, done: int, console: Console) -> None:
    lines = [*_counts(summary, done), "time       unknown: the models are of your own"]
    console.print("\n".join(lines), highlight=False, markup=False, soft_wrap=True)


def _print_unknown(sweep: Sweep, console: Console) -> None:
    limit = sweep.budget.trials if sweep.budget else None
    trials = "as many as fit into budget.time" if limit is None else f"{limit:,} at most"
    console.print(
        f"trials     {trials}; {sweep.method.name} chooses them by the scores of earlier ones",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
