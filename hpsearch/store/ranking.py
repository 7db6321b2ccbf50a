"""Which trial is best: the only rule, on plain numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence


def ranked(scores: Mapping[int, Sequence[float]], goal: str) -> list[int]:
    """Return the trials with a score, the best first.

    The best has the best mean over its executions. Trials with fewer scores than others come after
    those with the most, since a mean of fewer is more easily good by luck. Of equal ones, the lower
    number comes first.

    Args:
        scores: Trial -> the score of each of its executions that has one.
        goal: `maximize` or `minimize`.
    """
    sign = -1 if goal == "maximize" else 1
    most = max(map(len, scores.values()), default=0)
    return sorted(
        (trial for trial, found in scores.items() if found),
        key=lambda trial: (len(scores[trial]) < most, sign * mean(scores[trial]), trial),
    )


def mean(scores: Sequence[float]) -> float:
    """Return the mean, which does not depend on the order of the scores."""
    return math.fsum(scores) / len(scores)


class Leader:
    """The best trial (see `ranked`) of scores that come one by one.

    Args:
        goal: `maximize` or `minimize`.
    """

    def __init__(self, goal: str) -> None:
        self._goal = goal
        self._scores: dict[int, dict[int, float]] = {}
        self._best: int | None = None

    @property
    def trial(self) -> int | None:
        """The best trial's number; None without any score."""
        return self._best

    @property
    def scores(self) -> Sequence[float]:
        """The scores of the best trial's executions."""
        return self._of(self._best) if self._best is not None else ()

    def note(self, trial: int, execution: int, score: float | None) -> None:
        """Take note of an execution's score, which replaces an earlier one."""
        found = self._scores.setdefault(trial, {})
        # Only the leader's own change for the worse can make a third one the leader.
        worse = self._best == trial and found.pop(execution, None) is not None
        if score is None:
            found.pop(execution, None)
        else:
            found[execution] = score
        among = self._scores if worse else {trial, self._best} - {None}
        scores = {each: self._of(each) for each in among if each is not None}
        self._best = next(iter(ranked(scores, self._goal)), None)

    def _of(self, trial: int) -> Sequence[float]:
        return list(self._scores[trial].values())
