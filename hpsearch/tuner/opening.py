"""Open a results directory for a run: its lock, log, signals and fork servers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from hpsearch.spec.settings import ExecutionSettings
from hpsearch.store.directory import ResultsDirectory
from hpsearch.tuner.settings import Settings, Stop, log_file, require_engine, signals
from hpsearch.workers.servers import Servers


@dataclass(frozen=True)
class Opened:
    """A locked results directory with its log, caught signals, and servers that fork workers."""

    where: ResultsDirectory
    log: IO[str]
    stop: Stop
    servers: Servers | None


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
