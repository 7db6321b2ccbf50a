"""The store (SQLite): settings, planned executions and results; all else is derived from it."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import numpy.typing as npt

from hpsearch.errors import HpsearchError, RefusedError, StoreError
from hpsearch.machine import odd_kind, shortage
from hpsearch.search.asking import OracleEvent
from hpsearch.space.execution import Execution, ExecutionResult, Snapshot
from hpsearch.space.space import Config
from hpsearch.store.directory import APPLICATION_ID, ResultsDirectory, logs_of_store
from hpsearch.store.facts import Evaluation, Facts
from hpsearch.store.lock import DirectoryLock, NoLocksError, lock_of_store
from hpsearch.store.records import (
    SCHEMA,
    SCHEMA_VERSION,
    UNREADABLE,
    as_json,
    as_npz,
    checksum_of,
    from_json,
    from_npz,
    schema_fault,
    snapshot_of,
)
from hpsearch.wording import in_words

_BUSY_MILLISECONDS = 10_000


class Store:
    """The `sweep.db` of a results directory.

    Args:
        path: The file; a writer creates it if it is missing.
        read_only: Open it for reading, without a lock.
        check: Called before each transaction; raises to prevent it.

    Raises:
        StoreError: It is not a store of hpsearch, is damaged, or cannot be opened.
    """

    def __init__(
        self, path: Path, *, read_only: bool = False, check: Callable[[], None] = lambda: None
    ) -> None:
        self.path, self._may_write = path, check
        self._lost = ""
        self._require_file(links=read_only)
        check()
        with self._explained():
            if not read_only and not path.exists():
                self._create()
            self._db = self._open_read_only() if read_only else self._connect("rw")
            try:
                # SQLite opens by name, and would follow a link.
                self._require_file(links=read_only)
                self._opened = self._now()
                self._check()
                if not read_only:
                    self._db.execute("PRAGMA synchronous=NORMAL")
            except BaseException:
                self._db.close()
                raise

    def _require_file(self, *, links: bool) -> None:
        if kind := odd_kind(self.path, links=links, names=links):
            raise StoreError(f"{self.path}: is {kind}, not a store")

    def _now(self) -> os.stat_result:
        return self.path.stat(follow_symlinks=False)

    def _create(self) -> None:
        # SQLite would apply the log of a removed store to the new one.
        for leftover in logs_of_store(self.path):
            leftover.unlink(missing_ok=True)
        with _written_anew(self.path) as db:
            # Return the space of removed weights and snapshots to the file system.
            db.execute("PRAGMA auto_vacuum=INCREMENTAL")
            db.execute("PRAGMA journal_mode=WAL")
            db.executescript(f"BEGIN;{SCHEMA}COMMIT;")
            db.execute(f"PRAGMA application_id={APPLICATION_ID}")
            db.execute(f"PRAGMA user_version={SCHEMA_VERSION}")

    def _connect(self, mode: str) -> sqlite3.Connection:
        uri = f"{self.path.resolve().as_uri()}?mode={mode}"
        db = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
        db.execute(f"PRAGMA busy_timeout={_BUSY_MILLISECONDS}")
        db.execute("PRAGMA trusted_schema=OFF")
        return db

    def _open_read_only(self) -> sqlite3.Connection:
        if not self.path.exists():
            raise StoreError(f"{self.path}: there is no such store")
        # Only a connection that may write removes the log that it makes. A log that is there
        # already belongs to a driver, or to one that was killed, and is left alone.
        made = not any(log.exists() for log in logs_of_store(self.path))
        own_ids = os.access in os.supports_effective_ids
        if made and not os.access(self.path, os.W_OK, effective_ids=own_ids):
            # On a file that it may not write, the connection would leave its log, which would keep
            # the owner from writing.
            return self._connect("ro&immutable=1")
        db = self._connect("rw" if made else "ro")
        try:
            db.execute("PRAGMA query_only=ON")
            db.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        except sqlite3.OperationalError as error:
            db.close()
            log = logs_of_store(self.path)[0]
            if not error.sqlite_errorname.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN")) or (
                log.exists() and log.stat().st_size
            ):
                raise
            # In a read-only directory SQLite can neither make a log nor needs one.
            return self._connect("ro&immutable=1")
        except BaseException:
            db.close()
            raise
        return db

    def _check(self) -> None:
        if not self.path.stat().st_size:
            raise self._error("the store is empty (0 bytes)")
        application = self._db.execute("PRAGMA application_id").fetchone()[0]
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if application != APPLICATION_ID:
            raise self._error("not a store of hpsearch")
        if version != SCHEMA_VERSION:
            raise self._error(
                f"the store has format {version}, this version of hpsearch reads {SCHEMA_VERSION}"
            )
        self._check_size()
        if fault := schema_fault(self._db):
            raise self._error(f"the store is damaged: {fault}")
        # Checksums detect a changed row. This detects a missing one, and cells of another type than
        # their column's; it takes 0.3 s per GB.
        found = self._db.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            raise self._error(f"the store is damaged: {' '.join(str(found).split())}")

    def _check_size(self) -> None:
        """Refuse a file that ends within a page: the missing part would read as zeros.

        A log may hold the whole page.
        """
        size, log = self.path.stat().st_size, logs_of_store(self.path)[0]
        page = self._db.execute("PRAGMA page_size").fetchone()[0]
        if size % page and not (log.exists() and log.stat().st_size):
            raise self._error(
                f"the store is truncated: {size} bytes are no whole number of pages of {page}"
            )

    def _error(self, text: str, advice: str = "") -> StoreError:
        advice = (
            advice or "move it away, or run with --fresh, to start anew; results.csv is untouched"
        )
        return StoreError(f"{self.path}: {text}; {advice}")

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn the errors of SQLite and the file system into a StoreError of one line."""
        try:
            yield
        except (sqlite3.Error, OSError, UnicodeDecodeError) as error:
            # SQLite quotes a damaged schema, line ends included.
            said = " ".join(str(error).split())
            raise self._error(f"the store failed: {said}", shortage(error)) from error

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._may_write()
        with self._explained():
            self._require_there()
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def _require_there(self) -> None:
        """Check that the open file is still the store; else save its content, and raise.

        Rows committed to a removed file would be lost silently.
        """
        if not self._lost:
            with suppress(OSError):
                if os.path.samestat(self._opened, self._now()):
                    return
            what, saved = "replaced", self._free_name()
            if not self.path.exists():
                what, saved = "removed", self.path
                # SQLite would apply the log of the removed file to the new one.
                for log in logs_of_store(self.path):
                    log.unlink(missing_ok=True)
            self.copy_to(saved)
            self._lost = (
                f"{self.path}: was {what} during the run, and the run ends; every result that it "
                f"had stored is in {saved}, written anew from the open file"
            )
            if what == "removed":
                self._lost += ": run the same command again to go on"
        raise StoreError(self._lost)

    def _free_name(self) -> Path:
        counts = ("", *(f"{number}-" for number in range(2, 1000)))
        names = (f"saved-{each}{self.path.name}" for each in counts)
        return next(path for path in map(self.path.with_name, names) if not path.exists())

    def _rows(self, table: str, what: str, *, execution: int | None = None) -> list[list[Any]]:
        """Read rows in the order of their keys, check their checksums, and leave these out.

        Args:
            what: Names a row in error messages; `{}` stands for its key.
            execution: Read only the row of this execution.
        """
        which = "" if execution is None else f"WHERE execution = {execution:d}"
        with self._explained():
            query = f"SELECT * FROM {table} {which} ORDER BY 1"  # noqa: S608 - all our own
            found = self._db.execute(query).fetchall()
        rows = []
        for *row, checksum in found:
            if checksum_of(*row) != checksum:
                raise self._error(
                    f"{what.format(row[0])} does not match its checksum: the file was damaged or "
                    "edited"
                )
            rows.append(row)
        return rows

    def _insert(self, table: str, *row: Any, replace: bool = False) -> None:
        verb = "INSERT OR REPLACE" if replace else "INSERT"
        marks = "?, " * len(row)
        self._db.execute(f"{verb} INTO {table} VALUES ({marks}?)", (*row, checksum_of(*row)))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the store; a writer leaves one file without a log."""
        self._db.close()

    def copy_to(self, target: Path) -> None:
        """Copy the store, its log included; a kill leaves a whole copy or none.

        Raises:
            OSError: The copy cannot be written.
            StoreError: The store cannot be read.
        """
        with self._explained(), _written_anew(target) as copy:
            self._db.backup(copy)

    # Facts about the sweep

    def facts(self) -> Facts:
        """Return the facts that `set_facts` stored."""
        return Facts(dict(self._rows("meta", "meta {!r}")))

    def set_facts(self, **changes: Any) -> None:
        """Store facts about the sweep, by the names of `Facts`; other facts stay."""
        self.set_meta(Facts.encoded(**changes))

    def set_meta(self, values: Mapping[str, str]) -> None:
        """Store encoded facts; see `set_facts`."""
        with self._transaction():
            for key, value in values.items():
                self._insert("meta", key, value, replace=True)

    # Executions

    def add_executions(
        self, executions: Iterable[Execution], events: Iterable[OracleEvent] = ()
    ) -> None:
        """Store planned executions, whose numbers are then fixed; all of them or none.

        Args:
            events: Events of the user's oracle that proposed them.
        """
        with self._transaction():
            for event in events:
                asked = None if event.config is None else dict(event.config.values)
                record = {"values": asked, "epochs": event.epochs, "score": event.score}
                self._insert("events", self._next_event(), event.trial_id, json.dumps(record))
            for each in executions:
                values = json.dumps(dict(each.config.values))
                row = (each.trial, each.config.id, each.seed, each.fold or 0, each.method, values)
                self._insert("executions", each.number, *row)

    def executions(self) -> list[Execution]:
        """Return every planned execution, by number."""
        kind = self.facts().kind
        return [
            Execution(number, trial, Config(json.loads(text), kind), seed, fold or None, method)
            for number, trial, _, seed, fold, method, text in self._rows(
                "executions", "execution {}"
            )
        ]

    def _next_event(self) -> int:
        last = self._db.execute("SELECT max(position) FROM events").fetchone()[0]
        return (last or 0) + 1

    def events(self) -> list[OracleEvent]:
        """Return every event of the user's oracle, in order."""
        kind, events = self.facts().kind, []
        for _, trial_id, text in self._rows("events", "event {}"):
            record = json.loads(text)
            values = record.pop("values")
            config = None if values is None else Config(values, kind)
            events.append(OracleEvent(trial_id, config, **record))
        return events

    # Results

    def add_results(self, results: Sequence[ExecutionResult]) -> None:
        """Store results with their weights and snapshots, all of them or none.

        An execution's earlier result is replaced, and its weights and snapshot with it.
        """
        with self._transaction():
            for result in results:
                number = result.number
                self._insert("results", number, str(result.status), as_json(result), replace=True)
                for table in ("weights", "snapshots"):
                    self._db.execute(f"DELETE FROM {table} WHERE execution = ?", (number,))  # noqa: S608
                if result.state is not None:
                    self._insert("weights", number, as_npz(result.state))
                if result.snapshot is not None:
                    best = result.snapshot.best or ()
                    blob = as_npz((*result.snapshot.state, *best))
                    self._insert("snapshots", number, result.snapshot.epoch, len(best), blob)

    def results(self) -> dict[int, ExecutionResult]:
        """Return every result, by execution; without weights and snapshots."""
        what, results = "the result of execution {}", {}
        for number, _, record in self._rows("results", what):
            try:
                results[number] = from_json(record)
            except UNREADABLE as error:
                raise self._error(
                    f"{what.format(number)} cannot be read: {in_words(error)}; another version of "
                    "hpsearch may have written it"
                ) from error
        return results

    def weights(self, execution: int) -> tuple[npt.NDArray[Any], ...] | None:
        """Return the kept weights of an execution, in the order of `model.get_weights()`."""
        what = f"the weights of execution {execution}"
        for _, blob in self._rows("weights", what, execution=execution):
            return from_npz(blob)
        return None

    def snapshot(self, execution: int) -> Snapshot | None:
        """Return the snapshot from which the training of an execution can continue."""
        what = f"the snapshot of execution {execution}"
        for _, *cells in self._rows("snapshots", what, execution=execution):
            return snapshot_of(*cells)
        return None

    def snapshots(self) -> list[tuple[int, int, int]]:
        """Return execution, epoch and size in bytes of each snapshot."""
        with self._explained():
            query = "SELECT execution, epoch, length(arrays) FROM snapshots"
            return self._db.execute(query).fetchall()

    def flush(self) -> None:
        """Flush committed rows to the disk, so that a power cut does not lose them."""
        log = logs_of_store(self.path)[0]
        with suppress(FileNotFoundError), log.open("rb") as file:
            os.fsync(file.fileno())

    def keep_weights(self, executions: Iterable[int]) -> None:
        """Remove the weights of all other executions."""
        with self._explained():
            stored = {row[0] for row in self._db.execute("SELECT execution FROM weights")}
        with self._transaction():
            self._db.executemany(
                "DELETE FROM weights WHERE execution = ?", [(n,) for n in stored - set(executions)]
            )
        with self._explained():
            self._db.execute("PRAGMA incremental_vacuum").fetchall()


@contextmanager
def _written_anew(path: Path) -> Iterator[sqlite3.Connection]:
    """Fill a temporary database and rename it: a kill leaves a whole store or none."""
    temporary = path.with_name(f".{path.name}.new")
    for leftover in (temporary, *logs_of_store(temporary)):
        leftover.unlink(missing_ok=True)
    with closing(sqlite3.connect(temporary, isolation_level=None)) as db:
        yield db
    temporary.replace(path)


def keep_store_at(where: ResultsDirectory, place: Path) -> None:
    """Keep a directory's store at another place; a store in the directory moves there.

    Raises:
        RefusedError: The store is at a third place, or there is another store at this one.
        HpsearchError: The place cannot be written.
    """
    wanted, elsewhere = place.absolute(), where.store_elsewhere
    # SQLite cannot store text with undecodable bytes.
    home = os.fsencode(where.path.absolute()).decode(errors="backslashreplace")
    if elsewhere is not None:
        if elsewhere.resolve() != wanted.resolve():
            raise RefusedError(f"{where.path}: its store is at {elsewhere} already, not {place}")
        return
    here = where.store
    try:
        wanted.parent.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            stack.enter_context(DirectoryLock(wanted.parent, lock_of_store(wanted)))
            # Its file system may lack locks, often the reason for the move.
            with suppress(NoLocksError):
                stack.enter_context(DirectoryLock(where.path, where.lock))
            if where.pointer.exists():
                raise RefusedError(
                    f"{where.pointer}: would be overwritten, and no run made it; move it away"
                )
            if wanted.exists() and not _is_new(wanted, home):
                raise RefusedError(
                    f"{place}: is there already, and is not the store of {where.path}; "
                    "name another file"
                )
            if here.exists():
                with Store(here) as store:
                    store.copy_to(wanted)
            else:
                with Store(wanted) as store:
                    store.set_meta({"home": home})
            where.write(where.pointer, os.fsencode(f"{wanted}\n"))
            here.unlink(missing_ok=True)
    except OSError as error:
        raise HpsearchError(f"{place}: the store cannot be put there: {error}") from None


def _is_new(path: Path, home: str) -> bool:
    """Check if a store is empty and belongs to no other directory.

    A run that was killed before it wrote the pointer leaves such a store.
    """
    with Store(path, read_only=True) as store:
        return store.facts().meta in ({}, {"home": home}) and not store.executions()


def evaluations_of(directory: Path) -> tuple[Evaluation, ...]:
    """Return every recorded evaluation of a results directory, in order of time.

    Raises:
        RefusedError: There is no store, or it is damaged.
    """
    with Store(ResultsDirectory(directory).store, read_only=True) as store:
        return store.facts().evaluations


def facts_of(directory: Path, data: Collection[str]) -> Facts:
    """Return the facts of a results directory if its rows are of this data; else empty facts.

    Raises:
        RefusedError: The store is damaged.
    """
    store = ResultsDirectory(directory).store
    if not store.exists():
        return Facts({})
    with Store(store, read_only=True) as opened:
        facts = opened.facts()
    same = facts.identity is not None and {*data} == {facts.identity.data}
    return facts if same else Facts({})


def evaluations_beside(source: Path) -> tuple[Evaluation, ...]:
    """Return the evaluations of a directory or a results.csv; none if it has no store.

    Raises:
        RefusedError: The store is damaged.
    """
    where = ResultsDirectory(source if source.is_dir() else source.parent)
    if not where.store.exists() or source not in (where.path, where.results):
        return ()
    return evaluations_of(where.path)
