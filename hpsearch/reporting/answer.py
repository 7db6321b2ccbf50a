"""The answer at the top of the page: the best config, what decided its score, what to try next."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from hpsearch.reporting.drawing import value_text
from hpsearch.store.tables import hyperparameter_columns, hyperparameter_of, values_of
from hpsearch.store.trials import errors_text
from hpsearch.wording import listing, number, plain

if TYPE_CHECKING:
    from hpsearch.reporting.importance import Share
    from hpsearch.reporting.source import ReportSource

#: Most hyperparameters that the sentence names.
_MOST_NAMED = 5
_MOST_SHARES = 3
_MOST_ADVICE = 4
#: A forest that explains less of the unseen scores is no reason to change a sweep.
_LEAST_EXPLAINED = 0.3
#: A hyperparameter with a smaller share, pairs included, may be idle.
_NO_DIFFERENCE = 0.01
#: It is not idle if the interval of its share goes beyond this.
_PERHAPS = 0.05
#: Nor is it idle if the forest explains less or has fewer trials: the unexplained part may be due
#: to it.
_SURELY_EXPLAINED, _FEWEST_TRIALS = 0.8, 30
#: A value that was tried less often is not known to be as good as the others.
_FEWEST_OF_VALUE = 5
#: With a smaller share, a hyperparameter is no reason to widen its range.
_SOME_DIFFERENCE = 0.03
#: The outer part of a range, on its scale, that is its edge.
_EDGE = 0.05


def answer_of(source: ReportSource) -> dict[str, Any]:
    """The first screen: `headline`, `remark`, `values` of the best config, `shares`, `advice`.

    Each value is a list of the hyperparameter, its text, and the value itself.
    """
    best = source.best
    if best is None:
        lost = [
            f"{many:,} {status}" for status, many in source.lost["status"].value_counts().items()
        ]
        return {
            "headline": "No trial has a score yet.",
            "remark": f"{listing(lost, 'and')}." if lost else "No trial has ended yet.",
            "values": [],
            "shares": [],
            "advice": [],
        }
    columns = hyperparameter_columns(source.table)
    values = values_of(best, columns)
    return {
        "headline": _headline(source),
        "remark": _remark(source),
        "values": [
            [name, value_text(best[column]), values[name]]
            for column in columns
            if (name := hyperparameter_of(column)) in values
        ],
        "shares": [
            _share(source, share)
            for index, share in enumerate(_singles(source)[:_MOST_SHARES])
            if index == 0 or share.share >= _NO_DIFFERENCE
        ],
        "advice": list(_advice(source))[:_MOST_ADVICE],
    }


def _headline(source: ReportSource) -> str:
    best = source.best
    assert best is not None
    score = float(best["score"])
    gain = "" if source.guess is None else f", {_gain(source, score, source.guess)}"
    # A gain over the median trial would be partly luck: the best score was chosen from many.
    median = ""
    if len(source.ranked) > 2:
        middle = float(source.ranked["score"].median())
        median = f"; the median trial has {number(middle, beside=score)}"
    spread = f" ± {number(float(best['std']), beside=score)}" if best["executions"] > 1 else ""
    return f"{_config_in_words(source)}: {source.metric} {number(score)}{spread}{gain}{median}."


def _config_in_words(source: ReportSource) -> str:
    """Name the best config's values, those of the most important hyperparameters first."""
    best = source.best
    assert best is not None
    order = dict.fromkeys([*source.importance.singles, *source.axes])
    active = [name for name in order if best.notna()[name]]
    pairs = [f"{hyperparameter_of(n)} {value_text(best[n])}" for n in active[:_MOST_NAMED]]
    return ", ".join(pairs) or "The only config"


def _gain(source: ReportSource, score: float, guess: float) -> str:
    gain = score - guess if source.goal == "maximize" else guess - score
    better = "better" if gain >= 0 else "worse"
    return f"{number(abs(gain), beside=score)} {better} than always guessing"


def _remark(source: ReportSource) -> str:
    best = source.best
    assert best is not None
    said = [f"Trial {best['trial']} of {len(source.trials):,}"]
    if best["executions"] > 1:
        said.append(
            f"± is the standard deviation of {best['executions']} executions, and includes what a "
            "seed or fold does to all trials alike"
        )
    else:
        said.append("scored once, so part of its lead may be luck")
    errors = errors_text(best, source.facts)
    return "; ".join(said) + "." + (f" On the validation split: {errors}." if errors else "")


def _singles(source: ReportSource) -> list[Share]:
    return [share for share in source.importance.shares if len(share.names) == 1]


def _share(source: ReportSource, share: Share) -> list[Any]:
    """Name, share, the ends of its interval, and the values that may be best on average."""
    (name,) = share.names
    effect, kept = source.importance.effects[name], _best_levels(source, name)
    texts = [value_text(effect.levels[level]) for level in kept]
    if len(kept) == len(effect.levels):
        best = ""
    elif effect.numeric:
        best = " to ".join(dict.fromkeys((texts[0], texts[-1])))
    else:
        best = listing(texts)
    return [name, round(share.share, 4), round(share.low, 4), round(share.high, 4), best]


def _best_levels(source: ReportSource, name: str) -> list[int]:
    """Return the levels that may be best: those whose interval reaches the best mean."""
    effect, best = source.importance.effects[name], _best_level(source, name)
    maximize = source.goal == "maximize"
    reached = effect.high >= effect.mean[best] if maximize else effect.low <= effect.mean[best]
    return [int(level) for level in np.flatnonzero(reached)]


def _best_level(source: ReportSource, name: str) -> int:
    mean = source.importance.effects[name].mean
    return int(np.argmax(mean) if source.goal == "maximize" else np.argmin(mean))


def _advice(source: ReportSource) -> Iterator[str]:
    anova = source.importance
    knows = not anova.reason and anova.explained >= _LEAST_EXPLAINED
    for share in _singles(source) if knows else []:
        if share.share >= _SOME_DIFFERENCE and share.names[0] in source.axes:
            yield from _at_edge(source, share.names[0])
    idle = [share.names[0] for share in _singles(source) if _is_idle(source, share.names[0])]
    if idle:
        yield (
            f"{listing(idle, 'and')} made little difference in these {anova.trials} trials: fixed, "
            "they leave more trials for the others."
        )
    best = source.best
    assert best is not None
    # Without a sweep, there are no seeds to set.
    if best["executions"] == 1 and len(source.ranked) > 2 and source.sweep is not None:
        yield "Set `seeds: 3` to measure how much scores vary between seeds."


def _is_idle(source: ReportSource, name: str) -> bool:
    """Check if a hyperparameter makes little difference, alone and in pairs, as far as is known."""
    anova, axis = source.importance, source.axes[name]
    if anova.explained < _SURELY_EXPLAINED or anova.trials < _FEWEST_TRIALS:
        return False
    if not axis.numeric or axis.marked:
        tried = source.ranked[name].value_counts()
        if tried.min() < _FEWEST_OF_VALUE:
            return False
    shares = [share for share in anova.shares if name in share.names]
    total = sum(share.share for share in shares)
    return total < _NO_DIFFERENCE and all(share.high < _PERHAPS for share in shares)


def _at_edge(source: ReportSource, name: str) -> Iterator[str]:
    """Yield a line if the best value of a range, or of several numbers, is at an end."""
    best, axis, searched = source.best, source.axes[name], source.range_of(name)
    assert best is not None
    if not axis.numeric or best.isna()[name] or len(axis.marked) == 2:
        return
    value = float(best[name])
    low, high = (searched.min, searched.max) if searched else (axis.low, axis.high)
    at, start, end = (axis.scaled(number) for number in (value, low, high))
    position = (at - start) / ((end - start) or 1.0)
    side = -1 if position <= _EDGE else 1 if position >= 1 - _EDGE else 0
    if not side or (side < 0 and low == 0):
        return
    # A single winner may be at an edge by luck, so the mean over all others must be best there.
    last = len(source.importance.effects[name].levels) - 1
    at = _best_level(source, name) / max(1, last)
    if abs(at - (side > 0)) > 2 * _EDGE or len(_best_levels(source, name)) > last:
        return
    where, limit, more = ("upper", high, "larger") if side > 0 else ("lower", low, "smaller")
    yield (
        f"{name}: the best value, {plain(value)}, is near the {where} end, {plain(limit)}; "
        f"{more} ones may be better."
    )
