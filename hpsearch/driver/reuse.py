"""What is known already of a training: a stored curve, or a state to go on from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from hpsearch.plan import Trial
from hpsearch.training import followed
from hpsearch.trial import Recipe, Status, TrialResult

__all__ = ["Reuse"]


class Reuse:
    """Trials that differ only in epochs are points of one curve.

    Args:
        results: By trial; the driver's, which grows.
        snapshots: Epoch of the snapshot that is stored of a trial; the driver's, which grows.
    """

    def __init__(
        self, recipe: Recipe, results: Mapping[int, TrialResult], snapshots: Mapping[int, int]
    ) -> None:
        self._recipe = recipe
        self._results = results
        self._snapshots = snapshots
        self._alike: dict[tuple[str, int], list[Trial]] = {}

    def add(self, trial: Trial) -> None:
        """A trial that has a number."""
        self._alike.setdefault(_prefix(trial), []).append(trial)

    def answer(self, trial: Trial, epochs: int) -> TrialResult | None:
        """The result of a trial of so many epochs, where another one's curve holds it."""
        for other in self._others(trial):
            result = self._results[other.number]
            if len(result.curve) >= epochs or _ended(result, other):
                known = followed(result.curve, epochs, self._recipe)
                return replace(
                    known,
                    trial=trial.number,
                    shared_with=other.number,
                    trainer=result.trainer,
                    weights=result.weights,
                )
        return None

    def source(self, trial: Trial, epochs: int) -> int | None:
        """The trial that got furthest of those that this one can go on from."""
        able = [
            (self._snapshots[other.number], -other.number)
            for other in self._alike[_prefix(trial)]
            if self._snapshots.get(other.number, epochs) < epochs
        ]
        return -max(able)[1] if able else None

    def _others(self, trial: Trial) -> list[Trial]:
        return [
            other
            for other in self._alike[_prefix(trial)]
            if other.number != trial.number
            and other.number in self._results
            and self._results[other.number].curve
        ]


def _ended(result: TrialResult, trial: Trial) -> bool:
    """Whether the training ended by itself: more epochs would change nothing."""
    if result.status is Status.DIVERGED:
        return True
    return result.status is Status.COMPLETED and len(result.curve) < trial.epochs


def _prefix(trial: Trial) -> tuple[str, int]:
    return trial.config.prefix, trial.draw
