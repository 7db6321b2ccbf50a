"""Disks that are full and directories that cannot be written, as real as this machine allows.

Root, or a user who may make namespaces, mounts one. Where neither is possible, limits and another
user's permissions stand in: a process' own limit of a file's size, and user `nobody`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_HPSEARCH = (sys.executable, "-m", "hpsearch")


def mounted(*arguments: object) -> bool:
    """Whether a mount could be made."""
    done = subprocess.run(["mount", *map(str, arguments)], capture_output=True, check=False)
    return done.returncode == 0


@dataclass
class Disk:
    """A directory on a disk with little room, or one that cannot be written.

    Attributes:
        program: Runs hpsearch on it, as somebody who may read it; None for the usual way.
    """

    path: Path
    program: Sequence[str] | None = None

    def make_room(self) -> None:
        """Give it room enough."""
        if self.program is None:
            assert mounted("-o", "remount,size=64m", self.path)
        self.program = None


@contextmanager
def small_disk(path: Path, size_bytes: int) -> Iterator[Disk]:
    """A disk of so many bytes, mounted at `path`, which is made."""
    path.mkdir()
    if mounted("-t", "tmpfs", "-o", f"size={size_bytes}", "hpsearch-test", path):
        try:
            yield Disk(path)
        finally:
            subprocess.run(["umount", "--lazy", str(path)], check=True)
        return
    # No file may grow beyond it, which a process is told as it is of a full disk.
    yield Disk(path, ("prlimit", f"--fsize={size_bytes // 2}", *_HPSEARCH))


@contextmanager
def read_only(path: Path) -> Iterator[Disk]:
    """A directory whose file system is mounted read-only for as long as it is used."""
    if mounted("--bind", path, path):
        try:
            assert mounted("-o", "remount,bind,ro", path)
            yield Disk(path)
        finally:
            subprocess.run(["umount", "--lazy", str(path)], check=True)
        return
    before = {each: each.stat().st_mode for each in (path, *path.iterdir())}
    for each, mode in before.items():
        each.chmod(mode & 0o555)
    try:
        program = None
        if os.geteuid() == 0:
            # Permissions do not hold for root.
            assert shutil.which("setpriv"), "needs mount or setpriv (util-linux)"
            program = ("setpriv", "--reuid=65534", "--clear-groups", *_HPSEARCH)
        yield Disk(path, program)
    finally:
        for each, mode in before.items():
            each.chmod(mode)
