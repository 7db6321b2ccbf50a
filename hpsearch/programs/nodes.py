"""Check that a machine of a cluster has access to the files of a program's trials."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import NoReturn

from hpsearch.errors import InputError
from hpsearch.programs.command import UserProgram
from hpsearch.programs.fingerprint import fingerprint_of

#: File in the directory of the trials, with a unique text, new with each run.
MARK = ".hpsearch"
_NEEDED = (
    "all machines that run a program need the driver's results directory, working directory and "
    "program at the same paths, such as on a file system that they share"
)


def require_fit(program: UserProgram, fingerprint: str = "") -> None:
    """Check that this machine can run a program's trials; the driver's, without a mark, can.

    Args:
        fingerprint: Fingerprint of the program on the driver's machine; empty to skip the
            comparison.

    Raises:
        InputError: It cannot.
    """
    if not program.mark:
        return
    trials = Path(program.trials)
    try:
        same = (trials / MARK).read_text(encoding="utf-8") == program.mark
        known = fingerprint_of(program) if fingerprint else ""
    except (OSError, ValueError) as error:
        _refuse(f"does not have {getattr(error, 'filename', None) or trials}")
    if not same:
        _refuse(f"has another directory {trials}")
    if known != fingerprint:
        _refuse(f"has another {program.program}")
    if not os.access(trials, os.W_OK):
        _refuse(f"may not write to {trials}")
    if not Path(program.directory).is_dir():
        _refuse(f"does not have {program.directory}")


def _refuse(what: str) -> NoReturn:
    raise InputError(f"the machine {socket.gethostname()} {what}: {_NEEDED}")


def why_unfit(program: UserProgram, fingerprint: str) -> str:
    """Return why this machine cannot run a program's trials; empty if it can."""
    try:
        require_fit(program, fingerprint)
    except InputError as error:
        return str(error)
    return ""
