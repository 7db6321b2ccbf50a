"""From `execution.engine` to an executor."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import IO

from hpsearch.machine import cores, share_bytes
from hpsearch.spec.settings import Execution
from hpsearch.workers.futures import FuturesExecutor, InProcessExecutor
from hpsearch.workers.local import LocalExecutor
from hpsearch.workers.protocol import Executor, Setup
from hpsearch.workers.servers import Servers


@contextmanager
def opened_executor(
    execution: Execution,
    workers: int | None,
    log: IO[str],
    *,
    servers: Servers | None = None,
    pool: concurrent.futures.Executor | None = None,
    in_process: bool = False,
) -> Iterator[Executor]:
    """The executor that an `execution:` block asks for; it is closed with the context.

    Args:
        workers: Trainings at a time; None for one a core, on a cluster for all that it has room
            for.
        log: An open file for what workers print.
        servers: The local engine's, if they run already; they stay.
        pool: Whose processes train, whatever the engine.
        in_process: Whether this process trains, whatever the engine.
    """
    with ExitStack() as stack:
        executor: Executor
        if in_process:
            executor = InProcessExecutor()
        elif pool is not None:
            executor = FuturesExecutor(pool, workers or cores(), log)
        elif execution.engine == "local":
            forking = servers or stack.enter_context(Servers(log))
            executor = _local(execution, workers or cores(), forking)
        else:
            # Ray is an optional package.
            from hpsearch.workers.ray.connection import connected
            from hpsearch.workers.ray.executor import RayExecutor

            ray = stack.enter_context(connected(execution.address, log))
            executor = RayExecutor(ray, _setup(execution, workers, log))
        stack.callback(executor.close)
        yield executor


def _local(execution: Execution, workers: int, servers: Servers) -> LocalExecutor:
    memory = execution.memory
    return LocalExecutor(
        servers,
        workers,
        timeout_seconds=execution.timeout_seconds,
        memory_bytes=share_bytes(workers) if memory == "auto" else memory,
    )


def _setup(execution: Execution, workers: int | None, log: IO[str]) -> Setup:
    return Setup(
        workers=workers,
        timeout_seconds=execution.timeout_seconds,
        memory_bytes=None if execution.memory == "auto" else execution.memory,
        address=execution.address,
        resources=execution.resources or {},
        log=log,
    )
