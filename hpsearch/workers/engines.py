"""From `execution.engine` to an executor; and executors of other packages."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import IO, Any, Self

from hpsearch import extensions
from hpsearch.data.dataset import TrainingData
from hpsearch.errors import HpsearchError
from hpsearch.extensions import Extension
from hpsearch.machine import cores, require_fork, share_bytes
from hpsearch.spec.settings import Execution
from hpsearch.workers.futures import FuturesExecutor, InProcessExecutor
from hpsearch.workers.local import LocalExecutor
from hpsearch.workers.protocol import Event, Executor, MakeExecutor, Setup, Work
from hpsearch.workers.servers import Lent, Servers

_MEMBERS = ("free", "busy", "provide", "submit", "events", "close")


class ExtensionExecutor:
    """Passes everything on to a package's executor.

    Args:
        extension: What declares it.
        make: Makes the executor.

    Raises:
        HpsearchError: It cannot be made.
        InputError: It is no executor.
    """

    def __init__(self, extension: Extension, make: Callable[[], Any]) -> None:
        self._extension = extension
        executor = self._told("cannot be made", make)
        extension.require(executor, _MEMBERS, "hpsearch.workers.protocol.Executor")
        self._executor: Executor = executor

    def provide(self, dataset: TrainingData) -> None:
        """Hand over what every training reads; once, before the first `submit`.

        Raises:
            HpsearchError: The package's code failed, as from every method.
        """
        self._told("failed in provide", lambda: self._executor.provide(dataset))

    @property
    def free(self) -> int:
        """How many it would start at once."""
        return int(self._told("failed in free", lambda: self._executor.free))

    @property
    def busy(self) -> int:
        """How many are under way."""
        return int(self._told("failed in busy", lambda: self._executor.busy))

    def submit(self, work: Work) -> None:
        """Start a training or a call; only while `free` is positive."""
        self._told("failed in submit", lambda: self._executor.submit(work))

    def events(self, timeout_seconds: float) -> Sequence[Event]:
        """What happened, in order; waits for at least one event, or until the time is up."""
        events: Sequence[Event] = self._told(
            "failed in events", lambda: self._executor.events(timeout_seconds)
        )
        return events

    def close(self) -> None:
        """End all work at once; no process is left when it returns."""
        self._told("failed in close", self._executor.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _told(self, what: str, call: Callable[[], Any]) -> Any:
        return self._extension.told(what, call, HpsearchError, passes=(HpsearchError,))


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

    Raises:
        InputError: The package's engine cannot be loaded.
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
    if execution.engine == "ray":
        from hpsearch.workers.ray.connection import connected
        from hpsearch.workers.ray.executor import RayExecutor

        with connected(execution.address, log) as ray:
            yield lambda workers: RayExecutor(ray, _setup(execution, workers, log))
        return
    yield _added(execution, log)


def _added(execution: Execution, log: IO[str]) -> MakeExecutor:
    extension = extensions.find(extensions.EXECUTORS, execution.engine)
    assert extension is not None, "a sweep names no other engine"
    make = extension.load()

    def made(workers: int | None) -> AbstractContextManager[Executor]:

        setup = _setup(execution, workers or cores(), log)
        return ExtensionExecutor(extension, lambda: make(setup))

    return made


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
