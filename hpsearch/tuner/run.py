"""A whole run: the directory, the lock, the log, signals and workers around its steps."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hpsearch.models.installed import require_names
from hpsearch.spec.sweep import Sweep
from hpsearch.store.directory import ResultsDirectory
from hpsearch.tuner.settings import RunOutcome, Settings, Stop, log_file, signals
from hpsearch.tuner.watching import Reporter, Silent
from hpsearch.workers.engines import engine, require_engine

if TYPE_CHECKING:
    from hpsearch.data.loading import Loader
    from hpsearch.workers.servers import Servers


def run_sweep(
    sweep: Sweep,
    settings: Settings | None = None,
    reporter: Reporter | None = None,
    load: Loader | None = None,
    servers: Servers | None = None,
) -> RunOutcome:
    """Run a sweep to its end: train what has no row, write the tables and the best model.

    Args:
        load: Gives the rows; None reads what `data:` names.
        servers: What forks workers, and stays; None starts them for this run.

    Raises:
        HpsearchError: Bad input (InputError), a refusal (RefusedError), or Interrupted.
    """
    settings, reporter = settings or Settings(), reporter or Silent()
    if not settings.in_process and settings.pool is None:
        require_engine(sweep.execution)
    require_names(sweep)
    where = ResultsDirectory(settings.out or Path("experiments") / sweep.name)
    where.prepare(fresh=settings.fresh)
    if settings.store is not None:
        where.keep_store_at(settings.store)
    stop = Stop()
    with (
        where.hold(),
        log_file(where) as log,
        signals(stop),
        engine(
            sweep.execution,
            log,
            in_process=settings.in_process,
            servers=servers,
            pool=settings.pool,
        ) as make_executor,
    ):
        # Here, not above: what the steps need is imported while the servers import, too.
        from hpsearch.tuner.steps import take_steps

        return take_steps(
            sweep,
            settings,
            reporter,
            where=where,
            stop=stop,
            make_executor=make_executor,
            load=load,
        )
