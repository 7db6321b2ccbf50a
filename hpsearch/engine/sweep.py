"""Run a sweep: open its directory, prepare what is tried, then take the steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from hpsearch.engine.events import Listener, ignore
from hpsearch.engine.session import Opened, RunOutcome, Settings, log_file, require_engine, signals
from hpsearch.importing import load_part
from hpsearch.space.kinds import Kind
from hpsearch.spec.keys import ExecutionSettings
from hpsearch.spec.sweep import AnySweep
from hpsearch.store.directory import ResultsDirectory
from hpsearch.workers.servers import Servers

if TYPE_CHECKING:
    from hpsearch.data.loading import Loader
    from hpsearch.engine.run import Prepared, Run

#: Functions that prepare a search, by name, so that no kind of trial imports another.
_PREPARE = {
    Kind.MLP: "hpsearch.engine.models:prepare_mlps",
    Kind.MODEL: "hpsearch.custom.search:prepare_custom_models",
    Kind.PROGRAM: "hpsearch.programs.search:prepare_program",
}


@contextmanager
def opened(
    path: Path,
    execution: ExecutionSettings,
    settings: Settings,
    servers: Servers | None = None,
    *,
    tensorflow: bool,
) -> Iterator[Opened]:
    """Open a results directory for a run, and start the servers that it needs.

    Args:
        path: The directory, unless the settings name another.
        servers: Borrowed servers; None starts them for this run.
        tensorflow: Whether trainings may need TensorFlow.

    Raises:
        HpsearchError: The engine cannot run here, or the directory cannot be used.
    """
    if not settings.trains_elsewhere:
        require_engine(execution)
    where = ResultsDirectory(settings.out or path)
    where.prepare(fresh=settings.fresh)
    if settings.store is not None:
        # Slow to import: the store needs NumPy.
        from hpsearch.store.store import keep_store_at

        keep_store_at(where, settings.store)
    with ExitStack() as stack:
        where = stack.enter_context(where.hold())
        log = stack.enter_context(log_file(where))
        stop = stack.enter_context(signals(where))
        forks = execution.engine == "local" and not settings.trains_elsewhere
        if forks and servers is None:
            servers = stack.enter_context(Servers(log, tensorflow=tensorflow))
        yield Opened(where, log, stop, servers)


def take_steps(
    prepare: Callable[[Run], Prepared],
    opened: Opened,
    execution: ExecutionSettings,
    settings: Settings,
    listener: Listener,
) -> RunOutcome:
    """Run a search in an open directory.

    Args:
        prepare: Claims the run's store, and gives its executor the rows.

    Raises:
        HpsearchError: Bad input (InputError), a refusal (RefusedError), or Interrupted.
    """
    # Import NumPy and the like while the servers import TensorFlow.
    from hpsearch.engine.run import Run
    from hpsearch.workers.executors import opened_executor

    workers = settings.workers_for(execution)
    with (
        opened_executor(
            execution,
            workers,
            opened.log,
            servers=opened.servers,
            pool=settings.pool,
            in_process=settings.in_process,
        ) as executor,
        ExitStack() as stack,
    ):
        run = Run(settings, listener, opened.where, opened.stop, executor, workers, stack)
        return run.search(prepare(run))


def run_sweep(
    sweep: AnySweep,
    settings: Settings | None = None,
    listener: Listener = ignore,
    load: Loader | None = None,
    servers: Servers | None = None,
) -> RunOutcome:
    """Run a sweep to its end: train what lacks a row, write the tables and the best model.

    Args:
        load: Loads the rows; None reads the sweep's `data:`.
        servers: Borrowed servers that fork workers; None starts them for this run.

    Raises:
        HpsearchError: Bad input (InputError), a refusal (RefusedError), or Interrupted.
    """
    settings = settings or Settings()
    # Before the directory is made: an error would leave it behind.
    sweep.require_runnable(elsewhere=settings.trains_elsewhere)
    path, execution = Path("experiments") / sweep.name, sweep.execution
    with opened(path, execution, settings, servers, tensorflow=sweep.uses_tensorflow) as start:
        # As in `take_steps`.
        prepare = partial(load_part(_PREPARE[sweep.kind]), sweep, load)
        return take_steps(prepare, start, execution, settings, listener)
