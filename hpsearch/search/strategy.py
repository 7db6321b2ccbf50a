"""The strategy protocol: `ask` for proposals, `tell` outcomes; and strategies of other packages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from hpsearch.space.space import Config


@dataclass(frozen=True)
class Proposal:
    """A config to train.

    Attributes:
        epochs: How far, for now; None for as many epochs as the config says. A config that was
            proposed before is to go on from where it stopped.
    """

    config: Config
    epochs: int | None = None


@dataclass(frozen=True)
class Outcome:
    """What came of a proposal; a later one of the same config and epochs replaces it.

    Attributes:
        score: The mean over the seeds that are known; None where a trial failed or diverged.
        epochs: As proposed.
    """

    config: Config
    score: float | None
    epochs: int | None = None


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


_MEMBERS = ("exhausted", "adaptive", "rungs", "ask", "tell", "restore")
