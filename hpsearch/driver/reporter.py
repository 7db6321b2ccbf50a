"""What the driver tells whoever watches."""

from __future__ import annotations

import sys
import warnings
from typing import Protocol

from hpsearch.executors.base import Event
from hpsearch.plan import Summary, Trial
from hpsearch.trial import Recipe, TrialResult

__all__ = ["AsWarnings", "Reporter", "Silent", "outside"]


class Reporter(Protocol):
    """Shows a run; it decides nothing, and what it raises is a bug."""

    def began(self, name: str, directory: str, recipe: Recipe, workers: int | None) -> None:
        """The run is set up; `directory` is where its files go."""

    def expected(self, trials: int) -> None:
        """So many there will be at most, which are not known one by one before they are due."""

    def planned(self, summary: Summary, already_done: int) -> None:
        """More trials are known: what they all come to, and how many had results before."""

    def event(self, event: Event) -> None:
        """An executor's event."""

    def result(self, trial: Trial, result: TrialResult) -> None:
        """A result is stored."""

    def note(self, message: str) -> None:
        """Something worth a line."""

    def ended(self) -> None:
        """Nothing further comes."""


class Silent:
    """Shows nothing."""

    def began(self, name: str, directory: str, recipe: Recipe, workers: int | None) -> None:
        """Nothing."""

    def expected(self, trials: int) -> None:
        """Nothing."""

    def planned(self, summary: Summary, already_done: int) -> None:
        """Nothing."""

    def event(self, event: Event) -> None:
        """Nothing."""

    def result(self, trial: Trial, result: TrialResult) -> None:
        """Nothing."""

    def note(self, message: str) -> None:
        """Nothing."""

    def ended(self) -> None:
        """Nothing."""


class AsWarnings(Silent):
    """Tells what is worth a line as Python's warnings, at the line that called."""

    def note(self, message: str) -> None:
        """A warning, but for news that is none."""
        text = message.removeprefix("warning: ")
        if text != message:
            warnings.warn(text, UserWarning, stacklevel=outside())


def outside() -> int:
    """The stack level, for `warnings.warn` in the caller, of the first frame that is not ours."""
    level, frame = 1, sys._getframe(1)  # noqa: SLF001 - documented, and `inspect` is slow
    while frame.f_back is not None and str(frame.f_globals.get("__name__")).startswith("hpsearch."):
        level, frame = level + 1, frame.f_back
    return level
