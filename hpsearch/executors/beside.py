"""Calls, made beside the driver, for engines whose workers are elsewhere.

What is called leaves files here, or is code of the user's that is here.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO

from hpsearch.executors.base import Call, Dataset, Event
from hpsearch.executors.local import LocalExecutor
from hpsearch.executors.servers import Servers

__all__ = ["Beside"]


class Beside:
    """One worker of this machine, which starts with the first call.

    Args:
        log: For what it prints; None for nowhere.
    """

    def __init__(self, log: IO[str] | None) -> None:
        self._log = log
        self._dataset: Dataset | None = None
        self._executor: LocalExecutor | None = None
        self._calls: deque[Call] = deque()
        self._closing = ExitStack()

    def provide(self, dataset: Dataset) -> None:
        """Keep what calls may read."""
        self._dataset = dataset

    @property
    def busy(self) -> int:
        """How many calls wait or are being made."""
        return len(self._calls) + (0 if self._executor is None else self._executor.busy)

    def submit(self, call: Call) -> None:
        """Make a call, after those that wait.

        Raises:
            HpsearchError: The worker cannot be started.
        """
        self._calls.append(call)
        self._begin()

    def _begin(self) -> None:
        while self._calls and self._started().free:
            self._started().submit(self._calls.popleft())

    def _started(self) -> LocalExecutor:
        if self._executor is None:
            assert self._dataset is not None, "provide comes first"
            with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
                servers = Servers(self._log or nowhere)
            self._executor = self._closing.enter_context(LocalExecutor(servers, 1))
            self._executor.provide(self._dataset)
        return self._executor

    def events(self, timeout_seconds: float) -> Sequence[Event]:
        """What happened; waits for something only while there is a call."""
        if self._executor is None or not self.busy:
            return []
        events = self._executor.events(timeout_seconds)
        self._begin()
        return events

    def close(self) -> None:
        """End all work at once."""
        self._closing.close()
