"""One driver a results directory: a lock that the operating system drops with its holder."""

from __future__ import annotations

import os
import weakref
from pathlib import Path
from typing import Self

from hpsearch.errors import LockedError

__all__ = ["DirectoryLock"]

_NAME = ".lock"


_HELD: weakref.WeakSet[DirectoryLock] = weakref.WeakSet()


class DirectoryLock:
    """An exclusive lock on a results directory, held until `release` or the process ends.

    Raises:
        LockedError: Another driver holds it; the message names its process.
    """

    def __init__(self, directory: Path) -> None:
        # Unix only, like the local executor that forks; the readers need no lock.
        import fcntl

        path = directory / _NAME
        self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.read(self._handle, 32).decode(errors="replace").strip() or "unknown"
            os.close(self._handle)
            raise LockedError(
                f"{directory}: another run holds this directory (process {holder}); "
                "wait for it, stop it, or give this run another directory with --out"
            ) from None
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


def _forget() -> None:
    for lock in list(_HELD):
        lock.release()


if hasattr(os, "register_at_fork"):
    # A forked child would share the open file, and hold the lock for as long as it lives; one
    # that is executed has it closed.
    os.register_at_fork(after_in_child=_forget)
