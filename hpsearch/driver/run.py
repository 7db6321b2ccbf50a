"""A whole run: what it holds on to while its steps are taken."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import IO, TYPE_CHECKING

from hpsearch.driver.directory import ResultsDirectory
from hpsearch.driver.engines import engine, require_engine
from hpsearch.driver.installed import require_names
from hpsearch.driver.outcome import Outcome, Settings, Stop
from hpsearch.driver.reporter import Reporter, Silent
from hpsearch.errors import HpsearchError
from hpsearch.sweep import Sweep

if TYPE_CHECKING:
    from hpsearch.data import Loader
    from hpsearch.executors.servers import Servers

__all__ = ["log_file", "run", "signals"]

_LOG = logging.getLogger("hpsearch")


def run(
    sweep: Sweep,
    settings: Settings | None = None,
    reporter: Reporter | None = None,
    load: Loader | None = None,
    servers: Servers | None = None,
) -> Outcome:
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
        from hpsearch.driver.steps import take_steps

        return take_steps(
            sweep,
            settings,
            reporter,
            where=where,
            stop=stop,
            make_executor=make_executor,
            load=load,
        )


@contextmanager
def log_file(where: ResultsDirectory) -> Iterator[IO[str]]:
    """run.log, with what the driver says going there.

    Raises:
        HpsearchError: It cannot be written.
    """
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
def signals(stop: Stop) -> Iterator[None]:
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
