"""Train, validation and test rows: fractions, folds, groups, time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hpsearch.data.dataset import Folds, Indices
from hpsearch.data.tables import parse_numbers
from hpsearch.errors import DataError

Rows = npt.NDArray[np.intp]


@dataclass(frozen=True)
class SplitSizes:
    """Rows of each part that is split off; 0 where a part is not."""

    train: int
    validation: int
    test: int


def split_sizes(n: int, validation: float | None, test: float | None, where: str) -> SplitSizes:
    """How many of `n` rows go where; fractions are of `n`, rounded up as scikit-learn does.

    Raises:
        DataError: A fraction outside 0..1, or no row left for training.
    """
    counts = []
    for name, fraction in (("validation", validation), ("test", test)):
        if fraction is not None and not 0.0 < fraction < 1.0:
            raise DataError(f"{where}: {name}: {fraction} is not a fraction between 0 and 1")
        counts.append(0 if fraction is None else math.ceil(fraction * n))
    train = n - sum(counts)
    if train < 1:
        raise DataError(
            f"{where}: validation takes {counts[0]} and test {counts[1]} of {n} rows, "
            "which leaves none for training; ask for smaller fractions or add rows"
        )
    return SplitSizes(train, *counts)


def require_class_rows(
    counts: npt.NDArray[Any],
    classes: tuple[str, ...],
    size: SplitSizes,
    where: str,
    place: Callable[[int], str],
) -> None:
    """Check that a stratified split exists, before any split is made.

    Args:
        counts: Rows of each class, `(n_classes,)`.
        place: From a class index to where its first row stands.

    Raises:
        DataError: A class with fewer rows than there are parts, or a part with fewer rows
            than there are classes.
    """
    parts = {"validation": size.validation, "test": size.test, "training": size.train}
    used = {name: rows for name, rows in parts.items() if rows}
    if len(used) == 1:
        return
    for index, count in enumerate(counts.tolist()):
        if count < 2:
            rows = "1 row" if count == 1 else f"{count} rows"
            at = f"{place(index)}: " if count else f"{where}: "
            raise DataError(
                f"{at}class {classes[index]!r} has {rows}, and a stratified split into "
                f"{' and '.join(used)} rows needs 2 or more; add rows or remove the class"
            )
    for name, available in used.items():
        if available < len(classes):
            raise DataError(
                f"{where}: the {name} part has {available} of {sum(used.values())} rows, fewer "
                f"than the {len(classes)} classes; change the fractions or add rows"
            )


def split_rows(
    n: int, size: SplitSizes, seed: int, codes: npt.NDArray[Any] | None, where: str
) -> tuple[Rows, Rows, Rows]:
    """Row indices of training, validation and test; the test part is split off first.

    Equal to scikit-learn's `train_test_split(..., stratify=codes, random_state=seed)`.

    Args:
        n: Rows in all.
        codes: Class indices `(n,)`, or None for an unstratified split.

    Raises:
        DataError: Once the test part is off, a class has too few rows for a second split.
    """
    rows, none = np.arange(n), np.arange(0)
    if not size.test:
        train, validation = (
            _off(rows, size.validation, seed, codes)
            if size.validation
            else (
                rows,
                none,
            )
        )
        return train, validation, none
    rows, test = _off(rows, size.test, seed, codes)
    if not size.validation:
        return rows, none, test
    if codes is not None and (np.bincount(codes[rows], minlength=codes.max() + 1) < 2).any():
        raise DataError(
            f"{where}: a class has fewer than 2 rows left once the test part is split off, and "
            "the stratified validation split needs 2; add rows, or ask for a smaller test part"
        )
    train, validation = _off(rows, size.validation, seed, codes)
    return train, validation, test


def _off(rows: Rows, count: int, seed: int, codes: npt.NDArray[Any] | None) -> tuple[Rows, Rows]:
    """`rows` without some, and these `count`.

    Source: scikit-learn's `ShuffleSplit` and `StratifiedShuffleSplit`, whose import would take
    longer than many a sweep; their random numbers are drawn in the same order.
    """
    random = np.random.RandomState(seed)
    if codes is None:
        order = random.permutation(len(rows))
        return rows[order[count:]], rows[order[:count]]
    _, places, totals = np.unique(codes[rows], return_inverse=True, return_counts=True)
    members = np.split(np.argsort(places, kind="stable"), np.cumsum(totals)[:-1])
    kept_counts = _shares(totals, len(rows) - count, random)
    taken_counts = _shares(totals - kept_counts, count, random)
    kept, taken = [], []
    for each, of_kept, of_taken in zip(members, kept_counts, taken_counts, strict=True):
        order = each[random.permutation(len(each))]
        kept.append(order[:of_kept])
        taken.append(order[of_kept : of_kept + of_taken])
    return (
        rows[random.permutation(np.concatenate(kept))],
        rows[random.permutation(np.concatenate(taken))],
    )


def _shares(
    totals: npt.NDArray[np.intp],
    count: int,
    random: np.random.RandomState,
) -> npt.NDArray[np.intp]:
    """How many of `count` rows each class gets, in proportion to `totals`.

    Source: `sklearn.utils.extmath._approximate_mode`.
    """
    exact = totals / totals.sum() * count
    shares = np.floor(exact)
    missing = int(count - shares.sum())
    remainders = exact - shares
    # The largest remainders get one more; ties are broken at random.
    for remainder in np.unique(remainders)[::-1]:
        if missing <= 0:
            break
        tied = np.flatnonzero(remainders == remainder)
        chosen = random.choice(tied, size=min(len(tied), missing), replace=False)
        shares[chosen] += 1
        missing -= len(chosen)
    return np.asarray(shares, np.intp)


Pairs = Sequence[tuple[Indices, Indices]]


def shuffled_folds(places: Indices, codes: Indices | None, count: int, seed: int) -> Pairs:
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


def group_folds(groups: npt.NDArray[Any], count: int | None, validation: float, seed: int) -> Folds:
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

    numbers = parse_numbers(cells)
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


def time_folds(times: npt.NDArray[Any], count: int | None, validation: float, where: str) -> Folds:
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


def splitter_folds(splitter: Any, groups: npt.NDArray[Any] | None) -> Folds:
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


def require_sound_folds(pairs: Pairs, rows: int, count: int, where: str) -> None:
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
