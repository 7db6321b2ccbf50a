"""Importance: the share of the score's variance that each hyperparameter and pair explains.

The method is a functional analysis of variance of a random forest: Hutter, Hoos and Leyton-Brown,
"An Efficient Approach for Assessing Hyperparameter Importance", ICML 2014.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from hpsearch.errors import InputError
from hpsearch.reporting.forest import (
    Axis,
    Codes,
    Floats,
    axes_of,
    by_tree,
    design,
    fit,
    fold,
    sample,
    unseen,
)
from hpsearch.space.space import Space
from hpsearch.store.trials import ranked_rows
from hpsearch.wording import counted

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Share:
    """The share of the variance, 0 to 1, that a hyperparameter or a pair explains.

    Attributes:
        names: One column or two.
        share: The share; for a pair, beyond the shares of its two members.
        low, high: Its 90% interval.
    """

    names: tuple[str, ...]
    share: float
    low: float
    high: float


@dataclass(frozen=True)
class Effect:
    """The mean score at each level of a hyperparameter, over all values of the others.

    Attributes:
        levels: Numbers in order, or the text of categories.
        log: Whether the levels are evenly spaced on a log scale.
        mean, low, high: The mean score and its 90% interval `(n_levels,)`.
    """

    name: str
    levels: tuple[float | str, ...]
    numeric: bool
    log: bool
    mean: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True)
class Importance:
    """The share of the score's variance that each hyperparameter and pair explains.

    Attributes:
        shares: Shares of all hyperparameters and of pairs of important ones, largest first.
        effects: Column -> its effect, in the order of the columns.
        explained: The forest's R squared on scores that it has not seen. Near 0 or below, the
            forest has learned nothing, and its shares mean nothing.
        trials: Number of trials that the forest has learned from, each from all its executions.
        reason: The reason why there are no shares, or empty.
    """

    shares: tuple[Share, ...] = ()
    effects: Mapping[str, Effect] = field(default_factory=dict)
    explained: float = 0.0
    trials: int = 0
    reason: str = ""

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row for each hyperparameter and pair, largest share first.

        Columns: `hyperparameter`, `with` (the other of a pair, or empty), `share`, `low`, `high`.
        """
        import pandas as pd  # Slow to import.

        rows = [(*(*s.names, "")[:2], s.share, s.low, s.high) for s in self.shares]
        return pd.DataFrame(rows, columns=["hyperparameter", "with", "share", "low", "high"])

    @property
    def singles(self) -> list[str]:
        """The hyperparameters, most important first."""
        return [s.names[0] for s in self.shares if len(s.names) == 1]

    @cached_property
    def span(self) -> tuple[float, float]:
        """The lowest and highest end of all effects' intervals."""
        every = self.effects.values()
        return min(e.low.min() for e in every), max(e.high.max() for e in every)

    def __repr__(self) -> str:
        if self.reason:
            return f"<importance: {self.reason}>"
        table = self.table.to_string(index=False, float_format="{:.3f}".format)
        known = f"{self.explained:.0%} of the variance explained out of bag"
        return f"{counted(self.trials, 'trial')}, {known}\n{table}"


#: Fewest configs that a forest needs.
_FEWEST_CONFIGS = 8
#: Number of trees in the forest for the shares.
_TREES = 96
#: Number of forests for the intervals, each fitted to half of the configs, and of their trees.
_HALVES = 12
_HALF_TREES = 24
#: Most hyperparameters to form pairs of: those that the forest splits on most.
_MOST_PAIRED = 8
#: 90% of a normal distribution lie within this many standard deviations.
_WITHIN = 1.645
#: The bias left with all configs, relative to the change from half of them to all, if the squared
#: error falls as n to the -1/2: the best rate for Lipschitz functions of two variables (Stone
#: 1982).
_LEFT = 1 / (math.sqrt(2) - 1)

#: Interquartile ranges beyond the quartiles at which scores are limited.
_FAR = 5

Pair = tuple[int, int]


def importance_of(
    table: pd.DataFrame, space: Space | None = None, *, most_rows: int = 2_000, seed: int = 0
) -> Importance:
    """Compute the share of the score's variance that each hyperparameter and pair explains.

    A random forest learns the score from the hyperparameters. Its mean over all hyperparameters
    but one or two is exact; the variance of that mean over the space, divided by the variance of
    the forest's predictions, is the share. All values of a list and all parts of a range count
    equally, however often the search tried them.

    A forest learns some parts less completely than others, pairs above all. So shares are those of
    parts scaled to fit unseen scores (`_scales`), with intervals from forests of half of the
    configs (`_interval`); effects are the forest's own.

    An inactive hyperparameter makes no difference, so its empty cells are filled with random values
    of it. Its share also refers to the whole space: the more rarely it is active, the smaller the
    share. If a method stopped trials early, the forest also learns from the length of their
    trainings, and the shares are those at the longest.

    Args:
        space: The sweep's space, which gives the ends of ranges; if None, the values tried do.
        most_rows: Most trials with a score to use; of more, a random sample is drawn.

    Sources: Hutter, Hoos and Leyton-Brown, ICML 2014 (the analysis); Politis, Romano and Wolf,
    "Subsampling", 1999 (half-sampling); Stone, "Optimal Global Rates of Convergence for
    Nonparametric Regression", 1982 (bias).
    """
    missing = [name for name in ("score", "status", "config", "metric") if name not in table]
    if missing:
        raise InputError(f"not a results table: it has no column {', '.join(missing)}")
    scored = ranked_rows(table)
    scored = scored[np.isfinite(scored["score"].astype("float64"))].sort_values("trial")
    scored = _averaged(scored)
    if len(scored) > most_rows:
        chosen = np.random.default_rng(seed).choice(len(scored), most_rows, replace=False)
        scored = scored.iloc[np.sort(chosen)]
    axes = axes_of(scored, space)
    reason = _reason(scored, axes)
    if reason:
        return Importance(reason=reason, trials=scored["config"].nunique())
    scored = scored.assign(score=_limited(scored["score"].to_numpy(np.float64)))
    # The matrix products are too small to gain from several threads.
    with threadpool_limits(1):
        return _Analysis(scored, axes, seed).importance()


def _averaged(scored: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each config with its mean score, or for each length if some were stopped.

    Otherwise a tree that has learned from one execution of a config would know the others.
    """
    is_stopped = (scored["status"] == "stopped").any()
    key = ["config", "epochs_trained"] if is_stopped else ["config"]
    means = scored.groupby(key, dropna=False)["score"].transform("mean")
    return scored.assign(score=means)[~scored.duplicated(key)]


def _limited(scores: Floats) -> Floats:
    """Return the scores with those far outside the others' range moved to its ends.

    Otherwise the loss of one nearly diverged training, such as 1e13, would be all the variance.
    """
    low, high = np.quantile(scores, (0.25, 0.75))
    far = _FAR * (high - low)
    if far == 0:
        return scores
    limited: Floats = np.clip(scores, low - far, high + far)
    return limited


def _reason(scored: pd.DataFrame, axes: Sequence[Axis]) -> str:
    """The reason why there is nothing to analyse, or empty."""
    configs = scored["config"].nunique()
    if configs < _FEWEST_CONFIGS:
        return f"{counted(configs, 'trial')} with a score, and {_FEWEST_CONFIGS} are needed"
    if all(axis.fidelity for axis in axes):
        return "no hyperparameter takes more than one value"
    if scored["score"].nunique() == 1:
        return "all scores are equal"
    return ""


@dataclass(frozen=True)
class _Means:
    """A forest's mean predictions: overall, by axis and by pair of axes.

    Attributes:
        variance: The variance of the forest's predictions over the space.
        scales: Factors for each single, each pair, and the rest of the prediction.
        explained: R squared on rows that trees have not seen; 0 if their scores are equal.
    """

    mean: float
    singles: list[Floats]
    pairs: dict[Pair, Floats]
    variance: float
    scales: Floats
    explained: float


class _Analysis:
    """Fits the forests of a table and combines their means."""

    def __init__(self, scored: pd.DataFrame, axes: Sequence[Axis], seed: int) -> None:
        self._axes = axes
        self._codes: Codes = np.stack([axis.codes for axis in axes], axis=1)
        score = scored["score"].to_numpy(np.float64)
        #: Divide scores by this power of two, so that no square of them overflows.
        self._exponent = math.frexp(np.abs(score).max())[1]
        self._score: Floats = np.ldexp(score, -self._exponent)
        self._configs: npt.NDArray[np.intp] = np.unique(scored["config"], return_inverse=True)[1]
        self._seed = seed
        self._points, self._weights = sample(axes)
        self._paired: list[Pair] = []

    def importance(self) -> Importance:
        rng = np.random.default_rng(self._seed)
        whole = self._means(np.arange(len(self._score)), rng, _TREES, self._seed)
        halves = [self._half(rng, index) for index in range(_HALVES)]
        return Importance(
            shares=self._shares(whole, halves),
            effects=self._effects(whole, halves),
            explained=whole.explained,
            trials=int(self._configs.max()) + 1,
        )

    def _filled(self, rows: npt.NDArray[np.intp], rng: np.random.Generator) -> Codes:
        """Return the codes of some rows, with inactive values drawn from the other rows'."""
        codes = self._codes[rows].copy()
        for index, axis in enumerate(self._axes):
            inactive = codes[:, index] < 0
            if inactive.any():
                codes[inactive, index] = rng.choice(axis.codes[axis.codes >= 0], inactive.sum())
        return codes

    def _half(self, rng: np.random.Generator, index: int) -> _Means:
        count = self._configs.max() + 1
        chosen = rng.permutation(count)[: math.ceil(count / 2)]
        rows = np.flatnonzero(np.isin(self._configs, chosen))
        return self._means(rows, rng, _HALF_TREES, self._seed + 1 + index)

    def _pairs(self, forest: Any) -> list[Pair]:
        widths = [1 if a.numeric or a.size == 2 else a.size for a in self._axes]
        ends = np.cumsum(widths)
        # Read only once: each access computes it over all trees.
        importances = forest.feature_importances_
        splits = [
            importances[end - width : end].sum() for width, end in zip(widths, ends, strict=True)
        ]
        candidates = [i for i, axis in enumerate(self._axes) if not axis.fidelity]
        chosen = sorted(sorted(candidates, key=lambda i: -splits[i])[:_MOST_PAIRED])
        return list(itertools.combinations(chosen, 2))

    def _means(
        self, rows: npt.NDArray[np.intp], rng: np.random.Generator, trees: int, seed: int
    ) -> _Means:
        """Fit a forest to some rows, and return its means and their scales."""
        codes, score = self._filled(rows, rng), self._score[rows]
        x = design(self._axes, codes)
        forest = fit(x, score, trees, seed)
        if not self._paired:
            self._paired = self._pairs(forest)
        leaves = fold(forest, self._axes)
        held = unseen(forest, len(rows))
        mask = held.sum(axis=0) > 0
        held, at, score = held[:, mask], codes[mask].T, score[mask]
        held /= held.sum(axis=0)
        foreseen = (held * by_tree(forest, x[mask])).sum(axis=0)

        means = leaves.means()
        base = means @ held
        singles, pairs, columns = [], {}, []
        for index, codes_of in enumerate(at):
            single = leaves.marginals(index)
            columns.append((held * single[:, codes_of]).sum(axis=0) - base)
            singles.append(single.mean(axis=0))
        for i, j in self._paired:
            # One at a time, because each has all pairs of levels of every tree.
            pair = leaves.joints(i, j)
            both = (held * pair[:, at[i], at[j]]).sum(axis=0)
            columns.append(both - base - columns[i] - columns[j])
            pairs[i, j] = pair.mean(axis=0)
        columns.append(foreseen - base - sum(columns))

        at_points = forest.predict(design(self._axes, self._points))
        variance = score.var()
        return _Means(
            mean=float(means.mean()),
            singles=singles,
            pairs=pairs,
            variance=float(self._weights @ (at_points - self._weights @ at_points) ** 2),
            scales=_scales(np.stack(columns, axis=1), score),
            explained=float(1 - ((score - foreseen) ** 2).mean() / variance) if variance else 0.0,
        )

    def _shares_of(self, means: _Means) -> Floats:
        """The shares of the axes, then those of the pairs."""
        explained = [
            float(axis.weights @ (single - means.mean) ** 2)
            for axis, single in zip(self._axes, means.singles, strict=True)
        ]
        for (i, j), pair in means.pairs.items():
            beyond = pair - means.singles[i][:, None] - means.singles[j][None, :] + means.mean
            explained.append(float(self._axes[i].weights @ beyond**2 @ self._axes[j].weights))
        # The exact parts can exceed a total that was computed from a sample of points.
        remainder = max(0.0, means.variance - sum(explained))
        scaled = np.array([*explained, remainder]) * means.scales**2
        total = scaled.sum()
        return np.asarray(scaled[:-1] / total) if total > 0 else np.zeros(len(explained))

    def _shares(self, whole: _Means, halves: Sequence[_Means]) -> tuple[Share, ...]:
        values = self._shares_of(whole)
        low, high = _interval(values, np.stack([self._shares_of(half) for half in halves]))
        low, high = np.clip(low, 0, 1), np.clip(high, 0, 1)
        keys = [*((i,) for i in range(len(self._axes))), *self._paired]
        shares = [
            Share(tuple(self._axes[i].name for i in key), *map(float, figures))
            for key, *figures in zip(keys, values, low, high, strict=True)
            if not any(self._axes[i].fidelity for i in key)
        ]
        return tuple(sorted(shares, key=lambda share: -share.share))

    def _effects(self, whole: _Means, halves: Sequence[_Means]) -> dict[str, Effect]:
        effects = {}
        for index, axis in enumerate(self._axes):
            if axis.fidelity:
                continue
            mean = whole.singles[index]
            low, high = _interval(mean, np.stack([half.singles[index] for half in halves]))
            scaled = [np.ldexp(values, self._exponent) for values in (mean, low, high)]
            effects[axis.name] = Effect(axis.name, axis.levels, axis.numeric, axis.log, *scaled)
        return effects


def _scales(columns: Floats, score: Floats) -> Floats:
    """Return the factors for the parts of a forest's prediction that predict scores best.

    The least squares fit, not negative, with a ridge towards 1: the mean of a normal prior with
    that mean and a standard deviation of 1, at the variance of the scores about the prediction.

    Args:
        columns: The parts at rows that the trees have not seen `(n_rows, n_parts)`.
        score: The scores of these rows `(n_rows,)`.

    Source: Hoerl and Kennard, "Ridge Regression", 1970; Breiman, "Stacked Regressions", 1996 (on
    unseen rows, not negative).
    """
    from scipy.optimize import nnls  # Slow to import.

    parts, gain = columns - columns.mean(axis=0), score - score.mean()
    ridge = np.std(gain - parts.sum(axis=1)) * np.eye(parts.shape[1])
    return np.asarray(nnls(np.vstack([parts, ridge]), np.append(gain, ridge.sum(axis=1)))[0])


def _interval(whole: Floats, halves: Floats) -> tuple[Floats, Floats]:
    """The 90% interval of `whole`, an estimate from all trials.

    Its width comes from the standard error of half-sampling. A forest of few trials is biased:
    if all trials move the estimate away from that of the halves, more trials would move it
    further, so the interval extends in that direction by the bias that is left (`_LEFT`).

    Args:
        halves: Estimates from half of the configs each `(n_halves, *whole.shape)`.
    """
    error = _WITHIN * halves.std(axis=0, ddof=1)
    left = _LEFT * (whole - halves.mean(axis=0))
    return whole - error + np.minimum(left, 0), whole + error + np.maximum(left, 0)
