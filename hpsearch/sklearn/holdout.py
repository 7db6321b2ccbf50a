"""Which rows an estimator sets aside to score configs on."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["holdout"]

Rows = npt.NDArray[np.intp]


def holdout(
    n_samples: int,
    fraction: float,
    random: np.random.RandomState,
    classes: npt.NDArray[np.intp] | None = None,
) -> tuple[Rows, Rows]:
    """Rows to train on, and rows to score on, both in the order of the data.

    Of each class, the fraction is set aside as nearly as whole rows allow, and at least one row
    stays in training: a class that has a single row is never scored on, where scikit-learn's own
    stratified splits refuse it.

    Args:
        classes: Class indices `(n_samples,)`; None for regression.

    Raises:
        ValueError: No row can be set aside.
    """
    order = random.permutation(n_samples)
    count = max(1, round(fraction * n_samples))
    free = order[1:] if classes is None else _beyond_first(order, classes)
    if not len(free):
        raise ValueError(
            f"no row can be set aside to score on: n_samples={n_samples}, and each class needs one "
            "row to train on"
        )
    if classes is not None:
        free = _spread(free, classes)
    aside = np.zeros(n_samples, bool)
    aside[free[:count]] = True
    return np.flatnonzero(~aside), np.flatnonzero(aside)


def _beyond_first(order: Rows, classes: npt.NDArray[np.intp]) -> Rows:
    """The rows in an order, without the first of each class."""
    _, first = np.unique(classes[order], return_index=True)
    return np.delete(order, first)


def _spread(rows: Rows, classes: npt.NDArray[np.intp]) -> Rows:
    """Rows in such an order that each beginning of it has about each class' share.

    Row k of a class that has m lies at (k + 1/2) / m.
    """
    places = np.empty(len(rows))
    of_rows = classes[rows]
    for each in np.unique(of_rows):
        chosen = of_rows == each
        count = int(chosen.sum())
        places[chosen] = (np.arange(count) + 0.5) / count
    return rows[np.argsort(places, kind="stable")]
