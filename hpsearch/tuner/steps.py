"""The steps of a run, in order: data, store, loop, tables, model."""

from __future__ import annotations

import logging
from dataclasses import replace

from hpsearch.data.dataset import Dataset, Target, TrainingData, n_features
from hpsearch.data.loading import Loader
from hpsearch.errors import Interrupted
from hpsearch.models.problem import Problem, Recipe
from hpsearch.report.page import ReportFile
from hpsearch.space.trial import Status
from hpsearch.spec.dump import dump_sweep
from hpsearch.spec.sweep import Sweep
from hpsearch.store.derived import Tables, best_trial
from hpsearch.store.directory import ResultsDirectory
from hpsearch.store.provenance import Identity, identify, require_unchanged
from hpsearch.store.store import Store
from hpsearch.tuner.best_model import BestModel, Retrainer
from hpsearch.tuner.estimate import Costs, DataSizes, ModelCosts, NetworkCosts
from hpsearch.tuner.learning import Medians, Search, Snapshots, make_planner
from hpsearch.tuner.loop import Limits, Loop
from hpsearch.tuner.own_model import (
    ASKED,
    find_hyperparameters,
    load_data,
    model_search,
    recipe_of,
    training_data,
    unused_parameters,
)
from hpsearch.tuner.settings import RunOutcome, Settings, Stop
from hpsearch.tuner.watching import Reporter
from hpsearch.workers.protocol import Executor, MakeExecutor

_LOG = logging.getLogger("hpsearch")
_RETRIED = (Status.FAILED, Status.KILLED, Status.TIMEOUT)


def take_steps(
    sweep: Sweep,
    settings: Settings,
    reporter: Reporter,
    *,
    where: ResultsDirectory,
    stop: Stop,
    make_executor: MakeExecutor,
    load: Loader | None = None,
) -> RunOutcome:
    """Run a sweep in a directory that is held.

    Args:
        load: Gives the rows; None reads what `data:` names.

    Raises:
        HpsearchError: Bad input (InputError), a refusal (RefusedError), or Interrupted.
    """
    with make_executor(settings.workers_for(sweep)) as executor:
        steps = _Steps(sweep, settings, reporter, where=where, stop=stop, executor=executor)
        return steps.run(load)


class _Steps:
    """What the steps share."""

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
        self._text = dump_sweep(sweep)

    def run(self, load: Loader | None) -> RunOutcome:
        dataset = load_data(self.sweep, load)
        for warning in (*self.sweep.warnings, *dataset.warnings):
            self.reporter.note(f"warning: {warning}")
        recipe = recipe_of(self.sweep, dataset.target.task, load)
        identity = identify(self.sweep, dataset, recipe)
        with Store(self.where.store) as store:
            self._require_unchanged(store, identity)
            self._check_signal()
            rows = self._provided(dataset)
            recipe, search = self._search(store, recipe, rows, load)
            # Reads every row: a store that is damaged is refused as it was found.
            loop = self._loop(store, rows, recipe, identity, search)
            loop.tables.require_known(loop.results)
            self._claim(store, identity, dataset.target)
            before = self._answered(loop)
            page = ReportFile(self.where, loop.tables, self.sweep)
            if self.settings.live:
                loop.watch = page.update
            self._train(loop, before, store)
            interrupted = self.stop.signal is not None
            if self.settings.report:
                page.begin(loop.records, interrupted=interrupted)
            try:
                self._check_signal()
                return self._finish(loop, before, store, rows)
            finally:
                self._warn(page.finish(interrupted=self.stop.signal is not None))

    def _require_unchanged(self, store: Store, identity: Identity) -> None:
        meta = store.meta()
        if "identity" in meta:
            require_unchanged(meta["identity"], identity, str(self.where.path))

    def _claim(self, store: Store, identity: Identity, target: Target) -> None:
        store.set_meta(
            {
                "identity": identity.to_json(),
                "sweep": self._text,
                "task": str(target.task),
            }
        )

    def _check_signal(self) -> None:
        if self.stop.signal is not None:
            raise Interrupted(self.stop.signal, self.where.path)

    def _warn(self, warning: str) -> None:
        if warning:
            self.reporter.note(f"warning: {warning}")

    def _search(
        self, store: Store, recipe: Recipe, dataset: TrainingData, load: Loader | None
    ) -> tuple[Recipe, Search]:
        """What is searched; a model of one's own says what that is."""
        if not recipe.model:
            return recipe, Search.of(self.sweep)
        again = Retrainer(self.executor, recipe, dataset=dataset, check=self._check_signal)
        found = find_hyperparameters(self.sweep, recipe, again, load)
        for warning in unused_parameters(self.sweep, found):
            self._warn(warning)
        search = model_search(self.sweep, found)
        self._text = dump_sweep(self.sweep, found.parameters)
        said = {"kind": str(search.space.kind), ASKED: " ".join(found.asked)}
        # Before the rows, whose kind it is; a store that says so already is left as it is.
        if not said.items() <= store.meta().items():
            store.set_meta(said)
        return replace(recipe, asked=found.asked), search

    def _provided(self, loaded: Dataset) -> TrainingData:
        """What workers read of it, where they find it."""
        dataset = training_data(loaded, self.sweep)
        self.executor.provide(dataset)
        return dataset

    def _loop(
        self,
        store: Store,
        dataset: TrainingData,
        recipe: Recipe,
        identity: Identity,
        search: Search,
    ) -> Loop:
        sweep, budget = self.sweep, self.sweep.budget
        results, snapshots = store.results(), Snapshots(store)
        known = search.space.names if recipe.model else tuple(sweep.parameters)
        names = dict.fromkeys([*known, *(name for p in sweep.configs for name in p)])
        shared = identity.provenance(sweep.name)
        stops_at_median = bool(sweep.method.options.get("median_stopping"))
        return Loop(
            planner=make_planner(search, recipe, store.trials(), results, snapshots),
            executor=self.executor,
            store=store,
            tables=Tables(
                self.where,
                dataset.target.task,
                list(names),
                shared,
                kind=search.space.kind,
                flush=store.flush,
            ),
            reporter=self.reporter,
            recipe=recipe,
            limits=Limits(budget.time_seconds if budget else None, sweep.execution.retries),
            stop=self.stop,
            results=results,
            keep=sweep.keep,
            costs=_costs(recipe, dataset),
            snapshots=snapshots,
            medians=Medians(recipe) if stops_at_median else None,
        )

    def _answered(self, loop: Loop) -> set[int]:
        """Trials whose stored result counts."""
        return {
            number
            for number, result in loop.results.items()
            if not (self.settings.retry and result.status in _RETRIED)
        }

    def _train(self, loop: Loop, answered: set[int], store: Store) -> None:
        workers = self.settings.workers_for(self.sweep)
        self.reporter.began(self.sweep.name, str(self.where.path), loop.recipe, workers)
        loop.tables.begin()
        loop.tables.write_sweep(self._text)
        try:
            loop.run(answered, store.trials)
        finally:
            self.reporter.ended()
            loop.tables.write(store.trials(), loop.results)

    def _finish(
        self, loop: Loop, before: set[int], store: Store, dataset: TrainingData
    ) -> RunOutcome:
        current = [trial for trial in loop.trials if trial.number in loop.results]
        best = best_trial(current, loop.results, loop.recipe)
        if best is not None and (self.settings.model or self.settings.weights):
            keeper = BestModel(
                self.where,
                store,
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
    return NetworkCosts(Problem(recipe, dataset.input, dataset.target), _sizes(dataset))


def _sizes(dataset: TrainingData) -> DataSizes:
    arrays = dataset.arrays
    return DataSizes(
        rows=len(arrays.x_train),
        validation_rows=len(arrays.x_val),
        features=n_features(dataset.input),
        outputs=dataset.target.outputs,
        data_bytes=arrays.x_train.nbytes + arrays.x_val.nbytes,
    )
