"""What the driver tells whoever watches a run: a display, and trackers of other programs."""

from __future__ import annotations

import queue
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from hpsearch.errors import HpsearchError, InputError
from hpsearch.models.problem import Recipe
from hpsearch.space.trial import Trial, TrialResult
from hpsearch.spec.sweep import sweep_from_text
from hpsearch.store.derived import record_of
from hpsearch.store.directory import ResultsDirectory
from hpsearch.store.provenance import Identity
from hpsearch.store.store import Store
from hpsearch.store.tables import Provenance, Record, read_table
from hpsearch.trackers.tracker import Tracker, TrackerError
from hpsearch.tuner.planning import Summary
from hpsearch.workers.protocol import Event


class Reporter(Protocol):
    """Shows a run; it decides nothing, and what it raises is a bug."""

    def began(self, name: str, directory: str, recipe: Recipe, workers: int | None) -> None:
        """The run is set up; `directory` is where its files go."""

    def expected(self, trials: int) -> None:
        """So many there will be at most, which are not known one by one before they are due."""

    def planned(self, summary: Summary, already_done: int) -> None:
        """More trials are known: what they all come to, and how many had results before."""

    def event(self, event: Event) -> None:
        """An executor's event."""

    def result(self, trial: Trial, result: TrialResult) -> None:
        """A result is stored."""

    def note(self, message: str) -> None:
        """Something worth a line."""

    def ended(self) -> None:
        """Nothing further comes."""


class Silent:
    """Shows nothing."""

    def began(self, name: str, directory: str, recipe: Recipe, workers: int | None) -> None:
        """Nothing."""

    def expected(self, trials: int) -> None:
        """Nothing."""

    def planned(self, summary: Summary, already_done: int) -> None:
        """Nothing."""

    def event(self, event: Event) -> None:
        """Nothing."""

    def result(self, trial: Trial, result: TrialResult) -> None:
        """Nothing."""

    def note(self, message: str) -> None:
        """Nothing."""

    def ended(self) -> None:
        """Nothing."""


class AsWarnings(Silent):
    """Tells what is worth a line as Python's warnings, at the line that called."""

    def note(self, message: str) -> None:
        """A warning, but for news that is none."""
        text = message.removeprefix("warning: ")
        if text != message:
            warnings.warn(text, UserWarning, stacklevel=outside())


def outside() -> int:
    """The stack level, for `warnings.warn` in the caller, of the first frame that is not ours."""
    level, frame = 1, sys._getframe(1)  # noqa: SLF001 - documented, and `inspect` is slow
    while frame.f_back is not None and str(frame.f_globals.get("__name__")).startswith("hpsearch."):
        level, frame = level + 1, frame.f_back
    return level


def log_results(directory: Path, tracker: Tracker) -> int:
    """Tell a tracker of every trial that has a result; how many there are.

    Raises:
        InputError: There are no results, or TrackerError.
        RefusedError: The store is damaged.
    """
    where = ResultsDirectory(directory)
    if not where.store.exists():
        raise InputError(
            f"{directory}: no results directory: there is no {where.store.name} in it; "
            "`hpsearch run` makes one"
        )
    count = 0
    for record in _stored(where):
        tracker.log(record)
        count += 1
    return count


def _stored(where: ResultsDirectory) -> Iterator[Record]:
    # Every run imports this module before its workers are on their way.

    with Store(where.store, read_only=True) as store:
        meta, trials, results = store.meta(), store.trials(), store.results()
    if "identity" not in meta:
        return
    provenance = _provenance(meta, where)
    versions = _versions(where) if results else {}
    for trial in trials:
        if trial.number in results:
            of_row = replace(provenance, **versions.get(trial.number, {}))
            yield record_of(trial, results[trial.number], of_row)


def _provenance(meta: dict[str, str], where: ResultsDirectory) -> Provenance:

    # A search over a function has no sweep, and is called as its directory is.
    name = sweep_from_text(meta["sweep"]).name if "sweep" in meta else where.path.resolve().name
    return Identity.from_json(meta["identity"]).provenance(name)


def _versions(where: ResultsDirectory) -> dict[int, dict[str, str]]:
    """Those that the table's rows name; the store has none."""
    if not where.results.exists():
        return {}
    names = ["version", "tensorflow", "keras"]
    table = read_table(where.results).set_index("trial")[names].dropna()
    return {int(trial): dict(zip(names, row, strict=True)) for trial, *row in table.itertuples()}


@contextmanager
def tracked(reporter: Reporter, trackers: Sequence[Tracker]) -> Iterator[Reporter]:
    """A reporter that tells trackers of results, too, and waits for them in the end.

    After an interruption it does not wait; the next run tells what is missing.
    """
    if not trackers:
        yield reporter
        return
    tracking = _Tracking(reporter, trackers)
    try:
        yield tracking
    except BaseException:
        tracking.abandon()
        raise
    tracking.finish()


@dataclass
class _Tracking:
    """Tells from a thread of its own, so that a slow tracker keeps no worker waiting."""

    reporter: Reporter
    trackers: Sequence[Tracker]
    _news: queue.SimpleQueue[tuple[Trial, TrialResult] | None] = field(
        default_factory=queue.SimpleQueue
    )
    _failures: queue.SimpleQueue[str] = field(default_factory=queue.SimpleQueue)
    _abandoned: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def began(self, name: str, directory: str, recipe: Recipe, workers: int | None) -> None:
        where = ResultsDirectory(Path(directory))
        self._thread = threading.Thread(target=self._tell, args=(where,), daemon=True)
        self._thread.start()
        self.reporter.began(name, directory, recipe, workers)

    def expected(self, trials: int) -> None:
        self.reporter.expected(trials)

    def planned(self, summary: Summary, already_done: int) -> None:
        self.reporter.planned(summary, already_done)

    def event(self, event: Event) -> None:
        self.reporter.event(event)

    def result(self, trial: Trial, result: TrialResult) -> None:
        self._news.put((trial, result))
        self.reporter.result(trial, result)
        self._note_failures()

    def note(self, message: str) -> None:
        self.reporter.note(message)

    def ended(self) -> None:
        self.reporter.ended()

    def finish(self) -> None:
        """Wait until all is told."""
        self._news.put(None)
        if self._thread is not None:
            self._thread.join()
        self._note_failures()

    def abandon(self) -> None:
        """Tell nothing further."""
        self._abandoned.set()
        self._news.put(None)

    def _note_failures(self) -> None:
        while not self._failures.empty():
            self.reporter.note(f"warning: {self._failures.get()}")

    def _tell(self, where: ResultsDirectory) -> None:
        active = list(self.trackers)
        for record in self._records(where):
            for tracker in list(active):
                if self._abandoned.is_set():
                    return
                try:
                    tracker.log(record)
                except TrackerError as error:
                    active.remove(tracker)
                    self._failures.put(
                        f"{error}; nothing more is logged there; `hpsearch log {where.path} --to "
                        "...` logs all trials later"
                    )

    def _records(self, where: ResultsDirectory) -> Iterator[Record]:
        """Those of earlier runs, which may not have been told, then what comes."""
        try:
            yield from _stored(where)
            with Store(where.store, read_only=True) as store:
                provenance = _provenance(store.meta(), where)
        except HpsearchError as error:
            self._failures.put(str(error))
            return
        while (news := self._news.get()) is not None:
            yield record_of(*news, provenance)
