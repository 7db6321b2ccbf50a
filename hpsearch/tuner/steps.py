"""The steps of a sweep's run: data, store, engine, tables, report, model."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import IO, Any, TypeVar

from hpsearch.data.dataset import guess_scores, profile
from hpsearch.data.loading import Loader
from hpsearch.data.specs import Task, TrainingData, n_features
from hpsearch.errors import InputError
from hpsearch.machine import users_value
from hpsearch.models.problem import Problem, Recipe
from hpsearch.native.extension import native_built
from hpsearch.programs.command import UserProgram, variables_in
from hpsearch.programs.fingerprint import fingerprint_of, program_versions
from hpsearch.programs.sweep import ProgramSweep
from hpsearch.reporting.page import ReportFile
from hpsearch.search.asking import reply_of, search_with
from hpsearch.space.execution import Status
from hpsearch.space.space import Kind
from hpsearch.spec.dump import dump_raw, dump_sweep
from hpsearch.spec.sweep import Sweep
from hpsearch.store.derived import Tables, best_execution
from hpsearch.store.directory import ResultsDirectory
from hpsearch.store.facts import Identity, installed
from hpsearch.store.provenance import (
    identify,
    program_identity,
    program_recipe,
    require_same_program,
    require_unchanged,
)
from hpsearch.store.store import Store
from hpsearch.tuner.best_model import BestModel, Retrainer
from hpsearch.tuner.custom_model import (
    find_hyperparameters,
    load_data,
    recipe_of,
    training_data,
    unused_parameters,
)
from hpsearch.tuner.estimate import Costs, DataSizes, NetworkCosts, UnknownCosts
from hpsearch.tuner.learning import Snapshots, make_planner
from hpsearch.tuner.loop import Engine
from hpsearch.tuner.search import Search, TunerSpec, model_search, program_search
from hpsearch.tuner.settings import (
    Began,
    Ended,
    Listener,
    RunOutcome,
    Settings,
    Stop,
)
from hpsearch.workers.engines import opened_executor
from hpsearch.workers.protocol import Conversation, Executor, Objective, Said
from hpsearch.workers.servers import ENVIRONMENT, Servers
from hpsearch.workers.shared import NO_ROWS

#: Longest wait for a proposal, unless `execution.timeout` sets another.
_PATIENCE_SECONDS = 600.0
#: A longer load of the data is reported.
_MOMENT_SECONDS = 1.0
#: The tuner that drives a run.
_TUNER = "hpsearch.tuner.sweep_tuner:converse"
_NOT_BUILT = (
    "hpsearch was installed without its engine in C, so TensorFlow trains everything, which takes "
    "several times as long; with a C compiler and Python's headers, install it again: "
    "pip install --force-reinstall --no-deps --no-cache-dir hpsearch"
)
_RETRIED = (Status.FAILED, Status.KILLED, Status.TIMEOUT)
_Outcome = TypeVar("_Outcome")


@dataclass(frozen=True)
class Prepared:
    """A search that is ready to run.

    Attributes:
        identity: What all its rows have in common.
        name: The value of the column `sweep`.
        columns: Hyperparameters in file order.
        time_seconds, retries: As in `Engine`.
        text: The resolved sweep; empty for a function.
        keep: `best` or `all`: the executions whose weights are kept.
        objective: The function that returns the scores; None for models.
        program: The program that reports the scores, described by the sweep in `text`, or None.
        versions: As in `Engine`; None for the installed packages' versions.
        problem: The task of the models; None for a function or a program.
        patience_seconds: As in `Engine`.
        profile: Lines that describe the data.
        guesses: The metrics of a model that always predicts the same value.
    """

    search: Search
    recipe: Recipe
    identity: Identity
    task: Task
    name: str
    columns: Sequence[str]
    costs: Costs
    time_seconds: float | None
    retries: int = 1
    text: str = ""
    keep: str = "best"
    objective: Objective | None = None
    program: UserProgram | None = None
    versions: Mapping[str, str] | None = None
    problem: Problem | None = None
    patience_seconds: float = _PATIENCE_SECONDS
    profile: tuple[str, ...] = ()
    guesses: Mapping[str, float] = field(default_factory=dict)


class _Ending:
    """Writes a run's last tables and its report, once."""

    def __init__(self, engine: Engine, page: ReportFile, *, report: bool) -> None:
        self._engine, self._page = engine, page
        self._writes, self._draws = True, report

    def write(self) -> None:
        """Write the tables, unless the run ended before it had read its rows."""
        if self._writes and self._engine.begun:
            self._engine.write_tables()
            self._writes = False

    def draw(self, *, interrupted: bool) -> None:
        """Start drawing the report in the background."""
        if self._draws:
            self._draws = False
            self._page.begin(self._engine.records, interrupted=interrupted)


@dataclass(frozen=True)
class Run:
    """Runs a search in a locked results directory."""

    settings: Settings
    listener: Listener
    where: ResultsDirectory
    stop: Stop
    executor: Executor
    workers: int | None

    def search(
        self,
        prepared: Prepared,
        store: Store,
        finish: Callable[[Engine, Collection[int]], _Outcome],
        sweep: Sweep | ProgramSweep | None = None,
    ) -> _Outcome:
        """Train what has no result, write the tables, and return the result of `finish`.

        Args:
            finish: Called, while the report is drawn, with the engine and the executions that
                were answered before.

        Raises:
            RefusedError: The store is damaged, or older than its table.
            Interrupted: A signal arrived.
        """
        # Only an exception can end a training in this process.
        self.stop.at_once = self.settings.in_process
        self.check_signal()
        engine = self._engine_over(prepared, store)
        retried = _RETRIED if self.settings.retry else ()
        answered = {n for n, result in engine.results.items() if result.status not in retried}
        page = ReportFile(self.where, engine.tables, sweep)
        kept = isinstance(sweep, Sweep) or self.settings.report
        directory = str(self.where.path) if kept else ""
        self.listener(
            Began(
                prepared.name,
                directory,
                engine.recipe,
                self.workers,
                prepared.profile,
                engine.planner.expected,
            )
        )
        engine.tables.begin()
        if prepared.text:
            engine.tables.write_sweep(prepared.text)
        ending = _Ending(engine, page, report=self.settings.report)
        try:
            engine.begin(answered, store.executions)
            self._drive(engine, prepared, ending)
            engine.say_exhausted()
        finally:
            self.listener(Ended())
            ending.write()
        ending.draw(interrupted=self.stop.signal is not None)
        try:
            self.check_signal()
            return finish(engine, answered)
        finally:
            self.warn(page.finish(interrupted=self.stop.signal is not None))

    def _engine_over(self, prepared: Prepared, store: Store) -> Engine:
        """Return an engine that continues the store, and record the search in the store.

        Every row is read first, so that a refused store stays unchanged.
        """
        search, recipe = prepared.search, prepared.recipe
        results = store.results()
        tables = Tables(
            self.where,
            prepared.task,
            prepared.columns,
            prepared.identity.provenance(prepared.name),
            kind=search.space.kind,
            flush=store.flush,
        )
        stored = store.executions()
        tables.require_known({each.key for each in stored if each.number in results})
        snapshots = Snapshots(store, results)
        engine = Engine(
            planner=make_planner(search, recipe, stored, results, snapshots, events=store.events()),
            executor=self.executor,
            store=store,
            tables=tables,
            listener=self.listener,
            recipe=recipe,
            time_seconds=prepared.time_seconds,
            retries=prepared.retries,
            repeat=self.settings.repeat,
            stop=self.stop,
            results=results,
            keep=prepared.keep,
            costs=prepared.costs,
            snapshots=snapshots,
            objective=prepared.objective,
            program=prepared.program,
            versions=installed() if prepared.versions is None else prepared.versions,
            method=search.method.name,
            patience_seconds=prepared.patience_seconds,
        )
        facts: dict[str, Any] = {"identity": prepared.identity, "task": prepared.task}
        if prepared.program is not None:
            facts["program"], facts["name"] = prepared.text, prepared.name
        elif prepared.text:
            facts["sweep"] = prepared.text
        if prepared.problem is not None and prepared.problem.target.classes:
            facts["classes"] = prepared.problem.target.classes
        if prepared.guesses:
            facts["guesses"] = prepared.guesses
        if search.space.kind is not Kind.MLP:
            facts["kind"] = search.space.kind
        store.set_facts(**facts)
        return engine

    def _drive(self, engine: Engine, prepared: Prepared, ending: _Ending) -> None:
        """Search with a KerasTuner tuner; a function's strategy is asked directly.

        The tuner runs in another process: this one could submit no work while it imports
        KerasTuner.
        """
        direct = self.settings.direct or self.settings.in_process
        if prepared.problem is None or direct:
            strategy = engine.planner.strategy
            assert strategy is not None
            search_with(partial(reply_of, strategy), engine)
            return
        spec = TunerSpec(prepared.search, prepared.problem, engine.planner.past)
        if self.settings.drive is not None:
            self.settings.drive(engine, spec, engine.planner.strategy)
            return
        self.executor.converse(Conversation(_TUNER, (spec,)))
        while not engine.over:
            if (request := engine.request()) is not None:
                self.executor.say(request)
            if engine.settled:
                # Do not wait for the tuner, which may still be importing KerasTuner.
                ending.write()
                ending.draw(interrupted=False)
            engine.work()

    def outcome(self, engine: Engine, before: Collection[int]) -> RunOutcome:
        """Return the outcome of a search.

        Args:
            before: The executions that were answered before the run.
        """
        ended = [each for each in engine.executions if each.number in engine.results]
        scored = {e.trial for e in ended if engine.results[e.number].status.scored}
        return RunOutcome(
            directory=self.where.path,
            completed=len(scored),
            trials=len({each.trial for each in ended}),
            trained=len({each.trial for each in ended if each.number not in before}),
            best=best_execution(engine.stored, engine.results, engine.recipe.goal),
            stopped=self.stop.reason,
        )

    def check_signal(self) -> None:
        """Raise Interrupted if a signal arrived."""
        self.stop.check(self.where.path)

    def warn(self, warning: str) -> None:
        """Show a warning, unless it is empty."""
        if warning:
            self.listener(Said(warning, warning=True))


def take_steps(
    sweep: Sweep,
    settings: Settings,
    listener: Listener,
    *,
    where: ResultsDirectory,
    stop: Stop,
    log: IO[str],
    servers: Servers | None = None,
    load: Loader | None = None,
) -> RunOutcome:
    """Run a sweep in a locked directory.

    Args:
        servers: Fork the workers; needed by the local engine only.
        load: Loads the rows; None reads the sweep's `data:`.

    Raises:
        HpsearchError: Bad input (InputError), a refusal (RefusedError), or Interrupted.
    """
    workers = settings.workers_for(sweep.execution)
    with opened_executor(
        sweep.execution,
        workers,
        log,
        servers=servers,
        pool=settings.pool,
        in_process=settings.in_process,
    ) as executor:
        run = Run(settings, listener, where, stop, executor, workers)
        return _SweepSteps(run, sweep, load).take()


@dataclass(frozen=True)
class _SweepSteps:
    run: Run
    sweep: Sweep
    load: Loader | None

    def take(self) -> RunOutcome:
        sweep, run, path = self.sweep, self.run, self.run.where.path
        with _told_if_slow(run.listener, f"sweep {sweep.name}: reading the data"):
            dataset = load_data(sweep, self.load)
        for warning in (*sweep.warnings, *dataset.warnings):
            run.warn(warning)
        if not native_built() and not isinstance(sweep.model, str):
            run.warn(_NOT_BUILT)
        recipe = recipe_of(sweep, dataset.target.task, self.load)
        identity = identify(sweep, dataset, recipe)
        with Store(run.where.store, check=run.where.check) as store:
            require_unchanged(store.facts().identity, identity, str(path))
            run.check_signal()
            rows = training_data(dataset, sweep)
            run.executor.provide(rows)
            prepared = self._prepared(store, rows, recipe, identity)
            prepared = replace(prepared, profile=profile(dataset), guesses=guess_scores(dataset))
            return run.search(prepared, store, partial(self._finish, rows), sweep)

    def _prepared(
        self, store: Store, rows: TrainingData, recipe: Recipe, identity: Identity
    ) -> Prepared:
        sweep, budget = self.sweep, self.sweep.budget
        search, text, known = Search.of(sweep), dump_sweep(sweep), tuple(sweep.parameters)
        if recipe.model:
            recipe, search, text = self._asked(store, recipe, rows)
            known = search.space.names
        listed = (name for point in sweep.configs for name in point)
        return Prepared(
            search=search,
            recipe=recipe,
            identity=identity,
            task=rows.target.task,
            name=sweep.name,
            columns=list(dict.fromkeys([*known, *listed])),
            costs=_costs(recipe, rows),
            time_seconds=budget.time_seconds if budget else None,
            retries=sweep.execution.retries,
            text=text,
            keep=sweep.keep,
            problem=Problem(recipe, rows.input, rows.target),
            patience_seconds=sweep.execution.timeout_seconds or _PATIENCE_SECONDS,
        )

    def _asked(
        self, store: Store, recipe: Recipe, rows: TrainingData
    ) -> tuple[Recipe, Search, str]:
        """Add to recipe, search and the sweep's text the hyperparameters of a custom model."""
        retrainer = Retrainer(self.run.executor, recipe, rows, self.run.check_signal)
        found = find_hyperparameters(self.sweep, recipe, retrainer, self.load)
        for warning in unused_parameters(self.sweep, found):
            self.run.warn(warning)
        search = model_search(self.sweep, found)
        # Store the kind before the rows are read, as it says how to read them; write only changes.
        facts = store.facts()
        if (facts.kind, facts.asked) != (search.space.kind, found.asked):
            store.set_facts(kind=search.space.kind, asked=found.asked)
        text = dump_sweep(self.sweep, found.parameters)
        return replace(recipe, asked=found.asked), search, text

    def _finish(self, rows: TrainingData, engine: Engine, before: Collection[int]) -> RunOutcome:
        run, settings = self.run, self.run.settings
        best = best_execution(engine.stored, engine.results, engine.recipe.goal)
        if best is not None and (settings.model or settings.weights):
            retrainer = Retrainer(run.executor, engine.recipe, rows, run.check_signal)
            keeper = BestModel(run.where, engine.store, retrainer, self.sweep.layer_types)
            result = engine.results[best[0].number]
            if settings.model:
                run.warn(keeper.save(best[0], result, keep_all=self.sweep.keep == "all"))
            else:
                run.warn(keeper.keep(best[0], result))
        return run.outcome(engine, before)


def take_program_steps(
    sweep: ProgramSweep,
    settings: Settings,
    listener: Listener,
    *,
    where: ResultsDirectory,
    stop: Stop,
    log: IO[str],
    servers: Servers | None,
) -> RunOutcome:
    """Run the sweep of a program in a locked directory.

    Args:
        servers: Fork the workers.

    Raises:
        HpsearchError: Bad input (InputError), a refusal (RefusedError), or Interrupted.
    """
    where.prepare_trials()
    around = {name: users_value(name) for name in (*ENVIRONMENT, *variables_in(sweep.command))}
    program = sweep.run_of(str(where.trials.absolute()), around)
    workers = settings.workers_for(sweep.execution)
    prepared = _prepared_program(sweep, program)
    with (
        opened_executor(
            sweep.execution,
            workers,
            log,
            servers=servers,
        ) as executor,
        Store(where.store, check=where.check) as store,
    ):
        run = Run(settings, listener, where, stop, executor, workers)
        require_same_program(
            store.facts().identity, prepared.identity, where.path, anyway=settings.anyway_code
        )
        for warning in sweep.warnings:
            run.warn(warning)
        executor.provide(NO_ROWS)
        return run.search(prepared, store, run.outcome, sweep)


def _prepared_program(sweep: ProgramSweep, program: UserProgram) -> Prepared:
    try:
        fingerprint = fingerprint_of(program)
    except OSError as error:
        raise InputError(f"program: {error.filename}: cannot be read: {error.strerror}") from None
    budget = sweep.budget
    return Prepared(
        search=program_search(sweep),
        recipe=program_recipe(sweep),
        identity=program_identity(sweep, program, fingerprint),
        task=Task.OBJECTIVE,
        name=sweep.name,
        columns=sweep.space.names,
        costs=UnknownCosts(tensorflow=False),
        time_seconds=budget.time_seconds if budget else None,
        retries=sweep.execution.retries,
        text=dump_raw(sweep.raw()),
        program=replace(program, fingerprint=fingerprint),
        versions=program_versions(program, fingerprint),
    )


@contextmanager
def _told_if_slow(listener: Listener, line: str) -> Iterator[None]:
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
