"""From `execution.engine` to what runs trainings.

Imports little: the local engine's processes start, and import, while the driver still imports.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import IO, TYPE_CHECKING

from hpsearch import extensions
from hpsearch.errors import NotSupportedError
from hpsearch.executors.servers import Lent, Servers
from hpsearch.machine import require_fork
from hpsearch.sweep import Execution
from hpsearch.sweep.settings import ENGINES

if TYPE_CHECKING:
    from hpsearch.executors.base import Executor

__all__ = ["MakeExecutor", "engine", "require_engine"]

#: From how many trainings are to run at a time to an executor.
MakeExecutor = Callable[[int], "AbstractContextManager[Executor]"]


def require_engine(execution: Execution) -> None:
    """Check that the engine is there.

    Raises:
        NotSupportedError: It is not, or not on this system.
    """
    name = execution.engine
    if name == "local":
        require_fork()
        return
    if name not in ENGINES and extensions.find(extensions.EXECUTORS, name) is not None:
        return
    known = ("local", *extensions.names(extensions.EXECUTORS))
    raise NotSupportedError(
        f"execution.engine: {name} is not there yet in this version of hpsearch (what runs today: "
        f"{', '.join(known)})"
    )


@contextmanager
def engine(
    execution: Execution,
    log: IO[str],
    *,
    in_process: bool = False,
    servers: Servers | None = None,
) -> Iterator[MakeExecutor]:
    """What makes executors, for as long as the context lasts.

    Args:
        log: An open file for what workers print.
        in_process: Whether this process is to train, whatever the engine.
        servers: Of the local engine, where there are some already; they stay.

    Raises:
        InputError: The package's engine cannot be loaded.
    """
    if in_process:
        from hpsearch.executors.inprocess import InProcessExecutor

        yield lambda _: InProcessExecutor()
        return
    added = None
    if execution.engine != "local":
        added = extensions.find(extensions.EXECUTORS, execution.engine)
    if added is None:
        with Servers(log) if servers is None else Lent(servers) as forking:
            yield lambda workers: _local(forking, workers, execution)
        return
    extension, make = added, added.load()

    def made(workers: int) -> AbstractContextManager[Executor]:
        from hpsearch.executors.added import Added
        from hpsearch.executors.base import Setup

        setup = Setup(
            workers=workers,
            timeout_seconds=execution.timeout_seconds,
            memory_bytes=None if execution.memory == "auto" else execution.memory,
            address=execution.address,
            resources=execution.resources or {},
            log=log,
        )
        return Added(extension, lambda: make(setup))

    yield made


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
