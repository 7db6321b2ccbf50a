"""What trainings can go on from, as far as there is room for it in the store."""

from __future__ import annotations

from collections.abc import Mapping

from hpsearch.store import Store
from hpsearch.trial import Past, Training, TrialResult

__all__ = ["Snapshots"]

#: Beyond, a training that is to go on starts anew, to the same numbers.
_MOST_BYTES = 2**30


class Snapshots:
    """The stored ones.

    Attributes:
        epochs: Of each trial that has one, how far it was trained.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self.epochs: dict[int, int] = {}
        self._bytes: dict[int, int] = {}
        for trial, epoch, size in store.snapshots():
            self.epochs[trial], self._bytes[trial] = epoch, size
        self._total = sum(self._bytes.values())

    @property
    def has_room(self) -> bool:
        """Whether another one is to be stored."""
        return self._total < _MOST_BYTES

    def note(self, result: TrialResult) -> None:
        """A result is stored, and with it its snapshot, or none."""
        self._total -= self._bytes.pop(result.trial, 0)
        self.epochs.pop(result.trial, None)
        if result.snapshot is not None:
            size = self._bytes[result.trial] = result.snapshot.nbytes
            self._total += size
            self.epochs[result.trial] = result.snapshot.epoch

    def past(self, training: Training, results: Mapping[int, TrialResult]) -> Past | None:
        """What a training goes on from; None where it starts anew."""
        if training.source is None or training.source not in self.epochs:
            return None
        snapshot = self._store.snapshot(training.source)
        if snapshot is None:
            return None
        result = results[training.source]
        # Another trial's seconds are its own.
        own = training.source == training.number
        curve = tuple(result.curve[: snapshot.epoch])
        return Past(curve, snapshot, result.seconds if own else 0.0)
