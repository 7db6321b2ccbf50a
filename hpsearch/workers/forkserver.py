"""Two server processes that fork ready workers: one light, one with TensorFlow imported."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import selectors
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from hpsearch.machine import descendants
from hpsearch.wording import write_trace
from hpsearch.workers.servers import END_SIGNAL, Channel
from hpsearch.workers.shared import mapped

#: Options of `prctl`: the signal at the parent's end, the name for `ps` and `top`, and the adoption
#: of descendants whose parent ends, so that they cannot escape.
_DEATH_SIGNAL, _NAME, _ADOPTS = 1, 15, 36


def _set(option: int, value: Any) -> None:
    """Set a property of this process (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(option, value)


def _end_with_parent(parent: int, number: int = signal.SIGKILL) -> None:
    """Have the system send this process a signal when its parent ends (Linux)."""
    _set(_DEATH_SIGNAL, number)
    if os.getppid() != parent:
        os._exit(1)


def _end_family(*_: object) -> NoReturn:
    """End all descendants of this process, even in other sessions, then this process."""
    own_pid = os.getpid()
    while family := descendants([own_pid])[own_pid]:
        for pid in family:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        # Processes whose parent was killed are now children of this one.
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            break
    os._exit(0)


class _Server:
    """The loop of a forking process.

    Args:
        serve: `work.serve`, the loop of a worker.
        other: The other server's PID, if it is a child of this one.
    """

    def __init__(self, channel: Channel, serve: Callable[[int, int, Any], int], other: int) -> None:
        self._channel = channel
        self._serve = serve
        self._dataset: Any = None
        self._own = {other} if other else set()
        self._wakeup, self._signalled = os.pipe()

    def run(self) -> None:
        """Handle the driver's messages until the driver ends."""
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
                        self._receive()

    def _receive(self) -> None:
        message, descriptor = self._channel.receive(), self._channel.receive_descriptor()
        match message:
            case ("data",):
                self._dataset = mapped(descriptor)
            case ("fork", number, paths):
                self._fork(number, descriptor, paths)
        os.close(descriptor)

    def _fork(self, worker: int, connection: int, paths: list[str]) -> None:
        server = os.getpid()
        try:
            pid = os.fork()
        except OSError as error:
            sys.stderr.write(f"no process for a worker: {error}; fewer workers need fewer\n")
            sys.stderr.flush()
            os._exit(1)
        if pid == 0:
            # Only now: optional imports of hpsearch's packages must not find the user's files.
            sys.path += [path for path in paths if path not in sys.path]
            with contextlib.suppress(OSError):
                os.chdir(paths[-1])
            self._become_worker(worker, connection, server)
        self._own.add(pid)
        self._channel.send(("forked", pid))

    def _become_worker(self, worker: int, connection: int, server: int) -> NoReturn:
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(END_SIGNAL, signal.SIG_DFL)
            _end_with_parent(server)
            _set(_ADOPTS, 1)
            _set(_NAME, f"hpsearch-{worker or 'tuner'}".encode())
            if worker:
                # Out of memory, Linux is to end a worker first, not the tuner, which a run needs.
                with contextlib.suppress(OSError):
                    Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
            self._channel.close()
            os.close(self._wakeup)
            os.close(self._signalled)
            code = self._serve(worker, connection, self._dataset)
        except KeyboardInterrupt:
            pass
        except BaseException as error:  # noqa: BLE001  # the end of the process: run.log has it
            with contextlib.suppress(Exception):
                write_trace(error)
        finally:
            for stream in (sys.stdout, sys.stderr):
                # The worker's code may have closed or replaced the streams.
                with contextlib.suppress(Exception):
                    stream.flush()
            # A forked child must run neither atexit handlers nor TensorFlow's teardown.
            os._exit(code)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            was_own = pid in self._own
            self._own.discard(pid)
            # First, because the driver gives the worker's GPU to another one.
            self._end_adopted()
            if was_own:
                self._channel.send(("ended", pid, status))

    def _end_adopted(self) -> None:
        """End the processes that a worker left, which are this process's children now."""
        own_pid = os.getpid()
        families = descendants([own_pid, *self._own])
        kept = self._own.union(*(families[pid] for pid in self._own))
        for pid in families[own_pid]:
            if pid not in kept:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def main() -> None:
    """Run both servers.

    Arguments: the descriptors of their sockets, the driver's PID, and whether the second imports
    `tensorflow`.
    """
    light, loaded, driver = map(int, sys.argv[1:4])
    signal.signal(END_SIGNAL, _end_family)
    _end_with_parent(driver, END_SIGNAL)
    _set(_ADOPTS, 1)
    # Leave Ctrl-C to the driver.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Imports leave little garbage, but collecting it takes a third of their time.
    gc.disable()
    # Import before the fork and without garbage collection, so that workers are ready sooner.
    import hpsearch.training.mlps
    from hpsearch.workers.work import preload_tensorflow, serve

    del hpsearch

    parent = os.getpid()
    other = os.fork()
    if other == 0:
        os.close(light)
        signal.signal(END_SIGNAL, signal.SIG_DFL)
        _end_with_parent(parent)
        _set(_ADOPTS, 1)
        channel = _introduce("hpsearch-tf", loaded)
        if sys.argv[4] == "tensorflow":
            preload_tensorflow()
    else:
        os.close(loaded)
        channel = _introduce("hpsearch-fork", light)
    gc.freeze()
    gc.enable()
    try:
        channel.send(("ready",))
        _Server(channel, serve, other).run()
    except (EOFError, OSError):
        # The driver has ended.
        _end_family()


def _introduce(name: str, descriptor: int) -> Channel:
    """Name this process, and report its PID to the driver."""
    _set(_NAME, name.encode())
    channel = Channel(socket.socket(fileno=descriptor))
    channel.send(("started", os.getpid()))
    return channel


if __name__ == "__main__":
    main()
