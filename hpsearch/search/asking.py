"""Messages between an engine and a proposer, and the loop that exchanges them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from hpsearch.search.strategy import Outcome, Proposal, Strategy
from hpsearch.space.space import Config


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
    """The proposals and outcomes of earlier runs; see `Strategy.restore`.

    Attributes:
        events: The actions of the user's oracle.
    """

    configs: tuple[Config, ...] = ()
    outcomes: tuple[Outcome, ...] = ()
    events: tuple[OracleEvent, ...] = ()


class Exchange(Protocol):
    """Trains proposals."""

    def exchange(self, answer: Reply) -> Inquiry | None:
        """Take proposals, and work until more are wanted; None once the run is over."""
        ...


def search_with(answer: Callable[[Inquiry], Reply], engine: Exchange) -> None:
    """Search: the only loop between proposing and training."""
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
