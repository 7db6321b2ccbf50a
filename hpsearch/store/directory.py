"""The results directory: the names of its files, and how its holder writes them."""

from __future__ import annotations

import errno
import itertools
import os
import re
import shutil
import time
from contextlib import ExitStack, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Self

from hpsearch.errors import HpsearchError, InputError, LockedError, RefusedError
from hpsearch.files import write_atomically
from hpsearch.machine import odd_kind
from hpsearch.store.lock import DirectoryLock, NoLocksError, lock_of_store

#: Marks a store, in its header.
APPLICATION_ID = 0x68707331
_HEADER_BYTES = 100
_LONGEST_PATH = 4096
#: First bytes of SQLite's log of writes.
WAL_BEGINS = (b"\x37\x7f\x06\x82", b"\x37\x7f\x06\x83")


def logs_of_store(store: Path) -> tuple[Path, ...]:
    """Return the files that SQLite keeps beside a store, its log of writes first."""
    return tuple(store.with_name(f"{store.name}-{kind}") for kind in ("wal", "shm", "journal"))


def _begins(path: Path) -> bytes:
    """Return the first bytes of a file; empty if it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(_HEADER_BYTES)
    except OSError:
        return b""


def _is_store(path: Path) -> bool:
    """Check if a file's header is that of a store of hpsearch."""
    header = _begins(path)
    return header[:16] == b"SQLite format 3\0" and header[68:72] == APPLICATION_ID.to_bytes(4)


def _may_move(store: Path) -> bool:
    """Check if the store that a pointer names may be moved: it belongs to no other directory."""
    in_use = store.name == "sweep.db" and store.with_name("results.csv").exists()
    return not store.exists() or (_is_store(store) and not in_use)


def _free_name(directory: Path) -> Path:
    """Return a name with the time for a directory that is moved aside."""
    stamp = time.strftime("%Y%m%d-%H%M%S")
    suffixes = ("" if count == 0 else f"-{count}" for count in itertools.count())
    names = (f"{directory.name}.{stamp}{suffix}" for suffix in suffixes)
    return next(path for path in map(directory.with_name, names) if not path.exists())


class _File:
    """The path of a file in a results directory."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, where: ResultsDirectory, owner: type) -> Path:
        return where.path / self._name


@dataclass(frozen=True)
class ResultsDirectory:
    """The paths of a sweep's files; only this class knows their names."""

    path: Path

    #: The table of results, a row for each execution.
    results = _File("results.csv")
    #: The learning curves, a row for each epoch of an execution.
    curves = _File("curves.csv")
    #: The resolved sweep.
    sweep = _File("sweep.yaml")
    #: The best trial's model.
    model = _File("best.keras")
    #: The report, a self-contained page.
    report = _File("report.html")
    #: The messages of driver and workers.
    log = _File("run.log")
    #: The files that a program's trials leave, in a directory for each trial.
    trials = _File("trials")
    #: Marks that directory as a run's, not the user's or another run's.
    mark_of_trials = _File("trials/.hpsearch")
    #: The file that names a store outside this directory.
    pointer = _File(".store")
    #: The lock of the directory itself.
    own_lock = _File(".lock")

    @property
    def store(self) -> Path:
        """The store; outside this directory after a run with `--store`."""
        return self.store_elsewhere or self.path / "sweep.db"

    def require_store(self) -> None:
        """Check that a run has made this directory.

        Raises:
            InputError: It has no store.
        """
        if not self.store.exists():
            raise InputError(
                f"{self.path}: no results directory: there is no {self.store.name} in it; "
                "`hpsearch run` makes one"
            )

    @property
    def store_elsewhere(self) -> Path | None:
        """The store that the pointer names; None if it names no file."""
        if not self.pointer.is_file():
            return None
        try:
            with self.pointer.open("rb") as file:
                text = os.fsdecode(file.read(_LONGEST_PATH)).rstrip("\n")
        except OSError:
            return None
        # A run writes absolute paths.
        path = Path(text)
        return path if path.is_absolute() and path.name and "\0" not in text else None

    @property
    def lock(self) -> Path:
        """The file that a driver locks; next to the store, whose file system must have locks."""
        store = self.store_elsewhere
        return self.own_lock if store is None else lock_of_store(store)

    def hold(self) -> HeldDirectory:
        """Lock the directory against other drivers.

        Raises:
            RefusedError: Another driver holds it, or locks do not work.
            HpsearchError: The lock's file cannot be written.
        """
        store, lock, own_lock = self.store, self.lock, self.own_lock
        with ExitStack() as stack:
            held, beside = stack.enter_context(DirectoryLock(self.path, lock)), None
            if lock != own_lock:
                # Its file system may lack locks, which may be why the store is elsewhere.
                with suppress(NoLocksError):
                    beside = stack.enter_context(DirectoryLock(self.path, own_lock))
            if self.lock != lock:
                raise LockedError(f"{self.path}: another run has moved its store just now")
            stack.pop_all()
        return HeldDirectory(self.path, held, store, beside)

    def check(self) -> None:
        """Check that a held directory is still there; do nothing for others."""

    def write(self, path: Path, content: str | bytes) -> None:
        """Write one of its files; readers see the old one or the new one, whole.

        Raises:
            OSError: It cannot be written; the old file is unchanged.
            RefusedError: The directory is held, and is no longer there.
        """
        self.check()
        write_atomically(path, content)

    def prepare_trials(self) -> None:
        """Create the directory of a program's trials, with its mark.

        Raises:
            HpsearchError: It cannot be created.
            RefusedError: There is something else in its place.
        """
        kind = odd_kind(self.trials, links=False)
        if not kind and self.trials.exists() and not self.mark_of_trials.is_file():
            kind = "" if self.trials.is_dir() and not any(self.trials.iterdir()) else "not a run's"
        if kind:
            raise RefusedError(
                f"{self.trials}: is {kind}, where a run keeps what a program's trials leave; move "
                "it, or give this run another directory with --out"
            )
        try:
            self.trials.mkdir(exist_ok=True)
            self.mark_of_trials.touch()
        except OSError as error:
            raise HpsearchError(f"{self.trials}: cannot be made: {error.strerror}") from None

    def open_log(self) -> IO[str]:
        """Open the log to append to it, and to read it.

        Raises:
            OSError: It cannot be written, or is a link or a FIFO.
        """
        if kind := self._odd(self.log):
            raise OSError(errno.EINVAL, f"is {kind}")
        return self.log.open("a+", encoding="utf-8")

    def leftovers(self) -> list[Path]:
        """Return the temporary files of a killed run; whole files get their own names."""
        files = (self.results, self.curves, self.sweep, self.report, self.pointer)
        names = "|".join(re.escape(file.name) for file in files)
        store = re.escape(self.store.name)
        ours = re.compile(
            rf"\.(?:{names})\.[0-9a-f]{{16}}\.tmp|\.{self.model.stem}-[a-z0-9_]{{8}}\.tmp|"
            rf"\.{store}\.new(?:-wal|-shm|-journal)?"
        )
        return sorted(path for path in self.path.iterdir() if ours.fullmatch(path.name))

    def clear(self) -> None:
        """Remove the leftovers, as far as possible; only the holder of the lock may do so."""
        for path in self.leftovers():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                with suppress(OSError):
                    path.unlink()

    def prepare(self, *, fresh: bool) -> None:
        """Create the directory; with `fresh`, move an existing one aside first.

        Raises:
            HpsearchError: It cannot be created or written.
            RefusedError: It holds files that no run made and this one would overwrite, results
                without a store, or links; or another run holds it.
        """
        try:
            if fresh and self.path.is_dir():
                store = self.store_elsewhere
                lock = self.own_lock if store and not _may_move(store) else self.lock
                with DirectoryLock(self.path, lock):
                    self._move_aside()
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise HpsearchError(
                f"{self.path}: the results directory cannot be made: {error.strerror}"
            ) from None
        if not os.access(self.path, os.W_OK):
            raise HpsearchError(f"{self.path}: the results directory cannot be written")
        self._require_plain()
        if self.store_elsewhere is None:
            if not self.store.exists():
                self._require_nothing_foreign()
        elif not self.store.exists():
            raise RefusedError(
                f"{self.path}: its store is not where {self.pointer.name} says, at {self.store}; "
                "bring it back, or use --fresh"
            )
        elif not _is_store(self.store):
            raise RefusedError(
                f"{self.pointer}: names {self.store}, which is no store of hpsearch, or a damaged "
                "one; correct the name, or use --fresh"
            )

    def _own(self) -> list[Path]:
        """Return the files that a run writes here, the store first."""
        store = self.path / "sweep.db"
        trials = [self.trials] if self.mark_of_trials.is_file() else []
        return [store, *logs_of_store(store), self.pointer, *self._derived(), self.log, *trials]

    def _derived(self) -> list[Path]:
        return [self.results, self.curves, self.sweep, self.report, self.model]

    def _odd(self, path: Path) -> str:
        """Return the kind of what stands in the place of a file of a run; else empty."""
        written_in_place = path in {self.lock, self.store, self.log}
        return odd_kind(path, links=False, names=not written_in_place)

    def _require_plain(self) -> None:
        for path in (*self._own(), self.lock, self.store):
            if kind := self._odd(path):
                raise RefusedError(
                    f"{path}: is {kind}, where a run writes a file of its own; remove it, or give "
                    "this run another directory with --out"
                )

    def _require_nothing_foreign(self) -> None:
        if self._has_results():
            raise RefusedError(
                f"{self.path}: there is a results.csv without its sweep.db, which this run would "
                "overwrite; give this run another directory with --out, or use --fresh"
            )
        foreign = [path.name for path in self._derived() if path.is_file()]
        log, wal = self.log, logs_of_store(self.store)[0]
        # A run that ended before it had a store leaves its log beside its lock.
        if _begins(log) and not (self.own_lock).exists():
            foreign.append(log.name)
        if _begins(wal) and _begins(wal)[:4] not in WAL_BEGINS:
            foreign.append(wal.name)
        if foreign:
            raise RefusedError(
                f"{self.path}: {' and '.join(foreign)} would be overwritten, and no run made what "
                "is there; give this run another directory with --out"
            )

    def _has_results(self) -> bool:
        """Check if results.csv is that of a run."""
        return self.results.is_file() and _begins(self.results).startswith(b"trial,")

    def _move_aside(self) -> None:
        """Move a run's files aside, including a store elsewhere, which the next run would find."""
        store, aside = self.store_elsewhere, _free_name(self._place)
        if store is None and not self.store.exists() and not self._has_results():
            return
        if store is not None and store.exists() and _may_move(store):
            moved = store.with_name(f"{store.name}{aside.name.removeprefix(self._place.name)}")
            store.rename(moved)
            self.write(self.pointer, os.fsencode(f"{moved}\n"))
        own_files = {*self._own(), self.own_lock, *self.leftovers()}
        if own_files.issuperset(self.path.iterdir()) and not Path.cwd().is_relative_to(self._place):
            self._place.rename(aside)
            return
        aside.mkdir()
        for path in self._own():
            if path.exists():
                path.rename(aside / path.name)

    @property
    def _place(self) -> Path:
        # Links are not resolved: one may lead to a larger disk.
        return Path.cwd() / self.path if self.path.name else Path.cwd()


@dataclass(frozen=True)
class HeldDirectory(ResultsDirectory):
    """A results directory that this process has locked, so that no other process may write it.

    As a context manager, it releases the lock at the end, and raises RefusedError if the directory
    has disappeared.
    """

    held: DirectoryLock
    kept: Path
    beside: DirectoryLock | None = None

    @property
    def store(self) -> Path:
        """The store at the time when the directory was locked."""
        return self.kept

    def check(self) -> None:
        """Check that the directory, its locks and its store are still the ones that are held.

        Raises:
            RefusedError: They are not; the message says which results are safe.
        """
        self.held.check()
        if self.beside is not None:
            self.beside.check()
        if ResultsDirectory(self.path).store != self.kept:
            raise RefusedError(
                f"{self.path}: {self.pointer.name} names another store than {self.kept} now, and "
                "the run ends; the results that it has stored are safe there"
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, raised: type[BaseException] | None, *_: object) -> None:
        with self.held, self.beside or nullcontext():
            if raised is None:
                self.check()
