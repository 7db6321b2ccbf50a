"""The strategy protocol, `ask` and `tell`, and the messages between a strategy and an engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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


@dataclass(frozen=True)
class Inquiry:
    """The results so far, and a request for proposals.

    Attributes:
        outcomes: The outcomes since the last request.
        room: The number of proposals wanted.
        closed: Whether the budget of trials is spent, so that only earlier configs may continue.
    """

    outcomes: tuple[Outcome, ...]
    room: int
    closed: bool = False


@dataclass(frozen=True)
class Reply:
    """Proposals.

    Attributes:
        proposals: As many as wanted; fewer if further ones need outcomes or do not exist.
        exhausted: Whether no new config will come, even after further outcomes.
        events: An oracle's actions, in order, from which it can be rebuilt.
        error: The reason if the proposer cannot go on, in one line; else empty.
    """

    proposals: tuple[Proposal, ...] = ()
    exhausted: bool = False
    events: tuple[OracleEvent, ...] = ()
    error: str = ""


@dataclass(frozen=True)
class OracleEvent:
    """The creation or the end of an oracle's trial.

    Attributes:
        trial_id: KerasTuner's id.
        config: The trial's config, for its creation; None for its end.
        epochs: As in `Proposal`.
        score: The reported score; None for a failure.
    """

    trial_id: str
    config: Config | None = None
    epochs: int | None = None
    score: float | None = None


@dataclass(frozen=True)
class Past:
    """The proposals, outcomes and oracle's events of earlier runs; see `Strategy.restore`."""

    configs: tuple[Config, ...] = ()
    outcomes: tuple[Outcome, ...] = ()
    events: tuple[OracleEvent, ...] = ()


class Exchange(Protocol):
    """Trains proposals."""

    def exchange(self, answer: Reply) -> Inquiry | None:
        """Take proposals, and work until more are wanted; None once the run is over."""
        ...


def search_with(answer: Callable[[Inquiry], Reply], engine: Exchange) -> None:
    """Search: the loop between proposing and training, unless the caller has it (ask and tell)."""
    request = engine.exchange(Reply())
    while request is not None:
        request = engine.exchange(answer(request))


def reply_of(strategy: Strategy, request: Inquiry) -> Reply:
    """Report the outcomes to a strategy, and ask it for proposals."""
    strategy.tell(request.outcomes)
    if request.closed and not strategy.close():
        return Reply(exhausted=True)
    proposals = strategy.ask(request.room) if request.room else []
    return Reply(tuple(proposals), exhausted=strategy.exhausted)


def foreseen(strategy: Strategy, count: int) -> Sequence[Proposal]:
    """Return at most `count` next proposals, as far as no outcome can change them."""
    return strategy.ask(min(count, strategy.foreseen))
