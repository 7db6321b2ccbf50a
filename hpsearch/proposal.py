"""What passes between a driver and whatever proposes configs: frozen plain data, either way."""

from __future__ import annotations

from dataclasses import dataclass

from hpsearch.space import Config

__all__ = ["Outcome", "Proposal"]


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
