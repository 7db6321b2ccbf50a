"""The folds of cross-validation, and splits that leave groups whole."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hpsearch.data.spec import Folds, Indices
from hpsearch.errors import DataError

__all__ = ["by_group", "by_splitter", "require_sound", "usual"]

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
