"""How a line comes into a trial's reports. Written for Python 3.8, by the standard library."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress


def make(path: str) -> None:
    """Make the file of a trial's reports, unless it is there."""
    _write(path, b"")


def append(path: str, line: Mapping[str, object]) -> None:
    """Append a line at once, so that lines of several processes do not mix."""
    _write(path, (json.dumps(line) + "\n").encode())


def _write(path: str, text: bytes) -> None:
    # The trial is over and its directory has been moved, or the disk is full: no reason to end the
    # program.
    with suppress(OSError):
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            os.write(handle, text)
        finally:
            os.close(handle)
