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
from hpsearch.report.forest import Axis, Codes, Floats, axes_of, design, fit, fold, sample
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
        shares: Those of all hyperparameters and of pairs of important ones, largest first.
        effects: Column -> its effect, in the order of the columns.
        joints: Pair of columns -> the mean score `(n_first_levels, n_second_levels)`.
        explained: The forest's R squared on scores that it has not seen. Near 0 or below, the
            forest has learned nothing, and its shares mean nothing.
        trials: Number of trials that the forest has learned from, each from all its executions.
        reason: The reason why there are no shares, or empty.
    """

    shares: tuple[Share, ...] = ()
    effects: Mapping[str, Effect] = field(default_factory=dict)
    joints: Mapping[tuple[str, str], Floats] = field(default_factory=dict)
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

    @property
    def paired(self) -> list[str]:
        """The hyperparameters whose joint effects are known, most important first."""
        known = {name for pair in self.joints for name in pair}
        return [name for name in self.singles if name in known]

    @cached_property
    def span(self) -> tuple[float, float]:
        """The lowest and highest end of all effects' intervals."""
        every = self.effects.values()
        return min(e.low.min() for e in every), max(e.high.max() for e in every)

    def joint(self, first: str, second: str) -> Floats:
        """The mean score at each pair of levels of two hyperparameters.

        Returns:
            `(n_first_levels, n_second_levels)`, in the order of `effects[...].levels`.

        Raises:
            InputError: There is no such pair.
        """
        if (first, second) in self.joints:
            return self.joints[first, second]
        if (second, first) in self.joints:
            return self.joints[second, first].T
        known = ", ".join(sorted(self.paired)) or "none"
        raise InputError(
            f"{first}, {second}: no two hyperparameters whose joint effect is known; choose two "
            f"of: {known}"
        )

    @property
    def _head(self) -> str:
        trials = counted(self.trials, "trial")
        return f"{trials}, {self.explained:.0%} of the variance explained out of bag"

    def __repr__(self) -> str:
        if self.reason:
            return f"<importance: {self.reason}>"
        return f"{self._head}\n{self.table.to_string(index=False, float_format='{:.3f}'.format)}"

    def _repr_html_(self) -> str:
        if self.reason:
            return f"<p>No importance: {self.reason}.</p>"
        return f"<p>{self._head}</p>{self.table.to_html(index=False, float_format='{:.3f}'.format)}"


#: A forest needs this many configs.
_FEWEST_CONFIGS = 8
#: Trees of the forest that gives the shares.
_TREES = 96
#: Forests that give the intervals, each fitted to half of the configs, and their trees.
_HALVES = 12
_HALF_TREES = 24
#: Pairs are formed among this many hyperparameters, those that the forest splits on most.
_MOST_PAIRED = 8
#: 90% of a normal distribution lie within this many standard deviations.
_WITHIN = 1.645

Pair = tuple[int, int]


def importance_of(
    table: pd.DataFrame, space: Space | None = None, *, most_rows: int = 2_000, seed: int = 0
) -> Importance:
    """Compute the share of the score's variance that each hyperparameter and pair explains.

    A random forest learns the score from the hyperparameters. Its mean over all hyperparameters
    but one or two is exact; the variance of that mean over the space, divided by the variance of
    the forest's predictions, is the share. All values of a list and all parts of a range count
    equally, however often the search tried them.

    An inactive hyperparameter makes no difference, so its empty cells are filled with its values
    at random. Its share refers to the whole space, too: the more rarely it is active, the smaller
    the share. If a method stopped trials early, the forest also learns from the length of their
    trainings, and the shares are those at the longest.

    The intervals come from forests fitted to half of the configs each: 90% of a normal
    distribution with the standard error of half-sampling.

    Args:
        table: A results table.
        space: The sweep's space, which gives the ends of ranges; if None, the values tried do.
        most_rows: Most rows with a score that are used; of more, a random sample is drawn.
        seed: Seed of the forests.

    Sources: Hutter, Hoos and Leyton-Brown, ICML 2014 (the analysis); Politis, Romano and Wolf,
    "Subsampling", 1999 (half-sampling).

    Raises:
        InputError: `table` is not a results table.
    """
    missing = [name for name in ("score", "status", "config", "metric") if name not in table]
    if missing:
        raise InputError(f"not a results table: it has no column {', '.join(missing)}")
    scored = ranked_rows(table)
    scored = scored[np.isfinite(scored["score"].astype("float64"))].sort_values("trial")
    if len(scored) > most_rows:
        chosen = np.random.default_rng(seed).choice(len(scored), most_rows, replace=False)
        scored = scored.iloc[np.sort(chosen)]
    axes = axes_of(scored, space)
    reason = _reason(scored, axes)
    if reason:
        return Importance(reason=reason, trials=scored["config"].nunique())
    # The matrix products are too small for several threads.
    with threadpool_limits(1):
        return _Analysis(scored, axes, seed).importance()


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
    """A forest's mean predictions: overall, by axis and by pair of axes; and their variance."""

    mean: float
    singles: list[Floats]
    pairs: dict[Pair, Floats]
    variance: float


class _Analysis:
    """Fits the forests of a table and combines their means."""

    def __init__(self, scored: pd.DataFrame, axes: Sequence[Axis], seed: int) -> None:
        self._axes = axes
        self._codes: Codes = np.stack([axis.codes for axis in axes], axis=1)
        self._score: Floats = scored["score"].to_numpy(np.float64)
        self._configs: npt.NDArray[np.intp] = np.unique(scored["config"], return_inverse=True)[1]
        self._seed = seed
        self._points, self._weights = sample(axes)
        self._paired: list[Pair] = []

    def importance(self) -> Importance:
        rng = np.random.default_rng(self._seed)
        everything = np.arange(len(self._score))
        x = design(self._axes, self._filled(everything, rng))
        forest = fit(x, self._score, _TREES, self._seed, oob_score=True)
        self._paired = self._pairs(forest)
        whole = self._means(forest)
        halves = [self._half(rng, index) for index in range(_HALVES)]
        return Importance(
            shares=self._shares(whole, halves),
            effects=self._effects(whole, halves),
            joints={
                (self._axes[i].name, self._axes[j].name): whole.pairs[i, j] for i, j in self._paired
            },
            explained=float(forest.oob_score_),
            trials=int(self._configs.max()) + 1,
        )

    def _filled(self, rows: npt.NDArray[np.intp], rng: np.random.Generator) -> Codes:
        """Codes of some rows, with those of inactive values drawn from the other rows'."""
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
        x = design(self._axes, self._filled(rows, rng))
        forest = fit(x, self._score[rows], _HALF_TREES, self._seed + 1 + index)
        return self._means(forest)

    def _pairs(self, forest: Any) -> list[Pair]:
        widths = [1 if a.numeric or a.size == 2 else a.size for a in self._axes]
        ends = np.cumsum(widths)
        # Of all trees, at each look.
        importances = forest.feature_importances_
        splits = [
            importances[end - width : end].sum() for width, end in zip(widths, ends, strict=True)
        ]
        candidates = [i for i, axis in enumerate(self._axes) if not axis.fidelity]
        chosen = sorted(sorted(candidates, key=lambda i: -splits[i])[:_MOST_PAIRED])
        return list(itertools.combinations(chosen, 2))

    def _means(self, forest: Any) -> _Means:
        leaves = fold(forest, self._axes)
        at_points = forest.predict(design(self._axes, self._points))
        mean = float(self._weights @ at_points)
        return _Means(
            mean=leaves.mean(),
            singles=[leaves.marginal(index) for index in range(len(self._axes))],
            pairs={pair: leaves.joint(*pair) for pair in self._paired},
            variance=float(self._weights @ (at_points - mean) ** 2),
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
        total = max(means.variance, sum(explained))
        return np.array(explained) / total if total > 0 else np.zeros(len(explained))

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
            effects[axis.name] = Effect(
                axis.name, axis.levels, axis.numeric, axis.log, mean, low, high
            )
        return effects


def _interval(whole: Floats, halves: Floats) -> tuple[Floats, Floats]:
    """The 90% interval of `whole`, an estimate from all trials.

    Its width comes from the standard error of half-sampling. A forest of few trials is biased:
    if all trials move the estimate away from that of the halves, more trials might move it
    further, so the interval extends by the same distance in that direction.

    Args:
        whole: The estimate.
        halves: Estimates from half of the configs each `(n_halves, *whole.shape)`.
    """
    error = _WITHIN * halves.std(axis=0, ddof=1)
    moved = whole - halves.mean(axis=0)
    return whole - error + np.minimum(moved, 0), whole + error + np.maximum(moved, 0)
