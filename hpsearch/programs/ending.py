"""The reports of a program, its ending, and the epoch after which to halt it. Pure functions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hpsearch.models.problem import Recipe
from hpsearch.space.execution import Training
from hpsearch.wording import exit_text, listing

_MOST_SHOWN = 200
_MOST_NAMED = 12

Metrics = Mapping[str, float]


@dataclass(frozen=True)
class Known:
    """The numbered epochs that earlier processes of a trial reported; empty for a new trial.

    Attributes:
        first: The number of the first epoch.
        seconds: The time that they took.
    """

    epochs: Sequence[Metrics] = ()
    first: int = 1
    seconds: float = 0.0

    def before(self, numbers: Sequence[int | None]) -> Sequence[Metrics] | None:
        """Return the epochs before those that a process reports.

        Args:
            numbers: Numbers of its epochs. A process that reports none had nothing left to do.

        Returns:
            None if its epochs cannot be placed: the first has no number, or an earlier one is
                missing.
        """
        if not self.epochs or not numbers:
            return self.epochs
        if numbers[0] is None or numbers[0] - self.first > len(self.epochs):
            return None
        return self.epochs[: max(0, numbers[0] - self.first)]


@dataclass(frozen=True)
class Ending:
    """The reports of a process and its ending.

    Attributes:
        numbers: The number of each epoch that has one.
        others: Metrics reported instead of the score.
        code: Its exit code.
        halted: Whether hpsearch halted it.
        stderr: The last lines of its standard error.
    """

    epochs: Sequence[Metrics] = ()
    numbers: Sequence[int | None] = ()
    others: Metrics = field(default_factory=dict)
    code: int = 0
    halted: bool = False
    stderr: str = ""

    @property
    def exit_error(self) -> str:
        """The reason of a failure, from the exit code."""
        last = [line.strip() for line in self.stderr.splitlines() if line.strip()][-1:]
        said = f": {last[0][:_MOST_SHOWN]}" if last else ""
        return f"the program ended ({exit_text(self.code)}){said}"

    def untold(self, metric: str) -> str:
        """Return the reason of a failure without any reported epoch."""
        if not self.others:
            return (
                f"the program ended without telling {metric!r}: by hpsearch.report, wandb.log, or "
                f"a line '{metric}: 0.5' on standard output"
            )
        pairs = list(self.others.items())[:_MOST_NAMED]
        others = listing([f"{name} {value:g}" for name, value in pairs], "and")
        return f"the program ended without telling {metric!r}; it told {others}"


def halting_epoch(
    curve: Sequence[Metrics], training: Training, recipe: Recipe, judged: int = 0
) -> int | None:
    """Return the number of the first epoch after which to halt a program; None to go on.

    Args:
        judged: Number of epochs after which it was not halted.
    """
    for number in range(judged + 1, len(curve) + 1):
        score = curve[number - 1][recipe.metric]
        if not math.isfinite(score) or number >= training.epochs:
            return number
    return None
