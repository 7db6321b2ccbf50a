"""The strategy protocol: `ask` for proposals, `tell` outcomes; and strategies of other packages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from hpsearch.errors import InputError
from hpsearch.extensions import Extension
from hpsearch.space.space import Config, Space


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


class ExtensionStrategy:
    """Passes everything on to a package's strategy, and checks what comes back.

    Args:
        extension: What declares it.
        make: Makes the strategy.
        space: Which its configs must lie in.
        listed: Configs that it may propose wherever they lie.

    Raises:
        InputError: It cannot be made, or is no strategy.
    """

    def __init__(
        self,
        extension: Extension,
        make: Callable[[], Any],
        space: Space,
        listed: Sequence[Config],
    ) -> None:
        self._extension, self._space = extension, space
        self._listed = {config.id for config in listed}
        self._proposed: set[str] = set()
        strategy = extension.told("cannot be made", make)
        extension.require(strategy, _MEMBERS, "hpsearch.search.strategy.Strategy")
        if strategy.rungs:
            raise InputError(f"{extension}: rungs must be empty, not {strategy.rungs!r}")
        self._strategy: Strategy = strategy
        self.rungs: tuple[int, ...] = ()

    @property
    def exhausted(self) -> bool:
        """Whether no further config will come, whatever is told."""
        return bool(self._strategy.exhausted)

    @property
    def adaptive(self) -> bool:
        """Whether proposals depend on outcomes."""
        return bool(self._strategy.adaptive)

    def ask(self, count: int) -> list[Proposal]:
        """At most `count` proposals; fewer where it waits for outcomes or is exhausted.

        Raises:
            InputError: The package's code failed, or proposed what no method may.
        """
        proposals: list[Proposal] = self._extension.told(
            "failed in ask", lambda: list(self._strategy.ask(count))
        )
        if len(proposals) > count:
            raise InputError(
                f"{self._extension}: proposed {len(proposals)} configs when asked for {count}"
            )
        for proposal in proposals:
            self._require_sound(proposal)
            self._proposed.add(proposal.config.id)
        return proposals

    def tell(self, outcomes: Sequence[Outcome]) -> None:
        """Learn what came of proposals, or of configs that were never proposed.

        Raises:
            InputError: The package's code failed.
        """
        self._extension.told("failed in tell", lambda: self._strategy.tell(outcomes))

    def restore(self, configs: Sequence[Config], outcomes: Sequence[Outcome]) -> None:
        """Take up a search; called before anything is asked for or told.

        Raises:
            InputError: The package's code failed.
        """
        self._extension.told("failed in restore", lambda: self._strategy.restore(configs, outcomes))
        self._proposed.update(config.id for config in configs)

    def _require_sound(self, proposal: Any) -> None:
        if not isinstance(proposal, Proposal) or not isinstance(proposal.config, Config):
            raise InputError(
                f"{self._extension}: proposed {type(proposal).__name__}, not "
                "hpsearch.search.strategy.Proposal of a Config"
            )
        config = proposal.config
        if proposal.epochs is not None:
            raise InputError(f"{self._extension}: a proposal's epochs must be None")
        if config.id in self._proposed:
            raise InputError(f"{self._extension}: proposed {dict(config.values)} twice")
        if config.id not in self._listed and not self._space.contains(config):
            raise InputError(
                f"{self._extension}: proposed {dict(config.values)}, which is outside the space "
                "of parameters and constraints"
            )
