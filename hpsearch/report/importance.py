"""How much of the score's variance each hyperparameter and pair explains, with intervals.

A functional analysis of variance of a random forest: Hutter, Hoos and Leyton-Brown, "An Efficient
Approach for Assessing Hyperparameter Importance", ICML 2014.
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

from hpsearch.errors import InputError
from hpsearch.report.forest import Axis, Codes, Floats, Leaves, axes_of, design, fit, fold, sample
from hpsearch.space.space import Space
from hpsearch.store.tables import ranked_rows

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Share:
    """How much of the variance one hyperparameter or pair explains, 0 to 1, and its interval.

    Attributes:
        names: One column or two.
        share: Of a pair, what it explains beyond its two members.
        low, high: Of 90% of the forests that other trials would have given.
    """

    names: tuple[str, ...]
    share: float
    low: float
    high: float


@dataclass(frozen=True)
class Effect:
    """The mean score at each level of one hyperparameter, over the whole space.

    Attributes:
        levels: Numbers in order, or the text of categories.
        mean, low, high: `(n_levels,)`; the band is that of 90% of the forests.
        log: Whether the levels are even on a log scale.
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
    """How much of the score's variance each hyperparameter and pair explains.

    Attributes:
        shares: Largest first; of singles and of pairs of the most important.
        effects: Column -> its effect, in the order of the columns.
        joints: Pair of columns -> the mean score `(n_first_levels, n_second_levels)`.
        explained: The forest's R squared on trials that it has not seen: near 0 or below, it has
            learnt nothing, and its shares mean nothing.
        trials: How many trials it has learnt from.
        reason: Why there are no shares, or empty.
    """

    shares: tuple[Share, ...] = ()
    effects: Mapping[str, Effect] = field(default_factory=dict)
    joints: Mapping[tuple[str, str], Floats] = field(default_factory=dict)
    explained: float = 0.0
    trials: int = 0
    reason: str = ""

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row a hyperparameter or pair, largest share first.

        Columns: `hyperparameter`, `with` (the other of a pair, or empty), `share`, `low`, `high`.
        """
        import pandas as pd

        rows = [(*(*s.names, "")[:2], s.share, s.low, s.high) for s in self.shares]
        return pd.DataFrame(rows, columns=["hyperparameter", "with", "share", "low", "high"])

    @property
    def paired(self) -> list[str]:
        """The hyperparameters of which any two can be looked at, most important first."""
        known = {name for pair in self.joints for name in pair}
        singles = [s.names[0] for s in self.shares if len(s.names) == 1]
        return [name for name in singles if name in known]

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
        known = ", ".join(sorted({name for pair in self.joints for name in pair})) or "none"
        raise InputError(
            f"{first}, {second}: no two hyperparameters whose joint effect is known; choose two "
            f"of: {known}"
        )

    def __repr__(self) -> str:
        if self.reason:
            return f"<importance: {self.reason}>"
        head = f"{self.trials} trials, {self.explained:.0%} of the variance explained out of bag"
        return f"{head}\n{self.table.to_string(index=False, float_format='{:.3f}'.format)}"

    def _repr_html_(self) -> str:
        if self.reason:
            return f"<p>No importance: {self.reason}.</p>"
        said = f"{self.trials} trials; {self.explained:.0%} of the variance explained out of bag"
        return f"<p>{said}</p>{self.table.to_html(index=False, float_format='{:.3f}'.format)}"


#: Fewer configs than this say nothing about a forest.
_FEWEST_CONFIGS = 8
#: Of the forest that the shares come from.
_TREES = 96
#: Forests of half of the configs each, for the intervals, and their trees.
_HALVES = 12
_HALF_TREES = 24
#: Pairs are taken among so many hyperparameters, by what the forest splits on.
_MOST_PAIRED = 8
#: Of a normal distribution: 90% lie within.
_WITHIN = 1.645

Pair = tuple[int, int]


def importance_of(
    table: pd.DataFrame, space: Space | None = None, *, most_rows: int = 2_000, seed: int = 0
) -> Importance:
    """How much of the score's variance each hyperparameter and each pair explains.

    A random forest learns the score from the hyperparameters. Its mean over all hyperparameters
    but one, or but two, is exact; the variance of that mean over the space, divided by the
    forest's own variance, is the share. Every value of a list and every part of a range counts
    alike, whichever a search has favoured.

    A dead hyperparameter makes no difference, so any of its values may stand in its empty cell:
    one drawn at random for each trial. Its share then is that of the whole space, too: the less,
    the more seldom it is alive. Where a method stopped trials early, the forest also learns how
    long each trained, and speaks of the longest.

    Intervals are those of forests that see half of the configs each: the standard error of
    half-sampling, 90% of a normal distribution.

    Args:
        table: A results table.
        space: Of its sweep: where ranges begin and end; else by the values met.
        most_rows: Of more trials with a score, so many drawn at random.
        seed: Of the forests.

    Sources: Hutter, Hoos and Leyton-Brown, ICML 2014 (the analysis); Politis, Romano and Wolf,
    "Subsampling", 1999 (half-sampling).

    Raises:
        InputError: The table has no scores' column.
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
        return Importance(reason=reason, trials=len(scored))
    from threadpoolctl import threadpool_limits

    # The products are small: more threads wait for each other.
    with threadpool_limits(1):
        return _Analysis(scored, axes, seed).importance()


def _reason(scored: pd.DataFrame, axes: Sequence[Axis]) -> str:
    """Why there is nothing to analyse, or empty."""
    configs = scored["config"].nunique()
    if configs < _FEWEST_CONFIGS:
        return f"{configs} configs have a score, and {_FEWEST_CONFIGS} are needed"
    if all(axis.fidelity for axis in axes):
        return "no hyperparameter takes more than one value"
    if scored["score"].nunique() == 1:
        return "all scores are equal"
    return ""


@dataclass(frozen=True)
class _Parts:
    """What one forest says: its means by level, by pair of levels, and its variance."""

    mean: float
    singles: list[Floats]
    pairs: dict[Pair, Floats]
    variance: float


class _Analysis:
    """The forests of one table, and what they agree on."""

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
        whole = self._parts(forest)
        halves = [self._half(rng, index) for index in range(_HALVES)]
        return Importance(
            shares=self._shares(whole, halves),
            effects=self._effects(whole, halves),
            joints={
                (self._axes[i].name, self._axes[j].name): whole.pairs[i, j] for i, j in self._paired
            },
            explained=float(forest.oob_score_),
            trials=len(self._score),
        )

    def _filled(self, rows: npt.NDArray[np.intp], rng: np.random.Generator) -> Codes:
        """Codes of some trials, dead ones drawn from the levels met, as often as they are met."""
        codes = self._codes[rows].copy()
        for index, axis in enumerate(self._axes):
            dead = codes[:, index] < 0
            if dead.any():
                codes[dead, index] = rng.choice(axis.codes[axis.codes >= 0], dead.sum())
        return codes

    def _half(self, rng: np.random.Generator, index: int) -> _Parts:
        count = self._configs.max() + 1
        chosen = rng.permutation(count)[: math.ceil(count / 2)]
        rows = np.flatnonzero(np.isin(self._configs, chosen))
        x = design(self._axes, self._filled(rows, rng))
        forest = fit(x, self._score[rows], _HALF_TREES, self._seed + 1 + index)
        return self._parts(forest)

    def _pairs(self, forest: Any) -> list[Pair]:
        widths = [1 if a.numeric or a.size == 2 else a.size for a in self._axes]
        ends = np.cumsum(widths)
        splits = [
            forest.feature_importances_[end - width : end].sum()
            for width, end in zip(widths, ends, strict=True)
        ]
        own = [i for i, axis in enumerate(self._axes) if not axis.fidelity]
        chosen = sorted(sorted(own, key=lambda i: -splits[i])[:_MOST_PAIRED])
        return list(itertools.combinations(chosen, 2))

    def _parts(self, forest: Any) -> _Parts:
        leaves: Leaves = fold(forest, self._axes)
        at_points = forest.predict(design(self._axes, self._points))
        mean = float(self._weights @ at_points)
        return _Parts(
            mean=leaves.mean(),
            singles=[leaves.marginal(index) for index in range(len(self._axes))],
            pairs={pair: leaves.joint(*pair) for pair in self._paired},
            variance=float(self._weights @ (at_points - mean) ** 2),
        )

    def _of_singles(self, parts: _Parts) -> list[float]:
        return [
            float(axis.weights @ (single - parts.mean) ** 2)
            for axis, single in zip(self._axes, parts.singles, strict=True)
        ]

    def _of_pair(self, parts: _Parts, pair: Pair) -> float:
        first, second = pair
        beyond = (
            parts.pairs[pair]
            - parts.singles[first][:, None]
            - parts.singles[second][None, :]
            + parts.mean
        )
        return float(self._axes[first].weights @ beyond**2 @ self._axes[second].weights)

    def _variances(self, parts: _Parts) -> Floats:
        """Shares of the axes, then of the pairs."""
        explained = [
            *self._of_singles(parts),
            *(self._of_pair(parts, pair) for pair in self._paired),
        ]
        # The sum of what was taken exactly can exceed what was sampled.
        total = max(parts.variance, sum(explained))
        return np.array(explained) / total if total > 0 else np.zeros(len(explained))

    def _shares(self, whole: _Parts, halves: Sequence[_Parts]) -> tuple[Share, ...]:
        values = self._variances(whole)
        low, high = _interval(values, np.stack([self._variances(half) for half in halves]))
        low, high = np.clip(low, 0, 1), np.clip(high, 0, 1)
        keys = [*((i,) for i in range(len(self._axes))), *self._paired]
        shares = [
            Share(tuple(self._axes[i].name for i in key), *map(float, figures))
            for key, *figures in zip(keys, values, low, high, strict=True)
            if not any(self._axes[i].fidelity for i in key)
        ]
        return tuple(sorted(shares, key=lambda share: -share.share))

    def _effects(self, whole: _Parts, halves: Sequence[_Parts]) -> dict[str, Effect]:
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
    """Ends around what all trials say, from what halves of them say `(n_halves, ...)`.

    The standard error of half-sampling; and where twice the trials have moved the figure, as
    much again in that direction, for a forest of few trials is biased.
    """
    error = _WITHIN * halves.std(axis=0, ddof=1)
    moved = whole - halves.mean(axis=0)
    return whole - error + np.minimum(moved, 0), whole + error + np.maximum(moved, 0)
