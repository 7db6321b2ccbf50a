"""One driver a directory, for exactly as long as it lives."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hpsearch.errors import LockedError
from hpsearch.store.directory import DirectoryLock

HOLDER = """
import os, subprocess, sys, time
from pathlib import Path
from hpsearch.store.directory import DirectoryLock
lock = DirectoryLock(Path(sys.argv[1]))
if sys.argv[2] == "fork":
    heard, tells = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(tells, b"x")
        time.sleep(60)
        os._exit(0)
    os.read(heard, 1)  # On a busy machine the child runs later than what follows here.
elif sys.argv[2] == "exec":
    runs = "import time; print('x', flush=True); time.sleep(60)"
    command = [sys.executable, "-c", runs]
    started = subprocess.Popen(command, close_fds=False, stdout=subprocess.PIPE)
    started.stdout.read(1)  # posix_spawn returns before the new program's descriptors are closed.
    child = started.pid
else:
    child = 0
print(child, flush=True)
time.sleep(60)
"""


@pytest.fixture
def hold(tmp_path: Path) -> Iterator:
    started = []

    def start(child: str = "none") -> tuple[subprocess.Popen[str], int]:
        process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(tmp_path), child], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        started.append((process, pid))
        return process, pid

    yield start
    for process, pid in started:
        process.kill()
        if pid:
            os.kill(pid, signal.SIGKILL)
        process.communicate()


@pytest.mark.parametrize("child", ["none", "exec", "fork"])
def test_a_killed_holder_frees_it_at_once(tmp_path: Path, hold, child: str) -> None:
    """Whatever its children do: they inherit no lock."""
    process, pid = hold(child)
    with pytest.raises(LockedError):
        DirectoryLock(tmp_path)
    process.kill()
    process.wait()
    if pid:
        os.kill(pid, 0)
    with DirectoryLock(tmp_path):
        pass


def test_a_forked_child_that_ends_leaves_its_parents_lock_alone(tmp_path: Path, hold) -> None:
    process, pid = hold("fork")
    os.kill(pid, signal.SIGTERM)
    time.sleep(0.1)
    with pytest.raises(LockedError, match=f"process {process.pid}"):
        DirectoryLock(tmp_path)


def test_released_it_is_free_and_a_leftover_file_locks_nobody(tmp_path: Path) -> None:
    (tmp_path / ".lock").write_text("999999\nleftover")
    lock = DirectoryLock(tmp_path)
    assert (tmp_path / ".lock").read_text() == f"{os.getpid()}\n"
    with pytest.raises(LockedError):
        DirectoryLock(tmp_path)
    lock.release()
    lock.release()
    with DirectoryLock(tmp_path), pytest.raises(LockedError):
        DirectoryLock(tmp_path)
    DirectoryLock(tmp_path).release()


def test_an_unreadable_holder_is_unknown(tmp_path: Path, hold) -> None:
    hold()
    (tmp_path / ".lock").write_bytes(b"\xff\xfe")
    with pytest.raises(LockedError, match="process"):
        DirectoryLock(tmp_path)
    (tmp_path / ".lock").write_bytes(b"")
    with pytest.raises(LockedError, match="process unknown"):
        DirectoryLock(tmp_path)
