"""The identity of a program's state: the fingerprint of its file, and its git commit."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path

from hpsearch.machine import version_of
from hpsearch.spec.command import UserProgram

_GIT_SECONDS = 20.0
_COMMIT_DIGITS = 12


def fingerprint_of(program: UserProgram) -> str:
    """Return `d` and 11 hex digits of the program's file, or of its command if it has none.

    Raises:
        OSError: The file cannot be read.
    """
    if program.program:
        with Path(program.program).open("rb") as file:
            digest = hashlib.file_digest(file, "sha256")
    else:
        digest = hashlib.sha256(json.dumps(program.command).encode())
    return "d" + digest.hexdigest()[:11]


def commit_of(program: UserProgram) -> str:
    """Return the git commit of the program's file, with `+dirty` if tracked files have changes.

    Empty if the file is not in a repository or git is missing.
    """
    directory = Path(program.program).parent if program.program else Path(program.directory)
    commit = _git(directory, "rev-parse", "--verify", "--quiet", "HEAD")
    if not commit:
        return ""
    changed = _git(directory, "status", "--porcelain", "--untracked-files=no")
    return commit[:_COMMIT_DIGITS] + ("+dirty" if changed else "")


def program_versions(program: UserProgram, fingerprint: str) -> dict[str, str]:
    """Return the cells of a new row that name the code that made it."""
    return {
        "version": version_of("hpsearch"),
        "data": fingerprint,
        "program_commit": commit_of(program),
    }


def _git(directory: Path, *arguments: str) -> str:
    """Return git's output; empty if it fails."""
    # git must not run a repository's own monitor or write its index.
    command = ["git", "-c", "core.fsmonitor=false", "--no-optional-locks", "-C", str(directory)]
    try:
        done = subprocess.run(  # noqa: S603 - a list of arguments, no shell
            [*command, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_GIT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
