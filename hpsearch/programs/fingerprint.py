"""What tells one state of a program from another: its files and its git commit."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

from hpsearch.programs.command import UserProgram

_GIT_SECONDS = 20.0
_COMMIT_DIGITS = 12


def program_files(program: UserProgram) -> list[Path]:
    """Return the program's file, and every other file that its command names."""
    found = [Path(program.program)] if program.program else []
    here = Path(program.directory)
    for item in program.command:
        # An absolute path is more likely an interpreter's, which is no part of the program.
        if "${" in item or "\0" in item or Path(item).is_absolute():
            continue
        try:
            if (here / item).is_file():
                found.append(here / item)
        except OSError:
            # A name that is too long for a file.
            continue
    return list(dict.fromkeys(found))


def fingerprint_of(program: UserProgram) -> str:
    """Return `d` and 11 hex digits of the program's files; equal for equal contents.

    Raises:
        OSError: A file cannot be read.
    """
    digest = hashlib.sha256()
    for path in program_files(program):
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return "d" + digest.hexdigest()[:11]


def commit_of(program: UserProgram) -> str:
    """Return the git commit of the program's file, with `+dirty` if tracked files have changes.

    Empty if it is in no repository, or there is no git.
    """
    files = program_files(program)
    place = files[0].parent if files else Path(program.directory)
    commit = _git(place, "rev-parse", "--verify", "--quiet", "HEAD")
    if not commit:
        return ""
    changed = _git(place, "status", "--porcelain", "--untracked-files=no")
    return commit[:_COMMIT_DIGITS] + ("+dirty" if changed else "")


def _git(place: Path, *arguments: str) -> str:
    """What git prints; empty if it fails."""
    # It must neither run a repository's own monitor nor write its index.
    command = ["git", "-c", "core.fsmonitor=false", "--no-optional-locks", "-C", str(place)]
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


def code_lines(program: UserProgram) -> Iterator[str]:
    """Yield lines for people: what is fingerprinted, and of which commit it is."""
    names = ", ".join(str(path) for path in program_files(program)) or "no file"
    commit = commit_of(program)
    yield f"program    {names}" + (f", commit {commit}" if commit else "")
