"""The texts and tables of the page: its answer, notes, and trials column by column."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hpsearch.reporting.drawing import (
    BEST_CURVES,
    MOST_EFFECTS,
    MOST_EPOCHS,
    rounded,
    training_time,
    value_text,
)
from hpsearch.store.columns import text_of, value_of
from hpsearch.store.tables import (
    hyperparameter_columns,
    hyperparameter_of,
    selecting_methods,
    values_of,
)
from hpsearch.store.trials import errors_text
from hpsearch.wording import counted, listing, number, plain

if TYPE_CHECKING:
    import pandas as pd

    from hpsearch.reporting.importance import Share
    from hpsearch.reporting.source import PlotAxis, ReportSource

#: Most hyperparameters that the sentence names.
_MOST_VALUES = 5
_MOST_SHARES = 3
_MOST_ADVICE = 4
#: A forest that explains less of the unseen scores is no reason to change a sweep.
_LEAST_EXPLAINED = 0.3
#: A hyperparameter with a smaller share, pairs included, may be idle.
_NO_DIFFERENCE = 0.01
#: It is not idle if the interval of its share goes beyond this.
_PERHAPS = 0.05
#: Nor is it if the forest explains less or has fewer trials: the unexplained part may be due to it.
_SURELY_EXPLAINED, _FEWEST_TRIALS = 0.8, 30
#: A value that was tried less often is not known to be as good as the others.
_FEWEST_OF_VALUE = 5
#: With a smaller share, a hyperparameter is no reason to widen its range.
_SOME_DIFFERENCE = 0.03
#: The outer part of a range, on its scale, that is its edge.
_EDGE = 0.05


def answer_of(source: ReportSource) -> dict[str, Any]:
    """The first screen: `headline`, `remark`, `values` of the best config, `shares`, `advice`.

    `paragraph` has what the hyperparameters did, for the section on importance.

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
            "paragraph": "",
        }
    columns = hyperparameter_columns(source.table)
    values = values_of(best, columns)
    singles = [share for share in source.importance.shares if len(share.names) == 1]
    return {
        "headline": _headline(source, best),
        "remark": _remark(source, best),
        "values": [
            [name, value_text(best[column]), values[name]]
            for column in columns
            if (name := hyperparameter_of(column)) in values
        ],
        "shares": [
            _share(source, share)
            for index, share in enumerate(singles[:_MOST_SHARES])
            if index == 0 or share.share >= _NO_DIFFERENCE
        ],
        "advice": list(_advice(source, best, singles))[:_MOST_ADVICE],
        "paragraph": _paragraph(source, best),
    }


def _headline(source: ReportSource, best: pd.Series[Any]) -> str:
    score = float(best["score"])
    gain = "" if source.guess is None else f", {_gain(source, score, source.guess)}"
    # A gain over the median trial would be partly luck: the best score was chosen from many.
    median = ""
    if len(source.ranked) > 2:
        middle = float(source.ranked["score"].median())
        median = f"; the median trial has {number(middle, beside=score)}"
    spread = f" ± {number(float(best['std']), beside=score)}" if best["executions"] > 1 else ""
    return (
        f"{_config_in_words(source, best)}: {source.metric} {number(score)}{spread}{gain}{median}."
    )


def _config_in_words(source: ReportSource, best: pd.Series[Any]) -> str:
    """Name the best config's values, those of the most important hyperparameters first."""
    order = dict.fromkeys([*source.importance.singles, *source.axes])
    active = [name for name in order if best.notna()[name]]
    pairs = [f"{hyperparameter_of(n)} {value_text(best[n])}" for n in active[:_MOST_VALUES]]
    return ", ".join(pairs) or "The only config"


def _gain(source: ReportSource, score: float, guess: float) -> str:
    gain = score - guess if source.goal == "maximize" else guess - score
    better = "better" if gain >= 0 else "worse"
    return f"{number(abs(gain), beside=score)} {better} than always guessing"


def _remark(source: ReportSource, best: pd.Series[Any]) -> str:
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


def _paragraph(source: ReportSource, best: pd.Series[Any]) -> str:
    """Say what each hyperparameter did to the scores, in words to copy; empty if unknown."""
    anova = source.importance
    if anova.reason or anova.explained < _LEAST_EXPLAINED:
        return ""
    kept = [share for share in anova.shares if share.share >= _NO_DIFFERENCE]
    parts = []
    for share in sorted(kept, key=lambda share: len(share.names)):
        names = listing([hyperparameter_of(name) for name in share.names], "and")
        interval = f"{share.low:.0%} to {share.high:.0%}"
        if len(share.names) > 1:
            parts.append(f"{names} together a further {share.share:.0%} ({interval})")
        else:
            values = _share(source, share)[-1]
            better = f"best on average: {values}" if values else "no value is clearly better"
            parts.append(f"{names} explains {share.share:.0%} ({interval}; {better})")
    named = {name for share in kept for name in share.names}
    if rest := [hyperparameter_of(name) for name in anova.singles if name not in named]:
        parts.append(f"no share of {listing(rest)} reaches {_NO_DIFFERENCE:.0%}")
    return (
        f"Of the variance of {source.metric} over this space, {listing(parts, 'and')}. (Functional "
        f"ANOVA of {counted(anova.trials, 'trial')}; in brackets 90% intervals. Its model explains "
        f"{anova.explained:.0%} of the variance of scores that it has not seen.) The best trial: "
        f"{_config_in_words(source, best)}, with {number(float(best['score']))}."
        + _selection_note(source)
    )


def _best_levels(source: ReportSource, name: str) -> list[int]:
    """Return the levels that may be best: those whose interval reaches the best mean."""
    effect, best = source.importance.effects[name], _best_level(source, name)
    maximize = source.goal == "maximize"
    reached = effect.high >= effect.mean[best] if maximize else effect.low <= effect.mean[best]
    return [int(level) for level in np.flatnonzero(reached)]


def _best_level(source: ReportSource, name: str) -> int:
    mean = source.importance.effects[name].mean
    return int(np.argmax(mean) if source.goal == "maximize" else np.argmin(mean))


def _advice(source: ReportSource, best: pd.Series[Any], singles: Sequence[Share]) -> Iterator[str]:
    anova = source.importance
    knows = not anova.reason and anova.explained >= _LEAST_EXPLAINED
    for share in singles if knows else ():
        if share.share >= _SOME_DIFFERENCE and share.names[0] in source.axes:
            yield from _at_edge(source, best, share.names[0])
    if idle := [share.names[0] for share in singles if _is_idle(source, share.names[0])]:
        yield (
            f"{listing(idle, 'and')} made little difference in these {anova.trials} trials: fixed, "
            "they leave more trials for the others."
        )
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


def _at_edge(source: ReportSource, best: pd.Series[Any], name: str) -> Iterator[str]:
    """Yield a line if the best value of a range, or of several numbers, is at an end."""
    axis, searched = source.axes[name], source.range_of(name)
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


_MOST_REASONS = 50
#: Below this, JavaScript's numbers have all digits of a whole number.
_MOST_WHOLE = 2**53
_MOST_NAMED = 12
_LONGEST_REASON = 400
#: Less training time is not mentioned.
_LEAST_SECONDS = 0.05


def tiles(source: ReportSource) -> list[str]:
    """The counts of a sweep, each in a few words."""
    table, seconds = source.table, source.seconds
    trained, asked = source.epochs
    texts = [counted(len(source.trials), "trial")]
    if source.repeated:
        texts[0] += f" in {counted(len(table), 'execution')}"
    lost = source.lost["status"].value_counts()
    texts += [f"{count:,} {status}" for status, count in lost.items()]
    if seconds >= _LEAST_SECONDS:
        texts.append(f"{training_time(seconds)} of training")
    if asked > trained:
        texts.append(f"{1 - trained / asked:.0%} of {asked:,} epochs saved")
    best = source.best
    # Objective functions have no weights.
    if best is not None and best.notna()["weights"]:
        texts.append(f"the best has {int(best['weights']):,} weights")
    return texts


def overview_note(*, compared: bool) -> str:
    """The note under the figure of several sweeps; `compared` if the page has their verdict."""
    note = (
        "The best score so far, by each sweep's own trials. Grids, whose order is no progress, and "
        "sweeps with another metric than the first are not drawn."
    )
    if not compared:
        note += (
            " To see whether one sweep is really better than another, use hpsearch compare, "
            "which accounts for seeds and splits."
        )
    return note


def notes(source: ReportSource, points: int, curves: int) -> dict[str, str]:
    """The note under each title, including the rule by which a large sweep was thinned.

    The script adds what the pointer can do, since that is not possible on paper.
    """
    scored = len(source.ranked)
    spread = f"{points:,} of {scored:,} trials, evenly spread. "
    best = int(curves * BEST_CURVES)
    drawn = f"{curves} of {scored:,} trials: the best {best}, the others spread over the ranking. "
    far = "Triangles at an edge stand for trials beyond it. " if source.is_cut else ""
    is_long = bool((source.curves["epoch"] > MOST_EPOCHS).any())
    anova = source.importance
    return {
        "progress": (spread if scored > points else "") + far,
        "distribution": "The share of trials that score at most so much.",
        "curves": (drawn if scored > curves else "")
        + "Coloured by rank, from blue (worse) to orange (better). "
        + (f"Longer trainings are drawn with {MOST_EPOCHS} of their epochs." if is_long else ""),
        "parallel": "A line for each trial, coloured by rank, from blue (worse) to orange "
        "(better), the best on top.",
        "importance": f"The share of the variance of {source.metric} over the whole space that "
        "each hyperparameter explains, and each pair beyond its members (functional ANOVA). "
        f"From {counted(anova.trials, 'trial')}; the model behind it explains "
        f"{max(0.0, anova.explained):.0%} of the variance of scores that it has not seen; any "
        "hyperparameter may have a part in the others. Black lines are 90% intervals."
        + _selection_note(source),
        "effects": f"Of at most {MOST_EFFECTS} hyperparameters, the most important ones. "
        "Points: trials, whose other values differ. Line: the mean score that the model expects "
        "at each value over all values of the others, with its 90% interval."
        + (" Points at an edge are beyond it." if source.is_cut else ""),
        "failures": ("Executions" if source.repeated else "Trials")
        + " without a score, grouped by reason.",
        "evaluations": "Evaluations of models on a split, in their order. The more often a test "
        "split chooses between models, the better its best score looks.",
        "predictions": "Of the best trial's model, and of those that were evaluated. "
        "In a matrix, a line has the rows of one true class: those that are right in orange, "
        "those that are wrong in blue; the stronger, the larger their share.",
        "provenance": "Everything that decides the scores. Tables whose data and recipe differ "
        "cannot be compared.",
    }


def _selection_note(source: ReportSource) -> str:
    if not (methods := selecting_methods(source.table)):
        return ""
    return (
        f" The configs of {listing(methods, 'and')} may crowd where scores are good: the "
        "effect of values that they rarely try is then less sure than its interval."
    )


def failures(source: ReportSource) -> list[list[Any]]:
    """Status, reason, count and the first trials of each kind of failure, most frequent first."""
    lost = source.lost
    reasons = lost["error"].astype(object).where(lost["error"].notna(), "")
    rows: list[list[Any]] = []
    for (status, reason), group in lost.groupby([lost["status"].astype(object), reasons]):
        trials = group["trial"].unique()
        named = ", ".join(map(str, trials[:_MOST_NAMED]))
        named += ", ..." if len(trials) > _MOST_NAMED else ""
        rows.append([str(status), str(reason)[:_LONGEST_REASON], len(group), named])
    return sorted(rows, key=lambda row: -row[2])[:_MOST_REASONS]


def evaluations(source: ReportSource) -> list[list[str]]:
    """Time, execution, split, rows, metric, value and interval of each recorded measurement."""
    return [
        [
            *(entry.time, entry.execution, entry.split, f"{entry.rows:,}", name),
            number(found.value),
            found.interval or "-",
        ]
        for entry in source.evaluations
        for name, found in entry.metrics.items()
    ]


def facts(source: ReportSource) -> list[list[str]]:
    """The provenance of the scores."""
    sweep, cells = source.sweep, {name: source.table[name].dropna().unique() for name in _FACTS}
    rows = [
        ["metric", "{}, {}, at the {} epoch".format(*source.scoring)],
        *([name, ", ".join(map(str, values)) or "-"] for name, values in cells.items()),
    ]
    if sweep is not None:
        rows += [["method", sweep.method.name], ["sweep seed", str(sweep.seed)]]
    of_search = {"known results": source.facts.known, "ended because": source.facts.ended}
    return [*rows, *([name, text] for name, text in of_search.items() if text)]


#: Columns whose values the provenance lists.
_FACTS = ("data", "recipe", "version", "tensorflow", "keras")


#: Columns that follow the hyperparameters in the page's table.
_AFTER = ("status", "weights", "seconds")
#: Columns that are hidden at first.
_DETAILS = (
    *("std", "executions", "seed", "fold", "epochs_trained", "best_epoch", "shared_with"),
    *("trainer", "error"),
)


def columns_of(source: ReportSource, most: int) -> list[dict[str, Any]]:
    """The values of each column in at most `most` rows: best first, those without a score last.

    A number stands for itself, a category is the index of its text in `levels`, an empty cell null.
    """
    scored, unscored = source.ranked.index, source.unscored.index
    if len(source.trials) > most:
        # Keep some failures, so that the page does not show only successes.
        failed = min(len(unscored), most // 10)
        scored, unscored = scored[: most - failed], unscored[:failed]
    rows = source.trials.loc[[*scored, *unscored]]
    columns = [_column(rows["trial"]), _score(source, rows)]
    for axis in source.axes.values():
        drawn = _hyperparameter(axis, rows[axis.name])
        # A single value only shows where the hyperparameter is active.
        single = len(axis.levels or axis.marked) == 1
        columns.append(drawn | {"axis": not single, "detail": single})
    for name in (*_AFTER, *_DETAILS):
        column = source.trials[name]
        if column.notna().any():
            # A column with only one value says nothing about a line.
            dull = column.nunique(dropna=False) < 2
            columns.append(_column(rows[name]) | {"detail": dull or name in _DETAILS})
    return columns


def _column(column: pd.Series[Any]) -> dict[str, Any]:
    name = str(column.name)
    entry: dict[str, Any] = {"name": name, "label": name.replace("_", " ")}
    entry["score"] = name in ("std", "best_score")
    if column.dtype.kind in "iuf":
        values: Iterable[float] = column.to_numpy(np.float64, na_value=np.nan)
        if name == "seconds":
            values = (float(f"{value:.3g}") for value in values)
        return entry | {"values": [_exact(value) for value in values]}
    column = column.str.slice(0, _LONGEST_REASON) if name == "error" else column
    levels = list(dict.fromkeys(column.dropna()))
    index = {level: code for code, level in enumerate(levels)}
    return entry | {"levels": levels, "values": [index.get(cell) for cell in column]}


def _score(source: ReportSource, rows: pd.DataFrame) -> dict[str, Any]:
    values = [rounded(v) for v in rows["score"].where(rows.index.isin(source.ranked.index))]
    column = {"name": "score", "label": source.metric, "values": values, "axis": True}
    column["score"] = True
    finite = [value for value in values if value is not None]
    return column | {"low": min(finite, default=0), "high": max(finite, default=1)}


def _exact(code: Any) -> float | int | None:
    """Format a whole number, such as a seed, with all digits; round any other."""
    if code is not None and float(code).is_integer() and abs(code) < _MOST_WHOLE:
        return int(code)
    return rounded(code)


def _hyperparameter(axis: PlotAxis, column: pd.Series[Any]) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "name": axis.name,
        "label": axis.name,
        "hyperparameter": hyperparameter_of(axis.name),
        "axis": True,
        "gaps": axis.gaps,
        "gap_position": rounded(axis.gap_position),
        "values": [_exact(code) for code in axis.codes(column)],
    }
    if axis.numeric:
        return entry | {
            "log": axis.log,
            "low": rounded(axis.low),
            "high": rounded(axis.high),
            "marked": [rounded(value) for value in axis.marked],
        }
    cells = {value_text(cell): cell for cell in column.dropna()}
    raw = [value_of(cells[level]) if level in cells else None for level in axis.levels]
    return entry | {"levels": list(axis.levels), "raw": raw, "marked": []}


def constants_of(source: ReportSource) -> list[list[Any]]:
    """The hyperparameters with one value in all trials: name, text of the value, the value."""
    fixed = [n for n in hyperparameter_columns(source.table) if n not in source.axes]
    row = source.table.head(1)
    if row.empty:
        return []
    cells = {name: row[name].iloc[0] for name in fixed}
    cells = {name: cell for name, cell in cells.items() if value_text(cell) != "-"}
    return [[hyperparameter_of(n), value_text(cell), value_of(cell)] for n, cell in cells.items()]


_EXECUTION = ("seed", "fold", "status", "score", "error", "epochs_trained", "seconds")


def executions_of(source: ReportSource, most: int) -> dict[str, Any] | None:
    """The executions of at most `most` trials, the best first; None if trials have one each."""
    if not source.repeated:
        return None
    shown = source.trials.loc[source.ranked.index, "trial"][:most]
    rows = source.table[source.table["trial"].isin([*shown, *source.unscored["trial"][:most]])]
    names = [name for name in _EXECUTION if rows[name].notna().any()]
    columns = [rows[name] for name in names]
    cells = [[_cell(cell) for cell in column] for column in columns]
    return {
        "names": names,
        "rows": [list(row) for row in zip(map(int, rows["trial"]), *cells, strict=True)],
    }


def _cell(value: Any) -> Any:
    if isinstance(value, str):
        return value[:_LONGEST_REASON]
    return None if text_of(value) == "-" else _exact(float(value))
