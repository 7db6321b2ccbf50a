"""A comparison in words and tables, whatever page they end up on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from hpsearch.comparison.findings import Best, Findings
from hpsearch.comparison.questions import Estimate, Question
from hpsearch.comparison.verdict import Change, Dependence, Move, Pair

_QUESTIONS = {
    Question.PAIRED: "do the same configs score better",
    Question.BEST: "is the best config better",
    Question.RESCORED: "is the best config better, by fresh seeds",
}
#: Hyperparameters whose values are shown one by one.
_MOST_EFFECTS = 3


@dataclass(frozen=True)
class Grid:
    """A table: its header and rows, all text."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Section:
    """A question, and the lines and tables that answer it."""

    title: str
    parts: tuple[str | Grid, ...]


def document(comparison: Findings) -> list[Section]:
    """The sections in order: comparable, better, at equal budget, why, which configs."""
    return [
        _comparable(comparison),
        _better(comparison),
        _at_equal_budget(comparison),
        _explained(comparison),
        _moved(comparison),
    ]


def stamp(comparison: Findings) -> str:
    """What stands above everything where the tables are not comparable; else empty."""
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
    lines += [f"assumed: {each}" for each in comparison.assumed]
    lines += [f"also different: {each}" for each in comparison.notes]
    return Section("Are they comparable?", tuple(lines))


def _better(comparison: Findings) -> Section:
    several = len(comparison.pairs) > 1
    lines: list[str | Grid] = []
    if several:
        winner = comparison.winner
        lines.append(
            f"{winner} is better than each of the others"
            if winner
            else "no table is better than all the others"
        )
    for pair in comparison.pairs:
        lines += [verdict(pair, adjusted=several), *_footnotes(pair)]
    if several:
        lines.append(_all_pairs(comparison.pairs))
    return Section("Which is better?", (*lines, *_luck(comparison), _bests(comparison.bests)))


def question_text(pair: Pair) -> str:
    """The question that the verdict answers."""
    return _QUESTIONS[pair.answer.question]


def verdict(pair: Pair, *, adjusted: bool = False) -> str:
    """One sentence: who wins, by how much, how sure, by which question."""
    estimate = pair.estimate
    if estimate.difference is None:
        return f"{pair.first} and {pair.second}: no verdict, {pair.reason}"
    if pair.winner:
        loser = pair.second if pair.winner == pair.first else pair.first
        size = _signed_estimate(estimate, positive=True)
        head = f"{pair.winner} is better than {loser} by {size}"
    else:
        head = (
            f"{pair.first} and {pair.second}: no winner, {pair.reason}; "
            f"{pair.first} less {pair.second} is {_signed_estimate(estimate)}"
        )
    return f"{head}, {_p(pair.p_value)}{' (Holm)' if adjusted else ''}; {_basis(pair)}"


def _signed_estimate(estimate: Estimate, *, positive: bool = False) -> str:
    difference, low, high = estimate.difference or 0.0, estimate.low, estimate.high
    if positive and difference < 0:
        difference, low, high = -difference, -high, -low
    if math.isinf(low) and math.isinf(high):
        return f"{number(difference)} (no interval)"
    return f"{number(difference)} (95% interval {number(low)} to {number(high)})"


def _basis(pair: Pair) -> str:
    answer = pair.answer
    match answer.question:
        case Question.PAIRED:
            units = answer.n_units[0]
            shared = f", from {units} trainings" if units < answer.n_pairs else ""
            basis = f"{_count(answer.n_pairs, 'config')} in both, each against itself{shared}"
        case Question.BEST:
            counts = answer.n_configs
            basis = f"best of {counts[0]} and of {_count(counts[1], 'config')}, none in both"
        case Question.RESCORED:
            basis = f"best config of each with {_count(answer.n_pairs, 'fresh seed')}"
    return f"asked: {question_text(pair)}? ({basis})"


def _footnotes(pair: Pair) -> list[str]:
    answer, notes = pair.answer, []
    if answer.n_lost:
        notes.append(
            f"{_count(answer.n_lost, 'config')} that both {pair.first} and {pair.second} tried "
            "left out: no score in one of them, or halted at another epoch"
        )
    if answer.question is Question.BEST and answer.corrected is not None:
        notes.append(
            f"less what luck has in the bests, {pair.first} less {pair.second} is about "
            f"{number(answer.corrected)}"
        )
    return notes


def _luck(comparison: Findings) -> list[str]:
    """What the best of many owes to having been chosen."""
    bests = [best for best in comparison.bests if best.configs > 1]
    if not bests or any(best.fresh is not None for best in bests):
        return []
    told = ", ".join(
        f"{best.label} {_luck_of(best)} (best of {best.configs} configs)" for best in bests
    )
    return [
        "the best of many has luck in it, which left-out seeds show and fresh ones (--rescore K) "
        f"are free of: {told}"
    ]


def _luck_of(best: Best) -> str:
    if best.optimism is None:
        return "unknown with one seed"
    return f"about {number(best.optimism)}"


def _bests(bests: Sequence[Best]) -> Grid:
    names = dict.fromkeys(name for best in bests for name in best.values or ())
    shown = [n for n in names if len({(b.values or {}).get(n, "-") for b in bests}) > 1]
    fresh = any(best.fresh is not None for best in bests)
    header = ["table", "trials", "with a score", "configs", "best config", "mean score", "sd"]
    header += ["seeds", "luck in it", *(["fresh mean"] if fresh else []), *shown]
    rows = []
    for best in bests:
        row = [best.label, str(best.trials), str(best.scored), str(best.configs)]
        row += [best.config or "-", _maybe(best.mean), _maybe(best.sd), str(best.seeds)]
        row += [_maybe(best.optimism), *([_maybe(best.fresh)] if fresh else [])]
        rows.append((*row, *((best.values or {}).get(name, "-") for name in shown)))
    return Grid(tuple(header), tuple(rows))


def _all_pairs(pairs: Sequence[Pair]) -> Grid:
    header = ("first", "second", "first less second", "low", "high", "p (Holm)", "winner", "asked")
    rows = tuple(
        (
            pair.first,
            pair.second,
            _maybe(pair.estimate.difference),
            number(pair.estimate.low),
            number(pair.estimate.high),
            _maybe(pair.p_value),
            pair.winner or "-",
            question_text(pair),
        )
        for pair in pairs
    )
    return Grid(header, rows)


def _at_equal_budget(comparison: Findings) -> Section:
    header = ("budget", *comparison.labels)
    rows = tuple(
        (
            f"{each.budget:,.4g} {each.unit}",
            *(_maybe(each.best[label]) for label in comparison.labels),
        )
        for each in comparison.budgets
    )
    if not rows:
        return Section("At equal budget?", ("nothing was spent in one of them",))
    line = "the best mean score once so much was spent, trials in their order"
    return Section("At equal budget?", (line, Grid(header, rows)))


def _explained(comparison: Findings) -> Section:
    parts: list[str | Grid] = []
    for pair in comparison.pairs:
        title = f"{pair.first} less {pair.second}"
        if pair.effects:
            parts.append(f"{title}: how much of the configs' differences each explains")
            parts += [_effects(pair.effects), _by_value(pair.effects)]
        elif pair.changes:
            parts.append(f"{title}: what the best configs have otherwise, all else equal")
            parts.append(_changes(pair.changes))
        elif pair.answer.question is Question.PAIRED:
            parts.append(f"{title}: the paired configs' differences depend on none")
        else:
            parts.append(
                f"{title}: the best configs have the same values, or values of one quarter"
            )
    return Section("Which hyperparameters explain it?", tuple(parts))


def _effects(effects: Sequence[Dependence]) -> Grid:
    rows = tuple((e.name, f"{100 * e.share:.0f}%", _maybe(e.p_value)) for e in effects)
    return Grid(("hyperparameter", "share of the variance", "p (Holm)"), rows)


def _by_value(effects: Sequence[Dependence]) -> Grid:
    rows = tuple(
        (effect.name, value, *_numbers(estimate), str(count))
        for effect in effects[:_MOST_EFFECTS]
        for value, (estimate, count) in effect.by_value.items()
    )
    return Grid(("hyperparameter", "value", "difference", "low", "high", "configs"), rows)


def _changes(changes: Sequence[Change]) -> Grid:
    header = ("hyperparameter", "first's best", "second's best", "worth", "low", "high", "p")
    rows = tuple(
        (
            change.name,
            change.first,
            change.second,
            *_numbers(change.estimate),
            _maybe(change.estimate.p_value),
            f"{change.counts[0]}, {change.counts[1]}",
        )
        for change in changes
    )
    return Grid((*header, "configs"), rows)


def _moved(comparison: Findings) -> Section:
    parts: list[str | Grid] = []
    for pair in comparison.pairs:
        title = f"{pair.first} less {pair.second}"
        if pair.moves:
            parts += [title, _moves(pair, pair.moves)]
        elif pair.answer.question is Question.PAIRED:
            parts.append(f"{title}: no config moved")
        else:
            parts.append(f"{title}: no config is paired")
    return Section("Which configs moved most?", tuple(parts))


def _moves(pair: Pair, moves: Sequence[Move]) -> Grid:
    names = tuple(moves[0].values)
    header = ("config", pair.first, pair.second, "difference", "ranks", *names)
    rows = tuple(
        (
            move.config,
            number(move.first),
            number(move.second),
            number(move.difference),
            f"{move.ranks[0]}, {move.ranks[1]}",
            *move.values.values(),
        )
        for move in moves
    )
    return Grid(header, rows)


def _numbers(estimate: Estimate) -> tuple[str, str, str]:
    return _maybe(estimate.difference), number(estimate.low), number(estimate.high)


def number(value: float) -> str:
    """Four digits behind the point, or significant ones where these would say nothing."""
    if math.isinf(value):
        return "unbounded"
    plain = value == 0 or 1e-3 <= abs(value) < 1e6
    return f"{value:.4f}" if plain else f"{value:.3g}"


def _maybe(value: float | None) -> str:
    return "-" if value is None or math.isnan(value) else number(value)


def _p(value: float) -> str:
    if math.isnan(value):
        return "no test"
    return "p < 0.001" if value < 1e-3 else f"p = {value:.3f}"


def _count(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
