"""Split rows into training, validation and test parts: by fractions, folds, groups or time."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any

import numpy as np
import numpy.typing as npt

from hpsearch.data.columns import instants, parse_numbers
from hpsearch.data.dataset import FoldIndices, Folds, Indices
from hpsearch.errors import DataError
from hpsearch.wording import counted


def split_sizes(
    n: int, validation: float | None, test: float | None, where: str
) -> tuple[int, int, int]:
    """Divide `n` rows into training, validation, test; shares round up, as in scikit-learn."""
    counts = [math.ceil((share or 0) * n) for share in (validation, test)]
    train = n - sum(counts)
    if train < 1:
        raise DataError(
            f"{where}: validation takes {counts[0]} and test {counts[1]} of {n} rows, "
            "which leaves none for training; ask for smaller fractions or add rows"
        )
    return train, counts[0], counts[1]


def require_class_rows(
    codes: Indices,
    classes: Sequence[str],
    sizes: tuple[int, int, int],
    where: str,
    place: Callable[[int], str],
) -> None:
    """Check that a stratified split into parts of these sizes is possible."""
    train, validation, test = sizes
    parts = {"validation": validation, "test": test, "training": train}
    used = {name: rows for name, rows in parts.items() if rows}
    if len(used) == 1:
        return
    counts = np.bincount(codes, minlength=len(classes))
    if counts.min() < 2:
        index = int(counts.argmin())
        at = place(int(np.argmax(codes == index))) if counts[index] else where
        raise DataError(
            f"{at}: class {classes[index]!r} has {counted(counts[index], 'row')}, and a stratified "
            f"split into {' and '.join(used)} rows needs 2 or more; add rows or remove the class"
        )
    name, available = min(used.items(), key=itemgetter(1))
    if available < len(classes):
        raise DataError(
            f"{where}: the {name} part has {available} of {sum(used.values())} rows, fewer "
            f"than the {len(classes)} classes; change the fractions or add rows"
        )


def split_rows(
    sizes: tuple[int, int, int], seed: int, codes: Indices | None, where: str
) -> tuple[Indices, Indices, Indices]:
    """Return the row indices of training, validation and test.

    The test part is split off first. Each split equals scikit-learn's
    `train_test_split(..., stratify=codes, random_state=seed)`.

    Args:
        codes: Class indices of all rows, or None for an unstratified split.
    """
    train, validation, test = np.arange(sum(sizes)), np.arange(0), np.arange(0)
    _, n_validation, n_test = sizes
    if n_test:
        train, test = _split_off(train, n_test, seed, codes)
        left = None if codes is None else np.bincount(codes[train], minlength=codes.max() + 1)
        if n_validation and left is not None and (left < 2).any():
            raise DataError(
                f"{where}: a class has fewer than 2 rows left once the test part is split off, and "
                "the stratified validation split needs 2; add rows, or ask for a smaller test part"
            )
    if n_validation:
        train, validation = _split_off(train, n_validation, seed, codes)
    return train, validation, test


def _split_off(
    rows: Indices, count: int, seed: int, codes: npt.NDArray[Any] | None
) -> tuple[Indices, Indices]:
    """Split `rows` into the remaining rows and `count` random ones.

    Source: scikit-learn's `ShuffleSplit` and `StratifiedShuffleSplit`, with random numbers drawn in
    the same order. Importing scikit-learn would take longer than many sweeps.
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
    for group, of_kept, of_taken in zip(members, kept_counts, taken_counts, strict=True):
        order = group[random.permutation(len(group))]
        kept.append(order[:of_kept])
        taken.append(order[of_kept : of_kept + of_taken])
    return (
        rows[random.permutation(np.concatenate(kept))],
        rows[random.permutation(np.concatenate(taken))],
    )


def _shares(totals: Indices, count: int, random: np.random.RandomState) -> Indices:
    """Divide `count` rows among classes in proportion to `totals`.

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


def random_folds(
    count: int | None,
    seed: int,
    groups: npt.NDArray[Any] | None = None,
    validation: float = 0.0,
    repeats: int = 1,
) -> Folds:
    """Make shuffled folds, or a single split by groups, stratified if there are classes.

    Source: scikit-learn's splitters.

    Args:
        count: Number of folds; None for a single split, which needs groups.
        groups: The group of every row, `(n_samples,)`, which stays on one side; or None.
        validation: Share of the groups in the validation part of a single split.
        repeats: Number of divisions into folds, of rows without groups.
    """

    def folds(places: Indices, codes: Indices | None) -> FoldIndices:
        # scikit-learn is slow to import, and only cross-validation and groups need it.
        from sklearn import model_selection

        options: dict[str, Any] = {"shuffle": True, "random_state": seed}
        splitter: Any
        if groups is None:
            _require_fold_rows(codes, count or 1)
            name = "KFold" if codes is None else "StratifiedKFold"
            if repeats > 1:
                name, options = f"Repeated{name}", {"n_repeats": repeats, "random_state": seed}
            splitter = getattr(model_selection, name)(n_splits=count, **options)
        elif count is None:
            splitter = model_selection.GroupShuffleSplit(1, test_size=validation, random_state=seed)
        elif codes is None:
            splitter = model_selection.GroupKFold(count, **options)
        else:
            splitter = model_selection.StratifiedGroupKFold(count, **options)
        return splitter_folds(splitter, groups)(places, codes)

    return folds


def _require_fold_rows(codes: Indices | None, count: int) -> None:
    fewest = count if codes is None else int(np.bincount(codes)[np.unique(codes)].min())
    if fewest < count:
        raise DataError(
            f"cv: a class has {fewest} rows, fewer than the {count} folds; ask for fewer folds or "
            "add rows"
        )


def splitter_folds(splitter: Any, groups: npt.NDArray[Any] | None) -> Folds:
    """Return the folds of a scikit-learn splitter, or the given ones.

    Args:
        splitter: A splitter, which gets the number of rows, their classes and groups; or a sequence
            of pairs of row indices.
    """

    def folds(places: Indices, codes: Indices | None) -> FoldIndices:
        pairs = splitter
        try:
            if hasattr(splitter, "split"):
                # Splitters read only the length of x.
                x = np.zeros((len(places), 1), np.int8)
                pairs = splitter.split(x, codes, None if groups is None else groups[places])
            return [(np.asarray(train), np.asarray(validation)) for train, validation in pairs]
        except ValueError as error:
            raise DataError(f"cv: {type(splitter).__name__}: {error}") from None

    return folds


def times_of(cells: npt.NDArray[Any], where: str) -> npt.NDArray[Any]:
    """Convert text cells, all numbers or all ISO 8601 dates, to numbers in the order of time."""
    numbers = parse_numbers(cells)
    if np.isfinite(numbers).all():
        return numbers
    moments = instants(cells, "ISO8601")
    if np.isnat(moments).any():
        raise DataError(
            f"{where}: {cells[np.argmax(np.isnat(moments))]!r} is neither a number, as all cells "
            "would have to be, nor a date by ISO 8601, such as 2024-05-31T12:00"
        )
    return moments.astype(np.int64)


def time_folds(times: npt.NDArray[Any], count: int | None, validation: float, where: str) -> Folds:
    """Make folds, or a single split, in which the validation rows are later than the training rows.

    A fold trains on all rows that are earlier than its validation part, as in scikit-learn's
    `TimeSeriesSplit`. Rows of the same time stay together, so parts may be somewhat larger.

    Args:
        times: The time of every row, `(n_samples,)`.
        count: Number of folds; None for a single split.
        validation: Share of rows in the validation part of a single split.
    """

    def folds(places: Indices, _: Indices | None) -> FoldIndices:
        order = np.argsort(times[places], kind="stable")
        ordered, rows = times[places][order], len(places)
        if count is None:
            cuts = [rows - math.ceil(validation * rows)]
        else:
            size = rows // (count + 1)
            cuts = [rows - (count - fold) * size for fold in range(count)]
        # A part starts with the first row that has the same time as the row at its cut.
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


def require_sound_folds(pairs: FoldIndices, rows: int, count: int, where: str) -> None:
    """Check folds, which a user's splitter may have made."""
    if len(pairs) != count:
        raise DataError(f"{where}: cv: expected {count} folds, got {len(pairs)}")
    for fold, pair in enumerate(pairs, start=1):
        for part, numbers in zip(("training", "validation"), pair, strict=True):
            is_sound = numbers.ndim == 1 and numbers.dtype.kind in "iu" and len(numbers)
            if not is_sound or numbers.min() < 0 or numbers.max() >= rows:
                raise DataError(
                    f"{where}: cv: the {part} part of fold {fold} must be row numbers from 0 to "
                    f"{rows - 1}, one or more"
                )
        both = np.intersect1d(*pair)
        if len(both):
            raise DataError(
                f"{where}: cv: row {both[0]} is in both parts of fold {fold} ({len(both)} such)"
            )
