"""What workers read of a dataset."""

from __future__ import annotations

from dataclasses import replace

from hpsearch import data, preprocessing
from hpsearch.executors.base import Dataset
from hpsearch.sweep import Sweep
from hpsearch.trial import Arrays, InputSpec, Task

__all__ = ["provided"]


def provided(loaded: data.Dataset, sweep: Sweep) -> Dataset:
    """Features, targets and weights of a loaded dataset, fold by fold where it has folds.

    Raises:
        DataError: The sweep weighs a class that there is not.
    """
    if not loaded.folds:
        return Dataset(loaded.input, loaded.target, _arrays(loaded, sweep))
    folds = tuple(provided(fold, sweep) for fold in loaded.folds)
    return replace(folds[0], folds=folds)


def _arrays(loaded: data.Dataset, sweep: Sweep) -> Arrays:
    """Of a split; a model of one's own gets rows in their own shape."""
    train, validation = loaded.train, loaded.validation
    if loaded.target.task is not Task.OWN or _is_encoded(loaded.input) or train.weights is not None:
        shaped = isinstance(sweep.model, str)
        return preprocessing.arrays(loaded, sweep.class_weight, shaped=shaped)
    assert not isinstance(train.x, dict)
    assert not isinstance(validation.x, dict)
    return Arrays(train.x, train.y, validation.x, validation.y)


def _is_encoded(spec: InputSpec) -> bool:
    return bool(spec.mean or spec.scale or spec.columns)
