"""The driver's side of the two fork servers, and the sockets to them and to the workers.

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

from hpsearch.machine import now

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
#: Exit status of a worker whose code has closed the connection to the driver.
CLOSED_STATUS = 74
_LENGTH_BYTES = 8
#: No message is longer, and any text that user code writes reads as a greater length.
_MOST_BYTES = 2**40
_BLOCK_BYTES = 1 << 20


class Wire:
    """One side of a socket; a message is its length in eight bytes, then its bytes.

    The driver posts and takes messages without waiting, because a worker may be stopped. The
    worker sends and receives messages, and waits for them.
    """

    def __init__(self, endpoint: socket.socket) -> None:
        self._socket = endpoint
        self._received = bytearray()
        self._waiting = bytearray()

    def fileno(self) -> int:
        """Return the descriptor for selectors."""
        return self._socket.fileno()

    def close(self) -> None:
        """Close this side."""
        self._socket.close()

    def send_bytes(self, body: bytes) -> None:
        """Send a message and wait until it is on its way; OSError if the other side has closed."""
        self._socket.sendall(_framed(body))

    def recv_bytes(self) -> bytes:
        """Wait for a message; EOFError if the other side has closed, or sent something else."""
        return self._exactly(_length_of(self._exactly(_LENGTH_BYTES)))

    @property
    def has_message(self) -> bool:
        """True if `recv_bytes` would return without a long wait; False if the other side closed."""
        try:
            return bool(self._socket.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
        except OSError:
            return False

    def _exactly(self, count: int) -> bytes:
        received = bytearray()
        while len(received) < count:
            block = self._socket.recv(min(count - len(received), _BLOCK_BYTES))
            if not block:
                raise EOFError
            received += block
        return bytes(received)

    def post(self, body: bytes) -> None:
        """Send as much of a message as fits now; `flush` sends the rest."""
        self._waiting += _framed(body)
        self.flush()

    def flush(self) -> None:
        """Send as much of posted messages as fits; drop them if the other side has closed."""
        try:
            while self._waiting:
                sent = self._socket.send(self._waiting[:_BLOCK_BYTES], socket.MSG_DONTWAIT)
                del self._waiting[:sent]
        except BlockingIOError:
            return
        except OSError:
            self._waiting.clear()

    @property
    def waits(self) -> bool:
        """True if `flush` has something left to send."""
        return bool(self._waiting)

    def take(self) -> list[bytes]:
        """Return the complete messages received so far.

        Raises:
            EOFError: The other side has closed, or other code wrote to the socket; all messages
                before were taken.
        """
        ended = False
        try:
            while block := self._socket.recv(_BLOCK_BYTES, socket.MSG_DONTWAIT):
                self._received += block
            ended = True
        except BlockingIOError:
            pass
        except OSError:
            ended = True
        bodies: list[bytes] = []
        try:
            while (body := self._first()) is not None:
                bodies.append(body)
        except EOFError:
            ended = True
            # Wake the driver up, even if nothing more arrives.
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
        if ended and not bodies:
            raise EOFError
        return bodies

    def _first(self) -> bytes | None:
        """Remove and return the first message if it is complete."""
        if len(self._received) < _LENGTH_BYTES:
            return None
        end = _LENGTH_BYTES + _length_of(self._received[:_LENGTH_BYTES])
        if len(self._received) < end:
            return None
        body = bytes(self._received[_LENGTH_BYTES:end])
        del self._received[:end]
        return body


def _framed(body: bytes) -> bytes:
    return len(body).to_bytes(_LENGTH_BYTES) + body


def _length_of(header: bytes | bytearray) -> int:
    length = int.from_bytes(header)
    if length > _MOST_BYTES:
        raise EOFError
    return length


class Channel(Wire):
    """Pickled messages and file descriptors over a Unix socket."""

    def send(self, message: Any, descriptor: int | None = None) -> None:
        """Send a message by `send_bytes`; a descriptor follows it, and stays open on this side."""
        self.send_bytes(pickle.dumps(message))
        if descriptor is not None:
            socket.send_fds(self._socket, [b"\0"], [descriptor])

    def receive(self) -> Any:
        """Wait for the next message; EOFError if the other side has closed."""
        return pickle.loads(self.recv_bytes())  # noqa: S301 - our own

    def receive_descriptor(self) -> int:
        """Wait for the descriptor that follows a message; EOFError if the other side has closed."""
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
        """Pass a shared dataset to workers forked from now on; OSError if the process has ended."""
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
        if _state_of(self.pid) != "stopped":
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
        self.log, self._closed = log, False
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

    def close(self) -> None:
        """End both servers and all their workers at once; a second call does nothing."""
        if self._closed:
            return
        self._closed = True
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


def _state_of(pid: int) -> str:
    """Return a process' state in psutil's words, such as `stopped` or `zombie`; empty if gone."""
    # psutil takes 10 ms to import; most commands do not need it.
    import psutil

    try:
        return str(psutil.Process(pid).status())
    except psutil.Error:
        return ""
