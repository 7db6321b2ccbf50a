"""Prepare the search over MLPs or a custom model: its data, recipe and hyperparameters."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from hpsearch.data.dataset import guess_scores, profile
from hpsearch.data.loading import Loader
from hpsearch.data.specs import TrainingData, n_features
from hpsearch.engine.best_model import BestModel, Retrainer, one_worker
from hpsearch.engine.costs import Costs, DataSizes, NetworkCosts, UnknownCosts
from hpsearch.engine.events import Listener
from hpsearch.engine.loop import Engine
from hpsearch.engine.run import PATIENCE_SECONDS, Prepared, Run
from hpsearch.engine.search import Search, model_search
from hpsearch.errors import InputError
from hpsearch.models.arrays import LoaderWithModel, load_data, training_data, with_code
from hpsearch.models.problem import Problem, Recipe
from hpsearch.models.shipping import ModelHyperparameters
from hpsearch.native.network import native_built
from hpsearch.spec.dump import dump_sweep
from hpsearch.spec.sweep import Sweep
from hpsearch.store.derived import best_execution
from hpsearch.store.provenance import identify, make_recipe
from hpsearch.training.make import ModelSubject
from hpsearch.wording import did_you_mean
from hpsearch.workers.calls import find_in
from hpsearch.workers.protocol import Call, Said

#: A longer load of the data is reported.
_MOMENT_SECONDS = 1.0
_NOT_BUILT = (
    "hpsearch was installed without its native trainer in C, so TensorFlow trains everything, "
    "which takes several times as long; with a C compiler and Python's headers, install it again: "
    "pip install --force-reinstall --no-deps --no-cache-dir hpsearch"
)
#: hpsearch compiles a model with these if its builder does not compile it.
_COMPILING = ("optimizer", "learning_rate", "momentum", "weight_decay")


def find_hyperparameters(
    sweep: Sweep, recipe: Recipe, retrainer: Retrainer, loader: Loader | None = None
) -> ModelHyperparameters:
    """Return the hyperparameters of the sweep's model; if unknown, a worker builds it.

    Raises:
        InputError: It cannot be loaded or built.
    """
    if isinstance(loader, LoaderWithModel) and loader.model.found is not None:
        return loader.model.found
    given = tuple(sweep.parameters.values())
    called = retrainer.ask(Call(find_in, (recipe, given), with_data=True, timed=True))
    if called.ended:
        raise InputError(f"{sweep.model}: when it was built before the first trial, {called.error}")
    if called.error:
        raise InputError(called.error)
    assert isinstance(called.value, ModelHyperparameters)
    return called.value


def unused_parameters(sweep: Sweep, found: ModelHyperparameters) -> list[str]:
    """Return a warning for each parameter of the sweep that the model never asked for."""
    known = {*found.defaults, *found.read, "epochs", "batch_size", *_COMPILING}
    return [
        f"parameters.{name}: the model never asked for it{did_you_mean(name, known)}"
        for name in sweep.parameters
        if name not in known
    ]


def plan_search(sweep: Sweep) -> Search:
    """Return a sweep's search without running it; a worker builds a custom model.

    Raises:
        InputError: The data cannot be read, the model cannot be built, or the sweep does not fit.
        Interrupted: A signal arrived.
    """
    if not isinstance(sweep.model, str):
        return Search.of(sweep)
    with tempfile.TemporaryFile("a", encoding="utf-8") as log, one_worker(log) as (executor, check):
        dataset = load_data(sweep)
        recipe = make_recipe(sweep, dataset.target.task)
        rows = training_data(dataset, sweep)
        executor.provide(rows)
        retrainer = Retrainer(executor, recipe, rows, check)
        return model_search(sweep, find_hyperparameters(sweep, recipe, retrainer))


def prepare_models(sweep: Sweep, load: Loader | None, run: Run) -> Prepared:
    """Load the data, claim the store, and find the hyperparameters of a custom model.

    Args:
        load: Loads the rows; None reads the sweep's `data:`.

    Raises:
        InputError: The data cannot be read, or the sweep does not fit them or the model.
        RefusedError: The store has rows of another sweep.
    """
    with _reported_if_slow(run.listener, f"sweep {sweep.name}: reading the data"):
        dataset = load_data(sweep, load)
    for warning in (*sweep.warnings, *dataset.warnings):
        run.warn(warning)
    if not native_built() and not isinstance(sweep.model, str):
        run.warn(_NOT_BUILT)
    recipe = with_code(make_recipe(sweep, dataset.target.task), load)
    identity = identify(sweep, dataset, recipe)
    run.claim(identity)
    run.check_signal()
    rows = training_data(dataset, sweep)
    run.executor.provide(rows)
    search, text, names = Search.of(sweep), dump_sweep(sweep), tuple(sweep.parameters)
    if recipe.model:
        retrainer = Retrainer(run.executor, recipe, rows, run.check_signal)
        found = find_hyperparameters(sweep, recipe, retrainer, load)
        for warning in unused_parameters(sweep, found):
            run.warn(warning)
        search, text = model_search(sweep, found), dump_sweep(sweep, found.parameters)
        recipe, names = replace(recipe, asked=found.asked), search.space.names
    facts: dict[str, Any] = {"sweep": text}
    if rows.target.classes:
        facts["classes"] = rows.target.classes
    if guesses := guess_scores(dataset):
        facts["guesses"] = guesses
    listed = (name for point in sweep.configs for name in point)
    return Prepared(
        search=search,
        subject=ModelSubject(),
        recipe=recipe,
        identity=identity,
        task=rows.target.task,
        name=sweep.name,
        columns=list(dict.fromkeys([*names, *listed])),
        costs=_costs(recipe, rows),
        time_seconds=sweep.time_seconds,
        retries=sweep.execution.retries,
        sweep=sweep,
        text=text,
        keeps_all=sweep.keep == "all",
        problem=Problem(recipe, rows.input, rows.target),
        patience_seconds=sweep.execution.timeout_seconds or PATIENCE_SECONDS,
        profile=profile(dataset),
        facts=facts,
        finish=lambda engine: _keep_best(sweep, rows, run, engine),
    )


def _keep_best(sweep: Sweep, rows: TrainingData, run: Run, engine: Engine) -> None:
    settings = run.settings
    ledger = engine.ledger
    best = best_execution(ledger.stored, ledger.results, ledger.recipe.goal)
    if best is None or not (settings.model or settings.weights):
        return
    retrainer = Retrainer(run.executor, ledger.recipe, rows, run.check_signal)
    keeper = BestModel(run.where, ledger.store, retrainer, sweep.layer_types)
    result = ledger.results[best[0].number]
    if settings.model:
        run.warn(keeper.save(best[0], result, keep_all=sweep.keep == "all"))
    else:
        run.warn(keeper.keep(best[0], result))


@contextmanager
def _reported_if_slow(listener: Listener, line: str) -> Iterator[None]:
    """Show a line if the context takes more than a moment."""
    timer = threading.Timer(_MOMENT_SECONDS, listener, [Said(line)])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()


def _costs(recipe: Recipe, rows: TrainingData) -> Costs:
    if recipe.model:
        return UnknownCosts(tensorflow=True)
    arrays = rows.arrays
    sizes = DataSizes(
        rows=len(arrays.x_train),
        validation_rows=len(arrays.x_val),
        features=n_features(rows.input),
        outputs=rows.target.outputs,
        data_bytes=arrays.x_train.nbytes + arrays.x_val.nbytes,
    )
    return NetworkCosts(Problem(recipe, rows.input, rows.target), sizes)
