"""How an engine and whoever proposes talk: requests, answers, and the loop between them."""

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
        outcomes: Those since the last request.
        room: The number of proposals that are wanted.
        closed: Whether the budget of trials is spent, so that only earlier configs may continue.
    """

    outcomes: tuple[Outcome, ...]
    room: int
    closed: bool = False


@dataclass(frozen=True)
class Reply:
    """Proposals.

    Attributes:
        proposals: As many as were wanted; fewer if further ones wait for outcomes, or none is left.
        exhausted: Whether no new config will come, whatever is told.
        events: What an oracle did, in order, so that it can be made anew; see `Event`.
        notes: Lines for the user.
        error: Why it cannot go on, in one line; or empty.
    """

    proposals: tuple[Proposal, ...] = ()
    exhausted: bool = False
    events: tuple[OracleEvent, ...] = ()
    notes: tuple[str, ...] = ()
    error: str = ""


@dataclass(frozen=True)
class OracleEvent:
    """A trial that an oracle created or was told the end of.

    Attributes:
        trial_id: KerasTuner's.
        config: The trial's config, for its creation; None for its end.
        epochs: As in `Proposal`.
        score: The score that was told; None for a failure.
    """

    trial_id: str
    config: Config | None = None
    epochs: int | None = None
    score: float | None = None


@dataclass(frozen=True)
class Past:
    """What earlier runs proposed and learnt; see `Strategy.restore`.

    Attributes:
        events: What an oracle of the user did.
    """

    configs: tuple[Config, ...] = ()
    outcomes: tuple[Outcome, ...] = ()
    events: tuple[OracleEvent, ...] = ()


class Exchange(Protocol):
    """Trains what is proposed."""

    def exchange(self, answer: Reply) -> Inquiry | None:
        """Take proposals, and work until more are wanted; None when the run is over."""
        ...


def search_with(answer: Callable[[Inquiry], Reply], engine: Exchange) -> None:
    """Search: the only loop between those who propose and those who train."""
    request = engine.exchange(Reply())
    while request is not None:
        request = engine.exchange(answer(request))


def reply_of(strategy: Strategy, request: Inquiry) -> Reply:
    """Tell a strategy the outcomes, and ask it for proposals."""
    strategy.tell(request.outcomes)
    if request.closed and not strategy.close():
        return Reply(exhausted=True)
    proposals = strategy.ask(request.room) if request.room else []
    return Reply(tuple(proposals), exhausted=strategy.exhausted)


def foreseen(strategy: Strategy, count: int) -> Sequence[Proposal]:
    """Return the next proposals, at most `count`, that no outcome will change."""
    return strategy.ask(min(count, strategy.foreseen))
