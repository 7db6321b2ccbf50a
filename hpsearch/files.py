"""Access files by name within an open directory, whatever becomes of its path."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

#: Neither follow a link in the place of a file nor wait for a FIFO.
NO_LINK = os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
#: Windows cannot open directories; there, names are joined to the path.
_INSIDE = os.open in os.supports_dir_fd
#: On Linux, a directory may be writable but not listable.
_DIRECTORY = getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_PATH", os.O_RDONLY)


class OpenDirectory:
    """An open directory, which stays the same whatever becomes of its path.

    Args:
        path: The directory, or a link to it.
        within: The open directory that contains it; a link there is not followed.

    Raises:
        OSError: There is no such directory.
    """

    def __init__(self, path: Path, within: OpenDirectory | None = None) -> None:
        self.path, self.handle = path, -1
        if _INSIDE and within is None:
            self.handle = os.open(path, os.O_CLOEXEC | _DIRECTORY)
        elif _INSIDE and within is not None:
            self.handle = within.open(path.name, _DIRECTORY)

    def open(self, name: str, flags: int) -> int:
        """Open a file of this directory and return its descriptor.

        Raises:
            OSError: It cannot be opened, or is a link.
        """
        return os.open(self._named(name), flags | NO_LINK, 0o666, **self._here("dir_fd"))

    def write(
        self, name: str, content: str | bytes, check: Callable[[], None] = lambda: None
    ) -> None:
        """Write a file as a whole: a temporary one is flushed to the disk, then renamed.

        Args:
            check: Called before the file gets its name; raises to prevent it.

        Raises:
            OSError: The disk is full or read-only; the old file is unchanged.
        """
        data = content.encode() if isinstance(content, str) else content
        temporary = f".{name}.{os.urandom(8).hex()}.tmp"
        new = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        handle = self.open(temporary, new)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            check()
            self.take(self, temporary, name)
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(self._named(temporary), **self._here("dir_fd"))
            raise

    def take(self, source: OpenDirectory, old: str, new: str) -> None:
        """Move a file here from a directory on the same file system, over an earlier file.

        Raises:
            OSError: It cannot be renamed.
        """
        ends = source._here("src_dir_fd") | self._here("dst_dir_fd")
        os.replace(source._named(old), self._named(new), **ends)  # noqa: PTH105 - has no dir_fd

    @contextmanager
    def scratch(self, prefix: str) -> Iterator[OpenDirectory]:
        """Make a directory in this one for the context, closed to other users."""
        name = f"{prefix}{os.urandom(8).hex()}"
        os.mkdir(self._named(name), 0o700, **self._here("dir_fd"))  # noqa: PTH102
        try:
            with OpenDirectory(self.path / name, self) as inner:
                yield inner
        finally:
            shutil.rmtree(self._named(name), ignore_errors=True, **self._here("dir_fd"))

    def _named(self, name: str) -> str | Path:
        return name if _INSIDE else self.path / name

    def _here(self, argument: str) -> dict[str, Any]:
        return {argument: self.handle} if _INSIDE else {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the directory; a second call does nothing."""
        if self.handle >= 0:
            os.close(self.handle)
            self.handle = -1


def lock_without_waiting(handle: int) -> bool:
    """Lock a file while it is open; return False if another process has locked it.

    Raises:
        OSError: The file system has no locks.
    """
    import fcntl  # missing on Windows, which does not train

    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file as a whole; readers see the old one or the new one.

    Raises:
        OSError: The disk is full or read-only; the old file is unchanged.
    """
    with OpenDirectory(path.parent) as directory:
        directory.write(path.name, content)
