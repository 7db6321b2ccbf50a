"""What the driver tells whoever watches."""

from __future__ import annotations

from typing import Protocol

from hpsearch.executors.base import Event
from hpsearch.plan import Summary, Trial
from hpsearch.trial import Recipe, TrialResult

__all__ = ["Reporter", "Silent"]


class Reporter(Protocol):
    """Shows a run; it decides nothing, and what it raises is a bug."""

    def began(self, name: str, directory: str, recipe: Recipe, workers: int) -> None:
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

    def began(self, name: str, directory: str, recipe: Recipe, workers: int) -> None:
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
