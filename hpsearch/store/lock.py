"""The lock that keeps a second driver out of a results directory."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
import weakref
from pathlib import Path
from typing import Self

from hpsearch.errors import LockedError, RefusedError
from hpsearch.files import NO_LINK, OpenDirectory
from hpsearch.machine import HARD_LINK

#: Time within which a new holder writes its process number.
_HOLDER_KNOWN_SECONDS = 0.4
_EXCLUDED = 7
_TRY_TO_LOCK = f"""\
import fcntl, os, sys
try:
    fcntl.flock(os.open(sys.argv[1], os.O_RDWR | os.O_NOFOLLOW), fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    sys.exit({_EXCLUDED})
"""

_HELD: weakref.WeakSet[DirectoryLock] = weakref.WeakSet()


class NoLocksError(RefusedError):
    """Locks do not work on the file system."""


class DirectoryLock:
    """An exclusive lock on a results directory, held until `release` or the end of the process.

    `filelock` does not do: its `FileLock` does not say which process holds a lock, does not check
    that `flock` excludes others on this file system, and falls back to a weaker lock if there is
    no `flock`.

    Args:
        directory: The directory, named in error messages.
        path: The file to lock; `.lock` in the directory if None.

    Attributes:
        place: The directory, open until the lock is released.

    Raises:
        LockedError: Another driver holds the lock; the message names its process.
        NoLocksError: Locks do not work on this file system.
        RefusedError: The file is not the lock of a run.
    """

    def __init__(self, directory: Path, path: Path | None = None) -> None:
        import fcntl  # missing on Windows, where directories are only read

        path = path or directory / ".lock"
        # The program may change its working directory.
        self._directory, self._path, self._at = directory, path.absolute(), directory.absolute()
        self.place = OpenDirectory(directory)
        try:
            with OpenDirectory(path.parent) as around:
                self._handle = around.open(path.name, os.O_RDWR | os.O_CREAT)
        except OSError:
            self.place.close()
            raise
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
            raise NoLocksError(_no_locks(directory, path, str(error.strerror))) from None
        if not works:
            self.release()
            raise NoLocksError(_no_locks(directory, path, "a lock keeps nobody out"))
        if odd := _no_lock_of_a_run(self._handle):
            self.release()
            raise RefusedError(f"{path}: is {odd}, and a run would overwrite it; move it away")
        os.ftruncate(self._handle, 0)
        os.pwrite(self._handle, f"{os.getpid()}\n".encode(), 0)
        _HELD.add(self)

    def check(self) -> None:
        """Check that the directory and the lock are still the ones that are held.

        Raises:
            RefusedError: The directory was moved or removed, or the lock was.
        """
        directory, path = self._directory, self._path
        if not _is_at(self.place.handle, self._at):
            elsewhere = path.parent != self._at
            raise RefusedError(_lost(directory, self.place.handle, elsewhere=elsewhere))
        if not _is_at(self._handle, path):
            raise RefusedError(
                f"{directory}: its lock, {path.name}, was removed during the run, so another run "
                "may have begun here, and this one ends; the results that it has stored are safe: "
                "run the same command again to go on"
            )

    def release(self) -> None:
        """Release the lock; a second call does nothing."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1
            self.place.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def _no_lock_of_a_run(handle: int) -> str:
    """Return the kind of a locked file if a run did not make it; else empty."""
    if os.fstat(handle).st_nlink > 1:
        return HARD_LINK
    first = os.pread(handle, 32, 0).partition(b"\n")[0]
    return "" if not first or first.isdigit() else "no lock of a run"


def _is_at(handle: int, path: Path) -> bool:
    """Check if an open file or directory is still the one at the path."""
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        # The file system may only be unavailable for a moment, so leave the verdict to the next
        # write.
        return error.errno != errno.ELOOP


def _lost(directory: Path, handle: int, *, elsewhere: bool) -> str:
    try:
        now = Path(f"/proc/self/fd/{handle}").readlink()
    except OSError:  # only Linux reports the path
        now = None
    if now is not None and _is_at(handle, now):
        return (
            f"{directory}: was moved during the run, to {now}, and the run ends; the results that "
            "it has stored are safe there: move the directory back and run the same command "
            "again, or run it with that directory"
        )
    what = "removed" if now else "moved or removed"
    store = ", but for its store, which is elsewhere" if elsewhere else ""
    return f"{directory}: was {what} during the run, with everything in it{store}; the run ends"


def _holder_named_in(handle: int) -> str:
    """Read the holder's process number, waiting briefly for a new holder to write it."""
    import psutil  # needed only when the lock is contended

    deadline = time.monotonic() + _HOLDER_KNOWN_SECONDS
    while True:
        named = os.pread(handle, 32, 0).decode(errors="replace").strip()
        alive = named.isdecimal() and psutil.pid_exists(int(named))
        # The holder may run on another machine or in another container, where it cannot be seen.
        if alive or time.monotonic() > deadline:
            return named or "unknown"
        time.sleep(_HOLDER_KNOWN_SECONDS / 20)


def _excludes_others(path: Path) -> bool:
    """Try the lock that this process holds, because some network file systems grant it twice."""
    import fcntl  # missing on Windows

    second = os.open(path, os.O_RDWR | NO_LINK)
    try:
        fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(second)
    # On some file systems a lock belongs to the process, so only another process can test it.
    command = [sys.executable, "-IS", "-c", _TRY_TO_LOCK, str(path)]
    return subprocess.run(command, check=False).returncode == _EXCLUDED  # noqa: S603 - our own


def _no_locks(directory: Path, path: Path, why: str) -> str:
    return (
        f"{directory}: its file system{_type_of(path)} has no working locks ({why}), so a "
        "second run could write the same store; give the store a place on a local disk with "
        "--store PATH, or this run another directory with --out"
    )


def _type_of(path: Path) -> str:
    """Return the type of a path's file system in brackets; empty if unknown (not Linux)."""
    try:
        lines = Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    place = str(path.resolve())
    mounts = [line.split()[1:3] for line in lines]
    around = [m for m in mounts if place.startswith(m[0].rstrip("/") + "/")]
    return f" ({max(around, key=lambda m: len(m[0]))[1]})" if around else ""


def holder(path: Path) -> str:
    """Return the number of the process that holds a file's lock, as text; empty if it is free."""
    try:
        import fcntl
    except ImportError:  # Windows, where no lock is taken
        return ""
    try:
        handle = os.open(path, os.O_RDONLY | NO_LINK)
    except OSError:
        return ""
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _holder_named_in(handle)
    except OSError:
        # Without working locks, no process holds one.
        return ""
    finally:
        os.close(handle)
    return ""


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
