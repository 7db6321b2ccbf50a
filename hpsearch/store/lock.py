"""The lock that keeps a second driver out of a results directory."""

from __future__ import annotations

import errno
import os
import time
import weakref
from contextlib import suppress
from pathlib import Path
from typing import Self

from hpsearch.errors import HpsearchError, LockedError, RefusedError
from hpsearch.files import NO_LINK, lock_without_waiting

#: Time within which a new holder writes its process number.
_HOLDER_KNOWN_SECONDS = 0.4

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

    Raises:
        LockedError: Another driver holds the lock; the message names its process.
        NoLocksError: Locks do not work on this file system.
        RefusedError: The file is not the lock of a run.
        HpsearchError: The file cannot be written.
    """

    def __init__(self, directory: Path, path: Path | None = None) -> None:
        path = path or directory / ".lock"
        # The program may change its working directory.
        self._directory, self._path, self._at = directory, path.absolute(), directory.absolute()
        try:
            self._handle = os.open(path, os.O_RDWR | os.O_CREAT | NO_LINK, 0o666)
        except OSError as error:
            raise HpsearchError(f"{path}: cannot be written: {error.strerror}") from None
        try:
            self._take()
        except BaseException:
            self.release()
            raise
        os.ftruncate(self._handle, 0)
        os.pwrite(self._handle, f"{os.getpid()}\n".encode(), 0)
        _HELD.add(self)

    def _take(self) -> None:
        directory, path = self._directory, self._path
        try:
            if not lock_without_waiting(self._handle):
                process = _holder_named_in(self._handle)
                raise LockedError(
                    f"{directory}: another run holds this directory (process {process}); "
                    "wait for it, stop it, or give this run another directory with --out"
                )
            works = _excludes_others(path)
        except OSError as error:
            raise NoLocksError(_no_locks(directory, str(error.strerror))) from None
        if not works:
            raise NoLocksError(_no_locks(directory, "a lock keeps nobody out"))
        first = os.pread(self._handle, 32, 0).partition(b"\n")[0]
        is_lock = os.fstat(self._handle).st_nlink == 1 and (not first or first.isdigit())
        if not is_lock:
            raise RefusedError(
                f"{path}: is no lock of a run, and a run would overwrite it; move it away"
            )

    def check(self) -> None:
        """Check that the lock is still the one that is held, in the same directory.

        Raises:
            RefusedError: The directory was moved or removed, or the lock was.
        """
        if _is_at(self._handle, self._path):
            return
        directory, now = self._directory, _place_of(self._handle)
        if self._path.parent == self._at and now is not None:
            raise RefusedError(
                f"{directory}: was moved during the run, to {now.parent}, and the run ends; the "
                "results that it has stored are safe there: move the directory back and run the "
                "same command again, or run it with that directory"
            )
        if not self._at.is_dir():
            raise RefusedError(
                f"{directory}: was removed during the run, with everything in it; the run ends"
            )
        raise RefusedError(
            f"{directory}: its lock, {self._path.name}, was removed during the run, so another run "
            "may have begun here, and this one ends; the results that it has stored are safe: "
            "run the same command again to go on"
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


def _is_at(handle: int, path: Path) -> bool:
    """Check if an open file is still the one at the path."""
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        # The file system may only be unavailable for a moment, so leave the verdict to the next
        # write.
        return error.errno != errno.ELOOP


def _place_of(handle: int) -> Path | None:
    """Return an open file's path; None if it was removed, or on systems other than Linux."""
    try:
        path = Path(f"/proc/self/fd/{handle}").readlink()
    except OSError:
        return None
    return path if _is_at(handle, path) else None


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
    second = os.open(path, os.O_RDWR | NO_LINK)
    try:
        return not lock_without_waiting(second)
    finally:
        os.close(second)


def _no_locks(directory: Path, why: str) -> str:
    return (
        f"{directory}: its file system has no working locks ({why}), so a "
        "second run could write the same store; give the store a place on a local disk with "
        "--store PATH, or this run another directory with --out"
    )


def holder(path: Path) -> str:
    """Return the number of the process that holds a file's lock, as text; empty if it is free."""
    # Windows has no fcntl, and takes no lock. Without working locks, no process holds one.
    with suppress(ImportError, OSError):
        import fcntl

        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | NO_LINK)) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return _holder_named_in(file.fileno())
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
