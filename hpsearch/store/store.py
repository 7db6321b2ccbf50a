"""The store (SQLite): what was asked, planned and found; everything else is derived from it."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Self, Unpack

import numpy.typing as npt

from hpsearch.errors import StoreError
from hpsearch.space.space import Config
from hpsearch.space.trial import Snapshot, Trial, TrialResult
from hpsearch.store.directory import ResultsDirectory
from hpsearch.store.facts import Changes, Evaluation, Facts
from hpsearch.store.records import (
    UNREADABLE,
    as_json,
    as_npz,
    checksum_of,
    from_json,
    from_npz,
    mapping,
    schema_faults,
    snapshot_of,
)

_APPLICATION_ID = 0x68707331
_SCHEMA_VERSION = 3
#: Fold 0 is none.
_TRIALS = """
CREATE TABLE trials(
    number INTEGER PRIMARY KEY, config TEXT NOT NULL, seed INTEGER NOT NULL, fold INTEGER NOT NULL,
    hyperparameters TEXT NOT NULL, checksum TEXT NOT NULL, UNIQUE(config, seed, fold)) STRICT;
"""
_SCHEMA = f"""
CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL, checksum TEXT NOT NULL) STRICT;
{_TRIALS}
CREATE TABLE results(
    trial INTEGER PRIMARY KEY REFERENCES trials(number), status TEXT NOT NULL,
    record TEXT NOT NULL, checksum TEXT NOT NULL) STRICT;
CREATE TABLE weights(
    trial INTEGER PRIMARY KEY REFERENCES trials(number), arrays BLOB NOT NULL,
    checksum TEXT NOT NULL) STRICT;
CREATE TABLE snapshots(
    trial INTEGER PRIMARY KEY REFERENCES trials(number), epoch INTEGER NOT NULL,
    best INTEGER NOT NULL, arrays BLOB NOT NULL, checksum TEXT NOT NULL) STRICT;
"""
_BUSY_MILLISECONDS = 10_000
#: Format 2 had `fold * _FOLD + seed` in the column `seed`.
_FOLD = 2**32


class Store:
    """The `sweep.db` of a results directory.

    Args:
        path: Of the file; created where it is missing, unless `read_only`.

    Raises:
        StoreError: It is no store of hpsearch, is damaged, or cannot be opened.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.path = path
        with self._explained():
            if not read_only and not path.exists():
                self._create()
            self._db = self._open_read_only() if read_only else self._connect("rw")
            try:
                self._check()
                if not read_only:
                    self._db.execute("PRAGMA synchronous=NORMAL")
            except BaseException:
                self._db.close()
                raise

    def _create(self) -> None:
        """Made beside its place and moved there: a kill leaves a whole store or none."""
        temporary = self.path.with_name(f".{self.path.name}.new")
        # SQLite would take the log of a store that somebody removed for that of the new one.
        for leftover in (temporary, *self._logs(temporary), *self._logs(self.path)):
            leftover.unlink(missing_ok=True)
        with closing(sqlite3.connect(temporary, isolation_level=None)) as db:
            # Dropped weights and snapshots give their room back.
            db.execute("PRAGMA auto_vacuum=INCREMENTAL")
            db.execute("PRAGMA journal_mode=WAL")
            db.executescript(f"BEGIN;{_SCHEMA}COMMIT;")
            db.execute(f"PRAGMA application_id={_APPLICATION_ID}")
            db.execute(f"PRAGMA user_version={_SCHEMA_VERSION}")
        temporary.replace(self.path)

    @staticmethod
    def _logs(path: Path) -> tuple[Path, ...]:
        return tuple(path.with_name(f"{path.name}-{kind}") for kind in ("wal", "shm", "journal"))

    def _connect(self, mode: str) -> sqlite3.Connection:
        uri = f"{self.path.resolve().as_uri()}?mode={mode}"
        db = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
        db.execute(f"PRAGMA busy_timeout={_BUSY_MILLISECONDS}")
        return db

    def _open_read_only(self) -> sqlite3.Connection:
        if not self.path.exists():
            raise StoreError(f"{self.path}: there is no such store")
        # Only a connection that may write removes, when it is closed, the log that it makes. Where
        # there is a log already, it is another's, or what a killed driver left: it stays as it is.
        made = not any(log.exists() for log in self._logs(self.path))
        db = self._connect("rw" if made else "ro")
        try:
            db.execute("PRAGMA query_only=ON")
            db.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        except sqlite3.OperationalError as error:
            db.close()
            log = self._logs(self.path)[0]
            if not error.sqlite_errorname.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN")) or (
                log.exists() and log.stat().st_size
            ):
                raise
            # A directory that cannot be written has no room for the log, and needs none.
            return self._connect("ro&immutable=1")
        except BaseException:
            db.close()
            raise
        return db

    def _check(self) -> None:
        if not self.path.stat().st_size:
            raise StoreError(f"{self.path}: the store is empty (0 bytes); {self._advice()}")
        application = self._db.execute("PRAGMA application_id").fetchone()[0]
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if application != _APPLICATION_ID:
            raise StoreError(f"{self.path}: not a store of hpsearch; {self._advice()}")
        if version not in (2, _SCHEMA_VERSION):
            raise StoreError(
                f"{self.path}: the store has format {version}, this version of hpsearch reads "
                f"2 and {_SCHEMA_VERSION}"
            )
        self._check_size()
        if version == 2:
            self._upgrade()
        for fault in schema_faults(self._db).values():
            raise StoreError(f"{self.path}: the store is damaged: {fault}; {self._advice()}")
        # Checksums see a changed row, this a missing one; it takes a third of a second a GB.
        found = self._db.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            found = " ".join(str(found).split())
            raise StoreError(f"{self.path}: the store is damaged: {found}; {self._advice()}")

    def _upgrade(self) -> None:
        """Give a store of format 2 the column `fold`; a read-only one is upgraded in memory."""
        if self._db.execute("PRAGMA query_only").fetchone()[0] or not os.access(self.path, os.W_OK):
            memory = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
            self._db.backup(memory)
            self._db.close()
            self._db = memory
        rows = self._db.execute(
            "SELECT number, config, seed, hyperparameters, checksum FROM trials"
        ).fetchall()
        with self._transaction():
            self._db.execute("DROP TABLE trials")
            self._db.execute(_TRIALS)
            for *row, checksum in rows:
                number, config, seed, values = self._checked(
                    f"trial {row[0]}", row, *row, checksum=checksum
                )
                fold, seed = divmod(seed, _FOLD)
                self._insert_trial(number, config, seed, fold, values)
            self._db.execute(f"PRAGMA user_version={_SCHEMA_VERSION}")

    def _insert_trial(self, *row: Any) -> None:
        statement = "INSERT INTO trials VALUES (?, ?, ?, ?, ?, ?)"
        self._db.execute(statement, (*row, checksum_of(*row)))

    def _check_size(self) -> None:
        """A page that ends early reads as if zeros followed; a log may have the whole one."""
        size, log = self.path.stat().st_size, self._logs(self.path)[0]
        page = self._db.execute("PRAGMA page_size").fetchone()[0]
        if size % page and not (log.exists() and log.stat().st_size):
            raise StoreError(
                f"{self.path}: the store is truncated: {size} bytes are no whole number of pages "
                f"of {page}; {self._advice()}"
            )

    def _advice(self) -> str:
        return "move it away, or run with --fresh, to start anew; results.csv is untouched"

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turns what SQLite and the file system say into one line."""
        try:
            yield
        except (sqlite3.Error, OSError, UnicodeDecodeError) as error:
            # A damaged schema's text is part of what SQLite says.
            said = " ".join(str(error).split())
            raise StoreError(f"{self.path}: the store failed: {said}; {self._advice()}") from error

    @contextmanager
    def _decoding(self, what: str) -> Iterator[None]:
        """Turns a row that is no record, although its checksum says so, into one line."""
        try:
            yield
        except UNREADABLE as error:
            said = f"{type(error).__name__}: {' '.join(str(error).split())}"
            raise StoreError(
                f"{self.path}: {what} cannot be read: {said}; {self._advice()}"
            ) from error

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._explained():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close it; a writer leaves one file behind, with no log beside it."""
        self._db.close()

    def copy_to(self, other: sqlite3.Connection) -> None:
        """Copy all of it into another database."""
        with self._explained():
            self._db.backup(other)

    # What the sweep is

    def facts(self) -> Facts:
        """What was stored with `set_facts`."""
        return Facts(self.meta())

    def set_facts(self, **changes: Unpack[Changes]) -> None:
        """Store facts about the sweep as a whole; those that are not named stay."""
        self.set_meta(Facts.encoded(**changes))

    def meta(self) -> dict[str, str]:
        """The rows of `meta` as they are; see `facts`."""
        with self._explained():
            rows = self._db.execute("SELECT key, value, checksum FROM meta").fetchall()
        return {
            key: self._checked(f"meta {key!r}", value, key, value, checksum=checksum)
            for key, value, checksum in rows
        }

    def set_meta(self, values: Mapping[str, str]) -> None:
        """Store rows of `meta`, over those of the same keys; see `set_facts`."""
        with self._transaction():
            self._db.executemany(
                "INSERT OR REPLACE INTO meta VALUES (?, ?, ?)",
                [(key, value, checksum_of(key, value)) for key, value in values.items()],
            )

    def _checked(self, what: str, value: Any, *parts: Any, checksum: str) -> Any:
        if checksum_of(*parts) != checksum:
            raise StoreError(
                f"{self.path}: {what} does not match its checksum: the file was damaged or "
                f"edited; {self._advice()}"
            )
        return value

    # What is planned

    def add_trials(self, trials: Iterable[Trial]) -> None:
        """Fix the numbers of planned trials, all of them or none."""
        with self._transaction():
            for trial in trials:
                values = json.dumps(dict(trial.config.values))
                row = (trial.number, trial.config.id, trial.seed, trial.fold or 0, values)
                self._insert_trial(*row)

    def trials(self) -> list[Trial]:
        """Every planned trial, by number."""
        facts = self.facts()
        with self._decoding("what its configs are of"):
            kind = facts.kind
        with self._explained():
            rows = self._db.execute("SELECT * FROM trials ORDER BY number").fetchall()
        trials = []
        for *row, checksum in rows:
            number, _, seed, fold, values = row
            text = self._checked(f"trial {number}", values, *row, checksum=checksum)
            with self._decoding(f"trial {number}"):
                trials.append(Trial(number, Config(mapping(text), kind), seed, fold or None))
        return trials

    # What came out

    def add_results(self, results: Sequence[TrialResult]) -> None:
        """Acknowledge results: status, score, curve, weights, snapshot, in one transaction.

        A result of the same trial is replaced, and with it its weights and its snapshot.
        """
        with self._transaction():
            for result in results:
                row = (result.trial, str(result.status), as_json(result))
                self._db.execute(
                    "INSERT OR REPLACE INTO results VALUES (?, ?, ?, ?)", (*row, checksum_of(*row))
                )
                self._replace_arrays(result)

    def _replace_arrays(self, result: TrialResult) -> None:
        for table in ("weights", "snapshots"):
            self._db.execute(f"DELETE FROM {table} WHERE trial = ?", (result.trial,))  # noqa: S608
        if result.state is not None:
            blob = as_npz(result.state)
            self._db.execute(
                "INSERT INTO weights VALUES (?, ?, ?)",
                (result.trial, blob, checksum_of(result.trial, blob)),
            )
        if result.snapshot is not None:
            best = result.snapshot.best or ()
            blob = as_npz((*result.snapshot.state, *best))
            row = (result.trial, result.snapshot.epoch, len(best), blob)
            self._db.execute(
                "INSERT INTO snapshots VALUES (?, ?, ?, ?, ?)", (*row, checksum_of(*row))
            )

    def results(self) -> dict[int, TrialResult]:
        """Every result, by trial; without weights."""
        with self._explained():
            rows = self._db.execute(
                "SELECT trial, status, record, checksum FROM results ORDER BY trial"
            ).fetchall()
        results = {}
        for *row, checksum in rows:
            what = f"the result of trial {row[0]}"
            text = self._checked(what, row[2], *row, checksum=checksum)
            with self._decoding(what):
                results[row[0]] = from_json(text)
        return results

    def weights(self, trial: int) -> tuple[npt.NDArray[Any], ...] | None:
        """The kept weights of a trial, in the order of `model.get_weights()`."""
        with self._explained():
            row = self._db.execute(
                "SELECT arrays, checksum FROM weights WHERE trial = ?", (trial,)
            ).fetchone()
        if row is None:
            return None
        blob, checksum = row
        what = f"the weights of trial {trial}"
        self._checked(what, blob, trial, blob, checksum=checksum)
        with self._decoding(what):
            return from_npz(blob)

    def snapshot(self, trial: int) -> Snapshot | None:
        """What the training of a trial can go on from."""
        with self._explained():
            row = self._db.execute(
                "SELECT trial, epoch, best, arrays, checksum FROM snapshots WHERE trial = ?",
                (trial,),
            ).fetchone()
        if row is None:
            return None
        what = f"the snapshot of trial {trial}"
        _, epoch, best, blob, checksum = row
        self._checked(what, blob, *row[:-1], checksum=checksum)
        with self._decoding(what):
            return snapshot_of(epoch, best, blob)

    def snapshots(self) -> list[tuple[int, int, int]]:
        """Trial, epoch and bytes of each snapshot."""
        with self._explained():
            return self._db.execute("SELECT trial, epoch, length(arrays) FROM snapshots").fetchall()

    def flush(self) -> None:
        """Have the disk write what was committed: a power cut then loses none of it."""
        log = self._logs(self.path)[0]
        with suppress(FileNotFoundError):
            handle = os.open(log, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)

    def keep_weights(self, trials: Iterable[int]) -> None:
        """Drop the weights of all other trials."""
        wanted = set(trials)
        with self._explained():
            kept = [row[0] for row in self._db.execute("SELECT trial FROM weights")]
        with self._transaction():
            self._db.executemany(
                "DELETE FROM weights WHERE trial = ?",
                [(trial,) for trial in kept if trial not in wanted],
            )
        with self._explained():
            self._db.execute("PRAGMA incremental_vacuum").fetchall()


def evaluations_of(directory: Path) -> tuple[Evaluation, ...]:
    """Every evaluation on a directory's record, the first one first.

    Raises:
        RefusedError: There is no store, or it is damaged.
    """
    with Store(ResultsDirectory(directory).store, read_only=True) as store:
        return store.facts().evaluations


def evaluations_beside(source: Path) -> tuple[Evaluation, ...]:
    """Those of a directory, or of the one that a results.csv lies in; none without a store.

    Raises:
        RefusedError: The store is damaged.
    """
    where = ResultsDirectory(source if source.is_dir() else source.parent)
    if not where.store.exists() or source not in (where.path, where.results):
        return ()
    return evaluations_of(where.path)
