"""How much work the trials came to, and how much of it was shared or not needed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hpsearch.report.source import Source

__all__ = ["Savings", "savings_of"]


@dataclass(frozen=True)
class Savings:
    """Counts over all trials of a sweep.

    Attributes:
        trainings: Uninterrupted runs of an MLP.
        epochs_trained: Of those trainings.
        epochs_shared: Further ones that trials had, answered by another trial's training.
        epochs_stopped: That trials asked for and early stopping or the method spared them.
        seconds: Of training.
        trainers: What trained, and how many trials each answered.
    """

    trials: int
    trainings: int
    shared_trials: int
    epochs_trained: int
    epochs_shared: int
    epochs_stopped: int
    seconds: float
    trainers: dict[str, int]


def savings_of(source: Source) -> Savings:
    """What a results table says about it."""
    table = source.table
    epochs = table["epochs_trained"].fillna(0).astype("int64")
    training = table["shared_with"].fillna(table["trial"])
    trained = int(epochs.groupby(training).max().sum())
    ended = table["status"].isin(["completed", "stopped"])
    asked = table.get("epochs", epochs).astype("float64")
    spared = (asked - epochs).fillna(0).clip(lower=0)[ended]
    return Savings(
        trials=len(table),
        trainings=int(training[epochs > 0].nunique()),
        shared_trials=int(table["shared_with"].notna().sum()),
        epochs_trained=trained,
        epochs_shared=int(epochs.sum()) - trained,
        epochs_stopped=int(spared.sum()),
        seconds=float(table["seconds"].fillna(0).sum()),
        trainers={str(k): int(v) for k, v in table["trainer"].dropna().value_counts().items()},
    )
