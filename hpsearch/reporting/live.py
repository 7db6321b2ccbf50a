"""Write a page again and again while a run adds rows to what it shows."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from hpsearch.store.directory import ResultsDirectory

#: The shortest time between two pages, and how many times as long as it took to write one, so that
#: at most a quarter of a core is not the trainings'.
_PAUSE_SECONDS, _PAUSE_SHARE = 2.0, 3.0
#: Without new rows, too, so that an open page knows that it is still written (see live.js).
_AT_LEAST_EVERY_SECONDS = 30.0
_CHECK_SECONDS = 0.25


def follow_runs(
    sources: Sequence[Path], write: Callable[[float], None], begun: Callable[[], None]
) -> bool:
    """Write a page of tables after each change, until no run holds their directories.

    The last page, which does not reload itself, is left to the caller, after Ctrl-C, too.

    Args:
        sources: Results directories, or results.csv in them.
        write: Writes the page; its argument is the time in seconds after which an open page loads
            the file again.
        begun: Called once the first page is there.

    Returns:
        True if a run was under way.
    """
    held = {
        place: place.results if path.is_dir() else path
        for path in sources
        if (place := ResultsDirectory(path if path.is_dir() else path.parent)).holder
    }
    if not held:
        return False
    with suppress(KeyboardInterrupt):
        _write_while_held(held, write, begun)
    return True


def _write_while_held(
    held: dict[ResultsDirectory, Path], write: Callable[[float], None], begun: Callable[[], None]
) -> None:
    tables = list(held.values())
    pause, written, shown = _PAUSE_SECONDS, 0.0, None
    # To ask for the holder of a free directory would disturb a run that begins there.
    while held := {place: table for place, table in held.items() if place.holder}:
        state = [table.stat().st_mtime_ns for table in tables if table.exists()]
        now = time.monotonic()
        due = state != shown or now - written > _AT_LEAST_EVERY_SECONDS
        if any(not table.exists() for table in held.values()) or not due or now < written + pause:
            time.sleep(_CHECK_SECONDS)
            continue
        with warnings.catch_warnings():
            # That the table lacks what the run has just stored is no news here.
            warnings.simplefilter("ignore")
            write(pause)
        if shown is None:
            begun()
        shown, written = state, time.monotonic()
        pause = max(_PAUSE_SECONDS, _PAUSE_SHARE * (written - now))
