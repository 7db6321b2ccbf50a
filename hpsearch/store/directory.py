"""The results directory: its file names, and the lock that keeps a second driver out."""

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
from typing import Self

from hpsearch.errors import HpsearchError, LockedError, RefusedError

_NAME = ".lock"
_KEPT_OUT = 7
#: Between taking a lock and saying so.
_MOMENT_SECONDS = 0.4
_TRY = f"""\
import fcntl, os, sys
try:
    fcntl.flock(os.open(sys.argv[1], os.O_RDWR), fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    sys.exit({_KEPT_OUT})
"""

_HELD: weakref.WeakSet[DirectoryLock] = weakref.WeakSet()


class DirectoryLock:
    """An exclusive lock on a results directory, held until `release` or the process ends.

    Args:
        directory: What is locked, for messages.
        path: The file that is locked; `.lock` in the directory where None.

    Raises:
        LockedError: Another driver holds it; the message names its process.
        RefusedError: The file system keeps no locks.
    """

    def __init__(self, directory: Path, path: Path | None = None) -> None:
        # Unix only, like the local executor that forks; the readers need no lock.
        import fcntl

        path = path or directory / _NAME
        self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            works = _keeps_others_out(path)
        except BlockingIOError:
            process = _holder_in(self._handle)
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
        """Let the next driver in."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def _holder_in(handle: int) -> str:
    """Who holds a lock, by its file: what stands there a moment long is its last holder."""
    deadline = time.monotonic() + _MOMENT_SECONDS
    while True:
        named = os.pread(handle, 32, 0).decode(errors="replace").strip()
        if _is_alive(named) or time.monotonic() > deadline:
            # One of another machine, or another container, is not to be seen from here.
            return named or "unknown"
        time.sleep(_MOMENT_SECONDS / 20)


def _is_alive(process: str) -> bool:
    # Nobody needs it who gets the lock.
    import psutil

    return process.isdecimal() and psutil.pid_exists(int(process))


def _keeps_others_out(path: Path) -> bool:
    """Whether a lock that this process holds is one: some network file systems only say so."""
    import fcntl

    second = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(second)
    # Where locks are a process' and not an open file's, only another process can tell.
    command = [sys.executable, "-IS", "-c", _TRY, str(path)]
    return subprocess.run(command, check=False).returncode == _KEPT_OUT  # noqa: S603 - our own


def _no_locks(directory: Path, path: Path, why: str) -> str:
    return (
        f"{directory}: its file system{_kind_of(path)} has no working locks ({why}), so a second "
        "run could write the same store; give the store a place on a local disk with "
        "--store PATH, or this run another directory with --out"
    )


def _kind_of(path: Path) -> str:
    """The type of the file system that a file lies on, where the system tells (Linux)."""
    try:
        lines = Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    place = str(path.resolve())
    mounts = [line.split()[1:3] for line in lines]
    around = [m for m in mounts if place.startswith(m[0].rstrip("/") + "/")]
    return f" ({max(around, key=lambda m: len(m[0]))[1]})" if around else ""


def holder(path: Path) -> str:
    """The process that holds the lock of a file, as text; empty where none does."""
    import fcntl

    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _holder_in(handle)
    except OSError:
        # Where there are no locks, nobody holds one.
        return ""
    finally:
        os.close(handle)
    return ""


def _forget() -> None:
    for lock in list(_HELD):
        lock.release()


if hasattr(os, "register_at_fork"):
    # A forked child would share the open file, and hold the lock for as long as it lives; one
    # that is executed has it closed.
    os.register_at_fork(after_in_child=_forget)


@dataclass(frozen=True)
class ResultsDirectory:
    """Where a sweep's files lie; the one place that names them."""

    path: Path

    @property
    def results(self) -> Path:
        """One row a trial."""
        return self.path / "results.csv"

    @property
    def curves(self) -> Path:
        """One row an epoch."""
        return self.path / "curves.csv"

    @property
    def sweep(self) -> Path:
        """The resolved sweep."""
        return self.path / "sweep.yaml"

    @property
    def store(self) -> Path:
        """The truth; elsewhere where a run was told `--store`."""
        return self.store_elsewhere or self.path / "sweep.db"

    @property
    def pointer(self) -> Path:
        """Says where the store is, if not here."""
        return self.path / ".store"

    @property
    def store_elsewhere(self) -> Path | None:
        """What the pointer says; None where that names no file."""
        try:
            place = self.pointer.read_text(encoding="utf-8").rstrip("\n")
        except (OSError, UnicodeDecodeError):
            return None
        return Path(place) if Path(place).name and "\0" not in place else None

    @property
    def lock(self) -> Path:
        """What a driver locks; beside the store, whose file system is to have locks."""
        store = self.store_elsewhere
        return self.path / ".lock" if store is None else store.with_name(f".{store.name}.lock")

    def hold(self) -> DirectoryLock:
        """Keep all other drivers out.

        Raises:
            RefusedError: Another one is in, or nobody could be kept out.
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
        """One page of pictures."""
        return self.path / "report.html"

    @property
    def log(self) -> Path:
        """What driver and workers said."""
        return self.path / "run.log"

    def leftovers(self) -> list[Path]:
        """What a run that was killed was writing; each is moved to its place when it is whole."""
        files = (self.results, self.curves, self.sweep, self.report)
        patterns = (
            *(f".{file.name}.*.tmp" for file in files),
            f".{self.model.stem}-*",
            f".{glob.escape(self.store.name)}.new*",
        )
        return sorted(path for pattern in patterns for path in self.path.glob(pattern))

    def clear(self) -> None:
        """Remove what is left over, for whoever holds the directory; what cannot be stays."""
        for path in self.leftovers():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                with suppress(OSError):
                    path.unlink()

    def prepare(self, *, fresh: bool) -> None:
        """Make the directory; with `fresh`, move an existing one aside first.

        Raises:
            HpsearchError: It cannot be made or written.
            RefusedError: It holds results without a store, or another run holds it.
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
        if self.store_elsewhere is not None and not self.store.exists():
            raise RefusedError(
                f"{self.path}: its store is not where {self.pointer.name} says, at {self.store}; "
                "bring it back, or use --fresh"
            )
        if self.results.exists() and not self.store.exists():
            raise RefusedError(
                f"{self.path}: there is a results.csv without its sweep.db, which this run would "
                "overwrite; give this run another directory with --out, or use --fresh"
            )

    def _move_aside(self) -> None:
        """A store elsewhere gets another name, too, or the next run would find it."""
        store, aside = self.store_elsewhere, self._free_name()
        if store is not None and store.exists():
            moved = store.with_name(f"{store.name}{aside.name.removeprefix(self.path.name)}")
            store.rename(moved)
            self.pointer.write_text(f"{moved}\n", encoding="utf-8")
        self.path.rename(aside)

    def _free_name(self) -> Path:
        stamp = time.strftime("%Y%m%d-%H%M%S")
        suffixes = ("" if count == 0 else f"-{count}" for count in itertools.count())
        names = (f"{self.path.name}.{stamp}{suffix}" for suffix in suffixes)
        return next(path for path in map(self.path.with_name, names) if not path.exists())
