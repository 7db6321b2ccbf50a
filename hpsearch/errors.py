"""Every error that hpsearch raises on purpose.

    HpsearchError
    |-- InputError                      exit code 2: the user's file, data or arguments
    |   |-- SweepFileError              all problems of one sweep file, each with its line
    |   |-- ConstraintError             one constraint expression
    |   |-- DataError                   a dataset that cannot be used
    |   `-- NotSupportedError           valid grammar whose execution is not there yet
    `-- RefusedError                    exit code 3: sound input that must not proceed
        |-- LockedError                 another driver holds the results directory
        |-- ChangedSweepError           data, split, metric or recipe differ from the stored ones
        `-- StoreError                  the store is corrupt or cannot be written

A message says what is wrong, where, the rule, the value found, and what to do.
"""

from __future__ import annotations

import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class HpsearchError(Exception):
    """Base of all errors that hpsearch raises on purpose."""

    exit_code = 2


class InputError(HpsearchError):
    """The user's sweep file, data or arguments cannot be used."""

    exit_code = 2


@dataclass(frozen=True)
class InputProblem:
    """One thing that is wrong in a sweep file: its line (from 1), key path and message."""

    line: int
    path: str
    message: str


class SweepFileError(InputError):
    """A sweep file with problems; the message has one `FILE:LINE: path: message` a problem."""

    def __init__(self, filename: str, problems: Sequence[InputProblem]) -> None:
        self.filename = filename
        self.problems = tuple(problems)
        super().__init__("\n".join(self._lines()))

    def _lines(self) -> list[str]:
        return [
            f"{self.filename}:{problem.line}: "
            + (f"{problem.path}: " if problem.path else "")
            + problem.message
            for problem in self.problems
        ]


class ConstraintError(InputError):
    """A constraint expression that cannot be parsed or evaluated."""


class DataError(InputError):
    """A dataset that cannot be found, read or used."""


class NotSupportedError(InputError):
    """Valid grammar whose execution this version does not have."""


class RefusedError(HpsearchError):
    """Sound input that must not proceed: it would lose or falsify results."""

    exit_code = 3


class LockedError(RefusedError):
    """Another driver holds the lock of the results directory."""


class ChangedSweepError(RefusedError):
    """The sweep differs from the stored one in what decides a score."""


class StoreError(RefusedError):
    """The store is corrupt, or cannot be opened or written."""


class Interrupted(HpsearchError):
    """A signal ended a run, of which what was finished is stored in `where`, or something else.

    Attributes:
        number: The signal's.
        where: The results directory, or None.
        results: From Python, the `hpsearch.Results` so far where any trial has a row, else None.
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
        """Whether it was a Ctrl-C, or a notebook's stop button."""
        return self.number == signal.SIGINT
