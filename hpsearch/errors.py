"""Every error that hpsearch raises on purpose.

    HpsearchError
    |-- InputError                      exit code 2: the user's file, data or arguments
    |   |-- SweepFileError              all problems of a sweep file, each with its line
    |   |-- ConstraintError             a constraint expression
    |   |-- DataError                   a dataset that cannot be used
    |   `-- NotSupportedError           valid input that this version or system cannot execute
    |-- RefusedError                    exit code 3: sound input that must not proceed
    |   |-- LockedError                 another driver holds the results directory
    |   |-- ChangedSweepError           data, split, metric or recipe differ from the stored ones
    |   `-- StoreError                  the store is corrupt or cannot be written
    `-- Interrupted                     130 or 143: a signal
        `-- Terminated                  a SIGTERM, which ends a script as sys.exit does

A message says what is wrong, where, the rule, the value found, and what to do.
"""

from __future__ import annotations

import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class HpsearchError(Exception):
    """Base class of all errors that hpsearch raises on purpose."""

    exit_code = 2


class InputError(HpsearchError):
    """The user's sweep file, data or arguments cannot be used."""


@dataclass(frozen=True)
class InputProblem:
    """A problem in a sweep file: its line (from 1), key path and message."""

    line: int
    path: str
    message: str


class SweepFileError(InputError):
    """A sweep file has problems; the message has a line `FILE:LINE: path: message` for each."""

    def __init__(self, filename: str, problems: Sequence[InputProblem]) -> None:
        self.filename = filename
        self.problems = tuple(problems)
        lines = []
        for problem in problems:
            path = f"{problem.path}: " if problem.path else ""
            lines.append(f"{filename}:{problem.line}: {path}{problem.message}")
        super().__init__("\n".join(lines))


class ConstraintError(InputError):
    """A constraint expression cannot be parsed or evaluated."""


class DataError(InputError):
    """A dataset cannot be found, read or used."""


class NotSupportedError(InputError):
    """The input is valid, but this version or system cannot execute it."""


class RefusedError(HpsearchError):
    """The input is sound, but proceeding would lose or falsify results."""

    exit_code = 3


class LockedError(RefusedError):
    """Another driver holds the lock of the results directory."""


class ChangedSweepError(RefusedError):
    """The sweep differs from the stored one in a property that affects scores."""


class StoreError(RefusedError):
    """The store is corrupt, or cannot be opened or written."""


class Interrupted(HpsearchError):
    """A signal ended a run or another command.

    Attributes:
        number: The signal's number.
        where: The results directory with the finished trials; None if there is none.
        results: For a run started from Python, the `hpsearch.Results` so far; None if no trial
            has a row yet.
    """

    def __init__(self, number: int, where: Path | None = None) -> None:
        self.number = number
        self.where = where
        self.results: Any = None
        self.exit_code = 128 + number
        name = "interrupted" if number == signal.SIGINT else "terminated"
        stored = f"; results so far are in {where}, the same command continues" if where else ""
        super().__init__(name + stored)

    @property
    def by_keyboard(self) -> bool:
        """True for Ctrl-C or a notebook's stop button."""
        return self.number == signal.SIGINT


class Terminated(Interrupted, SystemExit):
    """A SIGTERM ended a run; a script that does not catch it ends as by `sys.exit(143)`."""

    code = 128 + signal.SIGTERM
