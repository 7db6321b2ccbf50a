"""Train, validation and test: how many rows, and which."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hpsearch.errors import DataError

__all__ = ["Rows", "Sizes", "require_rows", "sizes", "split"]

Rows = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Sizes:
    """Rows of each part that is split off; 0 where a part is not."""

    train: int
    validation: int
    test: int


def sizes(n: int, validation: float | None, test: float | None, where: str) -> Sizes:
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
    return Sizes(train, *counts)


def require_rows(
    counts: npt.NDArray[Any],
    classes: tuple[str, ...],
    size: Sizes,
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


def split(
    n: int, size: Sizes, seed: int, codes: npt.NDArray[Any] | None, where: str
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
