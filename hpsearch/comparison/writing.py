"""Write a comparison as sections of text and tables, in Markdown or JSON."""

from __future__ import annotations

import html
import json
import math
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hpsearch.comparison.estimates import LEVEL, Estimate
from hpsearch.comparison.findings import Dependence, Findings, Pair
from hpsearch.comparison.questions import Answer, Change, Question
from hpsearch.errors import InputError
from hpsearch.machine import version_of
from hpsearch.wording import counted, listing, number, printable

_QUESTIONS = {
    Question.PAIRED: "do the same configs score better",
    Question.BEST: "is the best config better",
    Question.SETTLED: "is the best config better, by fresh seeds",
}
_NO_WINNER = "no table is better than all the others"
_NOTHING = "none, or no config is paired"
#: The number of hyperparameters whose values are listed.
_MOST_EFFECTS = 3


@dataclass(frozen=True)
class Grid:
    """A table of text."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Section:
    """A question with the lines and tables that answer it."""

    title: str
    parts: tuple[str | Grid, ...]


def document(comparison: Findings) -> list[Section]:
    """Return the sections: comparable, better, at equal budget, why, which configs, what next."""
    return [
        _comparable(comparison),
        _better(comparison),
        _at_equal_budget(comparison),
        _explained(comparison),
        _moved(comparison),
        *([Section("What would settle it?", comparison.advice)] if comparison.advice else []),
    ]


def stamp(comparison: Findings) -> str:
    """Return the warning to show above all else if tables are not comparable; else empty."""
    if comparison.comparable:
        return ""
    return "NOT COMPARABLE, compared anyway: " + "; ".join(comparison.differences)


def _comparable(comparison: Findings) -> Section:
    if comparison.comparable:
        lines = [f"yes: the same data, split and metric ({comparison.metric})"]
        if comparison.assumed:
            lines = [f"as far as the tables say: the metric is the same ({comparison.metric})"]
    else:
        lines = [stamp(comparison)]
    lines += [f"assumed: {assumption}" for assumption in comparison.assumed]
    lines += [f"also different: {note}" for note in comparison.notes]
    return Section("Are they comparable?", tuple(lines))


def _better(comparison: Findings) -> Section:
    several = len(comparison.pairs) > 1
    lines = [headline(comparison)] if several else []
    for pair in comparison.pairs:
        lines += [_verdict(pair, adjusted=several), *_footnotes(pair)]
    return Section("Which is better?", (*lines, _bests(comparison)))


def headline(comparison: Findings) -> str:
    """Return the verdict in a few words."""
    pair, difference = comparison.decisive, comparison.decisive.estimate.difference
    if len(comparison.pairs) > 1:
        winner = comparison.winner
        return f"{winner} is better than each of the others" if winner else _NO_WINNER
    if pair.winner is None or difference is None:
        # The text after a colon belongs to the answer to the question.
        return f"{pair.first} and {pair.second}: no winner, {pair.reason.partition(': ')[0]}"
    return f"{pair.winner} is better than {pair.loser} by {number(abs(difference))}"


def _verdict(pair: Pair, *, adjusted: bool) -> str:
    """A sentence with the winner, the difference, its interval and test, and the question."""
    estimate = pair.estimate
    if estimate.difference is None:
        return f"{pair.first} and {pair.second}: no verdict, {pair.reason}"
    if pair.winner:
        size = _signed_estimate(estimate, positive=True)
        head = f"{pair.winner} is better than {pair.loser} by {size}"
    else:
        gain = f"the gain of {pair.first} over {pair.second} is {_signed_estimate(estimate)}"
        head = f"{pair.first} and {pair.second}: no winner, {pair.reason}; {gain}"
    if changes := pair.answer.changes:
        head = f"{_ablation(changes)}: {head}"
    return f"{head}, {_p(pair.p_value)}{' (Holm)' if adjusted else ''}; {_basis(pair)}"


def _ablation(changes: Sequence[Change]) -> str:
    """The settings of the second table in place of those of the first."""
    sides = ([(c.name, c.first) for c in changes], [(c.name, c.second) for c in changes])
    before, after = (
        listing([f"{name} {value}" for name, value in side if value], "and") or "the defaults"
        for side in sides
    )
    return f"with {after} instead of {before}"


def _signed_estimate(estimate: Estimate, *, positive: bool = False) -> str:
    difference, low, high = estimate.difference or 0.0, estimate.low, estimate.high
    if positive and difference < 0:
        difference, low, high = -difference, -high, -low
    if not estimate.bounded:
        return f"{number(difference)} (no interval)"
    size = max(abs(end) for end in (difference, low, high) if math.isfinite(end))
    ends = f"{number(low, size)} to {number(high, size)}"
    return f"{number(difference, size)} (95% interval {ends})"


def _basis(pair: Pair) -> str:
    answer = pair.answer
    match answer.question:
        case Question.PAIRED:
            units = answer.n_units[0]
            shared = f", from {units} trainings" if units < answer.n_pairs else ""
            counts = f"{counted(answer.n_pairs, 'config')} x {_draws(answer)}"
            basis = f"{counts}, each against itself{shared}"
        case Question.BEST:
            basis = (
                f"best of {answer.n_configs[0]:,} and of {counted(answer.n_configs[1], 'config')}"
            )
        case Question.SETTLED:
            basis = f"best config of each with {counted(answer.n_pairs, 'fresh score')}"
    return f"asked: {_QUESTIONS[answer.question]}? ({basis})"


def _draws(answer: Answer) -> str:
    first, second = answer.n_draws
    if answer.same_draws:
        return f"the same {counted(first, 'execution')}"
    return f"{first} and {counted(second, 'other execution')}"


def _footnotes(pair: Pair) -> list[str]:
    answer, notes = pair.answer, []
    if answer.n_lost:
        settled = answer.question is Question.SETTLED
        lost = counted(answer.n_lost, "fresh seed" if settled else "config")
        halted = "" if settled else ", or halted at another epoch,"
        notes.append(f"{lost} left out: without a score{halted} in one table")
    if answer.n_equal:
        equal = counted(answer.n_equal, "config")
        notes.append(f"{equal} left out: what distinguishes the tables is not in them")
    if answer.question is Question.BEST and answer.corrected is not None:
        notes.append(
            f"without what luck has in the bests, the gain of {pair.first} over {pair.second} is "
            f"about {number(answer.corrected)}"
        )
    return notes


def _bests(comparison: Findings) -> Grid:
    bests = comparison.bests
    names = dict.fromkeys(name for best in bests for name in best.values or ())
    shown = [n for n in names if len({(b.values or {}).get(n, "-") for b in bests}) > 1]
    header = ["table", "trials", "with a score", "executions", "best trial", "mean score", "sd"]
    header += ["scores", "luck in it", "fresh mean", *shown]
    rows = []
    for best in bests:
        row = [best.label, *(f"{n:,}" for n in (best.trials, best.scored, best.executions))]
        row += ["-" if best.trial is None else str(best.trial), _maybe(best.mean), _maybe(best.sd)]
        row += [str(best.seeds), _maybe(best.luck), _maybe(best.fresh)]
        rows.append([*row, *((best.values or {}).get(name, "-") for name in shown)])
    # A column that is empty in every row says nothing.
    kept = [at for at in range(len(header)) if any(row[at] != "-" for row in rows)]
    first, *others = (tuple(line[at] for at in kept) for line in (header, *rows))
    return Grid(first, tuple(others))


def _at_equal_budget(comparison: Findings) -> Section:
    header = ("budget", *comparison.labels)
    rows = tuple(
        (
            f"{budget.budget:,.4g} {budget.unit}",
            *(_maybe(budget.best[label]) for label in comparison.labels),
        )
        for budget in comparison.budgets
    )
    if not rows:
        return Section("At equal budget?", ("nothing was spent in one of them",))
    line = "the best mean score once so much was spent, trials in their order"
    return Section("At equal budget?", (line, Grid(header, rows)))


def _explained(comparison: Findings) -> Section:
    parts: list[str | Grid] = []
    for pair in comparison.pairs:
        if pair.effects:
            title = f"the gain of {pair.first} over {pair.second}"
            parts.append(f"{title}: how much of the configs' differences each explains")
            shares = tuple((e.name, f"{100 * e.share:.0f}%") for e in pair.effects)
            header = ("hyperparameter", "share of the variance beyond chance")
            parts += [Grid(header, shares), _by_value(pair.effects)]
    return Section("Which hyperparameters explain it?", tuple(parts) or (_NOTHING,))


def _by_value(effects: Sequence[Dependence]) -> Grid:
    rows = tuple(
        (effect.name, value, *map(_maybe, (gain.difference, gain.low, gain.high)), str(count))
        for effect in effects[:_MOST_EFFECTS]
        for value, (gain, count) in effect.by_value.items()
    )
    return Grid(("hyperparameter", "value", "gain", "low", "high", "configs"), rows)


def _moved(comparison: Findings) -> Section:
    parts: list[str | Grid] = []
    for pair in comparison.pairs:
        if pair.moves:
            parts += [f"the gain of {pair.first} over {pair.second}", _moves(pair)]
    return Section("Which configs moved most?", tuple(parts) or (_NOTHING,))


def _moves(pair: Pair) -> Grid:
    header = (pair.first, pair.second, "gain", "ranks", *pair.moves[0].values)
    rows = tuple(
        (
            number(move.first),
            number(move.second),
            number(move.difference),
            f"{move.ranks[0]}, {move.ranks[1]}",
            *move.values.values(),
        )
        for move in pair.moves
    )
    return Grid(header, rows)


def _maybe(value: float | None) -> str:
    return number(value) if value is not None and math.isfinite(value) else "-"


def _p(value: float) -> str:
    if math.isnan(value):
        return "no test"
    return "p < 0.001" if value < 1e-3 else f"p = {value:.3f}"


#: Characters with a meaning in Markdown.
_MARKUP = re.compile(r"([\\`*_\[\]#|~$])")


def as_dict(comparison: Findings) -> dict[str, Any]:
    """Return the comparison as values that JSON has; a missing value is None."""
    raw = {
        "hpsearch": version_of("hpsearch"),
        "comparable": comparison.comparable,
        "stamp": stamp(comparison) or None,
        "differences": comparison.differences,
        "assumed": comparison.assumed,
        "notes": comparison.notes,
        "labels": comparison.labels,
        "metric": comparison.metric,
        "level": LEVEL,
        **_pair(comparison.decisive, comparison),
        "winner": comparison.winner,
        "tables": [
            {key: value for key, value in vars(best).items() if key != "scores"}
            for best in comparison.bests
        ],
        "pairs": [_pair(pair, comparison) for pair in comparison.pairs],
        "budgets": [asdict(budget) for budget in comparison.budgets],
        "advice": comparison.advice,
    }
    return dict(_plain(raw))


def _pair(pair: Pair, comparison: Findings) -> dict[str, Any]:
    answer = asdict(pair.answer)
    del answer["estimate"]
    return {
        "first": pair.first,
        "second": pair.second,
        "asked": _QUESTIONS[pair.answer.question],
        "verdict": _verdict(pair, adjusted=len(comparison.pairs) > 1),
        "winner": pair.winner,
        "reason": pair.reason or None,
        **_estimate(pair.estimate),
        "p_value": pair.p_value,
        "p_value_alone": pair.estimate.p_value,
        **answer,
        "hyperparameters": [_effect(effect) for effect in pair.effects],
        "moved": [asdict(move) for move in pair.moves],
    }


def _estimate(estimate: Estimate) -> dict[str, Any]:
    ends = (estimate.low, estimate.high)
    return {"difference": estimate.difference, "interval": ends, "p_value": estimate.p_value}


def _effect(effect: Dependence) -> dict[str, Any]:
    return {
        "hyperparameter": effect.name,
        "share": effect.share,
        "by_value": [
            {"value": value, **_estimate(estimate), "n_configs": count}
            for value, (estimate, count) in effect.by_value.items()
        ],
    }


def _plain(value: Any) -> Any:
    """Replace NaN and infinity, which JSON does not have, by None, and tuples by lists."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def as_json(comparison: Findings) -> str:
    """Return `as_dict` as text."""
    return json.dumps(as_dict(comparison), indent=2, allow_nan=False) + "\n"


def as_markdown(comparison: Findings) -> str:
    """Return a page of Markdown; all names are escaped."""
    parts = ["# Comparison of sweeps"]
    if not comparison.comparable:
        parts.append(f"**{_markdown(stamp(comparison))}**")
    for section in document(comparison):
        parts.append(f"## {section.title}")
        parts += [
            _markdown_grid(part) if isinstance(part, Grid) else _markdown(part)
            for part in section.parts
        ]
    return "\n\n".join(parts) + "\n"


def _markdown(text: str) -> str:
    return _MARKUP.sub(r"\\\1", html.escape(printable(text), quote=False))


def _markdown_grid(grid: Grid) -> str:
    def row(cells: Iterable[str]) -> str:
        return "| " + " | ".join(map(_markdown, cells)) + " |"

    return "\n".join(
        [row(grid.header), "|" + "---:|" * len(grid.header), *(row(cells) for cells in grid.rows)]
    )


def require_suffix(path: str | os.PathLike[str]) -> None:
    """Check that a comparison can be written to this file, before it is made."""
    if Path(path).suffix.lower() not in (".md", ".json", ".html"):
        raise InputError(
            f"{path}: a comparison is written as .md, .json, .html, by the file's suffix"
        )
