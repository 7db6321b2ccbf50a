"""A program's process and its children: start, watch, halt, wait."""

from __future__ import annotations

import contextlib
import math
import os
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from functools import cache
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
        lock: An open file, locked until it and all that it starts have ended; or no file.

    Raises:
        OSError: It cannot be started.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        directory: str,
        environment: Mapping[str, str],
        output: Path,
        lock: int = subprocess.DEVNULL,
    ) -> None:
        # If it is not found, Popen says so.
        program = shutil.which(arguments[0], path=environment.get("PATH"))
        with (
            (output / "stdout.log").open("ab") as stdout,
            (output / "stderr.log").open("ab") as stderr,
        ):
            self._process = subprocess.Popen(  # noqa: S603 - a list of arguments, no shell
                [*(ending_with_parent() if program else ()), *arguments],
                cwd=directory,
                env=dict(environment),
                # Python closes other descriptors for what it starts, and shells replace this one.
                stdin=lock,
                pass_fds=[lock] if lock >= 0 else [],
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
        """End the rest of the group, and wait for it."""
        self._signal(signal.SIGKILL)
        self._process.wait()
        deadline = time.monotonic() + _KILLED_SECONDS
        while time.monotonic() < deadline and self._group_lives():
            time.sleep(0.001)
        if self._handle >= 0:
            os.close(self._handle)

    @property
    def code(self) -> int | None:
        """The exit code as in `subprocess.Popen.returncode`; None while the process runs."""
        return self._process.poll()

    def wait(self, seconds: float = _POLL_SECONDS) -> None:
        """Wait until the process has ended, at most `seconds`."""
        if self._handle >= 0:
            watcher = select.poll()
            watcher.register(self._handle, select.POLLIN)
            watcher.poll(seconds * 1_000)
        elif self.code is None:
            time.sleep(seconds)

    def halt(self, most_seconds: float = math.inf) -> None:
        """Send SIGTERM to the group; wait for its end, at most GRACE_SECONDS and `most_seconds`."""
        deadline = time.monotonic() + min(GRACE_SECONDS, most_seconds)
        self._signal(signal.SIGTERM)
        # Continue a stopped process, which could not handle the signal.
        self._signal(signal.SIGCONT)
        while self.code is None and time.monotonic() < deadline:
            self.wait()
        # The process may be a shell, with the program as its child.
        while time.monotonic() < deadline and self._group_lives():
            time.sleep(_POLL_SECONDS)

    def _group_lives(self) -> bool:
        """Check if a process of the group is left, after the first has ended."""
        # Dead members that this process adopted would count.
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-self.pid, os.WNOHANG)[0]:
                pass
        return self._signal(0)

    def _signal(self, number: int) -> bool:
        """Send a signal to the group; return False if it has no process left."""
        # While a process is in the group, no other group gets its number.
        try:
            os.killpg(self.pid, number)
        except (ProcessLookupError, PermissionError):
            return False
        return True


@cache
def ending_with_parent() -> Sequence[str]:
    """Return a beginning of command lines whose process ends with its parent (Linux; else none).

    Python could do it only by forking this process, which takes much longer.
    """
    beginning = ["setpriv", "--pdeathsig", "KILL", "--"]
    # Older versions lack the option.
    with contextlib.suppress(OSError, subprocess.CalledProcessError):
        subprocess.run([*beginning, "true"], capture_output=True, check=True)  # noqa: S603 - fixed
        return beginning
    return ()


def end_holders(lock: Path) -> bool:
    """Kill the other processes with a locked file open (Linux); return False if there is none."""
    is_held = False
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            for link in (process / "fd").iterdir():
                info = process / "fdinfo" / link.name
                if link.readlink() == lock and "FLOCK" in info.read_text("ascii"):
                    pid = int(process.name)
                    if pid != os.getpid():
                        os.kill(pid, signal.SIGKILL)
                        is_held = True
    return is_held
