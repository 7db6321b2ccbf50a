"""The SQLite file of a store: opened with care, read with checksums, written in transactions."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from hpsearch.errors import StoreError
from hpsearch.machine import odd_kind, shortage
from hpsearch.store.directory import APPLICATION_ID, logs_of_store
from hpsearch.store.records import SCHEMA, SCHEMA_VERSION, checksum_of, schema_fault

_BUSY_MILLISECONDS = 10_000


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
        self._require_file(links=read_only)
        check()
        with self.explained():
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
            raise self.error("the store is empty (0 bytes)")
        application = self._db.execute("PRAGMA application_id").fetchone()[0]
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if application != APPLICATION_ID:
            raise self.error("not a store of hpsearch")
        if version != SCHEMA_VERSION:
            raise self.error(
                f"the store has format {version}, this version of hpsearch reads {SCHEMA_VERSION}"
            )
        self._check_size()
        if fault := schema_fault(self._db):
            raise self.error(f"the store is damaged: {fault}")
        # Checksums detect a changed row. This detects a missing one, and cells of another type than
        # their column's; it takes 0.3 s per GB.
        verdict = self._db.execute("PRAGMA quick_check(1)").fetchone()[0]
        if verdict != "ok":
            raise self.error(f"the store is damaged: {' '.join(str(verdict).split())}")

    def _check_size(self) -> None:
        """Refuse a file that ends within a page: the missing part would read as zeros.

        A log may hold the whole page.
        """
        size, log = self.path.stat().st_size, logs_of_store(self.path)[0]
        page = self._db.execute("PRAGMA page_size").fetchone()[0]
        if size % page and not (log.exists() and log.stat().st_size):
            raise self.error(
                f"the store is truncated: {size} bytes are no whole number of pages of {page}"
            )

    def error(self, text: str, advice: str = "") -> StoreError:
        """Return an error about this store, with advice."""
        advice = (
            advice or "move it away, or run with --fresh, to start anew; results.csv is untouched"
        )
        return StoreError(f"{self.path}: {text}; {advice}")

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Turn the errors of SQLite and the file system into a StoreError of one line."""
        try:
            yield
        except (sqlite3.Error, OSError, UnicodeDecodeError) as error:
            # SQLite quotes a damaged schema, line ends included.
            said = " ".join(str(error).split())
            raise self.error(f"the store failed: {said}", shortage(error)) from error

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
        names = (f"saved-{prefix}{self.path.name}" for prefix in counts)
        return next(path for path in map(self.path.with_name, names) if not path.exists())

    def rows(self, table: str, what: str, *, execution: int | None = None) -> list[list[Any]]:
        """Read rows in the order of their keys, check their checksums, and leave these out.

        Args:
            what: Names a row in error messages; `{}` stands for its key.
            execution: Read only the row of this execution.
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

    def insert(self, table: str, *row: Any, replace: bool = False) -> None:
        """Insert a row and its checksum."""
        verb = "INSERT OR REPLACE" if replace else "INSERT"
        marks = "?, " * len(row)
        self.execute(f"{verb} INTO {table} VALUES ({marks}?)", *row, checksum_of(*row))

    def close(self) -> None:
        """Close the store; a writer leaves one file without a log."""
        self._db.close()

    def copy_to(self, target: Path) -> None:
        """Copy the store, its log included; a kill leaves a whole copy or none.

        Raises:
            OSError: The copy cannot be written.
            StoreError: The store cannot be read.
        """
        with self.explained(), _written_anew(target) as copy:
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
