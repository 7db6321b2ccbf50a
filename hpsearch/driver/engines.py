"""From `execution.engine` to what runs trainings.

Imports little: the local engine's processes start, and import, while the driver still imports.
"""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import IO, TYPE_CHECKING

from hpsearch import extensions
from hpsearch.executors.servers import Lent, Servers
from hpsearch.machine import cores, require_fork
from hpsearch.sweep import Execution

if TYPE_CHECKING:
    from hpsearch.executors.base import Executor, Setup

__all__ = ["MakeExecutor", "engine", "require_engine"]

#: From how many trainings are to run at a time to an executor; None where a cluster has to know.
MakeExecutor = Callable[[int | None], "AbstractContextManager[Executor]"]


def require_engine(execution: Execution) -> None:
    """Check that the engine is there.

    Raises:
        NotSupportedError: Not on this system.
        InputError: What it needs is not installed.
    """
    name = execution.engine
    if name == "local":
        require_fork()
        return
    if name == "ray":
        from hpsearch.executors.ray.connection import require_ray

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

    Raises:
        InputError: The package's engine cannot be loaded.
    """
    if in_process:
        from hpsearch.executors.inprocess import InProcessExecutor

        yield lambda _: InProcessExecutor()
        return
    if pool is not None:
        from hpsearch.executors.futures import FuturesExecutor

        yield lambda workers: FuturesExecutor(pool, workers or cores(), log)
        return
    if execution.engine == "local":
        with Servers(log) if servers is None else Lent(servers) as forking:
            yield lambda workers: _local(forking, workers or cores(), execution)
        return
    if execution.engine == "ray":
        from hpsearch.executors.ray.connection import connected
        from hpsearch.executors.ray.executor import RayExecutor

        with connected(execution.address, log) as ray:
            yield lambda workers: RayExecutor(ray, _setup(execution, workers, log))
        return
    yield _added(execution, log)


def _added(execution: Execution, log: IO[str]) -> MakeExecutor:
    extension = extensions.find(extensions.EXECUTORS, execution.engine)
    assert extension is not None, "a sweep names no other engine"
    make = extension.load()

    def made(workers: int | None) -> AbstractContextManager[Executor]:
        from hpsearch.executors.added import Added

        setup = _setup(execution, workers or cores(), log)
        return Added(extension, lambda: make(setup))

    return made


def _setup(execution: Execution, workers: int | None, log: IO[str]) -> Setup:
    from hpsearch.executors.base import Setup

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
    from hpsearch.executors.local import LocalExecutor
    from hpsearch.executors.memory import share_bytes

    memory = execution.memory
    return LocalExecutor(
        servers,
        workers,
        timeout_seconds=execution.timeout_seconds,
        memory_bytes=share_bytes(workers) if memory == "auto" else memory,
    )
