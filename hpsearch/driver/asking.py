"""From an oracle's proposals to numbered trials, within the budget."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from hpsearch.plan import Trial, number_trials
from hpsearch.proposal import Outcome, Proposal
from hpsearch.space import Config, Space

__all__ = ["Asker", "Oracle"]

#: Proposals are asked for in windows of a fixed size, whatever the number of workers, since
#: trainings are shared within a window.
_WINDOW = 4_096


class Oracle(Protocol):
    """What the driver needs of an oracle.

    `sampling.Source` is one; those of `oracles` are KerasTuner's, too, and bring TensorFlow.
    """

    exhausted: bool

    @property
    def adaptive(self) -> bool:
        """Whether proposals depend on outcomes."""
        ...

    def ask(self, count: int) -> list[Proposal]:
        """At most `count` new configs."""
        ...

    def tell(self, outcomes: Sequence[Outcome]) -> None:
        """Learn what came of proposed configs."""
        ...


class Asker:
    """Hands out new trials: listed points first, then the oracle's, each with every seed.

    Args:
        space: The sweep's.
        first: Configs to try first.
        seeds: The trials' seeds.
        oracle: Where further configs come from.
        stored: Trials that have a number already.
        limit: Rows of the table at most (`budget.trials`), or None.
    """

    def __init__(
        self,
        space: Space,
        first: Sequence[Config],
        seeds: Sequence[int],
        oracle: Oracle,
        *,
        stored: Sequence[Trial],
        limit: int | None,
    ) -> None:
        self._first = list(first)
        self._seeds = tuple(seeds)
        self._oracle = oracle
        self._ahead: list[Config] = []
        self._known = {trial.key: trial for trial in stored}
        self._next_number = max((trial.number for trial in stored), default=0) + 1
        listed = {config.id for config in first}
        wanted = [
            trial
            for trial in stored
            if trial.seed in self._seeds
            and (trial.config.id in listed or space.contains(trial.config))
        ]
        self.current = wanted if limit is None else wanted[:limit]
        self._remaining = None if limit is None else limit - len(self.current)

    @property
    def spent(self) -> bool:
        """Whether the budget of rows is used up."""
        return self._remaining is not None and self._remaining <= 0

    @property
    def left_over(self) -> int:
        """Rows of the budget that an exhausted space leaves unused."""
        return (self._remaining or 0) if self.over else 0

    @property
    def over(self) -> bool:
        """Whether no further trial will come."""
        more = self._first or self._ahead or not self._oracle.exhausted
        return self.spent or not more

    def pending(self, answered: Collection[int]) -> list[Trial]:
        """Trials of this sweep that were planned before and have no result."""
        return [trial for trial in self.current if trial.number not in answered]

    def trials_of(self, config: str) -> list[Trial]:
        """The trials of a config's id that have a number, one a seed at most."""
        keys = ((config, seed) for seed in self._seeds)
        return [self._known[key] for key in keys if key in self._known]

    def look_ahead(self, count: int) -> None:
        """Ask for `count` of the next window's configs already, where outcomes change none.

        Asked for all at once, they would keep the workers waiting at the window's beginning.
        """
        if not self._oracle.adaptive and not self._first and not self._oracle.exhausted:
            missing = self._wanted() - len(self._ahead)
            if missing > 0:
                asked = self._oracle.ask(min(count, missing))
                self._ahead += [proposal.config for proposal in asked]

    def _wanted(self) -> int:
        """How many configs the next window is to have."""
        if self._remaining is None:
            return _WINDOW
        # Known ones are proposed again and count for nothing.
        return min(_WINDOW, -(-self._remaining // len(self._seeds)))

    def new_trials(self) -> list[Trial]:
        """The next window's trials, without those that are stored; may be empty."""
        configs, self._first = self._first, []
        if not configs:
            configs, self._ahead = self._ahead, []
            if not self._oracle.exhausted:
                asked = self._oracle.ask(self._wanted() - len(configs))
                configs += [proposal.config for proposal in asked]
        trials = number_trials(
            configs,
            self._seeds,
            self._known,
            first_number=self._next_number,
            limit=self._remaining,
        )
        self._known.update((trial.key, trial) for trial in trials)
        self._next_number += len(trials)
        if self._remaining is not None:
            self._remaining -= len(trials)
        return trials
