"""What workers read of a dataset."""

from __future__ import annotations

from dataclasses import replace

from hpsearch import data, preprocessing
from hpsearch.executors.base import Dataset
from hpsearch.sweep import Sweep

__all__ = ["provided"]


def provided(loaded: data.Dataset, sweep: Sweep) -> Dataset:
    """Features, targets and weights of a loaded dataset, fold by fold where it has folds.

    Raises:
        DataError: The sweep weighs a class that there is not.
    """
    if not loaded.folds:
        arrays = preprocessing.arrays(loaded, sweep.class_weight)
        return Dataset(loaded.input, loaded.target, arrays)
    folds = tuple(provided(fold, sweep) for fold in loaded.folds)
    return replace(folds[0], folds=folds)
