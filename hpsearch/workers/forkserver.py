"""Two server processes that fork ready workers: one light, one with TensorFlow imported."""

from __future__ import annotations

import gc
import os
import selectors
import signal
import socket
import sys
from typing import Any, NoReturn

from hpsearch.machine import die_first
from hpsearch.workers.servers import Channel
from hpsearch.workers.shared import mapped

#: Of `prctl`.
_DEATH_SIGNAL, _NAME = 1, 15


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
    # Not at the top: once Ctrl-C is ignored here, and the garbage collector rests.
    import hpsearch.workers.work

    del hpsearch


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

            # Imported by then; see `_preload_light`.
            from hpsearch.workers.work import serve

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
            # Imported by then; see `_preload_light`.
            from hpsearch.workers.work import preload_tensorflow

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
