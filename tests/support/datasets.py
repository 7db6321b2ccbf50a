"""Load data as the `data:` of a sweep asks for it."""

from __future__ import annotations

from typing import Any

from hpsearch.data.dataset import Dataset
from hpsearch.data.loading import InMemoryRows, load_dataset
from hpsearch.spec.data import DataSpec, FoldsSpec


def load(**data: Any) -> Dataset:
    """Load the rows that the keys of a sweep's data name."""
    return load_dataset(_spec(**data))


def _spec(cv: int | FoldsSpec | None = None, **data: Any) -> DataSpec:
    return DataSpec(cv=FoldsSpec(folds=cv) if isinstance(cv, int) else cv, **data)


def made(
    x: Any,
    y: Any,
    weights: Any = None,
    validation_data: Any = None,
    test_data: Any = None,
    **data: Any,
) -> Dataset:
    """Make a dataset of rows in memory."""
    rows = InMemoryRows(x, y, weights, validation_data, test_data)
    return rows.load(_spec(**data))
