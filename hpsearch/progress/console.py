"""Output of the commands: safe for a terminal whatever files hold, and when its reader has gone."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterable
from typing import Any, TextIO

from rich.console import Console
from rich.segment import Segment

from hpsearch.wording import printable

#: Width of tables printed elsewhere than on a terminal.
_FILE_WIDTH = 200


def _safe(text: str) -> str:
    return printable(text, "\N{REPLACEMENT CHARACTER}", keep="\n\t")


def tell(text: str) -> None:
    """Write a line to stderr."""
    _Unread(sys.stderr).write(f"{_safe(text)}\n")


def make_console(*, stderr: bool = False) -> Console:
    """Return a console on stdout or stderr, wide unless that is a terminal or a notebook."""
    file: Any = _Unread(sys.stderr if stderr else sys.stdout)
    narrow = file.isatty() or Console().is_jupyter
    return _SafeConsole(file=file, width=None if narrow else _FILE_WIDTH)


def silence(stream: TextIO) -> None:
    """Discard a stream's buffer and everything written to it from now on."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


class _SafeConsole(Console):
    def render(self, *args: Any, **options: Any) -> Iterable[Segment]:
        """Render with safe text; the console's own control codes stay."""
        for text, style, control in super().render(*args, **options):
            yield Segment(text if control else _safe(text), style, control)


class _Unread:
    """A stream that drops its output once the reader has gone, as `head` and terminals do."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write to the stream, unless its reader has gone."""
        try:
            return self._stream.write(text)
        except OSError as error:
            self._drop(error)
            return len(text)

    def flush(self) -> None:
        """Flush the stream, unless its reader has gone."""
        try:
            self._stream.flush()
        except OSError as error:
            self._drop(error)

    def _drop(self, error: OSError) -> None:
        if error.errno not in (errno.EPIPE, errno.EIO):
            raise error
        silence(self._stream)
