"""Median stopping: a training that is worse than half of the earlier ones is stopped."""

from __future__ import annotations

import bisect

from hpsearch.trial import Recipe, Status, TrialResult

__all__ = ["Medians"]

#: Trainings that must have come to an epoch before anyone is stopped at it.
_FEWEST = 5


class Medians:
    """Of each epoch, the median of the completed trainings' running averages.

    Source: Golovin et al., Google Vizier (2017): a trial is stopped at an epoch if its best score
    so far is worse than the median of the running averages of all completed trials there.
    """

    def __init__(self, recipe: Recipe) -> None:
        self._metric = recipe.metric
        self._averages: list[list[float]] = []

    def note(self, result: TrialResult) -> None:
        """A result; those that a training was stopped for, or shares with another, do not count."""
        if result.status is not Status.COMPLETED or result.shared_with is not None:
            return
        total = 0.0
        for index, metrics in enumerate(result.curve):
            total += metrics[self._metric]
            if index == len(self._averages):
                self._averages.append([])
            bisect.insort(self._averages[index], total / (index + 1))

    def floors(self) -> tuple[float, ...]:
        """The medians, for the first epochs to which enough trainings came."""
        floors = []
        for averages in self._averages:
            if len(averages) < _FEWEST:
                break
            middle = len(averages) // 2
            pair = averages[middle], averages[middle if len(averages) % 2 else middle - 1]
            floors.append(sum(pair) / 2)
        return tuple(floors)
