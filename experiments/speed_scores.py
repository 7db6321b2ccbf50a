"""Whether two contenders' scores are equivalent, by two one-sided tests.

The margin is `MARGIN` = 0.004 of accuracy on all sweeps: less than two trainings of one config
differ by that differ only in their seed, so that changing the library changes a mean score by less
than changing the seed changes a score. Such trainings differ by the square root of two times the
standard deviation over seeds. The margin was fixed before the runs that it is applied to, by four
seeds of hpsearch on the sweep where a seed changes least; the tables have `a seed's change`.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["LEVEL", "MARGIN", "Equivalence", "equivalence", "seeds_change"]

MARGIN = 0.004
#: Of each of the two tests.
LEVEL = 0.05

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Equivalence:
    """A mean difference of scores, and the result of the two tests.

    Attributes:
        difference: Ours less theirs.
        low: Lower end of the 90% interval, which lies within the margin if both tests pass.
        high: Its upper end.
        p: The larger p-value of the two tests, whose hypotheses are a difference of at most
            minus the margin and one of at least the margin.
    """

    difference: float
    low: float
    high: float
    p: float


def equivalence(
    ours: npt.ArrayLike, theirs: npt.ArrayLike, groups: Sequence[str], margin: float = MARGIN
) -> Equivalence:
    """Compare paired by config (Schuirmann 1987, J. Pharmacokinet. Biopharm. 15, 657-680).

    Configs that differ only in epochs are not independent, so groups of them are the sample.
    hpsearch's configs share weights and orders of rows within a seed, so the variance of its seeds'
    means is added; noise of single trainings then counts twice, which makes the tests stricter. The
    degrees of freedom are Welch's and Satterthwaite's.

    Args:
        ours: Scores, (n_seeds, n_configs).
        theirs: Scores, (n_runs, n_configs), with independent seeds.
        groups: For each config, what it shares with those that it is not independent of.
        margin: Largest difference that counts as none.
    """
    from scipy import stats

    by_seed = _group_means(np.atleast_2d(np.asarray(ours, np.float64)), groups)
    by_run = _group_means(np.atleast_2d(np.asarray(theirs, np.float64)), groups)
    apart = by_seed.mean(axis=0) - by_run.mean(axis=0)
    parts = [apart, by_seed.mean(axis=1)]
    variances = [
        (float(each.var(ddof=1)) / len(each), len(each) - 1) for each in parts if len(each) > 1
    ]
    variance = sum(each for each, _ in variances)
    mean = float(apart.mean())
    if variance == 0.0:
        return Equivalence(mean, mean, mean, float(abs(mean) >= margin))
    error = math.sqrt(variance)
    freedom = variance**2 / sum(each**2 / free for each, free in variances)
    half = float(stats.t.ppf(1 - LEVEL, freedom)) * error
    p = max(
        float(stats.t.sf((mean + margin) / error, freedom)),
        float(stats.t.cdf((mean - margin) / error, freedom)),
    )
    return Equivalence(mean, mean - half, mean + half, p)


def _group_means(scores: Floats, groups: Sequence[str]) -> Floats:
    """(n, n_configs) -> (n, n_groups)."""
    members: Mapping[str, list[int]] = {group: [] for group in groups}
    for column, group in enumerate(groups):
        members[group].append(column)
    return np.stack([scores[:, columns].mean(axis=1) for columns in members.values()], axis=1)


def seeds_change(scores: npt.ArrayLike) -> float | None:
    """How much a config's score differs between two seeds, as a root mean square.

    Args:
        scores: (n_seeds, n_configs).
    """
    table = np.asarray(scores, np.float64)
    if len(table) < 2:
        return None
    return math.sqrt(2 * statistics.fmean(table.var(axis=0, ddof=1)))
