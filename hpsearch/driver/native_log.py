"""What native code says on stderr goes to run.log, not over the progress bar."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

__all__ = ["native_stderr_to"]

_STDERR = 2


@contextmanager
def native_stderr_to(log: IO[str]) -> Iterator[None]:
    """Send file descriptor 2 to `log` for a while.

    TensorFlow tells about the machine's devices there, at its import and its start, past Python.
    """
    try:
        saved = os.dup(_STDERR)
    except OSError:
        # A process without a stderr has nothing to protect.
        yield
        return
    try:
        os.dup2(log.fileno(), _STDERR)
        yield
    finally:
        os.dup2(saved, _STDERR)
        os.close(saved)
