"""Run a sweep: open its directory, prepare what is tried, then take the steps."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING

from hpsearch.engine.session import (
    Listener,
    RunOutcome,
    Settings,
    ignore,
    log_file,
    require_default_keras,
    require_engine,
    signals,
)
from hpsearch.space.space import Kind
from hpsearch.spec.execution import ExecutionSettings
from hpsearch.spec.sweep import AnySweep
from hpsearch.store.directory import ResultsDirectory
from hpsearch.wording import counted
from hpsearch.workers.protocol import Said
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


def take_steps(
    prepare: Callable[[Run], Prepared],
    path: Path,
    execution: ExecutionSettings,
    settings: Settings,
    listener: Listener,
    *,
    tensorflow: bool,
    on_devices: bool = True,
    servers: Servers | None = None,
) -> RunOutcome:
    """Run a search in a results directory, with the processes that it needs.

    Args:
        prepare: Claims the run's store, and gives its executor the rows.
        path: The directory, unless the settings name another.
        tensorflow: Whether trainings may need TensorFlow.
        on_devices: Whether every training gets its own GPU, if the machine has any.
        servers: Running servers, which the run closes; None starts them.
    """
    if not settings.trains_elsewhere:
        require_engine(execution)
    where = ResultsDirectory(settings.out or path)
    where.prepare(fresh=settings.fresh)
    if settings.store is not None:
        # Slow to import: the store needs NumPy.
        from hpsearch.store.store import keep_store_at

        keep_store_at(where, settings.store)
    workers = settings.workers_for(execution)
    with ExitStack() as stack:
        where = stack.enter_context(where.hold())
        log = stack.enter_context(log_file(where))
        stop = stack.enter_context(signals(where))
        if execution.engine == "local" and not settings.trains_elsewhere and servers is None:
            servers = stack.enter_context(Servers(log, tensorflow=tensorflow))
        # Import NumPy and the like while the servers import TensorFlow.
        from hpsearch.engine.run import Run
        from hpsearch.training.trainer import gpu_is_usable
        from hpsearch.workers.executors import opened_executor

        auto = gpu_is_usable() if tensorflow else on_devices
        devices = settings.devices_for(execution, auto=auto)
        if devices and on_devices and workers is not None and workers > len(devices):
            workers = len(devices)
            room = f"the GPUs have room for {counted(workers, 'training')} at a time"
            listener(Said(f"{room}; execution: {{devices: none}} leaves them out"))
        executor = stack.enter_context(
            opened_executor(
                execution,
                workers,
                log,
                servers=servers,
                pool=settings.pool,
                in_process=settings.in_process,
                devices=devices,
            )
        )
        run = Run(settings, listener, where, stop, executor, workers, stack)
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
    """
    settings = settings or Settings()
    # Before the directory is made: an error would leave it behind.
    sweep.require_runnable(elsewhere=settings.trains_elsewhere)
    if sweep.uses_tensorflow and settings.drive is None:
        require_default_keras()
    path, execution = Path("experiments") / sweep.name, sweep.execution

    def prepare(run: Run) -> Prepared:
        # Imported here for the reason that `take_steps` has.
        prepared: Prepared = resolve_name(_PREPARE[sweep.kind])(sweep, load, run)
        return prepared

    return take_steps(
        prepare,
        path,
        execution,
        settings,
        listener,
        tensorflow=sweep.uses_tensorflow,
        on_devices=sweep.kind.takes_device,
        servers=servers,
    )
