"""The driver's side of the two fork servers, and the channel to them.

The driver imports it before NumPy, so that the servers start at once.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, Self

from hpsearch.files import cut_beginning
from hpsearch.machine import now, state_of
from hpsearch.workers.wire import Wire

#: TensorFlow's libraries read these when loaded. The servers must stay single-threaded to fork, and
#: one thread a worker is fastest if every core has a worker.
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    # Importing TensorFlow loads pyarrow if installed, whose allocator would start a thread.
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
    "KERAS_BACKEND": "tensorflow",
    "TF_CPP_MIN_LOG_LEVEL": "2",
    "CUDA_MODULE_LOADING": "LAZY",
}
#: Signal on which the light server ends all its descendants.
END_SIGNAL = signal.SIGUSR1
_END_SECONDS = 2.0
#: A running process forks a worker within this time.
_FORK_SECONDS = 60.0
#: How often to check if a process that is not ready was stopped.
_LOOK_SECONDS = 1.0


class Channel(Wire):
    """Pickled messages and file descriptors over a Unix socket."""

    def send(self, message: Any, descriptor: int | None = None) -> None:
        """Send a message; a descriptor follows it, and stays open on this side.

        Raises:
            OSError: The other side has closed.
        """
        self.send_bytes(pickle.dumps(message))
        if descriptor is not None:
            socket.send_fds(self._socket, [b"\0"], [descriptor])

    def receive(self) -> Any:
        """Wait for the next message.

        Raises:
            EOFError: The other side has closed.
        """
        return pickle.loads(self.recv_bytes())  # noqa: S301 - our own

    def receive_descriptor(self) -> int:
        """Wait for the descriptor that follows a message.

        Raises:
            EOFError: The other side has closed.
        """
        _, descriptors, _, _ = socket.recv_fds(self._socket, 1, 1)
        if not descriptors:
            raise EOFError
        return descriptors[0]


class Server:
    """The driver's view of a process that forks workers.

    Attributes:
        loaded: Whether its workers can use TensorFlow.
        pid: None until the process has reported it.
    """

    def __init__(self, channel: Channel, *, loaded: bool) -> None:
        self.loaded = loaded
        self.pid: int | None = None
        self._channel = channel
        self._on_forked: deque[Callable[[int], None]] = deque()
        self._ready = False
        #: Clock time of the process's last sign of life.
        self._heard = 0.0

    def fileno(self) -> int:
        """Return the descriptor for selectors."""
        return self._channel.fileno()

    def provide(self, handle: int) -> None:
        """Pass a shared dataset on to all workers forked from now on.

        Raises:
            OSError: The process has ended.
        """
        self._channel.send(("data",), handle)

    def fork(self, number: int, connection: int, on_forked: Callable[[int], None]) -> None:
        """Request a worker, in the current working directory.

        Args:
            connection: Descriptor of the worker's end.
            on_forked: Called with the worker's PID when `receive` reads it.

        Raises:
            OSError: The process has ended.
        """
        if not self._on_forked:
            self._heard = now()
        # A program may have changed the directory since the process started.
        self._channel.send(("fork", number, import_paths()), connection)
        self._on_forked.append(on_forked)

    def receive(self) -> tuple[int, int] | None:
        """Handle the next message; if it reports a worker's end, return PID and wait status.

        Raises:
            EOFError, OSError, pickle.UnpicklingError: The server has ended.
        """
        message = self._channel.receive()
        self._heard = now()
        match message:
            case ("started", pid):
                self.pid = pid
            case ("ready",):
                self._ready = True
            case ("forked", pid):
                self._on_forked.popleft()(pid)
            case ("ended", pid, status):
                return pid, status
        return None

    def silent_seconds(self, most: float | None) -> float:
        """Return for how many seconds the process has owed a worker, if too long; else 0.

        Args:
            most: Longest time for a stopped process; None for a minute. A running process has at
                least a minute, and as long as it takes to import TensorFlow.
        """
        silent = now() - self._heard
        most = _FORK_SECONDS if most is None else most
        if not self._on_forked or self.pid is None or silent < min(most, _LOOK_SECONDS):
            return 0.0
        if state_of(self.pid) != "stopped":
            if not self._ready:
                self._heard = now()
            most = max(most, _FORK_SECONDS)
        return silent if silent > most else 0.0

    def close(self) -> None:
        """Close the channel, which ends the process."""
        self._channel.close()


class Servers:
    """Both fork servers, started at once.

    Args:
        log: The output of the servers and their workers, open for reading and appending.
        tensorflow: Whether the second server imports TensorFlow, for work that needs it.
    """

    def __init__(self, log: IO[Any], *, tensorflow: bool = True) -> None:
        self._log = log
        light, light_theirs = socket.socketpair()
        loaded, loaded_theirs = socket.socketpair()
        with light_theirs, loaded_theirs:
            descriptors = (light_theirs.fileno(), loaded_theirs.fileno())
            self._process = subprocess.Popen(  # noqa: S603 - our own module
                [
                    sys.executable,
                    # Ignore a keras.py in the user's directory.
                    "-P",
                    "-m",
                    "hpsearch.workers.forkserver",
                    *map(str, descriptors),
                    str(os.getpid()),
                    "tensorflow" if tensorflow else "-",
                ],
                pass_fds=descriptors,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=os.environ | ENVIRONMENT,
                start_new_session=True,
            )
        self.light = Server(Channel(light), loaded=False)
        # The server may be stopped before it can report its PID.
        self.light.pid = self._process.pid
        self.loaded = Server(Channel(loaded), loaded=True)

    def __iter__(self) -> Iterator[Server]:
        yield self.light
        yield self.loaded

    def bound_log(self) -> None:
        """Keep the log within bounds (see `cut_beginning`)."""
        cut_beginning(self._log)

    @property
    def ended(self) -> bool:
        """True if the light server has ended."""
        return self._process.poll() is not None

    def close(self) -> None:
        """End both servers and all their workers at once."""
        for server in self:
            server.close()
        if sys.platform == "linux":
            # It ends all other processes, and then itself.
            self._process.send_signal(END_SIGNAL)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_END_SECONDS)
        # A stopped server could not end the workers: kill its whole group.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def import_paths() -> list[str]:
    """Return the driver's module paths, and last its directory, for the user's modules."""
    here = Path()
    with contextlib.suppress(OSError):  # it may have been removed
        here = Path.cwd()
    # Do not resolve links, whose targets may change.
    return [str(here / path) for path in [*sys.path, "."]]
