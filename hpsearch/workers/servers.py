"""The driver's side of the two fork servers, and the channel to them.

Imported before NumPy, so that the servers start at once.
"""

from __future__ import annotations

import array
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

#: TensorFlow's libraries read these when they are loaded; the servers must stay single-threaded
#: to fork, and one thread a worker is fastest where every core has a worker.
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    # Where pyarrow is installed, importing TensorFlow loads it, and its allocator starts a thread.
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
    "KERAS_BACKEND": "tensorflow",
    "TF_CPP_MIN_LOG_LEVEL": "2",
    "CUDA_MODULE_LOADING": "LAZY",
}


_HEADER_BYTES = 8


class Channel:
    """Pickled messages, each with at most one file descriptor, over a Unix socket."""

    def __init__(self, endpoint: socket.socket) -> None:
        self.socket = endpoint

    def fileno(self) -> int:
        """For selectors."""
        return self.socket.fileno()

    def send(self, message: Any, descriptor: int | None = None) -> None:
        """Send a message; the descriptor stays open on this side.

        Raises:
            OSError: The other side is gone.
        """
        body = pickle.dumps(message)
        header = len(body).to_bytes(_HEADER_BYTES, "little")
        if descriptor is None:
            self.socket.sendall(header + body)
            return
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [descriptor]))]
        self.socket.sendmsg([header], rights)
        self.socket.sendall(body)

    def receive(self) -> tuple[Any, int | None]:
        """The next message and its descriptor, if it has one.

        Raises:
            EOFError: The other side is gone.
        """
        size = array.array("i").itemsize
        header, ancillary, _, _ = self.socket.recvmsg(_HEADER_BYTES, socket.CMSG_LEN(size))
        header += self._exactly(_HEADER_BYTES - len(header)) if header else b""
        if not header:
            raise EOFError
        descriptors = [
            int.from_bytes(data[:size], sys.byteorder)
            for level, kind, data in ancillary
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS)
        ]
        body = self._exactly(int.from_bytes(header, "little"))
        return pickle.loads(body), (descriptors[0] if descriptors else None)  # noqa: S301

    def _exactly(self, count: int) -> bytes:
        received = bytearray()
        while len(received) < count:
            block = self.socket.recv(count - len(received))
            if not block:
                raise EOFError
            received += block
        return bytes(received)


class Server:
    """One process that forks workers, as its driver sees it.

    Attributes:
        loaded: Whether TensorFlow can be used in what it forks.
        pid: Of the process, once it has told.
    """

    def __init__(self, channel: Channel, *, loaded: bool) -> None:
        self.loaded = loaded
        self.pid: int | None = None
        self._channel = channel
        self._asked: deque[Callable[[int], None]] = deque()

    def fileno(self) -> int:
        """For selectors."""
        return self._channel.fileno()

    def provide(self, handle: int) -> None:
        """Hand over a shared dataset, for all workers that are forked from now on.

        Raises:
            OSError: The process has ended.
        """
        self._channel.send(("data",), handle)

    def fork(
        self, number: int, growth_bytes: int, connection: int, on_forked: Callable[[int], None]
    ) -> None:
        """Ask for a worker.

        Args:
            connection: The worker's end of it.
            on_forked: Called with its process, when `receive` hears of it.

        Raises:
            OSError: The process has ended.
        """
        self._channel.send(("fork", number, growth_bytes), connection)
        self._asked.append(on_forked)

    def receive(self) -> tuple[int, int] | None:
        """Take the next message; a process and its wait status where one has ended.

        Raises:
            EOFError, OSError, pickle.UnpicklingError: The server has ended.
        """
        message, _ = self._channel.receive()
        match message:
            case ("started", pid):
                self.pid = pid
            case ("forked", pid):
                self._asked.popleft()(pid)
            case ("ended", pid, status):
                return pid, status
        return None

    def close(self) -> None:
        """Let go of it; it ends."""
        self._channel.socket.close()


class Servers:
    """Both of them, from the start on.

    Args:
        log: Where their and their workers' output goes: an open file.
        tensorflow: Whether the second one imports it; nothing that needs it can run otherwise.
    """

    def __init__(self, log: IO[Any], *, tensorflow: bool = True) -> None:
        light, light_theirs = socket.socketpair()
        loaded, loaded_theirs = socket.socketpair()
        with light_theirs, loaded_theirs:
            descriptors = (light_theirs.fileno(), loaded_theirs.fileno())
            self._process = subprocess.Popen(  # noqa: S603 - our own module
                [
                    sys.executable,
                    # A keras.py in the user's directory is not to be taken for Keras.
                    "-P",
                    "-m",
                    "hpsearch.workers.forkserver",
                    *map(str, descriptors),
                    str(os.getpid()),
                    "tensorflow" if tensorflow else "-",
                    *import_paths(),
                ],
                pass_fds=descriptors,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=os.environ | ENVIRONMENT,
                start_new_session=True,
            )
        self.light = Server(Channel(light), loaded=False)
        self.loaded = Server(Channel(loaded), loaded=True)

    def __iter__(self) -> Iterator[Server]:
        yield self.light
        yield self.loaded

    def wait(self, seconds: float) -> int | None:
        """The exit code of the first of them, the light one; None where it has not ended."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def close(self) -> None:
        """End both and all that they forked, at once."""
        for server in self:
            server.close()
        # They kill no one: each worker has its death signal, this covers its children.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def import_paths() -> list[str]:
    """Where the driver finds modules, so that workers find the user's, too."""
    # Not resolved: a link may be there so that its target can change.
    return [str(Path(path).absolute()) for path in [*sys.path, "."]]
