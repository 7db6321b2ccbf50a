"""Append lines to a trial's reports. For Python 3.8, with the standard library only."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress


def make(path: str) -> None:
    """Create the file of a trial's reports if it is missing."""
    _write(path, b"")


def append(path: str, line: Mapping[str, object]) -> None:
    """Append a line in one write, so that lines of several processes do not mix."""
    _write(path, (json.dumps(line) + "\n").encode())


def _write(path: str, text: bytes) -> None:
    # Ignore that the trial is over and its directory moved, or that the disk is full: the program
    # must go on.
    with suppress(OSError):
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            os.write(handle, text)
        finally:
            os.close(handle)
