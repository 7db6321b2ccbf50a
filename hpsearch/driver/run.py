"""A whole run: lock, data, workers, loop, tables, model."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import IO

from hpsearch import data, sweepfile
from hpsearch.driver.asking import Asker
from hpsearch.driver.best_model import BestModel
from hpsearch.driver.directory import ResultsDirectory
from hpsearch.driver.loop import Limits, Loop, Stop
from hpsearch.driver.native_log import native_stderr_to
from hpsearch.driver.outputs import Tables, best_trial
from hpsearch.driver.recipe import Identity, identify, make_recipe, require_unchanged
from hpsearch.driver.reporter import Reporter, Silent
from hpsearch.errors import HpsearchError, InputError, NotSupportedError
from hpsearch.estimate import Sizes
from hpsearch.executors import base
from hpsearch.executors.local import LocalExecutor
from hpsearch.lock import DirectoryLock
from hpsearch.plan import Trial
from hpsearch.space import Config
from hpsearch.store import Store
from hpsearch.sweep import SeedRace, Sweep
from hpsearch.trial import Recipe, Status, Target

__all__ = ["Interrupted", "Outcome", "Settings", "run"]

_LOG = logging.getLogger("hpsearch")
_RETRIED = (Status.FAILED, Status.KILLED, Status.TIMEOUT)


class Interrupted(HpsearchError):
    """A signal ended the run; what was finished is stored."""

    def __init__(self, signal_number: int, where: Path) -> None:
        self.exit_code = 128 + signal_number
        name = "interrupted" if signal_number == signal.SIGINT else "terminated"
        super().__init__(f"{name}; results so far are in {where}, the same command continues")


@dataclass(frozen=True)
class Settings:
    """How to run, as opposed to what.

    Attributes:
        out: The results directory; None for `experiments/NAME`.
        workers: Overrides the sweep's.
        retry: Whether failed, killed and timed-out trials are trained again.
        fresh: Whether an existing directory is moved aside.
    """

    out: Path | None = None
    workers: int | None = None
    retry: bool = False
    fresh: bool = False


@dataclass(frozen=True)
class Outcome:
    """What a run came to.

    Attributes:
        completed: Trials of the sweep with a score.
        trials: Trials of the sweep with a result.
        trained: Results that this run added.
        best: The best config's best trial, and the config's mean score.
        stopped: Why it ended early, or empty.
    """

    directory: Path
    completed: int
    trials: int
    trained: int
    best: tuple[Trial, float] | None
    stopped: str = ""

    @property
    def exit_code(self) -> int:
        """0, or 1 where no trial completed."""
        return 0 if self.completed and not self.stopped else 1


def require_supported(sweep: Sweep) -> None:
    """Check that this version can run what the file asks for.

    Raises:
        NotSupportedError: Naming what it cannot.
    """
    missing = []
    if sweep.method.name not in ("grid", "random", "configs"):
        missing.append(f"method: {sweep.method.name} (what runs today: grid, random)")
    if sweep.execution.engine != "local":
        missing.append(f"execution.engine: {sweep.execution.engine} (what runs today: local)")
    if isinstance(sweep.seeds, SeedRace):
        missing.append("seeds: {min, max, race} (what runs today: a number or a list)")
    if isinstance(sweep.model, str):
        missing.append("model: a function (what runs today: output_activation and loss)")
    if missing:
        raise NotSupportedError(
            "valid, but not there yet in this version of hpsearch: " + "; ".join(missing)
        )


def run(
    sweep: Sweep, settings: Settings | None = None, reporter: Reporter | None = None
) -> Outcome:
    """Run a sweep to its end: train what has no row, write the tables and the best model.

    Raises:
        HpsearchError: Bad input (InputError), a refusal (RefusedError), or Interrupted.
    """
    settings, reporter = settings or Settings(), reporter or Silent()
    require_supported(sweep)
    where = ResultsDirectory(settings.out or Path("experiments") / sweep.name)
    where.prepare(fresh=settings.fresh)
    stop = Stop()
    with (
        DirectoryLock(where.path),
        _log_file(where) as log,
        _signals(stop),
        LocalExecutor(
            _workers(sweep, settings),
            log,
            timeout_seconds=sweep.execution.timeout_seconds,
            memory_bytes=sweep.execution.memory if sweep.execution.memory != "auto" else None,
        ) as executor,
    ):
        return _Run(
            sweep,
            settings,
            reporter=reporter,
            where=where,
            stop=stop,
            executor=executor,
            log=log,
        ).run()


def _workers(sweep: Sweep, settings: Settings) -> int:
    asked = settings.workers or sweep.execution.workers
    return len(os.sched_getaffinity(0)) if asked == "auto" else int(asked)


@contextmanager
def _log_file(where: ResultsDirectory) -> Iterator[IO[str]]:
    try:
        log = where.log.open("a", encoding="utf-8")
    except OSError as error:
        raise HpsearchError(f"{where.log}: cannot be written: {error.strerror}") from None
    handler = logging.StreamHandler(log)
    handler.setFormatter(logging.Formatter("%(asctime)s driver: %(message)s"))
    level = _LOG.level
    _LOG.addHandler(handler)
    _LOG.setLevel(logging.INFO)
    try:
        yield log
    finally:
        _LOG.removeHandler(handler)
        _LOG.setLevel(level)
        log.close()


@contextmanager
def _signals(stop: Stop) -> Iterator[None]:
    """The first SIGINT or SIGTERM asks the loop to end; a second one ends it at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def on_signal(number: int, _: FrameType | None) -> None:
        if stop.signal is not None:
            raise KeyboardInterrupt
        stop.signal = number

    before = {n: signal.signal(n, on_signal) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Run:
    """The steps of a run, in order."""

    def __init__(
        self,
        sweep: Sweep,
        settings: Settings,
        *,
        reporter: Reporter,
        where: ResultsDirectory,
        stop: Stop,
        executor: LocalExecutor,
        log: IO[str],
    ) -> None:
        self.sweep, self.settings, self.reporter = sweep, settings, reporter
        self.where, self.stop, self.executor, self.log = where, stop, executor, log

    def run(self) -> Outcome:
        dataset = data.load(self.sweep.data)
        for warning in (*self.sweep.warnings, *dataset.warnings):
            self.reporter.note(f"warning: {warning}")
        recipe = make_recipe(self.sweep, dataset.target.task)
        identity = identify(self.sweep, dataset, recipe)
        with Store(self.where.store) as store:
            self._claim(store, identity, dataset.target)
            self._check_signal()
            loop = self._loop(store, dataset, recipe, identity)
            return self._finish(loop, store, dataset, recipe)

    def _claim(self, store: Store, identity: Identity, target: Target) -> None:
        meta = store.meta()
        if "identity" in meta:
            require_unchanged(meta["identity"], identity, str(self.where.path))
        store.set_meta(
            {
                "identity": identity.to_json(),
                "sweep": sweepfile.dump(self.sweep),
                "task": str(target.task),
            }
        )

    def _check_signal(self) -> None:
        if self.stop.signal is not None:
            raise Interrupted(self.stop.signal, self.where.path)

    def _loop(
        self, store: Store, dataset: data.Dataset, recipe: Recipe, identity: Identity
    ) -> Loop:
        sweep = self.sweep
        with native_stderr_to(self.log):
            # Here, not above: KerasTuner brings TensorFlow, whose import goes on beside the
            # server's.
            from hpsearch import preprocessing
            from hpsearch.oracles import make_oracle

            arrays = preprocessing.arrays(dataset)
        points = _points(sweep)
        oracle = make_oracle(
            sweep.method.name, sweep.space, points, goal=recipe.goal, seed=sweep.seed
        )
        limit = sweep.budget.trials if sweep.budget else None
        asker = Asker(
            sweep.space, points, sweep.trial_seeds, oracle, stored=store.trials(), limit=limit
        )
        self.executor.provide(base.Dataset(dataset.input, dataset.target, arrays))
        names = dict.fromkeys([*sweep.parameters, *(name for p in sweep.configs for name in p)])
        return Loop(
            asker=asker,
            oracle=oracle,
            executor=self.executor,
            store=store,
            tables=Tables(
                self.where, dataset.target.task, list(names), identity.provenance(sweep.name)
            ),
            reporter=self.reporter,
            recipe=recipe,
            limits=Limits(
                sweep.budget.time_seconds if sweep.budget else None, sweep.execution.retries
            ),
            stop=self.stop,
            results=store.results(),
            keep=sweep.keep,
            sizes=Sizes(
                rows=len(arrays.x_train),
                validation_rows=len(arrays.x_val),
                features=preprocessing.n_features(dataset.input),
                outputs=dataset.target.outputs,
                data_bytes=arrays.x_train.nbytes + arrays.x_val.nbytes,
            ),
        )

    def _finish(self, loop: Loop, store: Store, dataset: data.Dataset, recipe: Recipe) -> Outcome:
        before = {
            number
            for number, result in loop.results.items()
            if not (self.settings.retry and result.status in _RETRIED)
        }
        workers = _workers(self.sweep, self.settings)
        self.reporter.began(self.sweep.name, str(self.where.path), recipe, workers)
        try:
            loop.run(before, store.trials)
        finally:
            self.reporter.ended()
            loop.tables.write(store.trials(), loop.results)
            loop.tables.write_sweep(sweepfile.dump(self.sweep))
        self._check_signal()
        current = [trial for trial in loop.trials if trial.number in loop.results]
        best = best_trial(current, loop.results, recipe)
        if best is not None:
            keeper = BestModel(
                self.where, store, self.executor, dataset, recipe, check=self._check_signal
            )
            result = loop.results[best[0].number]
            # A layer of the user is built here, too, and may speak.
            with native_stderr_to(self.log), redirect_stdout(self.log):
                warning = keeper.save(best[0], result, keep_all=self.sweep.keep == "all")
            if warning:
                self.reporter.note(f"warning: {warning}")
        return Outcome(
            directory=self.where.path,
            completed=sum(loop.results[t.number].status.scored for t in current),
            trials=len(current),
            trained=sum(t.number not in before for t in current),
            best=best,
            stopped=self.stop.reason,
        )


def _points(sweep: Sweep) -> Sequence[Config]:
    """The configs that are listed in the file.

    Raises:
        InputError: One breaks a constraint.
    """
    points = []
    for listed, point in zip(sweep.configs, sweep.points, strict=True):
        config = sweep.space.config(point)
        if config is None:
            raise InputError(f"configs: {listed} breaks a constraint of the sweep")
        points.append(config)
    return points
