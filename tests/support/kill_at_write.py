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
from typing import Any

from hpsearch.cli.app import main

when, _, name = sys.argv[1].partition(":")
place = os.replace


def replace(source: str, target: str, **directories: Any) -> None:
    ours = Path(target).name == name
    if ours and when == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    place(source, target, **directories)
    if ours and when == "after":
        os.kill(os.getpid(), signal.SIGKILL)


os.replace = replace
main(sys.argv[2:])
