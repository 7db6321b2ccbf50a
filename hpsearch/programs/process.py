"""A program's process and its children: start, watch, halt, wait."""

from __future__ import annotations

import contextlib
import math
import os
import select
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

#: Time between SIGTERM and SIGKILL, in which a program may save a checkpoint.
GRACE_SECONDS = 30.0
#: Longest sleep between two looks at a process.
_POLL_SECONDS = 0.02
#: Time for a killed process to disappear, unless it is stuck in the kernel.
_KILLED_SECONDS = 1.0


class ProgramProcess:
    """A process in a new session and process group, without a terminal.

    Args:
        arguments: Its command line; no shell reads it.
        directory: Its working directory.
        environment: All of its environment.
        output: The directory for stdout.log and stderr.log.

    Raises:
        OSError: It cannot be started.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        directory: str,
        environment: Mapping[str, str],
        output: Path,
    ) -> None:
        with (
            (output / "stdout.log").open("ab") as stdout,
            (output / "stderr.log").open("ab") as stderr,
        ):
            self._process = subprocess.Popen(  # noqa: S603 - a list of arguments, no shell
                list(arguments),
                cwd=directory,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
            )
        self.pid = self._process.pid
        self._handle = -1
        # Only Linux reports an end by a descriptor; elsewhere the process is polled.
        with contextlib.suppress(AttributeError, OSError):
            self._handle = os.pidfd_open(self.pid)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """End the rest of the group, and wait for the process."""
        if self._process.returncode is None:
            self._signal(signal.SIGKILL)
            self.close()
        if self._handle >= 0:
            os.close(self._handle)

    @property
    def ended(self) -> bool:
        """True if the process has ended; it keeps its PID until `close`."""
        if self._process.returncode is not None:
            return True
        if not hasattr(os, "waitid"):
            return self._process.poll() is not None
        options = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, self.pid, options) is not None

    def wait(self, seconds: float = _POLL_SECONDS) -> None:
        """Wait until the process has ended, at most `seconds`."""
        if self._handle >= 0:
            watcher = select.poll()
            watcher.register(self._handle, select.POLLIN)
            watcher.poll(seconds * 1_000)
        elif not self.ended:
            time.sleep(seconds)

    def halt(self, most_seconds: float = math.inf) -> None:
        """Send SIGTERM to the group, and wait until it has ended or the grace period is over.

        Args:
            most_seconds: Limit of the grace period, if shorter than GRACE_SECONDS.
        """
        deadline = time.monotonic() + min(GRACE_SECONDS, most_seconds)
        self._signal(signal.SIGTERM)
        # Continue a stopped process, which could not handle the signal.
        self._signal(signal.SIGCONT)
        while not self.ended and time.monotonic() < deadline:
            self.wait()
        # The process may be a shell, with the program as its child.
        while self._lives() and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)

    def close(self) -> int:
        """End the rest of the group, wait for it, and return the exit code.

        Returns:
            As `subprocess.Popen.returncode`: minus the signal's number for one that a signal ended.
        """
        # Kill before waiting: the process number is not reused until then.
        self._signal(signal.SIGKILL)
        deadline = time.monotonic() + _KILLED_SECONDS
        while self._lives() and time.monotonic() < deadline:
            time.sleep(0.001)
        code = self._process.wait()
        # Other members of the group, which this process adopted.
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-self.pid, os.WNOHANG)[0]:
                pass
        return code

    def _lives(self) -> bool:
        """Check if a process of the group is left that can be ended (Linux; elsewhere False)."""
        with contextlib.suppress(OSError):
            names = (path.name for path in Path("/proc").iterdir())
            return any(self._has(int(name)) for name in names if name.isdigit())
        return False

    def _has(self, pid: int) -> bool:
        """Check if a process is in the group and alive; a dead one may wait long for its parent."""
        try:
            if os.getpgid(pid) != self.pid:
                return False
            # Excludes another user's processes.
            os.kill(pid, 0)
            stat = Path(f"/proc/{pid}/stat").read_bytes()
        except OSError:
            return False
        # A process name, in brackets here, may have any characters.
        return stat.rpartition(b")")[2].split()[0] not in (b"Z", b"X")

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)
