"""Prepare the search over a custom model."""

from __future__ import annotations

import glob
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from hpsearch.custom.shipping import CustomModel, ModelHyperparameters, space_of
from hpsearch.custom.subject import NEEDS, CustomModels, find_in
from hpsearch.data.loading import Loader
from hpsearch.engine.best_model import Retrainer, open_workers
from hpsearch.engine.models import SweepModels, read_models
from hpsearch.engine.run import Prepared, Run
from hpsearch.engine.search import SearchSpec, listed_configs
from hpsearch.engine.trainings import Costs
from hpsearch.errors import InputError
from hpsearch.files import write_atomically
from hpsearch.models.arrays import LoaderWithModel, with_code
from hpsearch.space.constraints import parse
from hpsearch.space.space import GRID_NEEDS, Space
from hpsearch.spec.checks import MOST_POINTS, unknown_names
from hpsearch.spec.sweep import Sweep
from hpsearch.spec.yaml import key_path
from hpsearch.store.trials import best_execution
from hpsearch.wording import did_you_mean
from hpsearch.workers.protocol import Call, Executor

#: hpsearch compiles a model with these if its builder does not compile it.
_COMPILING = ("optimizer", "learning_rate", "momentum", "weight_decay")


def prepare_custom_models(sweep: Sweep, load: Loader | None, run: Run) -> Prepared:
    """Load the data, claim the store, and find the hyperparameters of the model.

    Args:
        load: Loads the rows; None reads the sweep's `data:`.
    """
    files, subject = _model_of(load).files, CustomModels()
    if files:
        run.where.prepare_trials()
        subject = CustomModels(str(run.where.trials.absolute()))
    models = read_models(sweep, load, run)
    models = replace(models, recipe=with_code(models.recipe, load))
    models.claim(run)
    declared = _hyperparameters(models, run.executor, run.check_signal, load)
    asked = {*declared.defaults, *declared.read, "epochs", "batch_size", *_COMPILING}
    for name in sweep.parameters:
        if name not in asked:
            hint = did_you_mean(name, asked)
            run.warn(f"parameters.{name}: the model never asked for it{hint}")
    recipe, search = replace(models.recipe, asked=declared.asked), _search(sweep, declared)
    names, costs = search.space.names, Costs(NEEDS)
    prepared = models.prepared(run, subject, recipe, search, costs, names=names)

    def finish(engine: Any) -> None:
        prepared.finish(engine)
        ledger = engine.ledger
        best = best_execution(ledger.stored, ledger.results, ledger.recipe.goal)
        if best is not None:
            for index, (_, folder, name) in files.items():
                written = subject.files_of(best[0]) / str(index)
                run.warn(_copied(written, Path(folder), name, best[0].label))

    return replace(prepared, facts={**prepared.facts, "code": declared.code}, finish=finish)


def _copied(written: Path, folder: Path, name: str, label: str) -> str:
    """Copy what a callback wrote to where the user named it; return why not, or empty."""
    paths = [*written.glob(re.sub(r"\{[^}]*\}", "*", glob.escape(name)))]
    try:
        for path in paths:
            target = folder / path.relative_to(written)
            target.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(target, path.read_bytes())
    except OSError as error:
        return f"{folder / name}: cannot be written: {error.strerror or error}"
    return "" if paths else f"{folder / name}: {label}, the best, has left no such file"


def _model_of(load: Loader | None) -> CustomModel:
    model = load.model if isinstance(load, LoaderWithModel) else None
    return model if isinstance(model, CustomModel) else CustomModel()


def plan_search(models: SweepModels) -> SearchSpec:
    """Return a sweep's search without running it; a worker builds the model."""
    with open_workers(models.sweep.execution) as (executor, check):
        executor.provide(models.rows)
        return _search(models.sweep, _hyperparameters(models, executor, check))


def _hyperparameters(
    models: SweepModels, executor: Executor, check: Callable[[], None], loader: Loader | None = None
) -> ModelHyperparameters:
    """Return the hyperparameters of the sweep's model; if unknown, a worker builds it."""
    if (declared := _model_of(loader).found) is not None:
        return declared
    sweep, recipe = models.sweep, models.recipe
    given = tuple(sweep.parameters.values())
    retrainer = Retrainer(executor, CustomModels(), recipe, models.rows, check)
    called = retrainer.ask(Call(find_in, (recipe, given), with_data=True, timed=True))
    if called.ended:
        raise InputError(f"{sweep.model}: when it was built before the first trial, {called.error}")
    if called.error:
        raise InputError(called.error)
    assert isinstance(called.value, ModelHyperparameters)
    return called.value


def _search(sweep: Sweep, declared: ModelHyperparameters) -> SearchSpec:
    """Return the search of a sweep over the hyperparameters of its custom model."""
    space = space_of(declared, [*sweep.parameters.values()], map(parse, sweep.constraints))
    # A config may name these two even if the model never requests them.
    configs = [config.keys() - {"batch_size", "epochs"} for config in sweep.configs]
    unknown = (f"{key_path(loc)}: {message}" for loc, message in unknown_names(space, configs))
    faults = [*unknown, *_unfit(sweep, space)]
    if faults:
        raise InputError("\n".join(f"{sweep.name}: {fault}" for fault in faults))
    own_defaults = {n: v for n, v in declared.defaults.items() if n not in sweep.parameters}
    defaults = {p.name: own_defaults.get(p.name, p.at(0.0)) for p in space.parameters}
    listed = listed_configs(space, sweep.configs, defaults, f"{sweep.name}: ")
    return replace(SearchSpec.of(sweep), space=space, listed=listed)


def _unfit(sweep: Sweep, space: Space) -> Iterator[str]:
    try:
        space.config({})
    except ValueError as error:
        yield f"parameters: {error}"
    for parameter in space.parameters if sweep.method.enumerates else ():
        if parameter.choices is None:
            yield f"method: {GRID_NEEDS}, and the model's {parameter.name!r} has neither"
    points = space.cardinality()
    bounded = sweep.budget is not None and sweep.budget.is_sure
    if sweep.method.name == "grid" and not bounded and (points or 0) > MOST_POINTS:
        yield (
            f"method: a grid of {points:,} points; above {MOST_POINTS:,} it needs budget.trials, "
            "or method: random"
        )
    if sweep.method.halves and "epochs" not in space.names:
        yield (
            f"method: {sweep.method.name} halts trainings at epochs, and the sweep gives the "
            "model's own fit none: add parameters: {epochs: 27}"
        )
