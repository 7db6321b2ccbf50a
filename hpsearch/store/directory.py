"""The results directory: the names of its files, and the lock that keeps a second driver out."""

from __future__ import annotations

import glob
import itertools
import os
import shutil
import subprocess
import sys
import time
import weakref
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Self

from hpsearch.errors import HpsearchError, LockedError, RefusedError
from hpsearch.machine import odd_kind

#: A new holder writes its process number within this time after it got the lock.
_HOLDER_KNOWN_SECONDS = 0.4
_EXCLUDED = 7
#: A link or FIFO in the place of an own file is not followed, and not waited for.
_NO_LINK = os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
_TRY_TO_LOCK = f"""\
import fcntl, os, sys
try:
    fcntl.flock(os.open(sys.argv[1], os.O_RDWR), fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    sys.exit({_EXCLUDED})
"""

_HELD: weakref.WeakSet[DirectoryLock] = weakref.WeakSet()


class DirectoryLock:
    """An exclusive lock on a results directory, held until `release` or the end of the process.

    `filelock` does not do: its `FileLock` does not say which process holds a lock, does not check
    that `flock` excludes others on this file system, and falls back to a weaker lock if there is
    no `flock`.

    Args:
        directory: The directory, named in error messages.
        path: The file to lock; `.lock` in the directory if None.

    Raises:
        LockedError: Another driver holds the lock; the message names its process.
        RefusedError: Locks do not work on this file system.
    """

    def __init__(self, directory: Path, path: Path | None = None) -> None:
        import fcntl  # missing on Windows, where directories are only read

        path = path or directory / ".lock"
        self._handle = os.open(path, os.O_RDWR | os.O_CREAT | _NO_LINK, 0o644)
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            works = _excludes_others(path)
        except BlockingIOError:
            process = _holder_named_in(self._handle)
            self.release()
            raise LockedError(
                f"{directory}: another run holds this directory (process {process}); "
                "wait for it, stop it, or give this run another directory with --out"
            ) from None
        except OSError as error:
            self.release()
            raise RefusedError(_no_locks(directory, path, str(error.strerror))) from None
        if not works:
            self.release()
            raise RefusedError(_no_locks(directory, path, "a lock keeps nobody out"))
        os.ftruncate(self._handle, 0)
        os.pwrite(self._handle, f"{os.getpid()}\n".encode(), 0)
        _HELD.add(self)

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
        named = os.pread(handle, 32, 0).decode(errors="replace").strip()
        alive = named.isdecimal() and psutil.pid_exists(int(named))
        # A holder on another machine or in another container never looks alive from here.
        if alive or time.monotonic() > deadline:
            return named or "unknown"
        time.sleep(_HOLDER_KNOWN_SECONDS / 20)


def _excludes_others(path: Path) -> bool:
    """Try the lock that this process holds: some network file systems grant it to everybody."""
    import fcntl  # missing on Windows

    second = os.open(path, os.O_RDWR | _NO_LINK)
    try:
        fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(second)
    # On some file systems a lock belongs to the process, so only another process can tell.
    command = [sys.executable, "-IS", "-c", _TRY_TO_LOCK, str(path)]
    return subprocess.run(command, check=False).returncode == _EXCLUDED  # noqa: S603 - our own


def _no_locks(directory: Path, path: Path, why: str) -> str:
    return (
        f"{directory}: its file system{_type_of(path)} has no working locks ({why}), so a "
        "second run could write the same store; give the store a place on a local disk with "
        "--store PATH, or this run another directory with --out"
    )


def _type_of(path: Path) -> str:
    """The type of a file's file system in brackets, if the system tells it (Linux)."""
    try:
        lines = Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    place = str(path.resolve())
    mounts = [line.split()[1:3] for line in lines]
    around = [m for m in mounts if place.startswith(m[0].rstrip("/") + "/")]
    return f" ({max(around, key=lambda m: len(m[0]))[1]})" if around else ""


def holder(path: Path) -> str:
    """Return the process that holds a file's lock, as text; empty if nobody does."""
    try:
        import fcntl
    except ImportError:  # on Windows nobody takes the lock
        return ""
    try:
        handle = os.open(path, os.O_RDONLY | _NO_LINK)
    except OSError:
        return ""
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _holder_named_in(handle)
    except OSError:
        # Without working locks nobody holds one.
        return ""
    finally:
        os.close(handle)
    return ""


def _release_all() -> None:
    for lock in list(_HELD):
        lock.release()


if hasattr(os, "register_at_fork"):
    # A forked child shares the open file, and would hold the lock until it ends. A program that
    # a child executes does not: the file closes then.
    os.register_at_fork(after_in_child=_release_all)


def lock_of_store(store: Path) -> Path:
    """Return the file to lock for a store outside its results directory."""
    return store.with_name(f".{store.name}.lock")


def logs_of_store(store: Path) -> tuple[Path, ...]:
    """Return the files that SQLite keeps beside a store, its log of writes first."""
    return tuple(store.with_name(f"{store.name}-{kind}") for kind in ("wal", "shm", "journal"))


@dataclass(frozen=True)
class ResultsDirectory:
    """The paths of a sweep's files; only this class knows their names."""

    path: Path

    @property
    def results(self) -> Path:
        """The table of results, a row for each execution."""
        return self.path / "results.csv"

    @property
    def curves(self) -> Path:
        """The learning curves, a row for each epoch of an execution."""
        return self.path / "curves.csv"

    @property
    def sweep(self) -> Path:
        """The resolved sweep."""
        return self.path / "sweep.yaml"

    @property
    def store(self) -> Path:
        """The store; outside this directory after a run with `--store`."""
        return self.store_elsewhere or self.path / "sweep.db"

    @property
    def pointer(self) -> Path:
        """The file that names a store outside this directory."""
        return self.path / ".store"

    @property
    def store_elsewhere(self) -> Path | None:
        """The store that the pointer names; None if it names no file."""
        if not self.pointer.is_file():
            return None
        try:
            place = self.pointer.read_text(encoding="utf-8").rstrip("\n")
        except (OSError, UnicodeDecodeError):
            return None
        return Path(place) if Path(place).name and "\0" not in place else None

    @property
    def lock(self) -> Path:
        """The file that a driver locks; next to the store, whose file system must have locks."""
        store = self.store_elsewhere
        return self.path / ".lock" if store is None else lock_of_store(store)

    def hold(self) -> DirectoryLock:
        """Lock the directory against other drivers.

        Raises:
            RefusedError: Another driver holds it, or locks do not work.
            HpsearchError: The lock's file cannot be written.
        """
        try:
            return DirectoryLock(self.path, self.lock)
        except OSError as error:
            raise HpsearchError(f"{self.lock}: cannot be written: {error.strerror}") from None

    @property
    def model(self) -> Path:
        """The best trial's model."""
        return self.path / "best.keras"

    @property
    def report(self) -> Path:
        """The report, a self-contained page."""
        return self.path / "report.html"

    @property
    def log(self) -> Path:
        """The messages of driver and workers."""
        return self.path / "run.log"

    def open_log(self) -> IO[str]:
        """Open the log to append to it.

        Raises:
            OSError: It cannot be written, or is a link or a FIFO.
        """
        handle = os.open(self.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | _NO_LINK, 0o644)
        return os.fdopen(handle, "a", encoding="utf-8")

    def leftovers(self) -> list[Path]:
        """Return the temporary files of a killed run; whole files get their own names."""
        files = (self.results, self.curves, self.sweep, self.report)
        patterns = (
            *(f".{file.name}.*.tmp" for file in files),
            f".{self.model.stem}-*",
            f".{glob.escape(self.store.name)}.new*",
        )
        return sorted(path for pattern in patterns for path in self.path.glob(pattern))

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
            RefusedError: It holds what no run made and this one would overwrite, results without a
                store, or links; or another run holds it.
        """
        try:
            if fresh and self.path.is_dir():
                with self.hold():
                    self._move_aside()
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise HpsearchError(
                f"{self.path}: the results directory cannot be made: {error.strerror}"
            ) from None
        if not os.access(self.path, os.W_OK):
            raise HpsearchError(f"{self.path}: the results directory cannot be written")
        self._require_plain()
        if self.store_elsewhere is not None and not self.store.exists():
            raise RefusedError(
                f"{self.path}: its store is not where {self.pointer.name} says, at {self.store}; "
                "bring it back, or use --fresh"
            )
        if not self.store.exists():
            self._require_nothing_foreign()

    def _own(self) -> list[Path]:
        """The files that a run writes here, the store first."""
        store = self.path / "sweep.db"
        return [store, *logs_of_store(store), self.pointer, *self._derived(), self.log]

    def _derived(self) -> list[Path]:
        return [self.results, self.curves, self.sweep, self.report, self.model]

    def _require_plain(self) -> None:
        for path in (*self._own(), self.lock, self.store):
            kind = odd_kind(path, links=False)
            if kind:
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
        if foreign:
            raise RefusedError(
                f"{self.path}: {' and '.join(foreign)} would be overwritten, and no run made what "
                "is there; give this run another directory with --out"
            )

    def _has_results(self) -> bool:
        """Return whether results.csv is that of a run."""
        if not self.results.is_file():
            return False
        try:
            with self.results.open("rb") as file:
                return file.read(6) == b"trial,"
        except OSError:
            return False

    def _move_aside(self) -> None:
        """Move what a run made; its store elsewhere, too, which the next run would find."""
        store, aside = self.store_elsewhere, self._free_name()
        if store is None and not self.store.exists() and not self._has_results():
            return
        if store is not None and store.exists():
            moved = store.with_name(f"{store.name}{aside.name.removeprefix(self._place.name)}")
            store.rename(moved)
            self.pointer.write_text(f"{moved}\n", encoding="utf-8")
        own = {*self._own(), self.path / ".lock", *self.leftovers()}
        if own.issuperset(self.path.iterdir()) and not Path.cwd().is_relative_to(self._place):
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

    def _free_name(self) -> Path:
        stamp = time.strftime("%Y%m%d-%H%M%S")
        suffixes = ("" if count == 0 else f"-{count}" for count in itertools.count())
        names = (f"{self._place.name}.{stamp}{suffix}" for suffix in suffixes)
        return next(path for path in map(self._place.with_name, names) if not path.exists())
