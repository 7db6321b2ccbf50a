"""Programs on the machines of a cluster: in a process of somebody else's, such as Ray's."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

from hpsearch.errors import HpsearchError
from hpsearch.workers.local import LocalExecutor
from hpsearch.workers.protocol import Event, Job, Lost, of_worker
from hpsearch.workers.servers import Servers
from hpsearch.workers.shared import NO_ROWS

_WAIT_SECONDS = 1.0


class ProgramRunner:
    """Runs programs one after the other, each in a forked worker as on the driver's machine.

    Whatever a program has started ends with it, and with the thread that calls `run` first.
    """

    def __init__(self) -> None:
        self._executor: LocalExecutor | None = None

    def run(self, job: Job, number: int, most_bytes: int | None = None) -> Iterator[Event]:
        """Run a program and yield its events; the last one is Finished or Lost.

        Args:
            number: The worker's in its events.
            most_bytes: Most memory of a forked worker with its program, the same in all calls.
        """
        assert job.program is not None
        began = time.monotonic()
        try:
            executor = self._started(job.program.program.timeout_seconds, most_bytes)
            executor.submit(job)
            while executor.busy:
                for event in executor.events(_WAIT_SECONDS):
                    yield of_worker(event, number)
        except HpsearchError as error:
            self.close()
            yield Lost(number, job.training, str(error), False, time.monotonic() - began)

    def _started(self, timeout_seconds: float | None, most_bytes: int | None) -> LocalExecutor:
        if self._executor is None:
            # What the worker itself prints, such as the trace of a crash, is lost.
            with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
                servers = Servers(nowhere, tensorflow=False)
            self._executor = LocalExecutor(
                servers, 1, timeout_seconds=timeout_seconds, memory_bytes=most_bytes
            )
            self._executor.provide(NO_ROWS)
        return self._executor

    def close(self) -> None:
        """End the forked worker, and what it runs, at once."""
        executor, self._executor = self._executor, None
        if executor is not None:
            executor.close()
