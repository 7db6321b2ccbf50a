"""The results directory: the names of its files, its lock, and how its holder writes them."""

from __future__ import annotations

import errno
import itertools
import os
import re
import shutil
import time
import weakref
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Self

from hpsearch.errors import HpsearchError, InputError, LockedError, RefusedError
from hpsearch.files import NO_LINK, lock_without_waiting, write_atomically
from hpsearch.machine import odd_kind

#: Marks a store, in its header.
APPLICATION_ID = 0x68707331
_HEADER_BYTES = 100
_LONGEST_PATH = 4096


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


def is_log(path: Path) -> bool:
    """Check if a file may be SQLite's log of writes, or is empty."""
    return _begins(path)[:4] in (b"", b"\x37\x7f\x06\x82", b"\x37\x7f\x06\x83")


def _is_store(path: Path) -> bool:
    """Check if a file's header is that of a store of hpsearch."""
    header = _begins(path)
    return header[:16] == b"SQLite format 3\0" and header[68:72] == APPLICATION_ID.to_bytes(4)


def _may_move(store: Path) -> bool:
    """Check if the store that a pointer names may be moved: it belongs to no other directory."""
    in_use = store.name == "sweep.db" and store.with_name("results.csv").exists()
    return not store.exists() or (_is_store(store) and not in_use)


def free_name(path: Path) -> Path:
    """Return a name with the time for what is moved or saved beside a path."""
    stamp = time.strftime("%Y%m%d-%H%M%S")
    suffixes = ("" if count == 0 else f"-{count}" for count in itertools.count())
    names = (path.with_name(f"{path.name}.{stamp}{suffix}") for suffix in suffixes)
    return next(name for name in names if not name.exists())


#: Time within which a new holder writes its process number.
_HOLDER_KNOWN_SECONDS = 0.4

_HELD: weakref.WeakSet[DirectoryLock] = weakref.WeakSet()


class NoLocksError(RefusedError):
    """Locks do not work on the file system."""


class DirectoryLock:
    """An exclusive lock on a results directory, held until `release` or the end of the process.

    `filelock` does not do: it neither says which process holds a lock nor checks that `flock`
    excludes others on this file system.

    Args:
        directory: The directory, named in error messages.
        path: The file to lock; `.lock` in the directory if None.

    Raises:
        LockedError: Another driver holds the lock; the message names its process.
        NoLocksError: Locks do not work on this file system.
        RefusedError: The file is not the lock of a run.
    """

    def __init__(self, directory: Path, path: Path | None = None) -> None:
        path = path or directory / ".lock"
        # The program may change its working directory.
        self._directory, self._path = directory, path.absolute()
        try:
            self._handle = os.open(path, os.O_RDWR | os.O_CREAT | NO_LINK, 0o666)
        except OSError as error:
            raise HpsearchError(f"{path}: cannot be written: {error.strerror}") from None
        try:
            self._take()
        except BaseException:
            self.release()
            raise
        noted = noted_result(path)
        os.ftruncate(self._handle, 0)
        os.pwrite(self._handle, f"{os.getpid()}\n{noted}".encode(), 0)
        _HELD.add(self)

    def _take(self) -> None:
        directory, path = self._directory, self._path
        fault = ""
        try:
            if not lock_without_waiting(self._handle):
                process = _holder_named_in(self._handle)
                raise LockedError(
                    f"{directory}: another run holds this directory (process {process}); "
                    "wait for it, stop it, or give this run another directory with --out"
                )
            # Some network file systems grant a lock twice.
            second = os.open(path, os.O_RDWR | NO_LINK)
            try:
                fault = "a lock keeps nobody out" if lock_without_waiting(second) else ""
            finally:
                os.close(second)
        except OSError as error:
            fault = str(error.strerror)
        if fault:
            raise NoLocksError(
                f"{directory}: its file system has no working locks ({fault}), so a second run "
                "could write the same store; give the store a place on a local disk with --store "
                "PATH, or this run another directory with --out"
            )
        first = os.pread(self._handle, 32, 0).partition(b"\n")[0]
        if os.fstat(self._handle).st_nlink != 1 or (first and not first.isdigit()):
            raise RefusedError(
                f"{path}: is no lock of a run, and a run would overwrite it; move it away"
            )

    def check(self) -> None:
        """Raise RefusedError if the directory or the held lock was moved or removed."""
        try:
            there = os.path.samestat(os.fstat(self._handle), self._path.stat())
        except (FileNotFoundError, NotADirectoryError):
            there = False
        except OSError:
            # The file system may be unavailable for a moment only: the next write decides.
            there = True
        if not there:
            raise RefusedError(
                f"{self._directory}: was moved or removed during the run, or its lock, "
                f"{self._path.name}, was, so another run may begin here, and this one ends; the "
                "results that it has stored are safe unless they were removed, too: move the "
                "directory back if it was moved, and run the same command again"
            )

    def release(self) -> None:
        """Release the lock; a second call does nothing."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def _holder_named_in(handle: int) -> str:
    """Read the holder's process number, waiting briefly for a new holder to write it."""
    import psutil  # needed only when the lock is contended

    deadline = time.monotonic() + _HOLDER_KNOWN_SECONDS
    while True:
        named = os.pread(handle, 32, 0).partition(b"\n")[0].decode(errors="replace").strip()
        alive = named.isdecimal() and psutil.pid_exists(int(named))
        # The holder may run on another machine or in another container, where it cannot be seen.
        if alive or time.monotonic() > deadline:
            return named or "unknown"
        time.sleep(_HOLDER_KNOWN_SECONDS / 20)


def _release_all() -> None:
    for lock in list(_HELD):
        lock.release()


if hasattr(os, "register_at_fork"):
    # A forked child shares the open file, and would hold the lock until it ends. A program that the
    # child executes would not: the file is then closed.
    os.register_at_fork(after_in_child=_release_all)


def lock_of_store(store: Path) -> Path:
    """Return the file to lock for a store outside its results directory."""
    if store.name == "sweep.db":
        # Use the lock of the results directory that this store may belong to.
        return store.with_name(".lock")
    return store.with_name(f".{store.name}.lock")


def note_result(store: Path, checksum: str) -> None:
    """Note the last result of a store in its lock, before the result is shown."""
    # Only a held store has a lock. On a full disk, the store says so.
    with suppress(OSError), lock_of_store(store).open("r+b") as file:
        file.write(f"{os.getpid()}\n{checksum}".encode())
        file.truncate()


def noted_result(lock: Path) -> str:
    """Return the checksum that `note_result` left in a lock, or empty."""
    text = _begins(lock).partition(b"\n")[2] if lock.is_file() else b""
    return text.decode() if re.fullmatch(rb"[0-9a-f]{32}", text) else ""


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

    results = _File("results.csv")
    curves = _File("curves.csv")
    #: The resolved sweep.
    sweep = _File("sweep.yaml")
    #: The best trial's model.
    model = _File("best.keras")
    #: The average of the best trials' models.
    ensemble = _File("ensemble.keras")
    report = _File("report.html")
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
        """Check that a run has made this directory, so that it has a store."""
        if not self.store.exists():
            raise InputError(
                f"{self.path}: no results directory: there is no {self.store.name} in it; "
                "`hpsearch run` makes one"
            )

    @property
    def store_elsewhere(self) -> Path | None:
        """The store that the pointer names; None if it names no file."""
        # A run writes absolute paths.
        path = Path(self.pointed[0])
        return path if path.is_absolute() and path.name else None

    @property
    def pointed(self) -> tuple[str, str]:
        """The paths in the pointer: of the store, and of the directory whose store it is."""
        text = ""
        if self.pointer.is_file():
            with suppress(OSError), self.pointer.open("rb") as file:
                text = os.fsdecode(file.read(2 * _LONGEST_PATH)).rstrip("\n")
        store, _, home = text.partition("\0")
        return ("", "") if "\0" in home else (store, home)

    @property
    def lock(self) -> Path:
        """The file that a driver locks; next to the store, whose file system must have locks."""
        store = self.store_elsewhere
        return self.own_lock if store is None else lock_of_store(store)

    @property
    def holder(self) -> str:
        """The number of the process that holds the lock, such as a run; empty if it is free."""
        # Windows has no fcntl, and takes no lock. Without working locks, no process holds one.
        with suppress(ImportError, OSError):
            import fcntl

            handle = os.open(self.lock, os.O_RDONLY | NO_LINK)
            try:
                fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return _holder_named_in(handle)
            finally:
                os.close(handle)
        return ""

    def hold(self) -> HeldDirectory:
        """Lock the directory against other drivers.

        Raises:
            RefusedError: Another driver holds it, or locks do not work.
        """
        store, lock = self.store, self.lock
        held = DirectoryLock(self.path, lock)
        if self.lock != lock:
            held.release()
            raise LockedError(f"{self.path}: another run has moved its store just now")
        return HeldDirectory(self.path, held, store)

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
        """Create the directory of a program's trials with its mark; refuse anything else there."""
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
        """Open the log to append to it and to read it; raise OSError for a link or a FIFO."""
        if kind := self._odd(self.log):
            raise OSError(errno.EINVAL, f"is {kind}")
        return self.log.open("a+", encoding="utf-8")

    def leftovers(self) -> list[Path]:
        """Return the temporary files of a killed run; whole files get their own names."""
        files = (*self._derived()[:-1], self.pointer)
        names = "|".join(re.escape(file.name) for file in files)
        store, models = re.escape(self.store.name), f"{self.model.stem}|{self.ensemble.stem}"
        ours = re.compile(
            rf"\.(?:{names})\.[0-9a-f]{{16}}\.tmp|\.(?:{models})-[a-z0-9_]{{8}}\.tmp|"
            rf"\.{store}\.new(?:-wal|-shm|-journal)?"
        )
        return sorted(path for path in self.path.iterdir() if ours.fullmatch(path.name))

    def clear(self) -> None:
        """Remove the leftovers, as far as possible; only the holder of the lock may do so."""
        self.check()
        for path in self.leftovers():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                with suppress(OSError):
                    path.unlink()

    def prepare(self, *, fresh: bool) -> None:
        """Create the directory; with `fresh`, move an existing one aside first.

        Raises:
            RefusedError: It holds files that no run made and this one would overwrite, results
                without a store, or links; or another run holds it.
        """
        try:
            _require_own_store(self)
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
        elif not _is_store(self.store):
            raise RefusedError(
                f"{self.pointer}: names {self.store}, where there is no store of hpsearch, or a "
                "damaged one; bring it back, or use --fresh"
            )

    def _own(self) -> list[Path]:
        """Return the files that a run writes here, the store first."""
        store = self.path / "sweep.db"
        trials = [self.trials] if self.mark_of_trials.is_file() else []
        files = [*logs_of_store(store), self.pointer, *self._derived(), self.ensemble, self.log]
        return [store, *files, *trials]

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
        foreign = [path.name for path in self._derived() if path.is_file()]
        # A run that ended before it had a store leaves its log beside its lock.
        if _begins(self.log) and not self.own_lock.exists():
            foreign.append(self.log.name)
        foreign += [log.name for log in logs_of_store(self.store)[:1] if not is_log(log)]
        if foreign:
            raise RefusedError(
                f"{self.path}: {' and '.join(foreign)} would be overwritten, and there is no "
                f"{self.store.name} of a run that made what is there; give this run another "
                "directory with --out, or use --fresh if a run made a results.csv there"
            )

    def _move_aside(self) -> None:
        """Move a run's files aside, including a store elsewhere, which the next run would find."""
        # Links are not resolved: one may lead to a larger disk.
        place = Path.cwd() / self.path if self.path.name else Path.cwd()
        store, aside = self.store_elsewhere, free_name(place)
        is_results = self.results.is_file() and _begins(self.results).startswith(b"trial,")
        if not (store or self.store.exists() or is_results):
            return
        if store and store.exists() and _may_move(store):
            moved = free_name(store)
            store.rename(moved)
            self.write(self.pointer, os.fsencode(f"{moved}\n"))
        files = {*self._own(), self.own_lock, *self.leftovers()}
        if files.issuperset(self.path.iterdir()) and not Path.cwd().is_relative_to(place):
            # A kill leaves the whole directory in one place, the store beside its log of writes.
            place.rename(aside)
            return
        aside.mkdir()
        for path in self._own():
            if path.exists():
                path.rename(aside / path.name)


def _require_own_store(where: ResultsDirectory) -> None:
    """Refuse a copy of a directory whose store is elsewhere: both would change the store."""
    store, home = where.pointed
    if not home or not Path(home).is_dir() or where.path.samefile(home):
        return
    if ResultsDirectory(Path(home)).store_elsewhere == where.store_elsewhere:
        raise RefusedError(
            f"{where.path}: is a copy of {home}, and {store} is the store of both; run there, or "
            "give this run another directory with --out"
        )


def require_free(out: Path, *inputs: Path) -> None:
    """Check that a file may be written: it replaces no input and nothing that only a run writes."""
    where = ResultsDirectory(out.parent)
    stores = [where.store, *logs_of_store(where.store)]
    runs = [*files_beside_store(where), *stores] if where.store.exists() else []
    if out.resolve() in {path.resolve() for path in (*inputs, *runs)}:
        raise InputError(
            f"{out}: would be replaced, and nothing else has its content; name another"
        )


def files_beside_store(where: ResultsDirectory) -> list[Path]:
    """Return the files that a run writes and reads again, but not its store."""
    tables = [where.results, where.curves, where.sweep]
    return [*tables, where.model, where.ensemble, where.log, where.own_lock, where.pointer]


@dataclass(frozen=True)
class HeldDirectory(ResultsDirectory):
    """A results directory that this process has locked, so that no other process may write it.

    As a context manager, it releases the lock at the end, and raises RefusedError if the directory
    has disappeared.
    """

    held: DirectoryLock
    kept: Path

    @property
    def store(self) -> Path:
        """The store at the time when the directory was locked."""
        return self.kept

    def check(self) -> None:
        """Raise RefusedError unless the directory, its lock and its store are still those held."""
        self.held.check()
        if ResultsDirectory(self.path).store != self.kept:
            raise RefusedError(
                f"{self.path}: {self.pointer.name} names another store than {self.kept} now, and "
                "the run ends; the results that it has stored are safe there"
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, raised: type[BaseException] | None, *_: object) -> None:
        with self.held:
            if raised is None:
                self.check()
