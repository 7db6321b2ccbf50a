"""The processes that fork workers, kept from one search to the next.

They import TensorFlow, which takes seconds: they begin when the first tuner is made, while the
program loads its data, and end with it.
"""

from __future__ import annotations

import atexit
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from hpsearch.executors.servers import Servers

__all__ = ["close", "copy_log", "servers"]


@dataclass
class _Kept:
    """Of this process.

    Attributes:
        pid: A fork of this process has none.
        read: How much of the log is in some project's.
    """

    servers: Servers
    log: IO[Any]
    pid: int
    read: int = 0


_kept: list[_Kept] = []


def servers() -> Servers:
    """Those that are there, or new ones where none is, or they have ended."""
    if _kept and _kept[0].pid == os.getpid() and _kept[0].servers.wait(0) is None:
        return _kept[0].servers
    close()
    log = tempfile.TemporaryFile("a+", encoding="utf-8")  # noqa: SIM115 - as long as they are
    _kept.append(_Kept(Servers(log), log, os.getpid()))
    return _kept[0].servers


def copy_log(path: Path) -> None:
    """Append to a project's log what the workers have said since the last time."""
    if not _kept:
        return
    kept = _kept[0]
    said = os.pread(kept.log.fileno(), os.fstat(kept.log.fileno()).st_size - kept.read, kept.read)
    kept.read += len(said)
    with path.open("ab") as file:
        file.write(said)


@atexit.register
def close() -> None:
    """End them, and all that they forked."""
    while _kept:
        kept = _kept.pop()
        if kept.pid == os.getpid():
            kept.servers.close()
        kept.log.close()
