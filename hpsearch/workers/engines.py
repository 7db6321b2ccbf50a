"""From `execution.engine` to an executor."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import IO

from hpsearch.machine import cores, require_fork, share_bytes
from hpsearch.spec.settings import Execution
from hpsearch.workers.futures import FuturesExecutor, InProcessExecutor
from hpsearch.workers.local import LocalExecutor
from hpsearch.workers.protocol import Executor, MakeExecutor, Setup
from hpsearch.workers.servers import Lent, Servers


def require_engine(execution: Execution) -> None:
    """Check that the engine is there.

    Raises:
        NotSupportedError: Not on this system.
        InputError: What it needs is not installed.
    """
    if execution.engine == "local":
        require_fork()
        return
    # Ray is an optional package.
    from hpsearch.workers.ray.connection import require_ray

    require_ray()


@contextmanager
def engine(
    execution: Execution,
    log: IO[str],
    *,
    in_process: bool = False,
    servers: Servers | None = None,
    pool: concurrent.futures.Executor | None = None,
) -> Iterator[MakeExecutor]:
    """What makes executors, for as long as the context lasts.

    Args:
        log: An open file for what workers print.
        in_process: Whether this process is to train, whatever the engine.
        servers: Of the local engine, where there are some already; they stay.
        pool: Whose processes are to train, whatever the engine.
    """
    if in_process:
        yield lambda _: InProcessExecutor()
        return
    if pool is not None:
        yield lambda workers: FuturesExecutor(pool, workers or cores(), log)
        return
    if execution.engine == "local":
        with Servers(log) if servers is None else Lent(servers) as forking:
            yield lambda workers: _local(forking, workers or cores(), execution)
        return
    # Ray is an optional package.
    from hpsearch.workers.ray.connection import connected
    from hpsearch.workers.ray.executor import RayExecutor

    with connected(execution.address, log) as ray:
        yield lambda workers: RayExecutor(ray, _setup(execution, workers, log))


def _setup(execution: Execution, workers: int | None, log: IO[str]) -> Setup:

    return Setup(
        workers=workers,
        timeout_seconds=execution.timeout_seconds,
        memory_bytes=None if execution.memory == "auto" else execution.memory,
        address=execution.address,
        resources=execution.resources or {},
        log=log,
    )


def _local(
    servers: Servers, workers: int, execution: Execution
) -> AbstractContextManager[Executor]:

    memory = execution.memory
    return LocalExecutor(
        servers,
        workers,
        timeout_seconds=execution.timeout_seconds,
        memory_bytes=share_bytes(workers) if memory == "auto" else memory,
    )
