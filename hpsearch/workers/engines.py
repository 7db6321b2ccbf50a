"""Open the executor that `execution.engine` names."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import IO

from hpsearch.machine import cores, share_bytes
from hpsearch.spec.settings import ExecutionSettings
from hpsearch.workers.futures import FuturesExecutor, InProcessExecutor
from hpsearch.workers.local import LocalExecutor
from hpsearch.workers.protocol import Executor
from hpsearch.workers.ray.connection import connected
from hpsearch.workers.ray.executor import RayExecutor
from hpsearch.workers.servers import Servers


@contextmanager
def opened_executor(
    execution: ExecutionSettings,
    workers: int | None,
    log: IO[str],
    *,
    servers: Servers | None = None,
    pool: concurrent.futures.Executor | None = None,
    in_process: bool = False,
) -> Iterator[Executor]:
    """Open the executor that an `execution:` block describes, and close it with the context.

    Args:
        workers: Number of trainings at a time; None means one for each core, or on a cluster as
            many as have room.
        log: An open file for what workers print.
        servers: Running servers for the local engine, which closes them; None starts servers.
        pool: Trains in this pool's processes instead of the engine's.
        in_process: Trains in this process instead of the engine's.
    """
    memory = None if execution.memory == "auto" else execution.memory
    with ExitStack() as stack:
        executor: Executor
        if in_process:
            executor = InProcessExecutor()
        elif pool is not None:
            executor = FuturesExecutor(pool, workers or cores(), log)
        elif execution.engine == "local":
            workers = workers or cores()
            executor = LocalExecutor(
                servers or stack.enter_context(Servers(log)),
                workers,
                timeout_seconds=execution.timeout_seconds,
                memory_bytes=share_bytes(workers) if memory is None else memory,
            )
        else:
            executor = RayExecutor(
                stack.enter_context(connected(execution.address, log)),
                workers,
                timeout_seconds=execution.timeout_seconds,
                memory_bytes=memory,
                resources=execution.resources or {},
                log=log,
            )
        stack.callback(executor.close)
        yield executor
