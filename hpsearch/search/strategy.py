"""The strategy protocol: `ask` for proposals, `tell` their outcomes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from hpsearch.space.space import Config

#: What the column `method` says of a config that a prior has tried first.
PRIOR = "prior"


@dataclass(frozen=True)
class Proposal:
    """A config to train.

    Attributes:
        epochs: Train the config up to this epoch, for now; None trains as many epochs as the config
            says. A config that was proposed before continues from where it stopped.
        by: Who proposes it, if not the method itself: PRIOR, or the model of `asha`.
    """

    config: Config
    epochs: int | None = None
    by: str = field(default="", compare=False)


@dataclass(frozen=True)
class Outcome:
    """The score of a proposal; a later outcome of the same config and epochs replaces it.

    Attributes:
        score: The mean over the seeds that are known; None if a trial failed or diverged.
        losses: Of further objectives, the means, lower is better; empty if there are none.
        epochs: As proposed.
        error: Why there is no score, in one line; or empty.
    """

    config: Config
    score: float | None
    epochs: int | None = None
    error: str = field(default="", compare=False)
    losses: tuple[float, ...] = ()


class Strategy(Protocol):
    """A search method at work.

    Proposal k is a function of the space, the listed configs, the seed, k, and the outcomes that
    were told before it was asked for; their order does not matter. So a driver that asks for one
    proposal at a time, tells each outcome and is killed can continue as if nothing had happened.
    """

    @property
    def exhausted(self) -> bool:
        """True if no new config will come, whatever is told.

        A config that was proposed may still be proposed to continue.
        """
        ...

    @property
    def adaptive(self) -> bool:
        """True if proposals depend on outcomes."""
        ...

    @property
    def foreseen(self) -> int:
        """The number of next proposals that no outcome will change, or more."""
        ...

    @property
    def rungs(self) -> tuple[int, ...]:
        """Epochs at which trainings halt, ascending; empty if every training runs to its end."""
        ...

    def close(self) -> bool:
        """Begin no further config; return whether earlier ones may still continue."""
        ...

    def ask(self, count: int) -> list[Proposal]:
        """Return at most `count` proposals; fewer if it waits for outcomes or is exhausted.

        A config is proposed once, and again only to continue. Listed configs come first.
        """
        ...

    def tell(self, outcomes: Sequence[Outcome]) -> None:
        """Learn the outcomes of proposals, or of configs that were never proposed."""
        ...

    def restore(self, configs: Sequence[Config], outcomes: Sequence[Outcome]) -> None:
        """Resume a search; called before the first `ask` or `tell`.

        Args:
            configs: Every config that was proposed before, once each, in that order.
            outcomes: Their outcomes, with rungs one for each rung that a config reached. A config
                without one is still in training; its outcome will be told.
        """
        ...
