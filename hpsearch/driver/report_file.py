"""report.html: written beside the driver's own work, and never a reason to fail."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence

from hpsearch.driver.directory import ResultsDirectory
from hpsearch.driver.outputs import Tables
from hpsearch.driver.record import looks
from hpsearch.results import Record
from hpsearch.sweep import Sweep

__all__ = ["ReportFile"]

_LOG = logging.getLogger("hpsearch.report")
#: Trials that importance is learnt from at the end of a run; `hpsearch report` takes more.
_MOST_ROWS = 1_000
#: Between the end of one page and the beginning of the next, while a run is on.
_LIVE_SECONDS = 5.0
_LIVE_SHARE = 0.1
#: A run that a signal ends must be over within a few seconds.
_PATIENCE_SECONDS = 2.0


class ReportFile:
    """Writes the page in a thread: the driver mostly waits for workers.

    Args:
        where: The results directory.
        tables: Makes the tables of records.
        sweep: What is run; None where no sweep file says it.
    """

    def __init__(self, where: ResultsDirectory, tables: Tables, sweep: Sweep | None) -> None:
        self._where, self._tables, self._sweep = where, tables, sweep
        self._thread: threading.Thread | None = None
        self._ready_at = time.monotonic() + 1.0
        self._error = ""

    def update(self, records: Sequence[Record]) -> None:
        """Rewrite the page of a run that is on, unless it was done a moment ago."""
        if time.monotonic() >= self._ready_at and not self._busy:
            self._start(records, live=True, whole=True)

    def begin(self, records: Sequence[Record], *, interrupted: bool) -> None:
        """Begin the last page; importance takes a while, which an interrupted run has not."""
        self.finish(interrupted=interrupted)
        self._start(records, live=False, whole=not interrupted)

    def finish(self, *, interrupted: bool) -> str:
        """Wait for it.

        Returns:
            Why there is no page, or empty.
        """
        if self._thread is not None:
            self._thread.join(_PATIENCE_SECONDS if interrupted else None)
        return f"{self._where.report} is not written: {self._error}" if self._error else ""

    @property
    def _busy(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _start(self, records: Sequence[Record], *, live: bool, whole: bool) -> None:
        # A daemon: should a signal's patience end, it must not hold the process.
        self._thread = threading.Thread(
            target=self._write, args=(records,), kwargs={"live": live, "whole": whole}, daemon=True
        )
        self._thread.start()

    def _write(self, records: Sequence[Record], *, live: bool, whole: bool) -> None:
        began = time.monotonic()
        self._error = ""
        try:
            from hpsearch.report.source import Source
            from hpsearch.report.writing import is_current, write

            known = looks(self._where.path)
            if not live and is_current(self._where.report, self._where.path, known):
                return
            source = Source(
                self._tables.results(records),
                self._tables.curves(records),
                self._sweep,
                self._where.path,
                most_rows=_MOST_ROWS if whole else 0,
                looks=known,
            )
            write([source], self._where.report, live=live)
        # Whatever goes wrong here, the results are there: the run goes on, the log knows why.
        except Exception as error:  # noqa: BLE001
            self._error = str(error) or type(error).__name__
            _LOG.info("the report failed", exc_info=True)
        seconds = time.monotonic() - began
        self._ready_at = time.monotonic() + max(_LIVE_SECONDS, seconds / _LIVE_SHARE)
