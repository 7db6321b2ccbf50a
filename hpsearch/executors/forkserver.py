"""Two processes that fork ready workers on request: one at once, one with TensorFlow imported.

Forking takes some 20 ms where importing takes seconds. The first process imports little and forks
*light* workers, for trainings that need no TensorFlow. Before any of them it forks the second
process, which imports TensorFlow while those are at work already, and then forks *loaded* workers;
requests wait in its socket until it has.

Forking holds only as long as a process has one thread and has run nothing of TensorFlow, so these
do nothing else: they import, map the data, fork, and report which children ended. They end with
their driver, and their workers with them.

The standard library's forkserver would import the user's `__main__` again in each worker, and
has one server a process, whose environment is the first user's.

Messages from the driver, pickled, a length first: `("data",)` with the descriptor of a shared
dataset; `("fork", worker number, growth in bytes at which it retires)` with the worker's end of a
connection. To the driver: `("started", pid)` of the server, `("forked", pid)` in the order of the
requests, `("ended", pid, wait status)`.
"""

from __future__ import annotations

import array
import gc
import os
import pickle
import selectors
import signal
import socket
import sys
from typing import Any, NoReturn

from hpsearch.executors.memory import die_first

__all__ = ["Channel", "main", "preload_tensorflow"]

_HEADER = 8
#: Of `prctl`.
_DEATH_SIGNAL, _NAME = 1, 15


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
        header = len(body).to_bytes(_HEADER, "little")
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
        header, ancillary, _, _ = self.socket.recvmsg(_HEADER, socket.CMSG_LEN(size))
        header += self._exactly(_HEADER - len(header)) if header else b""
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


def _set(option: int, value: Any) -> None:
    """Set a property of this process, where the system has such ones (Linux)."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None, use_errno=True).prctl(option, value)


def _end_with_parent(parent: int) -> None:
    """Have the system kill this process when its parent ends, where it can (Linux)."""
    _set(_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _call_it(name: str) -> None:
    """Name this process for `ps` and `top`."""
    _set(_NAME, name.encode())


def _preload_light() -> None:
    """Import all that a light worker needs, so that it is forked with it."""
    import hpsearch.executors.worker
    import hpsearch.training

    del hpsearch


def preload_tensorflow() -> None:
    """Import what else a loaded worker needs."""
    # Keras asks for the devices when it first builds something; TensorFlow's own answer here
    # would start its runtime, so the import alone must do.
    import keras_tuner
    import tensorflow as tf
    from keras.src.backend.tensorflow import trainer

    import hpsearch.hypermodel
    import hpsearch.training.compiled

    del keras_tuner, tf, trainer, hpsearch


class _Server:
    """The loop of a forking process."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._dataset: Any = None
        self._wakeup, self._signalled = os.pipe()

    def run(self) -> None:
        """Serve until the driver is gone."""
        for end in (self._wakeup, self._signalled):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(self._signalled)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        with selectors.DefaultSelector() as selector:
            selector.register(self._channel, selectors.EVENT_READ)
            selector.register(self._wakeup, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    if key.fd == self._wakeup:
                        os.read(self._wakeup, 512)
                        self._reap()
                    else:
                        self._serve()

    def _serve(self) -> None:
        message, descriptor = self._channel.receive()
        if message[0] == "data":
            from hpsearch.executors.shared import mapped

            assert descriptor is not None
            self._dataset = mapped(descriptor)
            os.close(descriptor)
        elif message[0] == "fork":
            assert descriptor is not None
            self._fork(message[1], descriptor, message[2])
            os.close(descriptor)

    def _fork(self, worker: int, connection: int, growth_bytes: int) -> None:
        server = os.getpid()
        pid = os.fork()
        if pid == 0:
            self._become_worker(worker, connection, server, growth_bytes)
        self._channel.send(("forked", pid))

    def _become_worker(
        self, worker: int, connection: int, server: int, growth_bytes: int
    ) -> NoReturn:
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _end_with_parent(server)
            _call_it(f"hpsearch-{worker}")
            die_first()
            self._channel.socket.close()
            os.close(self._wakeup)
            os.close(self._signalled)
            from hpsearch.executors.worker import serve

            serve(worker, connection, self._dataset, growth_bytes)
            code = 0
        except KeyboardInterrupt:
            pass
        except BaseException:  # noqa: BLE001  # last stop of a process: tell run.log
            import traceback

            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            # Neither atexit handlers nor TensorFlow's own teardown belong to a forked child.
            os._exit(code)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self._channel.send(("ended", pid, status))


def main() -> None:
    """Run both servers.

    Arguments: their sockets' descriptors, the driver's process, what the second imports, paths.
    """
    light, loaded, driver = map(int, sys.argv[1:4])
    sys.path += [path for path in sys.argv[5:] if path not in sys.path]
    _end_with_parent(driver)
    # Ctrl-C goes to the driver alone, which decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Imports leave next to no garbage, and looking for it takes a third of their time.
    gc.disable()
    _preload_light()
    parent = os.getpid()
    if os.fork() == 0:
        os.close(light)
        _end_with_parent(parent)
        channel = _introduced("hpsearch-tf", loaded)
        if sys.argv[4] == "tensorflow":
            preload_tensorflow()
    else:
        os.close(loaded)
        channel = _introduced("hpsearch-fork", light)
    gc.freeze()
    gc.enable()
    try:
        _Server(channel).run()
    except (EOFError, OSError):
        # The driver is gone; the workers follow by their death signal, or at their next message.
        os._exit(0)


def _introduced(name: str, descriptor: int) -> Channel:
    """The channel to the driver, which is told who is at its other end."""
    _call_it(name)
    channel = Channel(socket.socket(fileno=descriptor))
    channel.send(("started", os.getpid()))
    return channel


if __name__ == "__main__":
    main()
