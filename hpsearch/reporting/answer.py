"""The answer at the top of the page: the best config, what decided its score, what to try next."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np

from hpsearch.reporting.drawing import value_text
from hpsearch.space.mlp import LAYER_TYPES
from hpsearch.store.facts import errors_text
from hpsearch.store.tables import hyperparameter_columns, hyperparameter_of, values_of
from hpsearch.wording import counted, listing, number, plain

if TYPE_CHECKING:
    from hpsearch.reporting.importance import Share
    from hpsearch.reporting.source import PlotAxis, ReportSource

#: Most hyperparameters that the sentence names beyond the network itself.
_MOST_NAMED = 3
_MOST_SHARES = 3
_MOST_ADVICE = 4
_MOST_IDLE = 5
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
        "headline": _headline(source, values),
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


def _headline(source: ReportSource, values: Mapping[str, Any]) -> str:
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
    words = config_in_words(values, source)
    if not any(words.startswith(name) for name in values):
        # Do not capitalise the name of a hyperparameter.
        words = words[:1].upper() + words[1:]
    return f"{words}: {source.metric} {number(score)}{spread}{gain}{median}."


def _gain(source: ReportSource, score: float, guess: float) -> str:
    gain = score - guess if source.goal == "maximize" else guess - score
    if gain == 0:
        return "as good as always guessing"
    better = "better" if gain > 0 else "worse"
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


def config_in_words(values: Mapping[str, Any], source: ReportSource) -> str:
    """Describe a config in words: `2 hidden layers of 64 relu units, adam at 0.003, 20 epochs`."""
    parts, names = _network(values)
    least = _NO_DIFFERENCE if parts else 0.0
    order = [s.names[0] for s in _singles(source) if s.share >= least]
    order = order if order and parts else [*order, *source.axes]
    varying = dict.fromkeys(hyperparameter_of(name) for name in order)
    others = [name for name in varying if name in values and name not in names]
    most = _MOST_NAMED if parts else _MOST_NAMED + 2
    parts += [f"{name} {_in_words(values[name])}" for name in others[:most]]
    return ", ".join(parts) or "the only config"


def _network(values: Mapping[str, Any]) -> tuple[list[str], set[str]]:
    """Return the description of an MLP in parts, and the hyperparameters in it; else nothing."""
    layers, units = values.get("hidden_layers"), values.get("units")
    if not _is_whole(layers) or not (layers == 0 or isinstance(units, list) or _is_whole(units)):
        return [], set()
    layers = int(layers)
    activation = values.get("activation", "")
    if layers == 0:
        network = "no hidden layer"
    elif isinstance(units, list):
        network = f"hidden layers of {', '.join(map(str, units))} {activation}".strip() + " units"
    else:
        network = (
            f"{counted(layers, 'hidden layer')} of {_in_words(units)} {activation}".strip()
            + " units"
        )
    kind = LAYER_TYPES.get(str(values.get("layer_type")))
    if layers and kind is not None and kind.words:
        network += f" with {kind.words}"
        network += f" {_in_words(values['dropout'])}" if "dropout" in values else ""
    parts = [network]
    if "optimizer" in values:
        rate = values.get("learning_rate")
        parts.append(_in_words(values["optimizer"]) + (f" at {_in_words(rate)}" if rate else ""))
    if _is_whole(values.get("epochs")):
        parts.append(counted(int(values["epochs"]), "epoch"))
    names = {"hidden_layers", "units", "activation", "layer_type", "dropout", "optimizer"}
    return parts, names | {"learning_rate", "epochs"}


def _is_whole(value: Any) -> TypeGuard[float]:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and float(value).is_integer()


def _in_words(value: Any) -> str:
    if isinstance(value, dict) and "name" in value:
        inner = ", ".join(f"{key} {_in_words(v)}" for key, v in value.items() if key != "name")
        return f"{value['name']} ({inner})" if inner else str(value["name"])
    if isinstance(value, int | float) and not isinstance(value, bool):
        return plain(value)
    return str(value)


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
        about = "" if source.axes[name].marked else "around "
        best = about + (texts[0] if len(kept) == 1 else f"{texts[0]} to {texts[-1]}")
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
        more = len(idle) - _MOST_IDLE
        named = [*idle[:_MOST_IDLE], f"{more} others"] if more > 1 else idle
        verb, them = ("makes", "it") if len(idle) == 1 else ("make", "them")
        yield (
            f"{listing(named, 'and')} {verb} little difference in these {anova.trials} trials: "
            f"with {them} fixed, as many trials search the others better."
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
    best, axis = source.best, source.axes[name]
    assert best is not None
    if not axis.numeric or best.isna()[name] or len(axis.marked) == 2:
        return
    value, (low, high) = float(best[name]), _ends(source, axis)
    position = _place(value, low, high, log=axis.log and low > 0)
    side = -1 if position <= _EDGE else 1 if position >= 1 - _EDGE else 0
    if not side or (side < 0 and low == 0):
        return
    # A single winner may be at an edge by luck, so the mean over all others must be best there.
    last = len(source.importance.effects[name].levels) - 1
    at = _best_level(source, name) / max(1, last)
    if abs(at - (side > 0)) > 2 * _EDGE or len(_best_levels(source, name)) > last:
        return
    end, more = ("largest", "larger") if side > 0 else ("smallest", "smaller")
    limit = high if side > 0 else low
    where = f"the {end} tried" if value == limit else f"near the {end} possible, {plain(limit)}"
    yield f"{name}: the best value, {plain(value)}, is {where}; {more} ones may be better."


def _ends(source: ReportSource, axis: PlotAxis) -> tuple[float, float]:
    """The ends of the range that the sweep searches; without a sweep file, of the values tried."""
    searched = source.range_of(axis.name)
    if searched is not None:
        return float(searched.min), float(searched.max)
    return axis.low, axis.high


def _place(value: float, low: float, high: float, *, log: bool) -> float:
    """The position of a value between the ends, from 0 to 1."""
    if log:
        value, low, high = math.log(value), math.log(low), math.log(high)
    return (value - low) / ((high - low) or 1.0)
