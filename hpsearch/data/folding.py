"""The folds of cross-validation, and splits that leave groups whole."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hpsearch.data import tables
from hpsearch.data.spec import Folds, Indices
from hpsearch.errors import DataError

__all__ = ["by_group", "by_splitter", "by_time", "instants", "require_sound", "usual"]

Pairs = Sequence[tuple[Indices, Indices]]


def usual(places: Indices, codes: Indices | None, count: int, seed: int) -> Pairs:
    """Shuffled folds, stratified for classes.

    Source: scikit-learn's `StratifiedKFold` and `KFold` with `shuffle=True`.

    Raises:
        DataError: Fewer rows, or of one class, than folds.
    """
    from sklearn.model_selection import KFold, StratifiedKFold

    _require_rows(places, codes, count)
    kind = KFold if codes is None else StratifiedKFold
    splitter = kind(count, shuffle=True, random_state=seed)
    return _plain(splitter.split(_nothing(places), codes))


def _require_rows(places: Indices, codes: Indices | None, count: int) -> None:
    if len(places) < count:
        raise DataError(f"cv: {count} folds need as many rows, and there are {len(places)}")
    if codes is not None:
        fewest = int(np.bincount(codes)[np.unique(codes)].min())
        if fewest < count:
            raise DataError(
                f"cv: a class has {fewest} rows, fewer than the {count} folds; ask for fewer "
                "folds, add rows, or remove the class"
            )


def by_group(groups: npt.NDArray[Any], count: int | None, validation: float, seed: int) -> Folds:
    """Folds, or without their number one split, in which a group is on one side.

    Source: scikit-learn's `StratifiedGroupKFold`, `GroupKFold` and `GroupShuffleSplit`.

    Args:
        groups: Of every row, `(n_samples,)`.
        count: How many folds; None for one split.
        validation: About the share of the groups in the one split's validation part.
    """

    def folds(places: Indices, codes: Indices | None) -> Pairs:
        from sklearn.model_selection import GroupKFold, GroupShuffleSplit, StratifiedGroupKFold

        members = groups[places]
        different = len(np.unique(members))
        if different < (count or 2):
            raise DataError(
                f"groups: there are {different}, and each of {count or 2} parts needs one of its "
                "own; ask for fewer folds"
            )
        splitter: Any
        if count is None:
            splitter = GroupShuffleSplit(1, test_size=validation, random_state=seed)
        elif codes is None:
            splitter = GroupKFold(count)
        else:
            splitter = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
        return _plain(splitter.split(_nothing(places), codes, members))

    return folds


def instants(cells: npt.NDArray[Any], where: str) -> npt.NDArray[Any]:
    """Text cells as numbers that are in the order of time: numbers, or ISO 8601 dates and times.

    Raises:
        DataError: A cell is neither.
    """
    import pandas as pd

    numbers = tables.numbers(cells)
    if np.isfinite(numbers).all():
        return numbers
    dates = pd.to_datetime(pd.Series(cells), format="ISO8601", utc=True, errors="coerce")
    if dates.isna().any():
        row = int(np.argmax(dates.isna().to_numpy()))
        raise DataError(
            f"{where}: {cells[row]!r} is neither a number, as all cells would have to be, nor a "
            "date by ISO 8601, such as 2024-05-31 or 2024-05-31T12:00"
        )
    return dates.dt.tz_localize(None).to_numpy("datetime64[us]").astype(np.int64)


def by_time(times: npt.NDArray[Any], count: int | None, validation: float, where: str) -> Folds:
    """Folds, or without their number one split, in which later rows validate earlier ones.

    A fold trains on all that is earlier than its validation part, as in scikit-learn's
    `TimeSeriesSplit`. Rows of one time stay together, so parts may be somewhat larger.

    Args:
        times: Of every row, `(n_samples,)`.
        count: How many folds; None for one split.
        validation: The share of rows in the one split's validation part.
        where: For messages.
    """

    def folds(places: Indices, codes: Indices | None) -> Pairs:
        del codes
        order = np.argsort(times[places], kind="stable")
        ordered, rows = times[places][order], len(places)
        if count is None:
            cuts = [rows - math.ceil(validation * rows)]
        else:
            size = rows // (count + 1)
            cuts = [rows - (count - fold) * size for fold in range(count)]
        # Back to the first row of the time at the cut.
        starts = [int(np.searchsorted(ordered, ordered[min(cut, rows - 1)])) for cut in cuts]
        ends = [*starts[1:], rows]
        if any(start == 0 or start >= end for start, end in zip(starts, ends, strict=True)):
            raise DataError(
                f"{where}: has {len(np.unique(ordered))} different times in {rows} rows, too few "
                f"for {count or 1} validation parts after a training part; ask for fewer folds, "
                "or another share"
            )
        return [(order[:start], order[start:end]) for start, end in zip(starts, ends, strict=True)]

    return folds


def by_splitter(splitter: Any, groups: npt.NDArray[Any] | None) -> Folds:
    """What a scikit-learn splitter, or a sequence of pairs of indices, makes of the rows.

    Args:
        splitter: Sees the rows' number, classes (or nothing) and groups.
        groups: Of every row, or None.
    """

    def folds(places: Indices, codes: Indices | None) -> Pairs:
        if not hasattr(splitter, "split"):
            return _plain(splitter)
        members = None if groups is None else groups[places]
        try:
            return _plain(splitter.split(_nothing(places), codes, members))
        except ValueError as error:
            raise DataError(f"cv: {type(splitter).__name__}: {error}") from None

    return folds


def _nothing(places: Indices) -> npt.NDArray[np.int8]:
    """Splitters count rows."""
    return np.zeros((len(places), 1), np.int8)


def _plain(pairs: Iterable[tuple[Any, Any]]) -> Pairs:
    return [(np.asarray(train), np.asarray(validation)) for train, validation in pairs]


def require_sound(pairs: Pairs, rows: int, count: int, where: str) -> None:
    """Check the folds of whoever made them.

    Raises:
        DataError: Another number of folds, an empty part, or a row on both sides or nowhere.
    """
    if len(pairs) != count:
        raise DataError(f"{where}: cv: {len(pairs)} folds came, and {count} were announced")
    for fold, pair in enumerate(pairs, start=1):
        for part, each in zip(("training", "validation"), pair, strict=True):
            if each.ndim != 1 or each.dtype.kind not in "iu" or not len(each):
                raise DataError(
                    f"{where}: cv: the {part} part of fold {fold} must be row numbers, one or "
                    f"more, not an array of shape {each.shape} and type {each.dtype}"
                )
            if each.min() < 0 or each.max() >= rows:
                raise DataError(
                    f"{where}: cv: fold {fold} has row {each.max()}, and rows are 0 to {rows - 1}"
                )
        both = np.intersect1d(*pair)
        if len(both):
            raise DataError(
                f"{where}: cv: row {both[0]} is in the training and in the validation part of "
                f"fold {fold} ({len(both)} such rows)"
            )
