"""Signals before a run installs its handlers: the command ends at once, with one line."""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
from types import FrameType
from typing import Any, NoReturn

_NUMBERS = (signal.SIGINT, signal.SIGTERM)
_BEFORE: dict[int, Any] = {}


def end_at_once() -> None:
    """Have SIGINT and SIGTERM end this process, whatever it is doing.

    An exception would be lost or printed if it came in the middle of an import. Nothing needs
    cleaning up: a run's files survive its death.
    """
    # What is registered first runs last.
    atexit.register(_ignore)
    for number in _NUMBERS:
        _BEFORE[number] = signal.signal(number, _end)


def restore() -> None:
    """Undo `end_at_once`, for a command with files or processes to clean up."""
    while _BEFORE:
        number, handler = _BEFORE.popitem()
        if signal.getsignal(number) is _end:
            signal.signal(number, handler)


def _ignore() -> None:
    """Have a signal no longer end a command whose work is done.

    Python restores the default handlers before it frees its modules, which takes a while with
    TensorFlow: a completed run would look killed.
    """
    for number in _NUMBERS:
        signal.signal(number, signal.SIG_IGN)


def _end(number: int, _: FrameType | None) -> NoReturn:
    # Not `sys.stderr`: the signal may have interrupted a write to it.
    with contextlib.suppress(OSError):
        os.write(2, b"interrupted\n" if number == signal.SIGINT else b"terminated\n")
    os._exit(128 + number)
