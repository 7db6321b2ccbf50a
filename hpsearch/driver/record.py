"""The record of evaluations of a results directory, for those who show it."""

from __future__ import annotations

from pathlib import Path

from hpsearch.driver.directory import ResultsDirectory
from hpsearch.looks import Look, looks_in
from hpsearch.store import Store

__all__ = ["looks", "looks_beside"]


def looks(directory: Path) -> tuple[Look, ...]:
    """Every look on a directory's record, the first one first.

    Raises:
        RefusedError: There is no store, or it is damaged.
    """
    with Store(ResultsDirectory(directory).store, read_only=True) as store:
        return looks_in(store.meta())


def looks_beside(source: Path) -> tuple[Look, ...]:
    """Those of a directory, or of the one that a results.csv lies in; none without a store.

    Raises:
        RefusedError: The store is damaged.
    """
    where = ResultsDirectory(source if source.is_dir() else source.parent)
    if not where.store.exists() or source not in (where.path, where.results):
        return ()
    return looks(where.path)
