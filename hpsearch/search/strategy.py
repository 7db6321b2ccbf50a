"""The strategy protocol: `ask` for proposals, `tell` their outcomes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from hpsearch.space.space import Config

#: The value of the column `method` for a config that a prior proposed first.
PRIOR = "prior"


@dataclass(frozen=True)
class Proposal:
    """A config to train.

    Attributes:
        epochs: Train the config up to this epoch, for now; None trains the config's `epochs`. A
            config that was proposed before continues from where it stopped.
        by: The proposer, if not the method itself: PRIOR, or the model of `asha`.
    """

    config: Config
    epochs: int | None = None
    by: str = field(default="", compare=False)


@dataclass(frozen=True)
class Outcome:
    """The score of a proposal; a later outcome of the same config and epochs replaces it.

    Attributes:
        score: The mean over the known seeds; None if a trial failed or diverged.
        epochs: As proposed.
        error: The reason if there is no score, in one line; else empty.
    """

    config: Config
    score: float | None
    epochs: int | None = None
    error: str = field(default="", compare=False)


class Strategy(Protocol):
    """A search method at work.

    Proposal k is a function of the space, the listed configs, the seed, k, and the outcomes known
    when it is requested; their order does not matter. So a driver that requests one proposal at a
    time and reports each outcome can continue after a kill as if nothing had happened.
    """

    @property
    def exhausted(self) -> bool:
        """True if no new config will come, even after further outcomes.

        A proposed config may still be proposed to continue.
        """
        ...

    @property
    def adaptive(self) -> bool:
        """True if proposals depend on outcomes."""
        ...

    @property
    def foreseen(self) -> int:
        """The number of next proposals that no outcome will change; it may exceed those left."""
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
