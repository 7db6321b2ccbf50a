"""The steps of a run: claim the store, search, write tables and report, keep the best model."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cache, partial
from pkgutil import resolve_name
from typing import Any

from hpsearch.data.specs import Task
from hpsearch.engine.learning import AdaptivePlanner, CurveReuse, Race, Snapshots
from hpsearch.engine.limits import Limits
from hpsearch.engine.loop import Engine
from hpsearch.engine.planning import FixedPlanner, Planner, Trials
from hpsearch.engine.search import SearchSpec, TunerSpec, strategy_of
from hpsearch.engine.session import Began, Ended, Listener, RunOutcome, Settings, Stop
from hpsearch.engine.trainings import Costs, Ledger, Trainings
from hpsearch.errors import InputError
from hpsearch.models.problem import Recipe
from hpsearch.search.halving import at_top
from hpsearch.search.strategy import OracleEvent, Outcome, Past, reply_of, search_with
from hpsearch.space.execution import Execution, ExecutionResult, Repetition, Status
from hpsearch.spec.checks import NEEDS_WHOLE
from hpsearch.spec.execution import ExecutionSettings
from hpsearch.spec.sweep import AnySweep
from hpsearch.store.derived import Tables
from hpsearch.store.directory import ResultsDirectory
from hpsearch.store.facts import Identity
from hpsearch.store.known import read_known
from hpsearch.store.provenance import require_unchanged
from hpsearch.store.store import Store
from hpsearch.store.trials import best_execution
from hpsearch.training.subjects import Subject
from hpsearch.wording import printable
from hpsearch.workers.protocol import Conversation, Executor, Said

#: Longest wait for a proposal, unless `execution.timeout` sets another.
_PATIENCE_SECONDS = 600.0
#: The tuner that drives a run.
_TUNER = "hpsearch.kerastuner.sweep_tuner:converse"
#: The report's page, by name, so that a run without a report needs no plots.
_REPORT = "hpsearch.reporting.page:ReportFile"
_RETRIED = (Status.FAILED, Status.KILLED, Status.TIMEOUT)


@dataclass(frozen=True)
class Prepared:
    """A search that is ready to run, and what it tries.

    Attributes:
        identity: What all its rows have in common.
        name: The value of the column `sweep`.
        columns: Hyperparameters in file order.
        keeps: As in `Ledger`.
        sweep, text: The sweep, and its text as resolved; None and empty for a function.
        versions: As in `Ledger`; None for the installed packages' versions.
        tuner: Describes the KerasTuner tuner that drives the search, given earlier outcomes; None
            for a function or a program, whose strategy is asked directly.
        profile: Lines that describe the data.
        facts: Further facts for the store.
        finish: Keeps what the best trial leaves, while the report is drawn.
        reported: As in `Trainings`.
    """

    search: SearchSpec
    subject: Subject
    recipe: Recipe
    identity: Identity
    task: Task
    name: str
    columns: Sequence[str]
    costs: Costs
    sweep: AnySweep | None = None
    text: str = ""
    keeps: int | None = 1
    versions: Mapping[str, str] | None = None
    tuner: Callable[[Past], TunerSpec] | None = None
    profile: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    finish: Callable[[Engine], None] = lambda _: None
    reported: Callable[..., Sequence[Mapping[str, float]]] = lambda _: ()


@dataclass
class Run:
    """Runs a search in a locked results directory.

    Attributes:
        workers: Number of trainings at a time; None for as many as the cluster has room for.
        stack: Closes the store.
    """

    settings: Settings
    listener: Listener
    where: ResultsDirectory
    stop: Stop
    executor: Executor
    workers: int | None
    stack: ExitStack
    _store: Store = field(init=False)

    def claim(
        self,
        identity: Identity,
        require: Callable[[Identity | None, Identity, str], None] = require_unchanged,
    ) -> None:
        """Open the store for rows of an identity.

        Args:
            require: Raises ChangedSweepError unless such rows may join those of the stored one.
        """
        self._store = self.stack.enter_context(Store(self.where.store, check=self.where.check))
        require(self._store.facts().identity, identity, str(self.where.path))

    def search(self, prepared: Prepared) -> RunOutcome:
        """Train what has no result, and write the tables and the report.

        Raises:
            RefusedError: The store is damaged, or older than its table.
            Interrupted: A signal arrived.
        """
        # Only an exception can end a training in this process; a function may return first.
        self.stop.at_once = self.settings.in_process and prepared.tuner is not None
        self.check_signal()
        engine = self._engine_over(prepared)
        retried = _RETRIED if self.settings.retry else ()
        ledger = engine.ledger
        before = dict(ledger.results)
        answered = {n for n, result in before.items() if result.status not in retried}
        self.listener(
            Began(
                prepared.name,
                # Nothing is kept of a function's search without a report.
                str(self.where.path) if prepared.sweep or self.settings.report else "",
                prepared.recipe,
                self.workers,
                prepared.profile,
                engine.planner.expected,
            )
        )
        ledger.tables.where.clear()
        if prepared.text:
            ledger.tables.write_sweep(prepared.text)
        page: Any = None
        if self.settings.report:
            page = resolve_name(_REPORT)(self.where, ledger.tables, prepared.sweep)

        # Both once: a search may be over before its tuner has ended.
        write = cache(ledger.write_tables)

        @cache
        def draw() -> None:
            self._store.set_facts(ended=engine.end)
            if page is not None:
                page.begin(ledger.records, interrupted=self.stop.signal is not None)

        try:
            engine.begin(answered)
            self._drive(engine, prepared, (write, draw))
            engine.say_end()
        finally:
            self.listener(Ended())
            write()
        draw()
        try:
            self.check_signal()
            prepared.finish(engine)
            self._store.require_sound()
            return self._outcome(engine, before)
        finally:
            if page is not None:
                self.warn(page.finish(interrupted=self.stop.signal is not None))

    def _engine_over(self, prepared: Prepared) -> Engine:
        """Return an engine that continues the store, and record the search in the store.

        Every row is read first, so that a refused store stays unchanged.
        """
        search, recipe, store = prepared.search, prepared.recipe, self._store
        execution = prepared.sweep.execution if prepared.sweep else ExecutionSettings()
        tables = Tables(
            self.where,
            prepared.task,
            prepared.columns,
            prepared.identity.provenance(prepared.name),
            kind=search.space.kind,
            flush=store.flush,
        )
        ledger = Ledger.open(
            store, tables, recipe, self.listener, prepared.versions, keeps=prepared.keeps
        )
        results = ledger.results
        if results and _is_edited(store.facts().code, prepared.facts.get("code", "")):
            self.warn(
                f"{self.where.path}: the function was edited since its rows were made, and these "
                "stay; another directory, or --fresh (fresh=True), begins anew"
            )
        if loss := store.loss(store.path):
            self.warn(f"{store.path}: {loss}; they train again")
        snapshots = Snapshots(store, results)
        known, described = self._read_known(prepared)
        engine = Engine(
            make_planner(
                search,
                recipe,
                ledger.stored,
                results,
                snapshots,
                events=store.events(),
                known=known,
            ),
            Trainings(
                self.executor,
                prepared.subject,
                recipe,
                prepared.costs,
                snapshots,
                results,
                retries=execution.retries,
                repeat=self.settings.repeat,
                say=lambda line: self.listener(Said(line)),
                reported=prepared.reported,
            ),
            ledger,
            self.stop,
            limits=Limits(search.budget, recipe.goal),
            method=search.method.name,
            patience_seconds=execution.timeout_seconds or _PATIENCE_SECONDS,
        )
        store.set_facts(
            identity=prepared.identity,
            task=prepared.task,
            name=prepared.name,
            ended="",
            known=described,
            **prepared.facts,
        )
        return engine

    def _read_known(self, prepared: Prepared) -> tuple[Sequence[Outcome], str]:
        """Return the known results that the settings or the sweep name, and a line about them."""
        source = self.settings.known
        if source is None and prepared.sweep is not None:
            source = prepared.sweep.known
        if source is None:
            return (), ""
        method = prepared.search.method
        if method.halves or method.is_oracle:
            raise InputError(f"known: {NEEDS_WHOLE.format(method.name)}")
        outcomes, line = read_known(source, prepared.search.space, prepared.recipe)
        self.listener(Said(f"known: {line}"))
        return outcomes, line

    def _drive(
        self, engine: Engine, prepared: Prepared, ends: Sequence[Callable[[], None]]
    ) -> None:
        """Search with a KerasTuner tuner; a function's strategy is asked directly.

        The tuner runs in another process: this one could submit no work while it imports
        KerasTuner.
        """
        direct = self.settings.direct or self.settings.in_process
        if prepared.tuner is None or direct:
            strategy = engine.planner.strategy
            assert strategy is not None
            search_with(partial(reply_of, strategy), engine)
            return
        spec = prepared.tuner(engine.planner.past)
        if self.settings.drive is not None:
            self.settings.drive(engine, spec, engine.planner.strategy)
            return
        self.executor.converse(Conversation(_TUNER, (spec,)))
        while not engine.over:
            if (request := engine.request()) is not None:
                self.executor.say(request)
            if engine.settled:
                # Do not wait for the tuner, which may still be importing KerasTuner.
                for end in ends:
                    end()
            engine.work()

    def _outcome(self, engine: Engine, before: Mapping[int, ExecutionResult]) -> RunOutcome:
        """Return the outcome of a search; `before` has the results of earlier runs."""
        ledger, executions = engine.ledger, engine.planner.current
        ended = [execution for execution in executions if execution.number in ledger.results]
        scored = {e.trial for e in ended if ledger.results[e.number].status.scored}
        new = {e.trial for e in ended if ledger.results[e.number] is not before.get(e.number)}
        return RunOutcome(
            directory=self.where.path,
            completed=len(scored),
            trials=len({execution.trial for execution in ended}),
            trained=len(new),
            best=best_execution(ledger.stored, ledger.results, ledger.recipe.goal),
            stopped=self.stop.reason,
        )

    def check_signal(self) -> None:
        """Raise Interrupted if a signal arrived."""
        self.stop.check(self.where.path)

    def warn(self, warning: str) -> None:
        """Show a warning, unless it is empty."""
        if warning:
            logging.getLogger("hpsearch").warning("%s", printable(warning))
            self.listener(Said(warning, warning=True))


def make_planner(
    search: SearchSpec,
    recipe: Recipe,
    stored: Sequence[Execution],
    results: Mapping[int, ExecutionResult],
    snapshots: Snapshots,
    *,
    events: Sequence[OracleEvent] = (),
    known: Sequence[Outcome] = (),
) -> Planner:
    """Return the planner of a search; known results are neither proposed nor trained."""
    race, repetitions, strategy = search.race, search.repetitions, strategy_of(search, recipe)
    space = at_top(search.space) if strategy is not None and strategy.rungs else search.space
    listed = {config.id for config in search.listed}
    every = tuple(map(Repetition, range(race.max))) if race else repetitions
    method = search.method.name
    answered = {execution.config.id for execution in stored if execution.number in results}
    trials = Trials(
        space,
        listed,
        every,
        stored=stored,
        limit=search.limit,
        method=method,
        skipped={outcome.config.id for outcome in known} - answered,
    )
    if strategy is not None and not strategy.adaptive and race is None:
        earlier = CurveReuse(recipe, dict(results), {}, stored)
        fixed = FixedPlanner(strategy, trials, repetitions, results, earlier.answer)
        if known:
            fixed.past = Past(tuple(outcome.config for outcome in known))
            strategy.restore(fixed.past.configs, ())
        return fixed
    # A proposal may repeat an earlier one with more epochs.
    longest = space.most_epochs if strategy is None or not strategy.rungs else None
    return AdaptivePlanner(
        strategy,
        trials,
        repetitions,
        CurveReuse(recipe, results, snapshots.epochs),
        race=Race(race.max, maximize=recipe.goal == "maximize") if race else None,
        longest=longest,
        events=events,
        known=known,
    )


def _is_edited(before: str, now: str) -> bool:
    """Check if two digests of code differ that the same version of Python made."""
    version, _, _ = now.partition(":")
    return before != now and before.startswith(f"{version}:") and bool(version)
