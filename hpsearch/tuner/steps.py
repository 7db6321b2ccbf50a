"""The steps of a run, in order: data, store, loop, tables, model."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import IO

from hpsearch.data.dataset import Dataset
from hpsearch.data.loading import Loader
from hpsearch.data.specs import Task, TrainingData, n_features
from hpsearch.errors import Interrupted
from hpsearch.models.problem import Problem, Recipe
from hpsearch.report.page import ReportFile
from hpsearch.space.trial import Status
from hpsearch.spec.dump import dump_sweep
from hpsearch.spec.sweep import Sweep
from hpsearch.store.derived import Tables, best_trial
from hpsearch.store.directory import ResultsDirectory
from hpsearch.store.facts import Identity
from hpsearch.store.provenance import identify, require_unchanged
from hpsearch.store.store import Store
from hpsearch.tuner.best_model import BestModel, Retrainer
from hpsearch.tuner.custom_model import (
    find_hyperparameters,
    load_data,
    model_search,
    recipe_of,
    training_data,
    unused_parameters,
)
from hpsearch.tuner.estimate import Costs, DataSizes, ModelCosts, NetworkCosts
from hpsearch.tuner.learning import Medians, Search, Snapshots, make_planner
from hpsearch.tuner.loop import Limits, Loop
from hpsearch.tuner.settings import Reporter, RunOutcome, Settings, Stop
from hpsearch.workers.engines import opened_executor
from hpsearch.workers.protocol import Executor, Objective
from hpsearch.workers.servers import Servers

_RETRIED = (Status.FAILED, Status.KILLED, Status.TIMEOUT)


@dataclass(frozen=True)
class Prepared:
    """A search that is ready to run.

    Attributes:
        identity: What its rows have in common.
        name: The cell of the column `sweep`.
        columns: Hyperparameters in file order.
        text: The resolved sweep; empty where no file says it.
        keep: `best` or `all`: whose weights are kept.
        objective: What gives the scores in place of a model, or None.
    """

    search: Search
    recipe: Recipe
    identity: Identity
    task: Task
    name: str
    columns: Sequence[str]
    costs: Costs
    limits: Limits
    text: str = ""
    keep: str = "best"
    objective: Objective | None = None


def make_loop(
    prepared: Prepared,
    where: ResultsDirectory,
    store: Store,
    executor: Executor,
    *,
    reporter: Reporter,
    stop: Stop,
) -> Loop:
    """The loop of a search over what the store holds already; `store` is claimed for it.

    Reads every row: a store that is damaged, or older than its table, is refused as it was found.

    Raises:
        RefusedError: It is.
    """
    search, recipe, kind = prepared.search, prepared.recipe, prepared.search.space.kind
    results, snapshots = store.results(), Snapshots(store)
    tables = Tables(
        where,
        prepared.task,
        prepared.columns,
        prepared.identity.provenance(prepared.name),
        kind=kind,
        flush=store.flush,
    )
    tables.require_known(results)
    at_median = search.method.options.get("median_stopping")
    loop = Loop(
        planner=make_planner(search, recipe, store.trials(), results, snapshots),
        executor=executor,
        store=store,
        tables=tables,
        reporter=reporter,
        recipe=recipe,
        limits=prepared.limits,
        stop=stop,
        results=results,
        keep=prepared.keep,
        costs=prepared.costs,
        snapshots=snapshots,
        medians=Medians(recipe) if at_median else None,
        objective=prepared.objective,
    )
    store.set_facts(identity=prepared.identity, task=prepared.task)
    if prepared.text:
        store.set_facts(sweep=prepared.text)
    return loop


def run_loop(loop: Loop, answered: Collection[int], text: str = "") -> None:
    """Train all that is not `answered`, and write the tables, whatever ends it.

    Args:
        text: The resolved sweep, to be written beside the tables.
    """
    loop.tables.begin()
    if text:
        loop.tables.write_sweep(text)
    try:
        loop.run(answered, loop.store.trials)
    finally:
        loop.reporter.ended()
        loop.tables.write(loop.store.trials(), loop.results)


def take_steps(
    sweep: Sweep,
    settings: Settings,
    reporter: Reporter,
    *,
    where: ResultsDirectory,
    stop: Stop,
    log: IO[str],
    servers: Servers | None = None,
    load: Loader | None = None,
) -> RunOutcome:
    """Run a sweep in a directory that is held.

    Args:
        servers: What forks workers, where they are forked.
        load: Gives the rows; None reads what `data:` names.

    Raises:
        HpsearchError: Bad input (InputError), a refusal (RefusedError), or Interrupted.
    """
    workers = settings.workers_for(sweep)
    with opened_executor(
        sweep.execution,
        workers,
        log,
        servers=servers,
        pool=settings.pool,
        in_process=settings.in_process,
    ) as executor:
        steps = _Steps(sweep, settings, reporter, where=where, stop=stop, executor=executor)
        return steps.run(load)


class _Steps:
    """What the steps of a sweep share."""

    def __init__(
        self,
        sweep: Sweep,
        settings: Settings,
        reporter: Reporter,
        *,
        where: ResultsDirectory,
        stop: Stop,
        executor: Executor,
    ) -> None:
        self.sweep, self.settings, self.reporter = sweep, settings, reporter
        self.where, self.stop, self.executor = where, stop, executor

    def run(self, load: Loader | None) -> RunOutcome:
        dataset = load_data(self.sweep, load)
        for warning in (*self.sweep.warnings, *dataset.warnings):
            self._warn(warning)
        recipe = recipe_of(self.sweep, dataset.target.task, load)
        identity = identify(self.sweep, dataset, recipe)
        with Store(self.where.store) as store:
            require_unchanged(store.facts().identity, identity, str(self.where.path))
            self._check_signal()
            rows = self._provided(dataset)
            prepared = self._prepared(store, rows, recipe, identity, load)
            loop = make_loop(
                prepared, self.where, store, self.executor, reporter=self.reporter, stop=self.stop
            )
            answered = self._answered(loop)
            page = ReportFile(self.where, loop.tables, self.sweep)
            if self.settings.live:
                loop.watch = page.update
            workers = self.settings.workers_for(self.sweep)
            self.reporter.began(self.sweep.name, str(self.where.path), loop.recipe, workers)
            run_loop(loop, answered, prepared.text)
            interrupted = self.stop.signal is not None
            if self.settings.report:
                page.begin(loop.records, interrupted=interrupted)
            try:
                self._check_signal()
                return self._finish(loop, answered, rows)
            finally:
                self._warn(page.finish(interrupted=self.stop.signal is not None))

    def _check_signal(self) -> None:
        if self.stop.signal is not None:
            raise Interrupted(self.stop.signal, self.where.path)

    def _warn(self, warning: str) -> None:
        if warning:
            self.reporter.note(warning, warning=True)

    def _provided(self, loaded: Dataset) -> TrainingData:
        """What workers read of it, where they find it."""
        dataset = training_data(loaded, self.sweep)
        self.executor.provide(dataset)
        return dataset

    def _prepared(
        self,
        store: Store,
        dataset: TrainingData,
        recipe: Recipe,
        identity: Identity,
        load: Loader | None,
    ) -> Prepared:
        sweep, budget = self.sweep, self.sweep.budget
        search, text, known = Search.of(sweep), dump_sweep(sweep), tuple(sweep.parameters)
        if recipe.model:
            recipe, search, text = self._asked(store, recipe, dataset, load)
            known = search.space.names
        listed = (name for point in sweep.configs for name in point)
        return Prepared(
            search=search,
            recipe=recipe,
            identity=identity,
            task=dataset.target.task,
            name=sweep.name,
            columns=list(dict.fromkeys([*known, *listed])),
            costs=_costs(recipe, dataset),
            limits=Limits(budget.time_seconds if budget else None, sweep.execution.retries),
            text=text,
            keep=sweep.keep,
        )

    def _asked(
        self, store: Store, recipe: Recipe, dataset: TrainingData, load: Loader | None
    ) -> tuple[Recipe, Search, str]:
        """What a model of the user's own asks for, and the sweep with that."""
        retrainer = Retrainer(self.executor, recipe, dataset=dataset, check=self._check_signal)
        found = find_hyperparameters(self.sweep, recipe, retrainer, load)
        for warning in unused_parameters(self.sweep, found):
            self._warn(warning)
        search = model_search(self.sweep, found)
        # Before the rows, whose kind it is; a store that says so already is left as it is.
        facts = store.facts()
        if (facts.kind, facts.asked) != (search.space.kind, found.asked):
            store.set_facts(kind=search.space.kind, asked=found.asked)
        text = dump_sweep(self.sweep, found.parameters)
        return replace(recipe, asked=found.asked), search, text

    def _answered(self, loop: Loop) -> set[int]:
        """Trials whose stored result counts."""
        return {
            number
            for number, result in loop.results.items()
            if not (self.settings.retry and result.status in _RETRIED)
        }

    def _finish(self, loop: Loop, before: Collection[int], dataset: TrainingData) -> RunOutcome:
        current = [trial for trial in loop.trials if trial.number in loop.results]
        best = best_trial(current, loop.results, loop.recipe)
        if best is not None and (self.settings.model or self.settings.weights):
            keeper = BestModel(
                self.where,
                loop.store,
                self.executor,
                loop.recipe,
                dataset=dataset,
                check=self._check_signal,
            )
            result = loop.results[best[0].number]
            if self.settings.model:
                self._warn(keeper.save(best[0], result, keep_all=self.sweep.keep == "all"))
            else:
                self._warn(keeper.keep(best[0], result))
        return RunOutcome(
            directory=self.where.path,
            completed=sum(loop.results[t.number].status.scored for t in current),
            trials=len(current),
            trained=sum(t.number not in before for t in current),
            best=best,
            stopped=self.stop.reason,
        )


def _costs(recipe: Recipe, dataset: TrainingData) -> Costs:
    if recipe.model:
        return ModelCosts()
    arrays = dataset.arrays
    sizes = DataSizes(
        rows=len(arrays.x_train),
        validation_rows=len(arrays.x_val),
        features=n_features(dataset.input),
        outputs=dataset.target.outputs,
        data_bytes=arrays.x_train.nbytes + arrays.x_val.nbytes,
    )
    return NetworkCosts(Problem(recipe, dataset.input, dataset.target), sizes)
