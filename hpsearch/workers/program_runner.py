"""Run programs on a cluster's machines, inside another system's process, such as Ray's."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

from hpsearch.errors import HpsearchError
from hpsearch.workers.local import LocalExecutor
from hpsearch.workers.protocol import Event, Job, Lost, of_worker
from hpsearch.workers.servers import Servers
from hpsearch.workers.shared import NO_ROWS

_WAIT_SECONDS = 1.0


class ProgramRunner:
    """Runs programs one by one, in forked workers as on the driver's machine.

    All processes that a program has started end with it, and with this process. Any thread may
    call `run`, but only one at a time.
    """

    def __init__(self) -> None:
        self._executor: LocalExecutor | None = None
        self._made_for: tuple[int, float | None, int | None] | None = None
        self._closing = ExitStack()

    def run(self, job: Job, number: int, most_bytes: int | None = None) -> Iterator[Event]:
        """Run a program and yield its events; the last one is Finished or Lost.

        Args:
            number: The worker's number for the events.
            most_bytes: Most memory of a forked worker with its program.
        """
        assert job.program is not None
        began = time.monotonic()
        try:
            executor = self._started(job.program.program.timeout_seconds, most_bytes)
            executor.submit(job)
            while executor.busy:
                for event in executor.events(_WAIT_SECONDS):
                    yield of_worker(event, number)
        # RuntimeError: the system has no thread left.
        except (HpsearchError, OSError, RuntimeError) as error:
            self.close()
            yield Lost(number, job.training, str(error), False, time.monotonic() - began)

    def _started(self, timeout_seconds: float | None, most_bytes: int | None) -> LocalExecutor:
        wanted = (os.getpid(), timeout_seconds, most_bytes)
        if self._made_for is not None and self._made_for[0] != wanted[0]:
            # This process is a fork, and the servers belong to its parent.
            self._executor, self._closing = None, ExitStack()
        elif self._made_for != wanted:
            self.close()
        self._made_for = wanted
        if self._executor is None:
            with ExitStack() as stack:
                servers = _lasting_servers(stack)
                self._executor = stack.enter_context(
                    LocalExecutor(
                        servers, 1, timeout_seconds=timeout_seconds, memory_bytes=most_bytes
                    )
                )
                self._executor.provide(NO_ROWS)
                self._closing = stack.pop_all()
        return self._executor

    def close(self) -> None:
        """End the forked worker and its program at once."""
        self._executor = None
        self._closing.close()


def _lasting_servers(stack: ExitStack) -> Servers:
    """Start servers in a thread that lives until a stack closes, since they end with their thread.

    The caller's thread may belong to a pool, which ends idle threads.
    """
    made: Future[Servers] = Future()
    over = threading.Event()

    def make() -> None:
        try:
            made.set_result(_servers())
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            made.set_exception(error)
        else:
            over.wait()

    threading.Thread(target=make, name="hpsearch-programs", daemon=True).start()
    stack.callback(over.set)
    return made.result()


def _servers() -> Servers:
    """Start servers whose output, such as a crash's trace, goes to this process's stderr."""
    log: IO[Any] | None = sys.stderr
    try:
        assert log is not None
        log.fileno()
    except (AssertionError, AttributeError, OSError, ValueError):
        with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
            return Servers(nowhere, tensorflow=False, log_name="the worker's log")
    return Servers(log, tensorflow=False, log_name="the worker's standard error")
