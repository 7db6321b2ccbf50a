"""Log executions to trackers, after a run or during it."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from hpsearch.engine.session import Began, Listener, RunEvent, Stored
from hpsearch.errors import HpsearchError
from hpsearch.store.columns import Record
from hpsearch.store.derived import record_of, tables_of
from hpsearch.store.directory import ResultsDirectory
from hpsearch.store.store import Store
from hpsearch.trackers.targets import Tracker, TrackerError
from hpsearch.workers.protocol import Said


def log_results(directory: Path, tracker: Tracker) -> int:
    """Log every execution that has a result; return the number of executions.

    Raises:
        InputError: There are no results, or the tracker fails (TrackerError).
        RefusedError: The store is damaged.
    """
    where = ResultsDirectory(directory)
    where.require_store()
    records = _stored(where)
    for record in records:
        tracker.log(record)
    return len(records)


def _stored(where: ResultsDirectory) -> list[Record]:
    with Store(where.store, read_only=True) as store:
        facts = store.facts()
        # A run that has just begun has no identity yet.
        if facts.identity is None:
            return []
        return tables_of(where, facts).records(store.executions(), store.results())


@contextmanager
def tracked(listener: Listener, trackers: Sequence[Tracker]) -> Iterator[Listener]:
    """Yield a listener that also logs to trackers; at the end, wait until all is logged.

    After an interruption there is no wait; the next run logs what is missing.
    """
    if not trackers:
        yield listener
        return
    tracking = _Tracking(listener, trackers)
    try:
        yield tracking
    except BaseException:
        tracking.abandoned.set()
        raise
    finally:
        tracking.results.put(None)
    tracking.wait()


@dataclass
class _Tracking:
    """Logs in a thread, so that a slow tracker keeps no worker waiting.

    Attributes:
        results: New results for the thread; None ends it.
        abandoned: Set to stop logging.
    """

    listener: Listener
    trackers: Sequence[Tracker]
    results: queue.SimpleQueue[Stored | None] = field(default_factory=queue.SimpleQueue)
    _failures: queue.SimpleQueue[str] = field(default_factory=queue.SimpleQueue)
    abandoned: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __call__(self, event: RunEvent) -> None:
        match event:
            case Began():
                where = ResultsDirectory(Path(event.directory))
                self._thread = threading.Thread(target=self._log_all, args=(where,), daemon=True)
                self._thread.start()
            case Stored():
                self.results.put(event)
        self.listener(event)
        self._say_failures()

    def wait(self) -> None:
        """Wait until everything is logged."""
        if self._thread is not None:
            self._thread.join()
        self._say_failures()

    def _say_failures(self) -> None:
        while not self._failures.empty():
            self.listener(Said(self._failures.get(), warning=True))

    def _log_all(self, where: ResultsDirectory) -> None:
        active = list(self.trackers)
        for record in self._records(where):
            for tracker in list(active):
                if self.abandoned.is_set():
                    return
                try:
                    tracker.log(record)
                except TrackerError as error:
                    active.remove(tracker)
                    self._failures.put(
                        f"{error}; nothing more is logged there; `hpsearch log {where.path} --to "
                        "...` logs everything later"
                    )

    def _records(self, where: ResultsDirectory) -> Iterator[Record]:
        """Yield the records of earlier runs, which may be unlogged, then those of this run."""
        try:
            yield from _stored(where)
            yield from self._new(where)
        except HpsearchError as error:
            self._failures.put(str(error))

    def _new(self, where: ResultsDirectory) -> Iterator[Record]:
        with Store(where.store, read_only=True) as store:
            tables = tables_of(where, store.facts())
        trials: dict[int, int] = {}
        while (new := self.results.get()) is not None:
            execution, result = new.execution, new.result
            trials[execution.number] = execution.trial
            if result.shared_with is not None and result.shared_with not in trials:
                # The shared training is running; planned executions are stored before training.
                with Store(where.store, read_only=True) as store:
                    trials = {stored.number: stored.trial for stored in store.executions()}
            yield record_of(execution, result, tables.provenance, trials)
