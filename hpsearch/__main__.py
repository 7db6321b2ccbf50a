"""Run hpsearch by `python -m hpsearch`."""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import NoReturn

_NUMBERS = (signal.SIGINT, signal.SIGTERM)


def main() -> None:
    """Run the command line; until a command begins, a signal ends it with a single line."""
    restore = end_at_once()
    _open_missing_streams()
    from hpsearch.cli.app import main as run

    try:
        run(begin=restore)
    except SystemExit as end:
        _leave(end.code if isinstance(end.code, int) else 0)


def _leave(code: int) -> NoReturn:
    """End this process without freeing its modules, which takes 0.3 s after a run."""
    # As Python does, but for what follows.
    threading._shutdown()  # type: ignore[attr-defined]  # noqa: SLF001
    atexit._run_exitfuncs()  # noqa: SLF001
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        pass
    except OSError as error:
        os.write(2, f"standard output: {error.strerror}\n".encode())
        code = code or 1
    with contextlib.suppress(OSError):
        sys.stderr.flush()
    os._exit(code)


def _open_missing_streams() -> None:
    """Open the null device in place of closed standard streams.

    Otherwise the next file or socket that opens would get the number, and the output.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            # The lowest free number is this one.
            os.open(os.devnull, os.O_RDWR)
            setattr(sys, name, os.fdopen(number, mode, closefd=False))


def end_at_once() -> Callable[[], None]:
    """Have SIGINT and SIGTERM end this process, whatever it is doing.

    An exception would be lost or printed if it came in the middle of an import. Nothing needs
    cleaning up: a run's files survive its death.

    Returns:
        A function that undoes it, for a command with files or processes to clean up.
    """
    # Python runs the function that was registered first last.
    atexit.register(_ignore)
    before = {number: signal.signal(number, _end) for number in _NUMBERS}

    def restore() -> None:
        for number, handler in before.items():
            if signal.getsignal(number) is _end:
                signal.signal(number, handler)

    return restore


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


def _start() -> None:
    # `-m` put the working directory first, where its files would hide packages.
    if not sys.flags.safe_path:
        del sys.path[0]
    main()


if __name__ == "__main__":
    _start()
