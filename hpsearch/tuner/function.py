"""A search over a user's function, by the same loop, store and tables."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hpsearch.data.dataset import Arrays, InputSpec, Target, Task, TrainingData
from hpsearch.errors import HpsearchError, Interrupted
from hpsearch.machine import share_bytes
from hpsearch.models.problem import METRIC, Recipe
from hpsearch.report.page import ReportFile
from hpsearch.spec.settings import Execution
from hpsearch.store.derived import Tables
from hpsearch.store.directory import ResultsDirectory
from hpsearch.store.provenance import Identity, require_unchanged
from hpsearch.store.store import Store
from hpsearch.tuner.estimate import FunctionCosts
from hpsearch.tuner.learning import Medians, Search, Snapshots, make_planner
from hpsearch.tuner.loop import Limits, Loop
from hpsearch.tuner.settings import Stop, log_file, signals
from hpsearch.tuner.watching import Reporter, Silent
from hpsearch.workers.engines import engine
from hpsearch.workers.futures import InProcessExecutor
from hpsearch.workers.local import LocalExecutor
from hpsearch.workers.protocol import Executor, Objective
from hpsearch.workers.servers import Servers


@dataclass(frozen=True)
class FunctionRun:
    """What is run, and how.

    Attributes:
        objective: Gives the scores; with several workers they find it by its module and name.
        goal: `maximize` or `minimize`.
        workers: 1 calls it in this process.
        time_seconds: No trial is handed out after it; None for no limit.
        timeout_seconds: Longest time of one trial, with several workers; None for no limit.
        report: Whether report.html is written.
        execution: Of another engine than this machine; None for this machine.
    """

    objective: Objective
    search: Search
    goal: str
    out: Path
    workers: int = 1
    time_seconds: float | None = None
    timeout_seconds: float | None = None
    report: bool = True
    execution: Execution | None = None

    @property
    def recipe(self) -> Recipe:
        """The score is the function's last one."""
        return Recipe(self.search.seed, "", "", METRIC, self.goal)

    @property
    def identity(self) -> Identity:
        """What rows of one table have in common: the function's name, goal and seed."""
        name = f"{self.objective.__module__}:{self.objective.__qualname__}"
        return Identity(
            data="d" + hashlib.sha256(name.encode()).hexdigest()[:11],
            split={"function": name},
            metric=f"{METRIC}:{self.goal}:last",
            recipe={"seed": self.search.seed, "kind": str(self.search.space.kind)},
        )


def run_function(job: FunctionRun, reporter: Reporter | None = None) -> ResultsDirectory:
    """Search to the end; trials that have results are not run again.

    Raises:
        HpsearchError: Bad input (InputError), a refusal (RefusedError), or Interrupted.
    """
    where = ResultsDirectory(job.out)
    where.prepare(fresh=False)
    stop = Stop()
    with (
        where.hold(),
        signals(stop),
        _executor(job, where) as executor,
        Store(where.store) as store,
    ):
        _require_unchanged(store, job, where)
        # Reads every row: a store that is damaged is refused as it was found.
        loop = _loop(job, where, store, executor, reporter=reporter or Silent(), stop=stop)
        loop.tables.require_known(loop.results)
        _claim(store, job)
        loop.tables.begin()
        try:
            loop.run(set(loop.results), store.trials)
        finally:
            loop.tables.write(store.trials(), loop.results)
        if job.report:
            page, interrupted = ReportFile(where, loop.tables, None), stop.signal is not None
            page.begin(loop.records, interrupted=interrupted)
            if warning := page.finish(interrupted=interrupted):
                loop.reporter.note(f"warning: {warning}")
        if stop.signal is not None:
            raise Interrupted(stop.signal, where.path)
        if stop.reason:
            raise HpsearchError(f"{where.path}: {stop.reason}")
    return where


@contextlib.contextmanager
def _executor(job: FunctionRun, where: ResultsDirectory) -> Iterator[Executor]:
    nothing = np.zeros((0, 1), np.float32)
    dataset = TrainingData(
        InputSpec((1,), "float32"),
        Target(Task.OBJECTIVE, 1),
        Arrays(nothing, nothing, nothing, nothing),
    )
    if job.execution is not None:
        with (
            log_file(where) as log,
            engine(job.execution, log) as make_executor,
            make_executor(job.workers) as elsewhere,
        ):
            elsewhere.provide(dataset)
            yield elsewhere
        return
    if job.workers == 1:
        with InProcessExecutor(dataset) as inprocess:
            yield inprocess
        return
    with log_file(where) as log, Servers(log, tensorflow=False) as servers:
        local = LocalExecutor(
            servers,
            job.workers,
            timeout_seconds=job.timeout_seconds,
            memory_bytes=share_bytes(job.workers),
        )
        with local:
            local.provide(dataset)
            yield local


def _require_unchanged(store: Store, job: FunctionRun, where: ResultsDirectory) -> None:
    meta = store.meta()
    if "identity" in meta:
        require_unchanged(meta["identity"], job.identity, str(where.path))


def _claim(store: Store, job: FunctionRun) -> None:
    store.set_meta(
        {
            "identity": job.identity.to_json(),
            "task": str(Task.OBJECTIVE),
            "kind": str(job.search.space.kind),
        }
    )


def _loop(
    job: FunctionRun,
    where: ResultsDirectory,
    store: Store,
    executor: Executor,
    *,
    reporter: Reporter,
    stop: Stop,
) -> Loop:
    results, snapshots, recipe = store.results(), Snapshots(store), job.recipe
    provenance = job.identity.provenance(where.path.name)
    at_median = job.search.method.options.get("median_stopping")
    return Loop(
        planner=make_planner(job.search, recipe, store.trials(), results, snapshots),
        executor=executor,
        store=store,
        tables=Tables(where, Task.OBJECTIVE, job.search.space.names, provenance, flush=store.flush),
        reporter=reporter,
        recipe=recipe,
        limits=Limits(job.time_seconds),
        stop=stop,
        results=results,
        keep="best",
        costs=FunctionCosts(),
        snapshots=snapshots,
        medians=Medians(recipe) if at_median else None,
        objective=job.objective,
    )
