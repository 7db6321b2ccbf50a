"""Runs a command of hpsearch in a process that is killed at the moment it puts a file in place.

    python kill_at_write.py before:best.keras run sweep.yaml --out out

Every file that a run leaves is written under another name first; the kill comes just before or
just after it gets its own.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from hpsearch.cli.app import main

when, _, name = sys.argv[1].partition(":")
place = Path.replace


def replace(self: Path, target: str | os.PathLike[str]) -> Path:
    if when == "before" and Path(target).name == name:
        os.kill(os.getpid(), signal.SIGKILL)
    placed = place(self, target)
    if when == "after" and placed.name == name:
        os.kill(os.getpid(), signal.SIGKILL)
    return placed


Path.replace = replace
main(sys.argv[2:])
