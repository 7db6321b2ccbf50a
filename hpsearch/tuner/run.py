"""Run a sweep: open its directory, lock, log and workers, then take the steps."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from hpsearch.errors import InputError
from hpsearch.programs.sweep import ProgramSweep
from hpsearch.spec.sweep import Sweep
from hpsearch.store.directory import ResultsDirectory
from hpsearch.tuner.settings import (
    Listener,
    RunOutcome,
    Settings,
    ignore,
    log_file,
    require_engine,
    signals,
)
from hpsearch.workers.servers import Servers

if TYPE_CHECKING:
    from hpsearch.data.loading import Loader


def run_sweep(
    sweep: Sweep | ProgramSweep,
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
    if not settings.trains_elsewhere:
        require_engine(sweep.execution)
    if isinstance(sweep, Sweep):
        # Before the directory is made: an error would leave it behind.
        missing = [f"data.{name}: {message}" for (name,), message in sweep.data.missing_files()]
        if missing:
            raise InputError("\n".join(missing))
    elif settings.trains_elsewhere:
        raise InputError("executor: programs run on this machine; models run on an executor")
    else:
        sweep.run_of("").require_variables()
    where = ResultsDirectory(settings.out or Path("experiments") / sweep.name)
    where.prepare(fresh=settings.fresh)
    if settings.store is not None:
        # Slow to import: the store needs NumPy.
        from hpsearch.store.store import keep_store_at

        keep_store_at(where, settings.store)
    with ExitStack() as stack:
        where = stack.enter_context(where.hold())
        log = stack.enter_context(log_file(where))
        stop = stack.enter_context(signals(where))
        forks = sweep.execution.engine == "local" and not settings.trains_elsewhere
        if forks and servers is None:
            servers = stack.enter_context(Servers(log, tensorflow=isinstance(sweep, Sweep)))
        # Import NumPy and the like while the servers import TensorFlow.
        from hpsearch.tuner.steps import take_program_steps, take_steps

        if isinstance(sweep, ProgramSweep):
            return take_program_steps(
                sweep, settings, listener, where=where, stop=stop, log=log, servers=servers
            )
        return take_steps(
            sweep, settings, listener, where=where, stop=stop, log=log, servers=servers, load=load
        )
