"""What proposes configs: plain objects, without TensorFlow, a clock or a file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from hpsearch.proposal import Outcome, Proposal
from hpsearch.space import Config

__all__ = ["Strategy"]


class Strategy(Protocol):
    """A method at work.

    Proposal k is a function of the space, the listed configs, the seed, k, and the outcomes that
    were told before it was asked for, in whatever order these were told: so a driver that asks
    for one at a time, tells each outcome and is killed goes on as if it had not been.
    """

    @property
    def exhausted(self) -> bool:
        """Whether no further config will come, whatever is told.

        One that was proposed may still be proposed to go on.
        """
        ...

    @property
    def adaptive(self) -> bool:
        """Whether proposals depend on outcomes."""
        ...

    @property
    def rungs(self) -> tuple[int, ...]:
        """Epochs at which trainings halt, ascending; empty where all run to their end."""
        ...

    def ask(self, count: int) -> list[Proposal]:
        """At most `count` proposals; fewer where it waits for outcomes or is exhausted.

        No config is proposed twice, but to go on. Listed configs come first.
        """
        ...

    def tell(self, outcomes: Sequence[Outcome]) -> None:
        """Learn what came of proposals, or of configs that were never proposed."""
        ...

    def restore(self, configs: Sequence[Config], outcomes: Sequence[Outcome]) -> None:
        """Take up a search; called before anything is asked for or told.

        Args:
            configs: What was proposed before, in that order, each once.
            outcomes: What came of them, of each rung that was reached where there are rungs; a
                config without one is still under way, and will be told.
        """
        ...
