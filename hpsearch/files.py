"""Files that are named within an open directory: neither a link nor a move leads elsewhere."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

#: A link or FIFO in the place of a file is not followed, and not waited for.
NO_LINK = os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
#: Windows opens no directories; there, names are joined to the path.
_INSIDE = os.open in os.supports_dir_fd
#: On Linux a directory may be one that can be written but not listed.
_DIRECTORY = getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_PATH", os.O_RDONLY)


class OpenDirectory:
    """A directory that stays the same one whatever becomes of its path.

    Args:
        path: The directory; a link to one is followed.
        within: The open directory that has it, in which a link is not followed.

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
        """Write a temporary file, flush it to the disk, and give it the name of a file.

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
        """Give a file of a directory on the same file system a name here, over an earlier file.

        Raises:
            OSError: It cannot be renamed.
        """
        ends = source._here("src_dir_fd") | self._here("dst_dir_fd")
        os.replace(source._named(old), self._named(new), **ends)  # noqa: PTH105 - has no dir_fd

    @contextmanager
    def scratch(self, prefix: str) -> Iterator[OpenDirectory]:
        """Make a directory in this one for the context, which nobody else may enter."""
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
    """Lock an open file for as long as it is open; return whether nobody else has.

    Raises:
        OSError: The file system has no locks.
    """
    import fcntl  # missing on Windows, which trains nothing

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
