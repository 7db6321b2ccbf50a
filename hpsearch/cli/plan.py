"""`hpsearch plan`: what a run would train, and about how long it would take."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from hpsearch import data, sampling
from hpsearch.cli.display import duration
from hpsearch.driver import ResultsDirectory
from hpsearch.driver.costs import ModelCosts
from hpsearch.driver.planners import Search
from hpsearch.driver.recipe import make_recipe
from hpsearch.errors import RefusedError
from hpsearch.estimate import Estimate, Sizes, estimate
from hpsearch.machine import cores
from hpsearch.plan import Summary, Trial, group, number_trials, summarize
from hpsearch.space import Config
from hpsearch.store import Store
from hpsearch.sweep import Sweep, added
from hpsearch.training import needs_tensorflow
from hpsearch.trial import InputSpec, Target, Training

__all__ = ["print_plan"]


@dataclass(frozen=True)
class _Known:
    """What a results directory holds already."""

    trials: dict[tuple[str, int], Trial]
    answered: frozenset[int]


def _proposals(search: Search) -> Iterable[Config] | None:
    """What is tried, in order; None where it depends on scores."""
    method = search.method.name
    if method not in sampling.METHODS:
        return None
    drawn = sampling.draws(method, search.space, search.listed, search.seed)
    return itertools.chain(search.listed, (config for config, _ in drawn))


def _trials(sweep: Sweep, configs: Iterable[Config]) -> list[Trial]:
    limit = sweep.budget.trials if sweep.budget else None
    if sweep.method.name in {"random", "sobol"} and limit is None:
        # Only the clock ends it: a window stands for the rest.
        limit = 1_000 * len(sweep.draws)
    return number_trials(configs, sweep.draws, {}, first_number=1, limit=limit)


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
    shape = data.probe(sweep.data)
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
    lines = [f"uses the {each}" for each in added(sweep)]
    for line in (*lines, *(f"warning: {warning}" for warning in sweep.warnings)):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    if isinstance(sweep.model, str):
        from hpsearch.cli.modelplan import print_space

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
    guess = guess or estimate(trainings, sizes, count, tensorflow=tensorflow)
    _print(summary, len(done), guess, count, console)
    if sweep.method.name == "random" and (sweep.budget is None or sweep.budget.trials is None):
        console.print("only budget.time ends this search: the figures are of its first trials")


def _search(sweep: Sweep) -> Search:
    if not isinstance(sweep.model, str):
        return Search.of(sweep)
    from hpsearch.driver.prospect import prospect

    return prospect(sweep)


def _sizes(shape: data.Shape) -> Sizes:
    rows = shape.train_rows + shape.validation_rows + shape.test_rows
    images = len(shape.input_shape) > 1
    return Sizes(
        shape.train_rows,
        shape.validation_rows,
        shape.features,
        shape.outputs,
        rows * shape.features * (1 if images else 4),
    )


def _needs_tensorflow(sweep: Sweep, shape: data.Shape) -> Callable[[Training], bool]:
    recipe = make_recipe(sweep, shape.task)
    spec = InputSpec((shape.features,), "float32")
    target = Target(shape.task, shape.outputs)
    return lambda training: needs_tensorflow(training.values, recipe, spec, target)


def _measured(
    sweep: Sweep,
    trainings: list[Training],
    sizes: Sizes,
    workers: int,
    tensorflow: Callable[[Training], bool],
) -> Estimate | None:
    from hpsearch.measure import measure

    if not trainings:
        return None
    measured = measure(sweep, trainings, sizes, tensorflow)
    return estimate(
        trainings,
        sizes,
        workers,
        tensorflow=tensorflow,
        step=measured.step_seconds,
        spread=1.4,
    )


def _print(summary: Summary, done: int, guess: Estimate, workers: int, console: Console) -> None:
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
