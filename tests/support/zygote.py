"""A process that has imported what commands of hpsearch import, and forks one for each command.

    python zygote.py DESCRIPTOR

That spares each command the import of pandas and SciPy, and its servers that of TensorFlow, which
takes seconds. A forked command is a process of its own like any other, and so are its servers and
workers; it forks the servers of searches in the tests' own process, too. Tests of imports,
environments, memory and kills start a fresh interpreter.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import functools
import gc
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

from hpsearch.workers import forkserver, servers

_MOST_BYTES = 1 << 16
_MOST_SAID = 1 << 24
_END_SECONDS = 10


class Zygote:
    """The side of the tests: starts the process, and has commands run."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket, theirs = socket.socketpair(type=socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", __file__, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env=os.environ | servers.ENVIRONMENT,
            )
        atexit.register(self._close)

    def _close(self) -> None:
        self._socket.close()
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            # Somebody else holds its socket.
            self._process.kill()
            self._process.wait()

    def run(
        self, arguments: Sequence[str], *, cwd: Path, env: Mapping[str, str], seconds: float
    ) -> subprocess.CompletedProcess[str]:
        """Run `hpsearch ARGUMENTS` to its end, or a script if the first argument is its path.

        Raises:
            subprocess.TimeoutExpired: It did not end in time, and was killed.
        """
        started = self.start(arguments, cwd=cwd, env=env)
        try:
            texts = started.communicate(seconds)
        except BaseException:
            started.kill()
            started.communicate()
            raise
        return subprocess.CompletedProcess(["hpsearch", *arguments], started.returncode, *texts)

    def start(self, arguments: Sequence[str], *, cwd: Path, env: Mapping[str, str]) -> Started:
        """Start `hpsearch ARGUMENTS` as a child of this process."""
        request = "command", [*arguments], str(cwd.absolute()), dict(env)
        files = [os.memfd_create("said") for _ in range(2)]
        return Started(self._adopted(request, files), files)

    def servers(
        self, command: Sequence[str], *, pass_fds: Sequence[int], stdout: Any, env: Any, **_: Any
    ) -> _Process:
        """Fork the servers of this process, in place of a Popen of their module."""
        request = "servers", list(command), os.getcwd(), dict(env)
        return _Process(self._adopted(request, [stdout.fileno(), *pass_fds]))

    def _adopted(self, request: Sequence[Any], descriptors: Sequence[int]) -> int:
        with self._lock:
            _adopt_orphans(1)
            try:
                return self._ask(request, descriptors)
            finally:
                _adopt_orphans(0)

    def _ask(self, request: Sequence[Any], descriptors: Sequence[int]) -> int:
        message = json.dumps(request).encode()
        assert len(message) <= _MOST_BYTES, "larger than the zygote reads"
        # An interrupt between request and reply would leave the reply to the next request.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGALRM})
        try:
            socket.send_fds(self._socket, [message], descriptors)
            return int(self._socket.recv(_MOST_BYTES))
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _adopt_orphans(on: int) -> None:
    """Become the parent of descendants that lose their own, or leave that to others again."""
    ctypes.CDLL(None).prctl(forkserver._ADOPTS, on)


class _Process:
    """A process that was forked, where others have a Popen."""

    def __init__(self, pid: int) -> None:
        self.returncode: int | None = None
        self.pid = pid

    def wait(self, timeout: float | None = None) -> int:
        """As `Popen.wait`."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while self.returncode is None:
            pid, status = os.waitpid(self.pid, 0 if deadline is None else os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
            elif time.monotonic() > deadline:
                raise subprocess.TimeoutExpired("hpsearch", timeout)
            else:
                time.sleep(0.005)
        return self.returncode

    def poll(self) -> int | None:
        """As `Popen.poll`."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def send_signal(self, number: int) -> None:
        """As `Popen.send_signal`."""
        if self.poll() is None:
            os.kill(self.pid, number)


class Started(_Process):
    """A command that was started, with what a Popen has."""

    def __init__(self, pid: int, files: list[int]) -> None:
        super().__init__(pid)
        self._files, self._said = files, [""] * len(files)

    def communicate(self, timeout: float | None = None) -> tuple[str, ...]:
        """As `Popen.communicate`."""
        self.wait(timeout)
        while self._files:
            with os.fdopen(self._files.pop(), "rb") as file:
                self._said[len(self._files)] = os.pread(file.fileno(), _MOST_SAID, 0).decode()
        return tuple(self._said)

    def kill(self) -> None:
        """As `Popen.kill`."""
        self.send_signal(signal.SIGKILL)


def subprocess_with(popen: Callable[..., Any]) -> SimpleNamespace:
    """What `hpsearch.workers.servers` needs of `subprocess`, with another Popen."""
    return SimpleNamespace(
        Popen=popen, DEVNULL=subprocess.DEVNULL, TimeoutExpired=subprocess.TimeoutExpired
    )


def _fork_servers(
    command: Sequence[str], *, pass_fds: Sequence[int], stdout: Any, env: Any, **_: Any
) -> _Process:
    """Fork the servers of a command, which is this process."""
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        _ending(lambda: _be_servers(command, pass_fds, stdout.fileno(), env))
    return _Process(pid)


def _be_servers(
    command: Sequence[str], kept: Sequence[int], log: int, env: Mapping[str, str]
) -> None:
    os.setsid()
    for standard in (1, 2):
        os.dup2(log, standard)
    begin = 3
    for descriptor in sorted(kept):
        os.closerange(begin, descriptor)
        begin = descriptor + 1
    os.closerange(begin, os.sysconf("SC_OPEN_MAX"))
    os.environ.clear()
    os.environ.update(env)
    sys.argv = list(command[command.index("hpsearch.workers.forkserver") :])
    forkserver.main()


def _tests_servers(
    command: list[str], cwd: str, env: Mapping[str, str], log: int, *kept: int
) -> None:
    """Be the servers of the tests' process."""
    place = command.index("hpsearch.workers.forkserver") + 1
    command[place : place + 2] = map(str, kept)
    os.chdir(cwd)
    _be_servers(command, kept, log, env)


def _orphaned(call: Callable[[], None]) -> int:
    """Fork by a process that ends at once, so that the child is the tests' process'."""
    tests = os.getppid()
    readable, writable = os.pipe()
    between = os.fork()
    if between == 0:
        middle = os.getpid()
        pid = os.fork()
        if pid:
            os.write(writable, str(pid).encode())
            os._exit(0)
        while (parent := os.getppid()) == middle:
            time.sleep(0.001)
        if parent != tests:
            os._exit(1)
        _ending(call)
    os.waitpid(between, 0)
    pid = int(os.read(readable, 32))
    os.close(readable)
    os.close(writable)
    return pid


def _ending(call: Callable[[], None]) -> NoReturn:
    """Call, and end this process as Python would, but for what the zygote registered."""
    code: Any = 1
    try:
        call()
        code = 0
    except SystemExit as end:
        code = end.code
    except BaseException:  # noqa: BLE001 - as Python ends
        traceback.print_exc()
    if isinstance(code, str):
        sys.stderr.write(f"{code}\n")
        code = 1
    try:
        threading._shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code or 0)


def _command(arguments: list[str], cwd: str, env: dict[str, str], out: int, err: int) -> None:
    """Be `python -m hpsearch ARGUMENTS`, or `python SCRIPT ARGUMENTS`."""
    from hpsearch.__main__ import main

    # What the zygote registered is not the command's.
    atexit._clear()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    for standard, file, errors in ((1, out, "strict"), (2, err, "backslashreplace")):
        os.dup2(file, standard)
        text = open(standard, "w", encoding="utf-8", errors=errors, closefd=False)  # noqa: SIM115
        setattr(sys, ("stdout", "stderr")[standard - 1], text)
    sys.stderr.reconfigure(line_buffering=True)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    servers.subprocess = subprocess_with(_fork_servers)
    if arguments[0].endswith(".py"):
        sys.argv = arguments
        sys.path.insert(0, str(Path(arguments[0]).parent))
        runpy.run_path(arguments[0], run_name="__main__")
        return
    sys.argv = ["hpsearch", *arguments]
    main()


def _preload() -> None:
    """Import what commands and workers import; start nothing, since this process forks."""
    import keras_tuner
    import plotly.graph_objects
    import scipy.optimize
    import scipy.stats
    import sklearn.ensemble

    import hpsearch.cli.models
    import hpsearch.cli.plan
    import hpsearch.cli.show
    import hpsearch.cli.tables
    import hpsearch.engine.run
    import hpsearch.kerastuner.sweep_tuner
    from hpsearch.workers.work import preload_tensorflow

    preload_tensorflow()
    del hpsearch, keras_tuner, plotly, scipy, sklearn


def _serve(channel: socket.socket) -> None:
    while True:
        message, descriptors, _, _ = socket.recv_fds(channel, _MOST_BYTES, 3)
        if not message:
            return
        what, *request = json.loads(message)
        be = _tests_servers if what == "servers" else _command
        pid = _orphaned(functools.partial(be, *request, *descriptors))
        for descriptor in descriptors:
            os.close(descriptor)
        channel.send(str(pid).encode())


if __name__ == "__main__":
    gc.disable()
    _preload()
    gc.freeze()
    gc.enable()
    _serve(socket.socket(fileno=int(sys.argv[1])))
