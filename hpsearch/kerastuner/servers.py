"""The servers that fork workers for all tuners of a process."""

from __future__ import annotations

import atexit
import contextlib
import os
import tempfile
from dataclasses import dataclass
from typing import IO, Any

from hpsearch.files import cut_beginning
from hpsearch.store.directory import ResultsDirectory
from hpsearch.workers.servers import Servers


@dataclass
class _Kept:
    """The servers that all tuners of this process share.

    Attributes:
        log: The workers' output that is in no project's log yet.
        pid: The process that started them; after a fork, the child starts others.
    """

    servers: Servers
    log: IO[Any]
    pid: int


_kept: list[_Kept] = []


def kept_servers() -> Servers:
    """Return this process's servers, starting them if absent or dead."""
    if _kept and _kept[0].pid == os.getpid() and not _kept[0].servers.ended:
        return _kept[0].servers
    close_servers()
    log = tempfile.TemporaryFile("a+", encoding="utf-8")  # noqa: SIM115 - open as long as they run
    _kept.append(_Kept(Servers(log), log, os.getpid()))
    return _kept[0].servers


def copy_worker_log(where: ResultsDirectory) -> None:
    """Move the workers' output to the project's log, if there is any."""
    if not _kept:
        return
    workers = _kept[0].log.fileno()
    output = os.pread(workers, os.fstat(workers).st_size, 0)
    os.ftruncate(workers, 0)
    with contextlib.suppress(OSError), where.open_log() as log:
        log.write(output.decode("utf-8", "replace"))
        log.flush()
        cut_beginning(log)


@atexit.register
def close_servers() -> None:
    """End the servers and the processes that they forked."""
    while _kept:
        kept = _kept.pop()
        if kept.pid == os.getpid():
            kept.servers.close()
        kept.log.close()
