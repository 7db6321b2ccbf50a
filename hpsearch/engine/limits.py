"""The time and the scores that end a search."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from hpsearch.machine import now
from hpsearch.search.strategy import Outcome
from hpsearch.spec.keys import Budget
from hpsearch.wording import counted, number


@dataclass
class Limits:
    """The limits of a search besides its number of trials.

    Trials without an improvement are counted as Keras' EarlyStopping counts epochs. They count in
    their order, each once all before it have ended, so that what ends the search does not depend on
    which training ends first.

    Args:
        budget: None for no limit.
        goal: `maximize` or `minimize`.

    Attributes:
        reason: Why scores end the search; empty until they do.
    """

    budget: Budget | None = None
    goal: str = "maximize"
    reason: str = ""
    _began: float = 0.0
    _seen: int = 0
    _best: float | None = None
    _since: int = 0

    @property
    def exist(self) -> bool:
        """True if time or scores may end the search."""
        budget = self.budget
        return budget is not None and (budget.ends_by_score or budget.time_seconds is not None)

    @property
    def reached(self) -> bool:
        """True if no further training may begin."""
        if self.reason or self.budget is None or self.budget.time_seconds is None:
            return bool(self.reason)
        return now() - self._began >= self.budget.time_seconds

    def begin(self) -> None:
        """Begin to count the time."""
        self._began = now()

    def see(self, outcomes_from: Callable[[int], Iterable[Outcome]]) -> None:
        """Count the trials that have ended since the last call.

        Args:
            outcomes_from: Returns the outcomes of the ended trials from a position on.
        """
        budget = self.budget
        if budget is None or not budget.ends_by_score or self.reason:
            return
        sign = 1 if self.goal == "maximize" else -1
        for outcome in outcomes_from(self._seen):
            self._seen += 1
            self._since += 1
            if (score := outcome.score) is not None:
                if self._best is None or sign * (score - self._best) > budget.min_delta:
                    self._best, self._since = score, 0
                if budget.score is not None and sign * (score - budget.score) >= 0:
                    self.reason = f"a trial reached budget.score, {number(budget.score)}"
                    return
            if self._since == budget.patience:
                what = "have no score" if self._best is None else "improved nothing"
                self.reason = f"{counted(self._since, 'trial')} in a row {what}"
                return
