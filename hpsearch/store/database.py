"""The SQLite file of a store: opened with care, read with checksums, written in transactions."""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Self

from hpsearch.errors import StoreError
from hpsearch.machine import odd_kind, shortage
from hpsearch.store.directory import APPLICATION_ID, free_name, logs_of_store, note_result
from hpsearch.wording import printable

_BUSY_MILLISECONDS = 10_000
_SCHEMA_VERSION = 4
#: The last column of a table is the checksum of those before it. `fold` of an execution is 0
#: without folds. The events are those of a user's oracle, in order.
_SCHEMA = """
CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL, checksum TEXT NOT NULL) STRICT;
CREATE TABLE executions(
    number INTEGER PRIMARY KEY, trial INTEGER NOT NULL, config TEXT NOT NULL,
    seed INTEGER NOT NULL, fold INTEGER NOT NULL, method TEXT NOT NULL,
    hyperparameters TEXT NOT NULL,
    checksum TEXT NOT NULL, UNIQUE(config, seed, fold)) STRICT;
CREATE TABLE events(
    position INTEGER PRIMARY KEY, trial_id TEXT NOT NULL, record TEXT NOT NULL,
    checksum TEXT NOT NULL) STRICT;
CREATE TABLE results(
    execution INTEGER PRIMARY KEY REFERENCES executions(number), status TEXT NOT NULL,
    record TEXT NOT NULL, checksum TEXT NOT NULL) STRICT;
CREATE TABLE weights(
    execution INTEGER PRIMARY KEY REFERENCES executions(number), arrays BLOB NOT NULL,
    checksum TEXT NOT NULL) STRICT;
CREATE TABLE snapshots(
    execution INTEGER PRIMARY KEY REFERENCES executions(number), epoch INTEGER NOT NULL,
    best INTEGER NOT NULL, arrays BLOB NOT NULL, checksum TEXT NOT NULL) STRICT;
"""
_MOST_SHOWN = 60


class Database:
    """An open store, as tables of rows with checksums.

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
        if kind := odd_kind(path, links=read_only, names=read_only):
            raise StoreError(f"{path}: is {kind}, not a store")
        check()
        with self.explained():
            if not read_only and not path.exists():
                self._create()
            self._db = self._open_read_only() if read_only else self._connect("rw")
            try:
                self._opened = self.path.lstat()
                self._check()
                if not read_only:
                    self._db.execute("PRAGMA synchronous=NORMAL")
            except BaseException:
                self._db.close()
                raise

    def _create(self) -> None:
        # SQLite would apply the log of a removed store to the new one.
        for leftover in logs_of_store(self.path):
            leftover.unlink(missing_ok=True)
        note_result(self.path, "")
        with _written_anew(self.path) as db:
            # Return the space of removed weights and snapshots to the file system.
            db.execute("PRAGMA auto_vacuum=INCREMENTAL")
            db.execute("PRAGMA journal_mode=WAL")
            db.executescript(f"BEGIN;{_SCHEMA}COMMIT;")
            db.execute(f"PRAGMA application_id={APPLICATION_ID}")
            db.execute(f"PRAGMA user_version={_SCHEMA_VERSION}")

    def _connect(self, mode: str) -> sqlite3.Connection:
        uri = f"{self.path.resolve().as_uri()}?mode={mode}"
        db = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
        db.execute(f"PRAGMA busy_timeout={_BUSY_MILLISECONDS}")
        db.execute("PRAGMA trusted_schema=OFF")
        return db

    def _open_read_only(self) -> sqlite3.Connection:
        if not self.path.exists():
            raise StoreError(f"{self.path}: there is no such store")
        logs = logs_of_store(self.path)
        own_ids, places = os.access in os.supports_effective_ids, (self.path, self.path.parent)
        writable = all(os.access(path, os.W_OK, effective_ids=own_ids) for path in places)
        if not writable and not _size(logs[0]):
            # SQLite could not make a log here, or not remove it, which would keep the owner from
            # writing; and it needs none.
            return self._connect("ro&immutable=1")
        # Only a connection that may write removes the log that it makes. A log that is there
        # already belongs to a driver, or to one that was killed, and is left alone.
        db = self._connect("ro" if any(log.exists() for log in logs) else "rw")
        db.execute("PRAGMA query_only=ON")
        return db

    def _check(self) -> None:
        if not self.path.stat().st_size:
            raise self.error("the store is empty (0 bytes)")
        application = self._db.execute("PRAGMA application_id").fetchone()[0]
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if application != APPLICATION_ID:
            raise self.error("not a store of hpsearch")
        if version != _SCHEMA_VERSION:
            raise self.error(
                f"the store has format {version}, this version of hpsearch reads {_SCHEMA_VERSION}"
            )
        size, page = self.path.stat().st_size, self._db.execute("PRAGMA page_size").fetchone()[0]
        # The missing part of a page would read as zeros. A log may hold the whole page.
        if size % page and not _size(logs_of_store(self.path)[0]):
            raise self.error(
                f"the store is truncated: {size} bytes are no whole number of pages of {page}"
            )
        if fault := _schema_fault(self._db):
            raise self.error(f"the store is damaged: {fault}")
        # Checksums detect a changed row. This detects a missing one, and cells of another type than
        # their column's; it takes 0.3 s per GB.
        verdict = self._db.execute("PRAGMA quick_check(1)").fetchone()[0]
        if verdict != "ok":
            raise self.error(f"the store is damaged: {' '.join(str(verdict).split())}")

    def require_sound(self) -> None:
        """Raise StoreError if the file is damaged, which this connection may not see.

        So it is read as the next run will read it.
        """
        with self.explained():
            # On a full disk, the log keeps what it has.
            with suppress(sqlite3.OperationalError):
                self._db.execute("PRAGMA wal_checkpoint(PASSIVE)")
            Database(self.path, read_only=True).close()

    def error(self, text: str, advice: str = "") -> StoreError:
        """Return an error about this store, with advice."""
        advice = (
            advice or "move it away, or run with --fresh, to start anew; results.csv is untouched"
        )
        return StoreError(f"{self.path}: {text}; {advice}")

    @contextmanager
    def explained(self, failure: str = "the store failed", advice: str = "") -> Iterator[None]:
        """Turn the errors of SQLite and the file system into a StoreError of one line."""
        try:
            yield
        except (sqlite3.Error, OSError, UnicodeDecodeError) as error:
            # SQLite quotes a damaged schema, line ends included.
            said = " ".join(str(error).split())
            raise self.error(f"{failure}: {said}", shortage(error) or advice) from error

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit everything in the block, or nothing."""
        self._may_write()
        with self.explained():
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
                if os.path.samestat(self._opened, self.path.lstat()):
                    return
            what, saved = "replaced", free_name(self.path)
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
        raise StoreError(self._lost)

    def rows(self, table: str, what: str, *, execution: int | None = None) -> list[list[Any]]:
        """Read rows in the order of their keys, check their checksums, and leave these out.

        Args:
            what: Names a row in error messages; `{}` stands for its key.
        """
        which = "" if execution is None else f"WHERE execution = {execution:d}"
        query = f"SELECT * FROM {table} {which} ORDER BY 1"  # noqa: S608 - all our own
        rows = []
        for *row, checksum in self.execute(query):
            if checksum_of(*row) != checksum:
                raise self.error(
                    f"{what.format(row[0])} does not match its checksum: the file was damaged or "
                    "edited"
                )
            rows.append(row)
        return rows

    def execute(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Execute one statement, and return its rows."""
        with self.explained():
            return self._db.execute(statement, values).fetchall()

    def insert(self, table: str, *row: Any, replace: bool = False) -> str:
        """Insert a row and its checksum, and return the checksum."""
        verb = "INSERT OR REPLACE" if replace else "INSERT"
        marks, checksum = "?, " * len(row), checksum_of(*row)
        self.execute(f"{verb} INTO {table} VALUES ({marks}?)", *row, checksum)
        return checksum

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
            StoreError: The store cannot be read, or the copy not written.
        """
        failed, advice = f"it cannot be copied to {target}", "the store itself is untouched"
        with self.explained(failed, advice), _written_anew(target) as copy:
            self._db.backup(copy)


@contextmanager
def _written_anew(path: Path) -> Iterator[sqlite3.Connection]:
    """Fill a temporary database and rename it: a kill leaves a whole store or none."""
    temporary = path.with_name(f".{path.name}.new")
    for leftover in (temporary, *logs_of_store(temporary)):
        leftover.unlink(missing_ok=True)
    with closing(sqlite3.connect(temporary, isolation_level=None)) as db:
        yield db
    temporary.replace(path)


def _size(path: Path) -> int:
    """Return the bytes of a file; 0 without one."""
    return path.stat().st_size if path.exists() else 0


def checksum_of(*parts: Any) -> str:
    """Return the checksum of a row's cells, 32 hex digits."""
    digest = hashlib.sha256()
    for part in parts:
        data = part if isinstance(part, bytes) else str(part).encode()
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()[:32]


def _schema_fault(db: sqlite3.Connection) -> str:
    """Return a difference between a file's declarations and a store's; empty if they agree.

    A foreign view, trigger, index or expression would run when rows are read or written.
    """
    stored, declared = set(), set()
    for kind, name, table, sql in db.execute("SELECT type, name, tbl_name, sql FROM sqlite_schema"):
        # SQLite adds indexes without a statement, one for each key that is not an integer.
        if (kind, name, sql) != ("index", f"sqlite_autoindex_{table}_1", None):
            stored.add((kind, name, " ".join(str(sql).split())))
    for statement in filter(None, (" ".join(part.split()) for part in _SCHEMA.split(";"))):
        name = statement.partition("(")[0].removeprefix("CREATE TABLE ")
        declared.add(("table", name, statement))
    # In a damaged file, a name may be bytes.
    for kind, name, _ in sorted(stored ^ declared, key=repr):
        what = printable(f"{kind} {name}")[:_MOST_SHOWN]
        return f"the {what} is not declared as a run declares it"
    return ""
